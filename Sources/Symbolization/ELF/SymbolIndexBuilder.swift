// SPDX-License-Identifier: Apache-2.0

/// Which of the symbols at one address to prefer: the least.
enum SymbolRank {
    static let global: UInt8 = 0
    static let weak: UInt8 = 1
    static let local: UInt8 = 2
    /// Added for a symbol without a type, such as a label in assembly.
    static let untyped: UInt8 = 4
    /// Added for one of unknown size, which extends to the next.
    static let unsized: UInt8 = 8
    /// No function: only the end of an unsized one before it.
    static let boundary: UInt8 = 16
    /// Of what turned out to name no function.
    fileprivate static let unwanted: UInt8 = .max
    static let count = 17
}

/// Collects symbols and makes an index of them.
struct SymbolIndexBuilder {
    private var symbols: [SymbolIndex.Symbol] = []
    private var tables: [NameTable] = []
    private let limit: Int
    /// Where code can be, ascending. An unsized symbol ends there at the latest.
    private let code: [Range<UInt64>]
    /// The most that an unsized symbol extends over.
    private let maximumExtent: UInt64

    /// What reading may cost.
    let budget: ReadingBudget

    /// - Parameter limit: How many symbols to take at most; further ones are left out.
    init(
        limit: Int, code: [Range<UInt64>], maximumExtent: UInt64 = .max,
        budget: ReadingBudget = ReadingBudget()
    ) {
        self.budget = budget
        self.limit = limit
        self.code = code
        self.maximumExtent = maximumExtent
    }

    /// Adds a table, for symbols to name; nil if there are too many.
    mutating func add(_ table: NameTable) -> UInt8? {
        guard tables.count < Int(UInt8.max) else { return nil }
        tables.append(table)
        return UInt8(tables.count - 1)
    }

    /// Adds a symbol. `rank` is without `SymbolRank.unsized`.
    mutating func add(address: UInt64, size: UInt64, name: UInt32, table: UInt8, rank: UInt8) {
        guard symbols.count < limit else { return }
        let rank = size == 0 && rank < SymbolRank.boundary ? rank | SymbolRank.unsized : rank
        symbols.append(
            SymbolIndex.Symbol(
                address: address, size: UInt32(clamping: size), name: name, link: 0, aliases: 0, table: table,
                rank: rank))
    }

    /// Whether no more symbols are taken.
    var isFull: Bool { symbols.count >= limit }

    /// Makes room for `count` more.
    mutating func reserve(_ count: Int) {
        symbols.reserveCapacity(min(symbols.count + count, limit))
    }

    /// The index of all that was added.
    ///
    /// `isWanted` is given the first four bytes of the names of untyped symbols of unknown size.
    consuming func finish(isWanted: (ArraySlice<UInt8>) -> Bool = { _ in true }) -> SymbolIndex {
        sortSymbols()
        keepBest()
        dropUntyped(isWanted)
        limitUnsized()
        linkSymbols()
        return SymbolIndex(symbols: symbols, tables: tables)
    }

    /// By address, then rank: a radix sort, whose time does not depend on the order of the symbols.
    private mutating func sortSymbols() {
        let addresses = symbols.lazy.map(\.address)
        guard let least = addresses.min(), let most = addresses.max() else { return }
        var other = symbols
        Self.sort(from: symbols, to: &other, buckets: SymbolRank.count) { Int($0.rank) }
        var inOther = true
        var shift: UInt64 = 0
        while shift < 64, (most - least) >> shift > 0 {
            let digit = { (symbol: SymbolIndex.Symbol) in Int((symbol.address - least) >> shift & 0x7ff) }
            if inOther {
                Self.sort(from: other, to: &symbols, buckets: 0x800, by: digit)
            } else {
                Self.sort(from: symbols, to: &other, buckets: 0x800, by: digit)
            }
            inOther.toggle()
            shift += 11
        }
        if inOther { symbols = other }
    }

