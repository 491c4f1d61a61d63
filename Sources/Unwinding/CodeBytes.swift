// SPDX-License-Identifier: Apache-2.0
internal import Glibc
internal import Symbolization

/// The code of a file: where it is, and its bytes.
struct CodeBytes {
    private let elf: ELFFile
    private let segments: [ELFFile.Segment]
    /// Ascending, without overlaps.
    let ranges: [Range<UInt64>]

    private static let chunkSize = 1 << 20
    /// More than any C library, and than any program that holds one, of which only the beginning is searched then.
    private static let maximumSearched: UInt64 = 256 << 20

    init(_ elf: ELFFile) {
        self.elf = elf
        // What goes over the end of all addresses is nowhere.
        segments = elf.segments.filter {
            $0.isCode && !$0.address.addingReportingOverflow($0.fileSize).overflow
        }
        var ranges: [Range<UInt64>] = []
        for segment in segments.sorted(by: { $0.address < $1.address }) {
            let end = segment.address + segment.fileSize
            let start = max(segment.address, ranges.last?.upperBound ?? 0)
            if start < end { ranges.append(start..<end) }
        }
        self.ranges = ranges
    }

    /// As much of a range as is code from its beginning on; nil if nothing.
    func clipped(_ start: UInt64, _ end: UInt64) -> Range<UInt64>? {
        // The last that begins at or before `start`.
        var low = 0
        var high = ranges.count
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].lowerBound <= start { low = middle + 1 } else { high = middle }
        }
        guard low > 0, ranges[low - 1].contains(start) else { return nil }
        return start..<min(end, ranges[low - 1].upperBound)
    }

    /// At most `count` bytes from an address on.
    private func bytes(at address: UInt64, upTo count: Int) -> [UInt8] {
        guard
            let segment = segments.first(where: {
                address >= $0.address && address - $0.address < $0.fileSize
            })
        else { return [] }
        let distance = address - segment.address
        let (offset, overflow) = segment.offset.addingReportingOverflow(distance)
        guard !overflow else { return [] }
        return elf.source.bytes(at: offset, upTo: Int(min(UInt64(count), segment.fileSize - distance)))
    }

    /// Where a function that is described as a signal's frame has instructions that return from a signal handler: at
    /// its beginning, or one byte later, where C libraries already make it begin early. nil if it has none.
    func signalReturn(_ wanted: [UInt8], from start: UInt64) -> UInt64? {
        let found = bytes(at: start, upTo: wanted.count + 1)
        return found.starts(with: wanted) ? start : found.dropFirst().starts(with: wanted) ? start + 1 : nil
    }

    /// The places in all code where there are some instructions that return from a signal handler.
    ///
    /// They are in the C library, so that a file that needs another is not searched.
    func signalReturns(_ wanted: [UInt8]) -> [UInt64] {
        guard !needsOtherFiles else { return [] }
        var found: [UInt64] = []
        var left = Self.maximumSearched
        for range in ranges {
            var address = range.lowerBound
            while address < range.upperBound, left > 0, found.count < 64 {
                let chunk = bytes(at: address, upTo: Self.chunkSize)
                guard chunk.count >= wanted.count else { break }
                found += Self.places(of: wanted, in: chunk).map { address + UInt64($0) }
                // What the end of this one cuts is whole in the next.
                let step = UInt64(chunk.count - wanted.count + 1)
                address += step
                left -= min(left, step)
            }
        }
        return found
    }

    private static func places(of wanted: [UInt8], in bytes: [UInt8]) -> [Int] {
        bytes.withUnsafeBytes { bytes in
            var found: [Int] = []
            // By the second byte: the first is that of every third instruction.
            var start = 1
            while let base = bytes.baseAddress, start < bytes.count,
                let second = memchr(base + start, Int32(wanted[1]), bytes.count - start)
            {
                let place = UnsafeRawPointer(second) - base - 1
                if bytes[place...].starts(with: wanted) { found.append(place) }
                start = place + 2
            }
            return found
        }
    }

    /// Whether there is DT_NEEDED in the dynamic section.
    private var needsOtherFiles: Bool {
        guard let dynamic = elf.segments.first(where: { $0.type == 2 }) else { return false }
        let bytes = elf.source.bytes(at: dynamic.offset, upTo: Int(min(dynamic.fileSize, 1 << 16)))
        let word = elf.is64 ? 8 : 4
        return stride(from: 0, through: bytes.count - 2 * word, by: 2 * word).contains {
            bytes[$0] == 1 && bytes[$0 + 1..<$0 + word].allSatisfy { $0 == 0 }
        }
    }
}
