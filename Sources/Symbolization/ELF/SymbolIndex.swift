// SPDX-License-Identifier: Apache-2.0

/// Names by offset: a string table that stays in its file, so that an index costs no memory for names.
struct NameTable {
    let source: ByteSource
    let start: UInt64
    let size: UInt64
    /// What ends a name.
    let terminator: UInt8

    /// Names in `size` bytes from `start` on, each ended by `terminator`.
    init(_ source: ByteSource, at start: UInt64 = 0, size: UInt64, terminator: UInt8 = 0) {
        self.source = source
        self.start = start
        self.size = size
        self.terminator = terminator
    }

    /// The longest name that is read, in bytes; the rest of a longer one is left out.
    static let maximumLength = 1 << 12

    /// The name at an offset; nil if it is empty or outside.
    func name(at offset: UInt32) -> [UInt8]? {
        let room = size.subtractingReportingOverflow(UInt64(offset))
        let position = start.addingReportingOverflow(UInt64(offset))
        guard !room.overflow, !position.overflow else { return nil }
        for length in [128, Self.maximumLength] {
            let wanted = min(length, Int(clamping: room.partialValue))
            let bytes = source.bytes(at: position.partialValue, upTo: wanted)
            let name = bytes.prefix { $0 != terminator }
            if name.count < bytes.count || bytes.count < length || length == Self.maximumLength {
                return name.isEmpty ? nil : Array(name)
            }
        }
        return nil
    }

    /// Bytes of memory that it holds.
    var bytesHeld: Int {
        if case .memory(let bytes) = source { bytes.count } else { 0 }
    }
}

/// Symbols of functions, sorted by address, to be searched.
///
/// Of those at one address the best kind is kept (`SymbolRank`), all of them: which has the best name is found
/// when it is asked for, so that making an index reads no names.
struct SymbolIndex {
    /// 24 bytes. Those of one address follow each other.
    struct Symbol {
        var address: UInt64
        /// How many bytes it extends over.
        var size: UInt32
        /// Where its name is in its table.
        var name: UInt32
        /// In the first of an address: the one around it plus 1, or 0. In the others: the first of the address.
        var link: UInt32
        /// In the first of an address how many there are, in the others 0.
        var aliases: UInt16
        /// Which table the name is in.
        var table: UInt8
        var rank: UInt8
    }

    let symbols: [Symbol]
    let tables: [NameTable]

    /// An index of nothing.
    static var empty: Self { Self(symbols: [], tables: []) }

    /// The number of the symbol that an address is in; the innermost of several.
    func find(_ address: UInt64) -> Int? {
        symbols.withUnsafeBufferPointer { symbols in
            var low = 0
            var high = symbols.count
            while low < high {
                let middle = (low + high) / 2
                if symbols[middle].address <= address { low = middle + 1 } else { high = middle }
            }
            guard low > 0 else { return nil }
            var number = low - 1
            if symbols[number].aliases == 0 { number = Int(symbols[number].link) }
            // No compiler nests functions: the limit is for those who write symbol tables by hand.
            for _ in 0..<64 {
                let symbol = symbols[number]
                if address - symbol.address < UInt64(symbol.size) { return number }
                guard symbol.link > 0 else { return nil }
                number = Int(symbol.link) - 1
            }
            return nil
        }
    }

    /// The best name of a symbol that `find` gave, as its file has it: with the fewest underscores in front,
    /// then the shortest, then the first of the alphabet.
    func name(of number: Int) -> [UInt8]? {
        let count = min(Int(symbols[number].aliases), 64)
        let names = symbols[number..<min(number + count, symbols.count)].compactMap { symbol in
            tables[Int(symbol.table)].name(at: symbol.name)
        }
        guard names.count > 1 else { return names.first }
        func underscores(_ name: [UInt8]) -> Int { name.prefix { $0 == UInt8(ascii: "_") }.count }
        return names.min { one, other in
            let (first, second) = (underscores(one), underscores(other))
            if first != second { return first < second }
            return one.count != other.count ? one.count < other.count : one.lexicographicallyPrecedes(other)
        }
    }

    /// Bytes of memory that it holds.
    var bytesHeld: Int {
        symbols.count * MemoryLayout<Symbol>.stride + tables.reduce(0) { $0 + $1.bytesHeld }
    }
}
