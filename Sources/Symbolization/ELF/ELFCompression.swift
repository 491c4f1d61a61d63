// SPDX-License-Identifier: Apache-2.0

/// What the beginning of a compressed section says.
struct ELFCompression {
    private enum Method {
        case zlib
        case zstandard
    }

    private let method: Method
    /// How many bytes come out.
    let size: UInt64
    /// Where in the section the compressed bytes begin.
    let start: UInt64

    /// Elf64_Chdr or Elf32_Chdr (System V gABI, "Section Compression"), or what GNU had before: "ZLIB" and the size,
    /// big-endian. nil if it is neither.
    /// - Parameter number: The unsigned number of some bytes at an offset of the section, if it is all there.
    init?(is64: Bool, isGNU: Bool, number: (_ offset: UInt64, _ size: Int) -> UInt64?) {
        let word = is64 ? 8 : 4
        if isGNU {
            guard number(0, 4) == 0x4249_4c5a, let size = number(4, 8) else { return nil }
            method = .zlib
            self.size = size.byteSwapped
            start = 12
        } else {
            guard let code = number(0, 4), code == 1 || code == 2, let size = number(UInt64(word), word)
            else {
                return nil
            }
            method = code == 1 ? .zlib : .zstandard
            self.size = size
            start = UInt64(3 * word)
        }
    }

    /// The bytes; nil if damaged.
    /// - Parameters:
    ///   - section: One that is no smaller than `start`.
    ///   - read: Reads at an offset of the file; returns how many bytes.
    func expand(
        _ section: ELFFile.Section, _ read: @escaping (UInt64, UnsafeMutableRawBufferPointer) -> Int
    ) -> [UInt8]? {
        let decompression = DWARFDecompression(
            read: read, offset: section.offset &+ start, count: section.size - start, size: Int(size))
        return method == .zlib ? decompression.inflated() : decompression.unpacked()
    }
}

extension ELFFile {
    /// The bytes of a section with debugging information, decompressed if need be.
    ///
    /// - Parameters:
    ///   - name: What follows `.debug_` or `.zdebug_`.
    ///   - limit: How many bytes there may be.
    /// - Returns: nil if there is no such section, or it is damaged or larger.
    package func expandedContents(of name: String, limit: Int) -> [UInt8]? {
        let isGNU = section(named: ".debug_" + name) == nil
        guard let section = section(named: (isGNU ? ".zdebug_" : ".debug_") + name), section.type != 8 else {
            return nil
        }
        // SHF_COMPRESSED
        guard isGNU || section.flags & 0x800 != 0 else { return contents(of: section, limit: limit) }
        let fileSize = source.size
        guard section.offset <= fileSize, section.size <= fileSize - section.offset else { return nil }
        let compression = ELFCompression(is64: is64, isGNU: isGNU) { offset, size in
            let bytes = source.bytes(at: section.offset &+ offset, upTo: size)
            return size == 8
                ? bytes.number(UInt64.self, at: 0) : bytes.number(UInt32.self, at: 0).map(UInt64.init)
        }
        guard let compression, section.size >= compression.start, compression.size <= UInt64(max(limit, 0))
        else {
            return nil
        }
        return compression.expand(section) { source.read(at: $0, into: $1) }
    }
}
