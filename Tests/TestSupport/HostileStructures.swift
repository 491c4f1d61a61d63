// SPDX-License-Identifier: Apache-2.0

/// Files made at random of the structures that readers know, with numbers at which something ends in their fields: what
/// damage to a sound file seldom hits.
extension HostileELF {
    /// A file with some of all kinds of sections.
    package static func random(_ random: inout SeededGenerator) -> HostileELF {
        var file = HostileELF()
        if random.below(3) > 0 { file.add(symbols(&random)) }
        if random.below(3) == 0 { file.add(symbols(&random), type: 11) }
        let writers = [unwinding, debugging, notes, linkage, goFunctions]
        for write in writers where random.below(2) == 0 { write(&file, &random) }
        // What is true of most files, so that readers get beyond the beginning.
        let isTwisted = random.below(2) == 0
        if isTwisted { file.twist(&random) }
        if random.below(3) == 0 {
            file.segments = (0..<random.below(6)).map { _ in segment(&random) }
        }
        return file
    }

    private static let places: [UInt64] = [codePlace, codePlace + codeSize, 0x2000, 0x10_0000]

    private static func symbols(_ random: inout SeededGenerator) -> [Symbol] {
        let names = ["malloc", "free", "_Znwm", "f", "$x", ".L1", "", "_ZN1a1bEv", "_Unwind_Resume"]
        return (0..<random.below(24)).map { _ in
            var symbol = Symbol(names[random.below(names.count)])
            if random.below(2) == 0 { symbol.value = random.extreme(near: places) }
            if random.below(2) == 0 { symbol.size = random.extreme(near: places) }
            if random.below(3) == 0 { symbol.type = UInt8(random.below(16)) }
            if random.below(3) == 0 { symbol.binding = UInt8(random.below(16)) }
            if random.below(4) == 0 { symbol.section = UInt16(truncatingIfNeeded: random.extreme()) }
            if random.below(4) == 0 {
                symbol.namePlace = UInt32(truncatingIfNeeded: random.extreme(near: [1, 20]))
            }
            return symbol
        }
    }

    private static func segment(_ random: inout SeededGenerator) -> Segment {
        let types: [UInt32] = [1, 1, 1, 2, 4, 0x6474_e550]
        return Segment(
            types[random.below(types.count)], flags: UInt32(random.below(8)),
            offset: random.extreme(near: places), address: random.extreme(near: places),
            size: random.extreme(near: places))
    }

    /// Changes fields of headers.
    private mutating func twist(_ random: inout SeededGenerator) {
        for index in sections.indices where random.below(4) == 0 {
            let place = random.extreme(near: Self.places)
            switch random.below(7) {
            case 0: sections[index].offset = place
            case 1: sections[index].size = place
            case 2: sections[index].address = place
            case 3: sections[index].link = UInt32(truncatingIfNeeded: place)
            case 4: sections[index].type = UInt32(random.below(20))
            case 5: sections[index].flags = random.below(2) == 0 ? 0x800 : random.extreme()
            default: sections[index].namePlace = UInt32(truncatingIfNeeded: place)
            }
        }
        guard random.below(3) == 0 else { return }
        let small = UInt16(truncatingIfNeeded: random.extreme())
        switch random.below(7) {
        case 0: counts.sections = small
        case 1: counts.sectionSize = small
        case 2: counts.nameSection = small
        case 3: counts.segments = small
        case 4: counts.segmentSize = small
        case 5: counts.sectionPlace = random.extreme(near: Self.places)
        default: counts.segmentPlace = random.extreme(near: Self.places)
        }
        first.size = random.extreme()
        first.link = UInt32(truncatingIfNeeded: random.extreme())
        first.info = UInt32(truncatingIfNeeded: random.extreme())
    }

    // MARK: - Contents

    /// Some entries, whose lengths, references and instructions may be any.
    private static func unwinding(_ file: inout HostileELF, _ random: inout SeededGenerator) {
        for name in [".eh_frame", ".debug_frame"] where random.below(3) > 0 {
            let id: UInt32 = name == ".eh_frame" ? 0 : .max
            var bytes: [UInt8] = []
            for _ in 0..<random.below(12) {
                let body = frameEntry(id, at: bytes.count, &random)
                let length = random.below(8) == 0 ? random.extreme() : UInt64(body.count)
                let isLong = random.below(6) == 0
                bytes += isLong ? joined(four(.max), eight(length)) : short(length)
                bytes += body
            }
            file.sections.append(Section(name, address: random.extreme(near: places), contents: bytes))
        }
        guard random.below(3) == 0 else { return }
        let table = joined(
            [1, 0x1b, 3, 0x3b], short(random.extreme()), short(random.extreme(near: [2])),
            eight(random.extreme()), eight(random.extreme()))
        file.sections.append(Section(".eh_frame_hdr", address: random.extreme(near: places), contents: table))
    }

