// SPDX-License-Identifier: Apache-2.0

extension HostileKind {
    private static func file(_ sections: [HostileELF.Section]) -> [UInt8] {
        var file = HostileELF.named()
        file.sections += sections
        return file.bytes
    }

    // MARK: - Call frame information

    static let frames = [
        // Entries that are their own, lengths and augmentations that go over all ends.
        HostileKind("circles") {
            let common = joined(four(11), four(0), [1, 0, 1, 0x78, 16, 0, 0])
            let itself = joined(four(20), four(4), [UInt8](repeating: 0xff, count: 16))
            let nowhere = joined(four(8), four(.max), four(0))
            let long = joined(four(.max), eight(.max), [1, 2, 3])
            return file([
                HostileELF.Section(
                    ".eh_frame", address: .max - 20,
                    contents: joined(common, itself, nowhere, itself, long)),
                HostileELF.Section(".debug_frame", contents: joined(common, nowhere, itself, long)),
            ])
        },
        // The instructions of one advance and save at the ends of numbers.
        HostileKind("advances") {
            let ends = [UInt8](repeating: 0xff, count: 9) + [1]
            let instructions = joined(
                [0x0c, 7], ends, [0x04, 0xff, 0xff, 0xff, 0xff, 0x11, 6], ends, [0x13], ends, [0x0f], ends,
                [0x1d], [UInt8](repeating: 0xff, count: 8))
            let common = joined([1, 0], ends, ends, [16, 0x0c, 7, 8, 0x90, 1])
            var section = joined(four(UInt32(4 + common.count)), four(0), common)
            for start in [0x1000, 0x1001, UInt64.max - 4, .max] as [UInt64] {
                for size in [1, 0x1000, UInt64.max] as [UInt64] {
                    let place = section.count + 4
                    section += joined(four(UInt32(20 + instructions.count)), four(UInt32(place)))
                    section += joined(eight(start), eight(size), instructions)
                }
            }
            return file([HostileELF.Section(".eh_frame", address: 0x10_0000, contents: section)])
        },
        // A table of frames behind the end of the file, and no sections.
        HostileKind("outside") {
            var file = HostileELF()
            file.counts.sections = 0
            file.counts.sectionPlace = 0
            for offset in [UInt64.max, 1 << 40, 1 << 62] {
                file.segments.append(
                    HostileELF.Segment(0x6474_e550, flags: 4, offset: offset, address: offset, size: 16))
            }
            return file.bytes
        },
        // Each entry refers to another common one, and all of these have the same text of 16 MB.
        HostileKind("longtexts") {
            let count = 2000
            let start = count * 24
            var section: [UInt8] = []
            for index in 0..<count {
                section += joined(
                    four(20), four(UInt32(start + index * 9)), eight(HostileELF.codePlace), eight(8))
            }
            for _ in 0..<count {
                section += joined(four(0x0101_0101), four(.max), [1])
            }
            section += [UInt8](repeating: UInt8(ascii: "S"), count: 0x0101_0101 + 32)
            return file([HostileELF.Section(".debug_frame", contents: section)])
        },
    ]

    // MARK: - Debugging information

    /// A unit of version 5 of the code, whose first entry has a list of lines at 0; then more entries.
    private static func unit(
        _ abbreviations: [UInt8] = [], _ entries: [UInt8] = [], _ others: [HostileELF.Section] = []
    ) -> [UInt8] {
        let first: [UInt8] = [1, 0x11, 1, 0x11, 0x01, 0x12, 0x07, 0x10, 0x17, 0, 0]
        let root = joined([1], eight(HostileELF.codePlace), eight(HostileELF.codeSize), four(0))
        let info = joined(two(5), [1, 8, 0, 0, 0, 0], root, entries)
        return file(
            [
                HostileELF.Section(".debug_info", contents: joined(four(UInt32(info.count)), info)),
                HostileELF.Section(".debug_abbrev", contents: joined(first, abbreviations, [0])),
            ] + others)
    }

    private static func pair(_ one: UInt64, _ other: UInt64) -> [UInt8] {
        joined(eight(one), eight(other))
    }

