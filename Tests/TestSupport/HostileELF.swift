// SPDX-License-Identifier: Apache-2.0

/// An ELF file of x86-64 of which every field can be anything: header, section headers, program headers and contents.
///
/// As it is made it is a sound one, with code at 0x1000 that calls what it is given: the page that
/// Tests/Programs/hostile.c maps and runs, whatever the rest of the file says.
package struct HostileELF {
    package struct Section {
        package var name: String
        package var type: UInt32
        package var flags: UInt64 = 0
        package var address: UInt64 = 0
        package var contents: [UInt8] = []
        package var link: UInt32 = 0
        package var info: UInt32 = 0
        /// What the header says, if not where and how large it is.
        package var offset: UInt64?
        package var size: UInt64?
        package var namePlace: UInt32?

        package init(
            _ name: String, _ type: UInt32 = 1, flags: UInt64 = 0, address: UInt64 = 0,
            contents: [UInt8] = [], link: UInt32 = 0, offset: UInt64? = nil, size: UInt64? = nil
        ) {
            self.name = name
            self.type = type
            self.flags = flags
            self.address = address
            self.contents = contents
            self.link = link
            self.offset = offset
            self.size = size
        }
    }

    package struct Segment {
        package var type: UInt32
        package var flags: UInt32
        package var offset: UInt64
        package var address: UInt64
        package var size: UInt64

        package init(_ type: UInt32, flags: UInt32, offset: UInt64, address: UInt64, size: UInt64) {
            self.type = type
            self.flags = flags
            self.offset = offset
            self.address = address
            self.size = size
        }
    }

    /// What the header says of the tables of headers, if not where and how many they are.
    package struct Counts {
        package var sections: UInt16?
        package var sectionSize: UInt16?
        package var nameSection: UInt16?
        package var segments: UInt16?
        package var segmentSize: UInt16?
        package var sectionPlace: UInt64?
        package var segmentPlace: UInt64?
    }

    /// Where the code is, in the file and in memory.
    package static let codePlace: UInt64 = 0x1000
    package static let codeSize: UInt64 = 0x1000
    /// push %rbp; mov %rsp,%rbp; call *%rdi; pop %rbp; ret
    package static let trampoline: [UInt8] = [0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3]

    /// At most `codeSize`; the rest are no operations.
    package var code = trampoline
    /// Behind the first one, which says nothing, and .text.
    package var sections: [Section] = []
    package var segments = [
        Segment(1, flags: 5, offset: codePlace, address: codePlace, size: codeSize)
    ]
    package var counts = Counts()
    /// The first section header, where counts are that are too large for the header.
    package var first = Section("", 0)
    /// More names of sections.
    package var moreNames: [UInt8] = []

    package init() {}

    /// With a symbol table, and the code's name in it.
    package static func named(_ symbols: [Symbol] = [Symbol("trampoline")]) -> HostileELF {
        var file = HostileELF()
        file.add(symbols)
        return file
    }

    /// The number that a section added next gets.
    package var nextNumber: UInt32 { UInt32(sections.count + 2) }

    package var bytes: [UInt8] {
        var body = code
        body += [UInt8](repeating: 0x90, count: Int(Self.codeSize) - body.count)
        var names: [UInt8] = [0]
        var headers = Self.header(first, name: 0, place: 0)
        let text = Section(
            ".text", flags: 6, address: Self.codePlace, offset: Self.codePlace, size: Self.codeSize)
        let all = [text] + sections + [Section(".shstrtab", 3)]
        for (index, section) in all.enumerated() {
            let name = names.count
            names += Array(section.name.utf8) + [0]
            let contents = index == all.count - 1 ? names + moreNames : section.contents
            let place = Int(Self.codePlace) + body.count
            body += contents + [UInt8](repeating: 0, count: -contents.count & 15)
            var written = section
            written.size = section.size ?? UInt64(contents.count)
            headers += Self.header(written, name: section.namePlace ?? UInt32(name), place: UInt64(place))
        }
        let sectionPlace = Int(Self.codePlace) + body.count
        var head = self.head(sectionPlace: UInt64(sectionPlace), sectionCount: all.count + 1)
        for segment in segments { head += Self.header(segment) }
        head += [UInt8](repeating: 0, count: max(0, Int(Self.codePlace) - head.count))
        return head.prefix(Int(Self.codePlace)) + body + headers
    }

    private func head(sectionPlace: UInt64, sectionCount: Int) -> [UInt8] {
        var head: [UInt8] = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1] + [UInt8](repeating: 0, count: 9)
        head += two(3) + two(62) + four(1)
        head += eight(0) + littleEndian(counts.segmentPlace ?? 64)
        head += littleEndian(counts.sectionPlace ?? sectionPlace) + four(0)
        head += two(64) + littleEndian(counts.segmentSize ?? 56)
        head += littleEndian(counts.segments ?? UInt16(segments.count))
        head += littleEndian(counts.sectionSize ?? 64)
        head += littleEndian(counts.sections ?? UInt16(clamping: sectionCount))
        return head + littleEndian(counts.nameSection ?? UInt16(clamping: sectionCount - 1))
    }

    private static func header(_ section: Section, name: UInt32, place: UInt64) -> [UInt8] {
        joined(
            four(name), four(section.type), eight(section.flags), eight(section.address),
            eight(section.offset ?? place), eight(section.size ?? 0), four(section.link), four(section.info),
            eight(1), eight(0))
    }

    private static func header(_ segment: Segment) -> [UInt8] {
        joined(
            four(segment.type), four(segment.flags), eight(segment.offset), eight(segment.address),
            eight(segment.address), eight(segment.size), eight(segment.size), eight(0x1000))
    }
}

