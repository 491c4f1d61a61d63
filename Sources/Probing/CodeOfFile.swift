// SPDX-License-Identifier: Apache-2.0
internal import Arithmetic
internal import Symbolization

/// The machine code of an ELF file, by the addresses that the file counts with.
struct CodeOfFile {
    private let elf: ELFFile
    private let segments: [ELFFile.Segment]
    private let linkage: [Range<UInt64>]

    /// Of code: more is not searched for jumps.
    private static let mostBytes: UInt64 = 1 << 28

    init(_ elf: ELFFile) {
        self.elf = elf
        segments = elf.segments.filter(\.isCode)
        linkage = [".plt", ".plt.sec", ".plt.got"].compactMap { name in
            elf.section(named: name).flatMap { section in
                let end = section.address.addingReportingOverflow(section.size)
                return end.overflow ? nil : section.address..<end.partialValue
            }
        }
    }

    /// Where the code at an address is in the file.
    func offset(of address: UInt64) -> UInt64? {
        segments.first { address >= $0.address && address - $0.address < $0.fileSize }
            .map { $0.offset &+ (address - $0.address) }
    }

    /// At most `count` bytes of code.
    func bytes(_ address: UInt64, _ count: UInt64) -> [UInt8] {
        offset(of: address).map { elf.source.bytes(at: $0, upTo: Int(clamping: count)) } ?? []
    }

    /// Whether an address is a stub that calls a function by its name.
    func isLinkage(_ address: UInt64) -> Bool { linkage.contains { $0.contains(address) } }

    /// Which of some ranges of addresses jumps or calls with 32-bit distances may lead to, from anywhere in the
    /// file: whatever looks like one, where instructions begin or not.
    ///
    /// Short jumps reach 128 bytes: those are in the function itself, as parts that compilers move out of it are
    /// put elsewhere.
    func entered(_ ranges: [Range<UInt64>]) -> Set<UInt64> {
        let ranges = RangeSearch(ranges)
        guard let low = ranges.first, let high = ranges.end else { return [] }
        var found: Set<UInt64> = []
        let perRead = 1 << 20
        // Segments of a hostile file may all be the same code.
        var left = Self.mostBytes
        for segment in segments {
            var done: UInt64 = 0
            while done < segment.fileSize, left > 0 {
                // Overlapping, so that no jump is cut.
                let bytes = elf.source.bytes(
                    at: segment.offset &+ done, upTo: min(perRead + 5, Int(clamping: segment.fileSize - done))
                )
                guard bytes.count > 5 else { break }
                Self.targets(bytes, at: segment.address &+ done, low..<high) { target in
                    ranges.forEach(containing: target) { found.insert($0) }
                }
                done = done.addingClamped(UInt64(perRead))
                left -= min(left, UInt64(bytes.count))
            }
        }
        return found
    }

    private static func targets(
        _ bytes: [UInt8], at address: UInt64, _ wanted: Range<UInt64>, _ body: (UInt64) -> Void
    ) {
        bytes.withUnsafeBytes { bytes in
            var index = 0
            let last = bytes.count - 5
            while index <= last {
                let byte = bytes[index]
                let isJump =
                    byte == 0xe8 || byte == 0xe9
                    || (byte & 0xf0 == 0x80 && index > 0 && bytes[index - 1] == 0x0f)
                if isJump {
                    let distance = bytes.loadUnaligned(fromByteOffset: index + 1, as: Int32.self)
                    let target =
                        address &+ UInt64(index + 5) &+ UInt64(bitPattern: Int64(distance))
                    if wanted.contains(target) { body(target) }
                }
                index += 1
            }
        }
    }
}

/// Finds those of some short ranges that an address is in: the start of none is far from its end.
private struct RangeSearch {
    private let ranges: [Range<UInt64>]
    private let longest: UInt64

    init(_ ranges: [Range<UInt64>]) {
        self.ranges = ranges.sorted { $0.lowerBound < $1.lowerBound }
        longest = ranges.map { $0.upperBound - $0.lowerBound }.max() ?? 0
    }

    var first: UInt64? { ranges.first?.lowerBound }
    var end: UInt64? { ranges.map(\.upperBound).max() }

    /// Calls `body` with the start of each.
    func forEach(containing address: UInt64, _ body: (UInt64) -> Void) {
        var low = 0
        var high = ranges.count
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].lowerBound <= address { low = middle + 1 } else { high = middle }
        }
        while low > 0, case let range = ranges[low - 1], address - range.lowerBound < longest {
            if range.contains(address) { body(range.lowerBound) }
            low -= 1
        }
    }
}