    private static func frameEntry(_ id: UInt32, at place: Int, _ random: inout SeededGenerator) -> [UInt8] {
        let isCommon = place == 0 || random.below(4) == 0
        guard !isCommon else {
            return joined(
                four(id), [1], augmentation(&random), [1, 0x78, 16, 0x0c, 7, 8, 0x90, 1],
                instructions(&random))
        }
        let usual: UInt64 = id == 0 ? UInt64(place + 4) : 0
        let reference = random.below(4) == 0 ? random.extreme(near: [usual]) : usual
        return joined(
            short(reference), eight(random.extreme(near: places)), eight(random.extreme(near: [8])),
            instructions(&random))
    }

    private static func augmentation(_ random: inout SeededGenerator) -> [UInt8] {
        switch random.below(4) {
        case 0: [0]
        case 1: joined(Array("zR\0".utf8), number(&random), [UInt8(random.below(256))])
        case 2: joined(Array("zPLRS\0".utf8), [7, UInt8(random.below(256)), 0, 0, 0, 0, 0x1b, 0x1b])
        default: [UInt8](repeating: UInt8(ascii: "S"), count: random.below(40)) + [0]
        }
    }

    private static func instructions(_ random: inout SeededGenerator) -> [UInt8] {
        var bytes: [UInt8] = []
        for _ in 0..<random.below(12) {
            bytes.append(UInt8(random.below(random.below(3) == 0 ? 256 : 0x30)))
            for _ in 0..<random.below(3) { bytes += number(&random) }
        }
        return bytes
    }

    /// A LEB128 of one to ten bytes and more.
    private static func number(_ random: inout SeededGenerator) -> [UInt8] {
        var value = random.extreme()
        var bytes: [UInt8] = []
        repeat {
            bytes.append(UInt8(value & 0x7f) | 0x80)
            value >>= 7
        } while value > 0
        if random.below(6) == 0 { bytes += [UInt8](repeating: 0xff, count: random.below(12)) }
        bytes[bytes.count - 1] &= 0x7f
        return bytes
    }

    /// A number of any length.
    private static func any(_ random: inout SeededGenerator) -> [UInt8] {
        random.below(2) == 0 ? number(&random) : eight(random.extreme(near: places))
    }

    private static func short(_ value: UInt64) -> [UInt8] { four(UInt32(truncatingIfNeeded: value)) }

    private static func debugging(_ file: inout HostileELF, _ random: inout SeededGenerator) {
        let version = UInt16(2 + random.below(4))
        let kind = UInt8(1 + random.below(6))
        let head = joined(two(version), version < 5 ? [0, 0, 0, 0, 8] : [kind, 8, 0, 0, 0, 0])
        var entries = joined([1], eight(codePlace), eight(codeSize), four(0))
        for _ in 0..<random.below(30) {
            entries.append(UInt8(random.below(6)))
            for _ in 0..<random.below(5) { entries += any(&random) }
        }
        let length = random.below(8) == 0 ? random.extreme() : UInt64(head.count + entries.count)
        file.sections.append(Section(".debug_abbrev", contents: abbreviations(&random)))
        file.sections.append(Section(".debug_info", contents: joined(short(length), head, entries)))
        file.sections.append(Section(".debug_line", contents: lines(version, &random)))
        for name in ["str", "line_str", "str_offsets", "addr", "rnglists", "ranges", "aranges", "cu_index"]
        where random.below(2) == 0 {
            var bytes: [UInt8] = []
            for _ in 0..<random.below(12) { bytes += any(&random) }
            file.sections.append(Section(".debug_" + name, contents: bytes))
        }
    }

    private static func abbreviations(_ random: inout SeededGenerator) -> [UInt8] {
        let tags: [UInt8] = [0x11, 0x2e, 0x1d, 0x0b, 0x01, 0x04]
        let names: [UInt8] = [
            0x03, 0x11, 0x12, 0x55, 0x10, 0x31, 0x47, 0x58, 0x59, 0x6e, 0x01, 0x72, 0x73, 0x74, 0x76,
        ]
        // The first entry has a place and a list of lines, if nothing else.
        var table: [UInt8] = [1, 0x11, 1, 0x11, 0x01, 0x12, 0x07, 0x10, 0x17, 0, 0]
        for code in 2..<6 as Range<UInt8> {
            table += [code, tags[random.below(tags.count)], UInt8(random.below(2))]
            for _ in 0..<random.below(6) {
                table += [names[random.below(names.count)], UInt8(1 + random.below(0x2c))]
            }
            table += [0, 0]
        }
        return table + [0]
    }