// MARK: - Symbols

extension HostileELF {
    /// An entry of a symbol table (Elf64_Sym).
    package struct Symbol {
        package var name: String
        package var value: UInt64
        package var size: UInt64
        /// STT_FUNC is 2; STB_LOCAL 0, STB_GLOBAL 1.
        package var type: UInt8
        package var binding: UInt8
        package var section: UInt16
        /// Where its name is said to be, if not where it is.
        package var namePlace: UInt32?

        package init(
            _ name: String, _ value: UInt64 = codePlace, size: UInt64 = 8, type: UInt8 = 2,
            binding: UInt8 = 1,
            section: UInt16 = 1, namePlace: UInt32? = nil
        ) {
            self.name = name
            self.value = value
            self.size = size
            self.type = type
            self.binding = binding
            self.section = section
            self.namePlace = namePlace
        }
    }

    /// Adds .symtab, or .dynsym with the type 11, and its names.
    package mutating func add(_ symbols: [Symbol], type: UInt32 = 2) {
        var names: [UInt8] = [0]
        var table = [UInt8](repeating: 0, count: 24)
        for symbol in symbols {
            var place = symbol.namePlace
            if place == nil {
                place = UInt32(names.count)
                names += Array(symbol.name.utf8) + [0]
            }
            table += Self.entry(symbol, name: place ?? 0)
        }
        let isDynamic = type == 11
        sections.append(Section(isDynamic ? ".dynstr" : ".strtab", 3, contents: names))
        sections.append(
            Section(isDynamic ? ".dynsym" : ".symtab", type, contents: table, link: nextNumber - 1))
    }

    package static func entry(_ symbol: Symbol, name: UInt32) -> [UInt8] {
        joined(
            four(name), [symbol.binding << 4 | symbol.type, 0], two(symbol.section), eight(symbol.value),
            eight(symbol.size))
    }
}

/// Numbers as they are in files, of two, four and eight bytes.
func two(_ value: UInt16) -> [UInt8] { littleEndian(value) }
func four(_ value: UInt32) -> [UInt8] { littleEndian(value) }
func eight(_ value: UInt64) -> [UInt8] { littleEndian(value) }

func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
}

/// One after the other.
func joined(_ parts: [UInt8]...) -> [UInt8] { parts.flatMap { $0 } }