    private static func sort(
        from source: [SymbolIndex.Symbol], to target: inout [SymbolIndex.Symbol], buckets: Int,
        by digit: (SymbolIndex.Symbol) -> Int
    ) {
        var places = [Int](repeating: 0, count: buckets)
        for symbol in source { places[digit(symbol)] += 1 }
        var next = 0
        for bucket in 0..<buckets { (places[bucket], next) = (next, next + places[bucket]) }
        target.withUnsafeMutableBufferPointer { target in
            for symbol in source {
                let bucket = digit(symbol)
                target[places[bucket]] = symbol
                places[bucket] += 1
            }
        }
    }

    /// Keeps those of the best rank at each address, and no unsized ones inside a sized one.
    private mutating func keepBest() {
        var kept = 0
        var sizedEnd: UInt64 = 0
        var index = 0
        while index < symbols.count {
            let first = symbols[index]
            let inside = first.rank >= SymbolRank.unsized && first.address < sizedEnd
            while index < symbols.count, symbols[index].address == first.address {
                let symbol = symbols[index]
                index += 1
                guard symbol.rank == first.rank, !inside else { continue }
                symbols[kept] = symbol
                kept += 1
                let end = symbol.address.addingReportingOverflow(UInt64(symbol.size))
                sizedEnd = max(sizedEnd, end.overflow ? .max : end.partialValue)
            }
        }
        symbols.removeSubrange(kept...)
    }

    /// Removes labels that name no function.
    private mutating func dropUntyped(_ isWanted: (ArraySlice<UInt8>) -> Bool) {
        let rank = SymbolRank.untyped | SymbolRank.unsized
        // In the order of the file, so that neighbours are read together.
        let candidates = symbols.indices.filter { symbols[$0].rank & rank == rank }
            .sorted { (symbols[$0].table, symbols[$0].name) < (symbols[$1].table, symbols[$1].name) }
        var names = NameBeginnings(tables)
        var hasUnwanted = false
        for index in candidates where !isWanted(names.beginning(of: symbols[index])) {
            symbols[index].rank = SymbolRank.unwanted
            hasUnwanted = true
        }
        if hasUnwanted { symbols.removeAll { $0.rank == SymbolRank.unwanted } }
    }
}

extension SymbolIndexBuilder {
    /// Has each unsized symbol end where the next begins, or the code.
    private mutating func limitUnsized() {
        var next = UInt64.max
        var range = code.count - 1
        for index in symbols.indices.reversed() {
            let address = symbols[index].address
            if index + 1 < symbols.count, symbols[index + 1].address > address {
                next = symbols[index + 1].address
            }
            guard symbols[index].rank >= SymbolRank.unsized else { continue }
            while range > 0, code[range].lowerBound > address { range -= 1 }
            let codeEnd = code.isEmpty || !code[range].contains(address) ? next : code[range].upperBound
            symbols[index].size = UInt32(clamping: min(next, codeEnd) - address)
            symbols[index].size = UInt32(clamping: min(UInt64(symbols[index].size), maximumExtent))
        }
        symbols.removeAll { $0.rank >= SymbolRank.boundary }
    }

    /// Counts the symbols of each address, and finds the one around it.
    private mutating func linkSymbols() {
        var around: [(end: UInt64, number: UInt32)] = []
        var index = 0
        while index < symbols.count {
            let address = symbols[index].address
            while let last = around.last, last.end <= address { around.removeLast() }
            var size = symbols[index].size
            var end = index + 1
            while end < symbols.count, symbols[end].address == address {
                size = max(size, symbols[end].size)
                symbols[end].link = UInt32(index)
                end += 1
            }
            symbols[index].aliases = UInt16(clamping: end - index)
            symbols[index].size = size
            symbols[index].link = around.last?.number ?? 0
            let last = address.addingReportingOverflow(UInt64(size))
            around.append((last.overflow ? .max : last.partialValue, UInt32(index + 1)))
            index = end
        }
    }
}
