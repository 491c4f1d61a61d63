// SPDX-License-Identifier: Apache-2.0

extension ELFFile {
    /// What the linker wrote to tell this build from all others (NT_GNU_BUILD_ID); nil if nothing.
    package var buildID: [UInt8]? {
        // PT_NOTE is there without section headers too, SHT_NOTE in relocatable files.
        let segments = segments.filter { $0.type == 4 }.map { ($0.offset, $0.fileSize) }
        let sections = sections.filter { $0.type == 7 }.map { ($0.offset, $0.size) }
        for (offset, size) in (segments + sections).prefix(64) {
            let notes = source.bytes(at: offset, upTo: Int(min(size, 1 << 16)))
            if let found = Self.buildID(notes) { return found }
        }
        return nil
    }

    /// Looks through notes: each three numbers (bytes of the name, of the rest, type), name and rest padded.
    private static func buildID(_ notes: [UInt8]) -> [UInt8]? {
        var position = 0
        while let nameSize = notes.number(UInt32.self, at: position),
            let size = notes.number(UInt32.self, at: position + 4),
            let type = notes.number(UInt32.self, at: position + 8)
        {
            let name = position + 12
            let start = name + (Int(nameSize) + 3) & ~3
            if type == 3, nameSize == 4, notes[min(name, notes.count)...].starts(with: "GNU\0".utf8),
                size > 0, size <= 64, start + Int(size) <= notes.count
            {
                return Array(notes[start..<start + Int(size)])
            }
            position = start + (Int(size) + 3) & ~3
        }
        return nil
    }

    /// The name and the CRC-32 of the separate debug file, from .gnu_debuglink (GDB manual, "Separate Debug
    /// Files"): a name, padding to four bytes, the sum.
    var debugLink: (name: String, checksum: UInt32)? {
        guard let section = section(named: ".gnu_debuglink"),
            let bytes = contents(of: section, limit: 1 << 13)
        else { return nil }
        let name = bytes.string(at: 0)
        // It is the name of a file: with a slash it would lead out of the directories to look in.
        guard !name.isEmpty, !name.contains(UInt8(ascii: "/")),
            let sum = bytes.number(UInt32.self, at: (name.count + 4) & ~3)
        else { return nil }
        return (String(decoding: name, as: UTF8.self), sum)
    }

    /// Whether it has its own symbol table (SHT_SYMTAB), not only that of the dynamic linker.
    var hasSymbols: Bool { sections.contains { $0.type == 2 && $0.size > 0 } }

    /// Whether it has its own DWARF.
    var hasDebugInformation: Bool {
        (section(named: ".debug_info") ?? section(named: ".zdebug_info")).map { $0.type != 8 } ?? false
    }
}

/// Bytes in hexadecimal, two digits each.
func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
}
