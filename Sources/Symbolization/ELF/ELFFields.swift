// SPDX-License-Identifier: Apache-2.0

/// Where the fields of ELF headers are, which differs between 32 and 64 bits.
struct ELFFields {
    let is64: Bool

    var sectionSize: Int { is64 ? 64 : 40 }
    var segmentSize: Int { is64 ? 56 : 32 }
    var symbolSize: Int { is64 ? 24 : 16 }

    /// Where the two tables of headers are, and how many entries of which size they have.
    struct Tables {
        var segments: UInt64
        var segmentSize: Int
        var segmentCount: Int
        var sections: UInt64
        var sectionSize: Int
        var sectionCount: Int
        var nameSection: Int
    }

    /// Elf64_Ehdr or Elf32_Ehdr, from e_phoff on.
    func tables(_ head: [UInt8]) -> Tables? {
        let counts = is64 ? 54 : 42
        guard let segments = word(head, at: is64 ? 32 : 28), let sections = word(head, at: is64 ? 40 : 32),
            let segmentSize = head.number(UInt16.self, at: counts),
            let segmentCount = head.number(UInt16.self, at: counts + 2),
            let sectionSize = head.number(UInt16.self, at: counts + 4),
            let sectionCount = head.number(UInt16.self, at: counts + 6),
            let nameSection = head.number(UInt16.self, at: counts + 8)
        else { return nil }
        return Tables(
            segments: segments, segmentSize: Int(segmentSize), segmentCount: Int(segmentCount),
            sections: sections, sectionSize: Int(sectionSize), sectionCount: Int(sectionCount),
            nameSection: Int(nameSection))
    }

    /// Elf64_Shdr or Elf32_Shdr.
    func section(_ bytes: [UInt8], at start: Int) -> ELFFile.Section? {
        let size = is64 ? 8 : 4
        let words = start + 8
        guard let name = bytes.number(UInt32.self, at: start),
            let type = bytes.number(UInt32.self, at: start + 4),
            let flags = word(bytes, at: words), let address = word(bytes, at: words + size),
            let offset = word(bytes, at: words + 2 * size), let length = word(bytes, at: words + 3 * size),
            let link = bytes.number(UInt32.self, at: words + 4 * size),
            let info = bytes.number(UInt32.self, at: words + 4 * size + 4)
        else { return nil }
        return ELFFile.Section(
            name: name, type: type, flags: flags, address: address, offset: offset, size: length, link: link,
            info: info)
    }

    /// Elf64_Phdr, or Elf32_Phdr, which has the flags elsewhere.
    func segment(_ bytes: [UInt8], at start: Int) -> ELFFile.Segment? {
        guard let type = bytes.number(UInt32.self, at: start),
            let flags = bytes.number(UInt32.self, at: start + (is64 ? 4 : 24)),
            let offset = word(bytes, at: start + (is64 ? 8 : 4)),
            let address = word(bytes, at: start + (is64 ? 16 : 8)),
            let fileSize = word(bytes, at: start + (is64 ? 32 : 16))
        else { return nil }
        return ELFFile.Segment(type: type, flags: flags, offset: offset, address: address, fileSize: fileSize)
    }

    private func word(_ bytes: [UInt8], at offset: Int) -> UInt64? {
        is64 ? bytes.number(UInt64.self, at: offset) : bytes.number(UInt32.self, at: offset).map(UInt64.init)
    }
}