    static let debugging = [
        // Rows without end.
        HostileKind("lines") {
            let header: [UInt8] = [
                1, 1, 1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0,
            ]
            let program = joined(
                [0, 9, 2], eight(HostileELF.codePlace), [UInt8](repeating: 0x20, count: 1 << 20),
                [2, 4, 0, 1, 1])
            let body = joined(two(5), [8, 0], four(UInt32(header.count)), header, program)
            let lines = joined(four(UInt32(body.count)), body)
            return unit([], [0], [HostileELF.Section(".debug_line", contents: lines)])
        },
        // What is inlined into what is inlined, and is described where it is described.
        HostileKind("inlined") {
            let abbreviation: [UInt8] = [2, 0x1d, 1, 0x11, 0x01, 0x12, 0x07, 0x31, 0x13, 0, 0]
            let entry = joined([2], pair(HostileELF.codePlace, HostileELF.codeSize), four(33))
            return unit(abbreviation, [[UInt8]](repeating: entry, count: 20_000).flatMap { $0 })
        },
        // Scopes that take no room.
        HostileKind("scopes") {
            unit([2, 0x2e, 1, 0, 0], [UInt8](repeating: 2, count: 1 << 18))
        },
        // References, lengths and offsets at the ends of numbers.
        HostileKind("offsets") {
            let ends = [UInt8](repeating: 0xff, count: 9) + [1]
            let abbreviation: [UInt8] = [
                2, 0x2e, 0, 0x55, 0x23, 0x31, 0x15, 0x03, 0x1a, 0x6e, 0x0e, 0x58, 0x0f, 0x59, 0x0f, 0, 0,
            ]
            let all = [UInt8](repeating: 0xff, count: 64)
            let entry = joined([2], ends, ends, ends, [0xff, 0xff, 0xff, 0xff], ends, ends)
            return unit(
                abbreviation, entry,
                ["rnglists", "str", "str_offsets", "addr", "aranges", "line", "ranges", "cu_index"].map {
                    HostileELF.Section(".debug_" + $0, contents: all)
                })
        },
        // A section that says that it has been compressed from all there can be.
        HostileKind("compressed") {
            let sizes: [UInt64] = [.max, 1 << 40, 1 << 29, 1 << 27]
            return file(
                ["info", "abbrev", "line", "frame"].enumerated().map { index, name in
                    let head = joined(four(UInt32(1 + index % 2)), four(0), eight(sizes[index]), eight(1))
                    return HostileELF.Section(
                        ".debug_" + name, flags: 0x800, contents: head + zeros(1 << 25))
                })
        },
    ]

    /// What zlib inflates to so many zeros and more: one, and copies of 258 of what came before (RFC 1951, 3.2.6).
    private static func zeros(_ count: Int) -> [UInt8] {
        var bytes: [UInt8] = [0x78, 0x9c]
        var (word, bits) = (0 as UInt32, 0 as UInt32)
        func append(_ value: UInt32, _ count: UInt32) {
            word |= value << bits
            bits += count
            while bits >= 8 {
                bytes.append(UInt8(truncatingIfNeeded: word))
                word >>= 8
                bits -= 8
            }
        }
        // The last block, with the codes that are known; a zero.
        append(0b011, 3)
        append(0b0000_1100, 8)
        // The length 258 (11000101, from its highest bit on), the distance 1.
        for _ in 0..<count / 258 { append(0b0_0000_1010_0011, 13) }
        append(0, 16)
        return bytes
    }

    // MARK: - Go

    static let go = [
        // All functions have one record, one name of megabytes and one table of depths without an end.
        HostileKind("gofunctions") {
            let count = 100_000
            let (names, values) = (UInt64(72), UInt64(72 + (1 << 22)))
            let records = values + 200_000
            var head = joined(four(0xffff_fff1), [0, 0, 1, 8], eight(UInt64(count)), eight(0))
            head += joined(
                eight(HostileELF.codePlace), eight(names), eight(names), eight(names), eight(values))
            head += eight(records)
            var table = [UInt8]()
            for index in 0..<UInt32(count) {
                table += joined(four(index % 0x1000), four(UInt32(count * 8 + 16)))
            }
            table += joined(
                four(0x2000), [UInt8](repeating: 0, count: 16), four(0), four(0), four(0), four(1))
            table += joined(four(1), four(1), four(1), four(1), [0, 0, 0, 0])
            let text = [UInt8](repeating: UInt8(ascii: "f"), count: 1 << 22)
            let steps = (0..<100_000).flatMap { _ in [2, 1] as [UInt8] }
            var file = HostileELF()
            file.sections = [
                HostileELF.Section(".gopclntab", contents: joined(head, text, steps, table))
                // As many ranges of code as there may be: each function is looked for in them.
            ]
            for index in 0..<20_000 as Range<UInt64> {
                file.sections.append(HostileELF.Section(".t", flags: 6, address: index % 0x800, size: 1))
            }
            return file.bytes
        }
    ]