    private static func lines(_ version: UInt16, _ random: inout SeededGenerator) -> [UInt8] {
        var header: [UInt8] = [1]
        if version >= 4 { header.append(UInt8(random.below(3))) }
        header += [1, UInt8(random.below(256)), UInt8(random.below(256)), UInt8(random.below(16))]
        header += [UInt8](repeating: 1, count: 12)
        for _ in 0..<random.below(8) { header += number(&random) }
        var program = joined([0, 9, 2], eight(random.extreme(near: places)))
        for _ in 0..<random.below(30) {
            program.append(UInt8(random.below(20)))
            if random.below(2) == 0 { program += number(&random) }
        }
        let skip = random.below(4) == 0 ? random.extreme() : UInt64(header.count)
        let body = joined(
            two(version), version >= 5 ? [8, 0] : [], short(skip), header, program, [0, 1, 1])
        return joined(four(UInt32(body.count)), body)
    }

    private static func notes(_ file: inout HostileELF, _ random: inout SeededGenerator) {
        for name in [".note.gnu.build-id", ".note.stapsdt", ".gnu_debuglink", ".gnu_debugaltlink"] {
            guard random.below(2) == 0 else { continue }
            var bytes: [UInt8] = []
            for _ in 0..<random.below(4) {
                let owner = Array((random.below(2) == 0 ? "GNU\0" : "stapsdt\0").utf8)
                let size = Int64(bitPattern: random.extreme())
                let body = joined(
                    eight(random.extreme(near: places)), eight(random.extreme(near: places)),
                    eight(random.extreme(near: places)),
                    Array("provider\0name\0\(size)@%rax -4@x\0\0".utf8))
                for size in [owner.count, body.count, 3] {
                    bytes += short(random.below(6) == 0 ? random.extreme() : UInt64(size))
                }
                bytes += joined(owner, body, [UInt8](repeating: 0, count: -body.count & 3))
            }
            file.sections.append(Section(name, 7, contents: bytes))
        }
        guard random.below(3) == 0 else { return }
        file.sections.append(
            Section(".stapsdt.base", address: random.extreme(near: places), contents: [0]))
    }

    /// Go's table of functions (runtime/symtab.go), of each version: a head, functions, their records and their tables.
    private static func goFunctions(_ file: inout HostileELF, _ random: inout SeededGenerator) {
        let magic: UInt32 = [0xffff_fffb, 0xffff_fffa, 0xffff_fff0, 0xffff_fff1][random.below(4)]
        var bytes = joined(four(magic), [0, 0, 1, 8], eight(UInt64(1 + random.below(6))))
        for _ in 0..<7 { bytes += eight(random.below(4) == 0 ? random.extreme() : UInt64(random.below(300))) }
        for _ in 0..<random.below(60) {
            bytes += random.below(3) == 0 ? number(&random) : short(random.extreme(near: places + [80, 200]))
        }
        file.sections.append(Section(".gopclntab", contents: bytes))
        // Only programs without symbols are asked for it.
        if random.below(2) == 0 { file.sections.removeAll { $0.type == 2 || $0.name.hasPrefix(".eh") } }
    }

    private static func linkage(_ file: inout HostileELF, _ random: inout SeededGenerator) {
        let address = random.extreme(near: places)
        var stubs: [UInt8] = []
        var relocations: [UInt8] = []
        for _ in 0..<random.below(8) {
            let jump = joined([0xff, 0x25], short(random.extreme()))
            let isShort = random.below(2) == 0
            stubs +=
                isShort
                ? joined(jump, [0x66, 0x90]) : joined([0xf3, 0x0f, 0x1e, 0xfa, 0xf2], jump, [0, 0, 0, 0, 0])
            relocations += joined(
                eight(random.extreme(near: [address, address &+ 0x1000])),
                eight(random.extreme(near: [6, 7, 37, 1 << 32])), eight(random.extreme(near: places)))
        }
        let name = [".plt", ".plt.sec", ".plt.got"][random.below(3)]
        file.sections.append(Section(name, flags: 6, address: address, contents: stubs))
        file.sections.append(
            Section(random.below(2) == 0 ? ".rela.plt" : ".rela.dyn", 4, contents: relocations))
    }
}
