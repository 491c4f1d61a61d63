// SPDX-License-Identifier: Apache-2.0
internal import Symbolization

/// The bytes of one section with call frame information.
final class CallFrameSection {
    enum Kind {
        /// .eh_frame (LSB 5.0, 10.6)
        case exceptionHandling
        /// .debug_frame (DWARF 5, 6.4)
        case debugging
    }

    let kind: Kind
    /// For the addresses in it.
    let bases: PointerBases
    /// Whether what follows it was read, too, for want of a section header that says where it ends.
    let isOpenEnded: Bool
    let bytes: UnsafeRawBufferPointer

    /// More than the largest programs have; offsets are kept in 32 bits.
    private static let maximumSize: UInt64 = 256 << 20

    deinit { bytes.deallocate() }

    private init?(
        _ kind: Kind, _ source: ByteSource, offset: UInt64, size: UInt64, _ bases: PointerBases,
        isOpenEnded: Bool = false
    ) {
        let available = source.size
        guard size > 0, size <= Self.maximumSize, offset <= available, size <= available - offset else {
            return nil
        }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(size), alignment: 16)
        bytes = UnsafeRawBufferPointer(buffer)
        self.kind = kind
        self.bases = bases
        self.isOpenEnded = isOpenEnded
        // A file that was cut meanwhile gives less, and the memory was someone's before.
        guard source.read(at: offset, into: buffer) == buffer.count else { return nil }
    }

    private init(_ kind: Kind, _ contents: [UInt8], _ bases: PointerBases) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: contents.count, alignment: 16)
        buffer.copyBytes(from: contents)
        bytes = UnsafeRawBufferPointer(buffer)
        self.kind = kind
        self.bases = bases
        isOpenEnded = false
    }

    /// .eh_frame, found by its name or, in a file without section headers, by PT_GNU_EH_FRAME; nil if there is none.
    static func exceptionHandling(_ elf: ELFFile) -> CallFrameSection? {
        guard let section = elf.section(named: ".eh_frame"), section.type != 8, section.size > 0 else {
            return bySegment(elf)
        }
        let table = elf.section(named: ".got.plt") ?? elf.section(named: ".got")
        let bases = PointerBases(
            section: section.address, text: elf.section(named: ".text")?.address, data: table?.address,
            word: elf.is64 ? 8 : 4)
        return CallFrameSection(
            .exceptionHandling, elf.source, offset: section.offset, size: section.size, bases)
    }

    /// .eh_frame_hdr (LSB 5.0, 10.6.2): a version, three encodings, and the address of .eh_frame.
    private static func bySegment(_ elf: ELFFile) -> CallFrameSection? {
        guard let header = elf.segments.first(where: { $0.type == 0x6474_e550 }) else { return nil }
        let head = elf.source.bytes(at: header.offset, upTo: 32)
        let word = elf.is64 ? 8 : 4
        let address = head.withUnsafeBytes { bytes -> UInt64? in
            guard bytes.count > 4, bytes[0] == 1, bytes[1] != 0xff else { return nil }
            var reader = CallFrameReader(bytes, 4..<bytes.count)
            let bases = PointerBases(section: header.address, data: header.address, word: word)
            let address = reader.pointer(PointerEncoding(code: bytes[1]), bases)
            return reader.failed ? nil : address
        }
        guard let address,
            let segment = elf.segments.first(where: {
                $0.isLoaded && address >= $0.address && address - $0.address < $0.fileSize
            })
        else { return nil }
        let distance = address - segment.address
        let (offset, outside) = segment.offset.addingReportingOverflow(distance)
        guard !outside else { return nil }
        return CallFrameSection(
            .exceptionHandling, elf.source, offset: offset,
            size: min(segment.fileSize - distance, maximumSize),
            PointerBases(section: address, word: word), isOpenEnded: true)
    }

    /// .debug_frame, which may be compressed; nil if there is none.
    /// - Parameter bias: How much higher the addresses are in the file that is described.
    static func debugging(_ elf: ELFFile, bias: UInt64 = 0) -> CallFrameSection? {
        let bases = PointerBases(
            section: bias, absolute: bias, text: elf.section(named: ".text")?.address,
            word: elf.is64 ? 8 : 4)
        guard let contents = elf.expandedContents(of: "frame", limit: Int(maximumSize)), !contents.isEmpty
        else { return nil }
        return CallFrameSection(.debugging, contents, bases)
    }
}