    // MARK: - Notes and links

    static let notes = [
        HostileKind("notes") {
            let ends: [UInt32] = [0, 3, 4, 8, 0x7fff_ffff, 0xffff_fffc, 0xffff_fffd, .max]
            let owner = Array("GNU\0".utf8)
            let notes = ends.flatMap { name in
                ends.flatMap { size in joined(four(name), four(size), four(3), owner) }
            }
            var file = HostileELF.named()
            file.segments.append(HostileELF.Segment(4, flags: 4, offset: 0x2000, address: 0x2000, size: .max))
            // Each by itself as well, or the first hides the others.
            file.sections += stride(from: 0, to: notes.count, by: 16).map {
                HostileELF.Section(".note.\($0)", 7, contents: Array(notes[$0..<$0 + 16]))
            }
            return file.bytes
        },
        HostileKind("usdt") {
            let arguments = [
                "-9223372036854775808@x", "9223372036854775807@x 99999999999999999999@%rax", "@ @@ -@ -0@x",
                String(repeating: "8@%rax ", count: 10_000),
            ]
            let notes = arguments.enumerated().flatMap { index, text -> [UInt8] in
                let place = index == 1 ? UInt64.max : HostileELF.codePlace
                let content = joined(
                    eight(place), eight(index == 2 ? .max : 0), eight(index == 3 ? place : 0),
                    Array("hostile\0probe\(index)\0\(text)\0".utf8))
                return joined(
                    four(8), four(UInt32(content.count)), four(3), Array("stapsdt\0".utf8), content,
                    [UInt8](repeating: 0, count: -content.count & 3))
            }
            return file([
                HostileELF.Section(".note.stapsdt", 7, contents: notes),
                HostileELF.Section(".stapsdt.base", address: 1, contents: [0]),
            ])
        },
        link("linktoself"), link("linktopipe", .pipe("pipe.debug")),
        link("linktolarge", .large("large.debug", 5 << 30)),
        // Not to be named by another's: code at 0x200000000000.
        HostileKind("perfmap", isPerfMap: true) {
            var lines: [UInt8] = []
            for index in 0..<20_000 as Range<UInt64> {
                let (start, size) = (0x2000_0000_0000 - index * 8, 0x100_0000 + index * 16)
                lines += Array("\(String(start, radix: 16)) \(String(size, radix: 16)) f\(index)\n".utf8)
            }
            for end in ["0", "1", "7fffffffffffffff", "ffffffffffffffff", "10000000000000000", "-1", ""] {
                for size in ["0", "1", "ffffffffffffffff", "fffffffffffffffff", "x"] {
                    lines += Array("\(end) \(size) name\n\(end) \(size)\n\(end) \(size) \r\n".utf8)
                }
            }
            return lines + Array("200000000000 1000 ".utf8)
                + [UInt8](repeating: UInt8(ascii: "n"), count: 1 << 20)
        },
    ]

    /// .gnu_debuglink: a name, zeros up to a multiple of four, a checksum.
    private static func link(_ name: String, _ companion: Companion? = nil) -> HostileKind {
        HostileKind(name, companion: companion) {
            let text = companion?.name ?? name
            let padding = [UInt8](repeating: 0, count: 4 - text.utf8.count % 4)
            var file = HostileELF()
            file.sections = [
                HostileELF.Section(
                    ".gnu_debuglink", contents: joined(Array(text.utf8), padding, four(1)))
            ]
            return file.bytes
        }
    }

    // MARK: - Names

    static let names = [
        named(
            "cxxname", "_Z1f1AIiiE" + "0123456789ABCDEFGHIJKLMNOPQRSTUV".map { "S_IS\($0)_S\($0)_E" }.joined()
        ),
        named(
            "swiftname",
            "$s1b1QV1fyyAA1PVy" + String(repeating: "AFy", count: 18) + "S2iG"
                + "GHIJKLMNOPQRSTUVWX".map { "A\($0)G" }.joined() + "F"),
        named("rustname", "_RNvC1a" + String(repeating: "INtB", count: 900) + "_E"),
        named("rustlifetimes", "_RIC1aFGzzzzzzzzzz_" + String(repeating: "FG_", count: 1000) + "E"),
        named("longname", String(repeating: "_Z1fI", count: 200_000)),
    ]

    private static func named(_ kind: String, _ name: String) -> HostileKind {
        HostileKind(kind) { HostileELF.named([HostileELF.Symbol(name)]).bytes }
    }
}
