// SPDX-License-Identifier: Apache-2.0

/// Where the parts of an ELF file go in memory, by its program headers.
package struct SegmentMap {
    private let loaded: [ELFFile.Segment]

    package init(_ elf: ELFFile) { self.init(elf.segments) }

    package init(_ segments: [ELFFile.Segment]) { loaded = segments.filter(\.isLoaded) }

    /// The address of the first segment: two files of one build differ by as much in all addresses.
    package var base: UInt64? { loaded.first?.address }

    /// Where the byte at a place in the file is in memory, as the file counts addresses.
    ///
    /// The kernel maps whole pages, so that the bytes around a segment can be executed too; they belong to the
    /// segment of code that shares their page, if no other holds them.
    func address(ofOffset offset: UInt64) -> UInt64? {
        let page: UInt64 = 0xfff
        let segment =
            loaded.first { $0.isCode && Self.contains($0, offset) }
            ?? loaded.first { Self.contains($0, offset) }
            ?? loaded.first {
                $0.isCode && offset | page >= $0.offset && offset & ~page <= $0.offset &+ $0.fileSize
            }
        return segment.map { $0.address &+ (offset &- $0.offset) }
    }

    /// Where the code of a mapping is in memory, as the file counts addresses: of its first byte.
    ///
    /// - Parameters:
    ///   - offset: where in the file the mapping begins, at a page, and so maybe before the code.
    ///   - bytes: how long it is.
    func codeAddress(ofOffset offset: UInt64, bytes: UInt64) -> UInt64? {
        let segment = loaded.first {
            $0.isCode && $0.offset < offset &+ bytes && offset < $0.offset &+ $0.fileSize
        }
        return segment.map { $0.address &- $0.offset &+ offset }
    }

    /// Where the file may be in memory, to be added to the addresses that it counts, if a part of it is at an address.
    func biases(ofOffset offset: UInt64, at address: UInt64) -> [UInt64] {
        loaded.filter {
            $0.fileSize > 0 && offset >= $0.offset & ~Self.page && offset < $0.offset &+ $0.fileSize
        }
        .map { address &- offset &- ($0.address &- $0.offset) }
    }

    /// The offset in the file of code that is in memory; nil if not all of that is code of one segment.
    ///
    /// - Parameters:
    ///   - range: addresses in memory, of whole pages.
    ///   - bias: of them to those that the file counts.
    func codeOffset(of range: Range<UInt64>, bias: UInt64) -> UInt64? {
        let start = range.lowerBound &- bias
        let end = range.upperBound &- bias
        let segment = loaded.first {
            let segmentEnd = ($0.address &+ $0.fileSize &+ Self.page) & ~Self.page
            return $0.isCode && start < end && start >= $0.address & ~Self.page && end <= segmentEnd
        }
        return segment.map { start &- $0.address &+ $0.offset }
    }

    /// Of bytes in a page of memory, the bits that count them.
    private static let page: UInt64 = 0xfff

    private static func contains(_ segment: ELFFile.Segment, _ offset: UInt64) -> Bool {
        offset >= segment.offset && offset - segment.offset < segment.fileSize
    }
}
