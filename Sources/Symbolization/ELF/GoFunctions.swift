// SPDX-License-Identifier: Apache-2.0

/// The functions of a program that Go has compiled, by the table that its own stack traces use: it stays where symbols
/// and DWARF are stripped.
///
/// Format: runtime/symtab.go and debug/gosym/pclntab.go of Go 1.2, 1.16, 1.18 and 1.20, which each changed it.
package struct GoFunctions {
    package struct Function {
        package let start: UInt64
        package let end: UInt64
        /// Where its record is in the table.
        let record: Int
    }

    private enum Version: UInt32 {
        case go12 = 0xffff_fffb
        case go116 = 0xffff_fffa
        case go118 = 0xffff_fff0
        case go120 = 0xffff_fff1
    }

    /// A range of bytes from the beginning of the table on, which ends with it.
    private struct Layout {
        var functions = 0
        var textStart: UInt64 = 0
        var names = 0
        var units = 0
        var files = 0
        var values = 0
        var records = 0
    }

    private let bytes: [UInt8]
    private let version: Version
    private let quantum: UInt64
    private let layout: Layout
    private let code: DWARFCode
    private let place: UInt64

    /// More than any program has: a hundred bytes for each function.
    private static let maximumBytes = 1 << 28
    private static let maximumFunctions = 1 << 21
    /// Of the steps of one function's table.
    private static let maximumSteps = 1 << 16

    /// nil if there is no table that can be read.
    package init?(_ elf: ELFFile) {
        guard elf.is64,
            let section = [".gopclntab", ".data.rel.ro.gopclntab", ".go.pclntab"].lazy
                .compactMap({ elf.section(named: $0) }).first,
            let bytes = elf.contents(of: section, limit: Self.maximumBytes),
            let magic = bytes.number(UInt32.self, at: 0), let version = Version(rawValue: magic),
            bytes.count > 8, bytes[4] == 0, bytes[5] == 0, bytes[7] == 8,
            [1, 2, 4].contains(bytes[6])
        else { return nil }
        self.bytes = bytes
        self.version = version
        quantum = UInt64(bytes[6])
        code = DWARFCode(elf)
        place = section.offset
        // Where the table is to be relocated, it may be the symbol's address that the linker has not written.
        let text = elf.section(named: ".text")?.address ?? 0
        guard let layout = Self.layout(bytes, version, text) else { return nil }
        self.layout = layout
    }

    private static func layout(_ bytes: [UInt8], _ version: Version, _ text: UInt64) -> Layout? {
        func word(_ index: Int) -> UInt64? { bytes.number(UInt64.self, at: 8 + index * 8) }
        func offset(_ index: Int) -> Int? {
            word(index).flatMap { $0 < UInt64(bytes.count) ? Int($0) : nil }
        }
        guard let count = word(0), count > 0, count <= UInt64(maximumFunctions) else { return nil }
        var layout = Layout(functions: Int(count))
        switch version {
        case .go12:
            layout.records = 0
            let end = 16 + Int(count) * 16 + 8
            guard let files = bytes.number(UInt32.self, at: end), Int(files) < bytes.count else { return nil }
            layout.files = Int(files)
        case .go116:
            guard let names = offset(2), let units = offset(3), let files = offset(4),
                let values = offset(5), let records = offset(6)
            else { return nil }
            layout.names = names
            layout.units = units
            layout.files = files
            layout.values = values
            layout.records = records
        case .go118, .go120:
            guard let start = word(2), let names = offset(3), let units = offset(4), let files = offset(5),
                let values = offset(6), let records = offset(7)
            else { return nil }
            layout.textStart = start == 0 ? text : start
            layout.names = names
            layout.units = units
            layout.files = files
            layout.values = values
            layout.records = records
        }
        return layout
    }

    /// The size of the table.
    package var byteCount: Int { bytes.count }

    /// How many there are said to be.
    package var count: Int { layout.functions }

    /// The function of a number, below `count`; nil if there is none in code.
    package func function(_ number: Int) -> Function? {
        guard number >= 0, number < layout.functions else { return nil }
        let start: UInt64
        let end: UInt64
        let record: Int
        switch version {
        case .go12, .go116:
            let base = (version == .go12 ? 16 : layout.records) + number * 16
            guard let first = bytes.number(UInt64.self, at: base),
                let offset = bytes.number(UInt64.self, at: base + 8),
                let next = bytes.number(UInt64.self, at: base + 16), offset < UInt64(bytes.count)
            else { return nil }
            (start, end, record) = (first, next, layout.records + Int(offset))
        case .go118, .go120:
            let base = layout.records + number * 8
            guard let first = bytes.number(UInt32.self, at: base),
                let offset = bytes.number(UInt32.self, at: base + 4),
                let next = bytes.number(UInt32.self, at: base + 8), Int(offset) < bytes.count
            else { return nil }
            start = layout.textStart &+ UInt64(first)
            end = layout.textStart &+ UInt64(next)
            record = layout.records + Int(offset)
        }
        guard start < end, code.contains(start) else { return nil }
        return Function(start: start, end: end, record: record)
    }

    /// Fields of 32 bits of a function's record, from the name's on.
    private func field(_ number: Int, of function: Function) -> Int? {
        let entry = version == .go118 || version == .go120 ? 4 : 8
        return bytes.number(Int32.self, at: function.record + entry + number * 4).map { Int($0) }
    }

    // MARK: Names

    /// Where names are in the file.
    func names(in source: ByteSource) -> NameTable {
        NameTable(
            source, at: place &+ UInt64(layout.names), size: UInt64(max(0, bytes.count - layout.names)))
    }

    /// The offset of a function's name there.
    func name(of function: Function) -> UInt32? {
        field(0, of: function).flatMap { UInt32(exactly: $0) }
    }

    // MARK: The stack

    /// Whether nobody calls it: with it a stack ends.
    package func isRoot(_ function: Function) -> Bool {
        let flag: Int
        switch version {
        case .go12: return false
        case .go116: flag = 41
        case .go118: flag = 37
        case .go120: flag = 41
        }
        let place = function.record + flag
        return bytes.indices.contains(place) && bytes[place] & 1 != 0
    }

    /// Calls `body` with ranges of a function's code, ascending, and how many bytes are on the stack there above the
    /// return address.
    package func forEachDepth(of function: Function, _ body: (Range<UInt64>, Int64) -> Void) {
        guard let offset = field(3, of: function), offset > 0 else { return }
        steps(offset, function, body)
    }

    // MARK: Lines

    /// The number of a function that holds an address; nil if none does.
    private func number(at address: UInt64) -> Int? {
        var low = 0
        var high = layout.functions
        while low < high {
            let middle = (low + high) / 2
            guard let function = function(middle) else { return nil }
            if function.start <= address { low = middle + 1 } else { high = middle }
        }
        return low > 0 ? low - 1 : nil
    }

    /// The file and line of an address; nil if they are not known.
    package func line(at address: UInt64) -> (function: [UInt8], file: [UInt8], line: Int)? {
        guard let number = number(at: address), let function = function(number), address < function.end,
            let files = field(4, of: function), let lines = field(5, of: function),
            let file = value(files, at: address, function), let line = value(lines, at: address, function),
            let name = name(of: function), let path = path(Int(file), function), line > 0
        else { return nil }
        let text = bytes.string(at: layout.names + Int(name), limit: NameTable.maximumLength)
        return (Array(text), path, Int(line))
    }

    private func path(_ number: Int, _ function: Function) -> [UInt8]? {
        guard number >= 0 else { return nil }
        let offset: Int
        if version == .go12 {
            guard let found = bytes.number(UInt32.self, at: layout.files + number * 4) else { return nil }
            offset = Int(found)
        } else {
            guard let unit = field(7, of: function), unit >= 0,
                let found = bytes.number(UInt32.self, at: layout.units + (unit + number) * 4),
                found != .max
            else { return nil }
            offset = layout.files + Int(found)
        }
        let path = bytes.string(at: offset, limit: NameTable.maximumLength)
        return path.isEmpty ? nil : Array(path)
    }

    private func value(_ offset: Int, at address: UInt64, _ function: Function) -> Int64? {
        var found: Int64?
        steps(offset, function) { range, value in if range.contains(address) { found = value } }
        return found
    }

    /// A table of values: pairs of a signed difference to the value before, and of how much code has it.
    private func steps(_ offset: Int, _ function: Function, _ body: (Range<UInt64>, Int64) -> Void) {
        var place = layout.values + offset
        var value: Int64 = -1
        var pc = function.start
        for step in 0..<Self.maximumSteps {
            guard let difference = number(&place), difference != 0 || step == 0,
                let length = number(&place)
            else { return }
            value &+= Int64(difference >> 1) ^ -Int64(difference & 1)
            let (next, overflow) = pc.addingReportingOverflow(UInt64(length) &* quantum)
            guard !overflow, next > pc else { return }
            body(pc..<min(next, function.end), value)
            pc = next
            if pc >= function.end { return }
        }
    }

    /// A number of up to 32 bits, 7 in a byte, the lowest first.
    private func number(_ place: inout Int) -> UInt32? {
        var result: UInt32 = 0
        for shift in stride(from: UInt32(0), to: 35, by: 7) {
            guard bytes.indices.contains(place) else { return nil }
            let byte = bytes[place]
            place += 1
            result |= UInt32(byte & 0x7f) << shift
            if byte < 0x80 { return result }
        }
        return nil
    }
}

extension SymbolIndexBuilder {
    /// Adds the functions of a program that Go has compiled and that has no symbols.
    mutating func addGoFunctions(_ elf: ELFFile) {
        guard let functions = GoFunctions(elf), let table = add(functions.names(in: elf.source)) else {
            return
        }
        reserve(functions.count)
        for number in 0..<functions.count where !isFull {
            guard let function = functions.function(number), let name = functions.name(of: function) else {
                continue
            }
            add(
                address: function.start, size: function.end - function.start, name: name, table: table,
                rank: SymbolRank.local)
        }
    }
}
