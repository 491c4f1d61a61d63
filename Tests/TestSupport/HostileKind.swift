// SPDX-License-Identifier: Apache-2.0

/// A file that somebody made so that reading it goes wrong, or takes for ever.
package struct HostileKind: CustomStringConvertible, Sendable {
    /// Fits a process's name, which has 15 bytes.
    package let name: String
    /// 0, or how long the file is made at the end, without any bytes.
    package var length: UInt64 = 0
    /// What lies beside it.
    package var companion: Companion?
    /// The file is a perf map, and no ELF file.
    package var isPerfMap = false
    private let make: @Sendable () -> [UInt8]

    package enum Companion: Sendable {
        case pipe(String)
        /// A file of this name that begins as an ELF file does, and is as long.
        case large(String, UInt64)

        var name: String {
            switch self {
            case .pipe(let name), .large(let name, _): name
            }
        }
    }

    package init(
        _ name: String, length: UInt64 = 0, companion: Companion? = nil, isPerfMap: Bool = false,
        _ make: @escaping @Sendable () -> [UInt8]
    ) {
        self.name = name
        self.length = length
        self.companion = companion
        self.isPerfMap = isPerfMap
        self.make = make
    }

    package var bytes: [UInt8] { make() }
    package var description: String { name }

    /// All kinds.
    package static var all: [HostileKind] { symbols + headers + frames + debugging + go + notes + names }

    private static func file(_ sections: [HostileELF.Section], symbols: [HostileELF.Symbol] = []) -> [UInt8] {
        var file = HostileELF.named(symbols.isEmpty ? [HostileELF.Symbol("trampoline")] : symbols)
        file.sections += sections
        return file.bytes
    }

    // MARK: - Symbols

    private static let symbols = [
        // Two labels whose names are as far apart as numbers go.
        HostileKind("labels") {
            file(
                [],
                symbols: [0, UInt32.max].enumerated().map { index, place in
                    HostileELF.Symbol(
                        "", HostileELF.codePlace + UInt64(4 * index), size: 0, type: 0, binding: 0,
                        namePlace: place)
                })
        },
        // Nobody's names, each somewhere else.
        HostileKind("farnames") {
            file(
                [],
                symbols: (0..<30_000).map { index in
                    HostileELF.Symbol(
                        "", HostileELF.codePlace + index % HostileELF.codeSize, size: 0, type: 0, binding: 0,
                        namePlace: UInt32(truncatingIfNeeded: index &* 0x9e37_79b1))
                })
        },
        // Each is to be compared with each.
        HostileKind("mallocs") {
            file(
                [],
                symbols: [HostileELF.Symbol("malloc"), HostileELF.Symbol("free")]
                    + (0..<30_000).map { HostileELF.Symbol("", HostileELF.codePlace + $0, namePlace: 1) })
        },
        HostileKind("sizes") {
            let ends: [UInt64] = [0, 1, 0x1000, 0x1fff, 1 << 32, 1 << 63, .max - 1, .max]
            let symbols = ends.flatMap { value in
                ends.map { HostileELF.Symbol("s", value, size: $0, type: $0 & 1 == 0 ? 2 : 0) }
            }
            return file([], symbols: symbols)
        },
        // 2^40 entries.
        HostileKind("endless", length: 1 << 26) {
            var file = HostileELF.named()
            file.sections[1].offset = 0
            file.sections[1].size = 24 << 40
            return file.bytes
        },
        // One function that chooses all.
        HostileKind("chooser") {
            let count = 20_000
            let plt = (0..<count).flatMap { index in
                joined([0xff, 0x25], four(UInt32(0x10_0000 - 6 - 8 * index)), [0x66, 0x90])
            }
            let slots = (0..<count).flatMap { _ in
                joined(eight(0x20_0000), eight(37), eight(HostileELF.codePlace))
            }
            var file = HostileELF()
            file.add([HostileELF.Symbol](repeating: HostileELF.Symbol("f"), count: count), type: 11)
            file.sections.append(HostileELF.Section(".plt", flags: 6, address: 0x10_0000, contents: plt))
            file.sections.append(HostileELF.Section(".rela.plt", 4, contents: slots))
            return file.bytes
        },
    ]

    // MARK: - Headers

    private static let headers = [
        HostileKind("counts") {
            var file = HostileELF.named()
            file.first.size = .max
            file.first.link = .max
            file.first.info = .max
            file.counts.sections = 0
            file.counts.nameSection = 0xffff
            return file.bytes
        },
        // 2^17 headers of 64 KB each.
        HostileKind("wideheaders", length: 9 << 30) {
            var file = HostileELF.named()
            file.first.size = 1 << 17
            file.counts.sections = 0
            file.counts.sectionSize = 0xffff
            return file.bytes
        },
        // The name of each section is some of four megabytes without an end.
        HostileKind("sectionnames") {
            var file = HostileELF()
            for index in 0..<50_000 as Range<UInt32> {
                var section = HostileELF.Section("")
                section.namePlace = index + 60_000
                file.sections.append(section)
            }
            file.moreNames = [UInt8](repeating: UInt8(ascii: "a"), count: (1 << 22) - 60_000)
            return file.bytes
        },
        HostileKind("sections") {
            let ends: [UInt64] = [0, 1, 1 << 32, 1 << 63, .max - 1, .max]
            let names = [
                ".symtab", ".dynsym", ".eh_frame", ".debug_info", ".gnu_debugdata", ".plt", ".text", ".got",
                ".note.stapsdt", ".zdebug_line", ".gnu_debuglink", ".eh_frame_hdr",
            ]
            return file(
                names.enumerated().flatMap { index, name in
                    ends.map { end in
                        HostileELF.Section(
                            name, [1, 2, 11, 3, 4, 7][index % 6], flags: index % 2 == 0 ? .max : 6,
                            address: end,
                            link: UInt32(truncatingIfNeeded: end), offset: end, size: 0 &- end)
                    }
                })
        },
        // Segments over each other, and over the end of all addresses.
        HostileKind("segments") {
            var file = HostileELF.named()
            let (place, size) = (HostileELF.codePlace, HostileELF.codeSize)
            // mov $15, %rax; syscall: what returns from a signal handler.
            file.code += [UInt8](repeating: 0x90, count: 0x900)
            file.code += [0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05]
            let load: [(offset: UInt64, address: UInt64, size: UInt64)] = [
                (place, 0 &- size, 1 << 40), (place, 0 &- size / 2, 0x400), (place, 0 &- size, size),
                (place, place, size), (0, 0, .max), (place, .max, 1), (.max, .max, .max),
                (place, place, size),
            ]
            file.segments = load.map {
                HostileELF.Segment(1, flags: 5, offset: $0.offset, address: $0.address, size: $0.size)
            }
            for type in [2, 4, 0x6474_e550] as [UInt32] {
                file.segments += [(0, UInt64.max), (UInt64.max, 1), (place, size)].map {
                    HostileELF.Segment(type, flags: 4, offset: $0.0, address: $0.0, size: $0.1)
                }
            }
            file.sections.append(HostileELF.Section(".text", flags: 6, address: .max - 0x800, size: 0x700))
            return file.bytes
        },
        // One of 32 bits, with the fields of 64.
        HostileKind("short") {
            var bytes = HostileELF.named().bytes
            bytes[4] = 1
            return bytes
        },
    ]
}
