// SPDX-License-Identifier: Apache-2.0

/// The headers of a little-endian ELF file, of 64 or 32 bits.
///
/// Format: Tool Interface Standard ELF 1.2, System V gABI chapter 4 and 5. Everything in it is untrusted: what
/// points outside the file is not there.
package struct ELFFile {
    package struct Section {
        package var name: UInt32
        package var type: UInt32
        package var flags: UInt64
        package var address: UInt64
        package var offset: UInt64
        package var size: UInt64
        package var link: UInt32
        package var info: UInt32

        /// Holds code: SHF_ALLOC and SHF_EXECINSTR.
        var isCode: Bool { flags & 0x6 == 0x6 }
    }

    package struct Segment {
        package var type: UInt32
        package var flags: UInt32
        package var offset: UInt64
        package var address: UInt64
        package var fileSize: UInt64

        package init(type: UInt32, flags: UInt32, offset: UInt64, address: UInt64, fileSize: UInt64) {
            self.type = type
            self.flags = flags
            self.offset = offset
            self.address = address
            self.fileSize = fileSize
        }

        /// PT_LOAD.
        package var isLoaded: Bool { type == 1 }
        /// PF_X.
        package var isCode: Bool { isLoaded && flags & 1 != 0 }
    }

    package let source: ByteSource
    package let is64: Bool
    /// ET_EXEC is 2, ET_DYN 3.
    let type: UInt16
    /// EM_X86_64 is 62.
    package let machine: UInt16
    package let sections: [Section]
    package let segments: [Segment]
    private let sectionNames: [UInt8]

    /// More than any linker writes; a header may claim 2^64.
    private static let maximumSections = 1 << 17
    private static let maximumSegments = 1 << 10
    /// Of a table of headers, which may say that each has 64 KB.
    private static let maximumTableBytes = 1 << 24

    /// Reads the headers; nil if this is no such file. Tables that are cut are taken as empty.
    package init?(_ source: ByteSource) {
        let head = source.bytes(at: 0, upTo: 64)
        guard head.starts(with: [0x7f, 0x45, 0x4c, 0x46]), head.count >= 52, head[5] == 1,
            head[4] == 1 || head[4] == 2
        else { return nil }
        self.source = source
        let fields = ELFFields(is64: head[4] == 2)
        is64 = fields.is64
        guard let type = head.number(UInt16.self, at: 16), let machine = head.number(UInt16.self, at: 18),
            let headers = fields.tables(head)
        else { return nil }
        self.type = type
        self.machine = machine
        // The first section holds the counts that are too large for the header.
        let first = Self.sections(source, headers, count: 1, fields).first
        let count = headers.sectionCount == 0 ? Int(clamping: first?.size ?? 0) : headers.sectionCount
        sections = Self.sections(source, headers, count: count, fields)
        let segmentCount = headers.segmentCount == 0xffff ? Int(first?.info ?? 0) : headers.segmentCount
        segments = Self.segments(source, headers, count: segmentCount, fields)
        let names = headers.nameSection == 0xffff ? Int(first?.link ?? 0) : headers.nameSection
        sectionNames =
            sections.indices.contains(names)
            ? Self.contents(of: sections[names], in: source, limit: 1 << 22) ?? [] : []
    }

    private static func sections(
        _ source: ByteSource, _ headers: ELFFields.Tables, count: Int, _ fields: ELFFields
    ) -> [Section] {
        let size = headers.sectionSize
        guard headers.sections > 0, count > 0, count <= maximumSections, size >= fields.sectionSize,
            count * size <= maximumTableBytes,
            let bytes = source.bytes(at: headers.sections, count: count * size)
        else { return [] }
        return (0..<count).compactMap { fields.section(bytes, at: $0 * size) }
    }

    private static func segments(
        _ source: ByteSource, _ headers: ELFFields.Tables, count: Int, _ fields: ELFFields
    ) -> [Segment] {
        let size = headers.segmentSize
        guard headers.segments > 0, count > 0, count <= maximumSegments, size >= fields.segmentSize,
            count * size <= maximumTableBytes,
            let bytes = source.bytes(at: headers.segments, count: count * size)
        else { return [] }
        return (0..<count).compactMap { fields.segment(bytes, at: $0 * size) }
    }

    private static func contents(of section: Section, in source: ByteSource, limit: Int) -> [UInt8]? {
        // SHT_NOBITS has no bytes in the file, whatever its size.
        guard section.type != 8, section.size <= UInt64(limit) else { return nil }
        return source.bytes(at: section.offset, count: Int(section.size))
    }

    /// A section's bytes; nil if they are not all in the file or more than `limit`.
    package func contents(of section: Section, limit: Int) -> [UInt8]? {
        Self.contents(of: section, in: source, limit: limit)
    }

    package func section(named name: String) -> Section? {
        let wanted = Array(name.utf8)
        return sections.first { sectionNames.hasString(wanted, at: Int($0.name)) }
    }

    /// Where the linker has put jumps through the table of addresses that the loader fills.
    package var linkerStubs: [Range<UInt64>] {
        [".plt", ".plt.sec", ".plt.got", ".iplt"].compactMap { section(named: $0) }.compactMap { section in
            let end = section.address.addingReportingOverflow(section.size)
            return end.overflow || section.size == 0 ? nil : section.address..<end.partialValue
        }
    }

    /// Where code can be, in ascending order: by sections, or by segments if there are none.
    package func codeRanges() -> [Range<UInt64>] {
        let ranges = sections.filter { $0.isCode && $0.type != 0 }.map { ($0.address, $0.size) }
        let found =
            ranges.isEmpty ? segments.filter(\.isCode).map { ($0.address, $0.fileSize) } : ranges
        return found.compactMap { start, size in
            let end = start.addingReportingOverflow(size)
            return end.overflow || size == 0 ? nil : start..<end.partialValue
        }.sorted { $0.lowerBound < $1.lowerBound }
    }
}
