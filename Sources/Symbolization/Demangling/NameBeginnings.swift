// SPDX-License-Identifier: Apache-2.0

/// Reads the beginnings of names, those of neighbours together.
///
/// Where a name is, a hostile file may say as it likes: what it costs does not depend on that.
struct NameBeginnings {
    private let tables: [NameTable]
    /// By table: how many of its bytes are there.
    private var sizes: [Int]
    private var window: [UInt8] = []
    private var windowTable = -1
    /// Where in its table it begins.
    private var windowStart = 0
    /// How often something was read.
    private(set) var reads = 0

    private static let windowSize = 1 << 16
    private static let longest = 4

    init(_ tables: [NameTable]) {
        self.tables = tables
        sizes = tables.map { table in
            let (room, isOutside) = table.source.size.subtractingReportingOverflow(table.start)
            return isOutside ? 0 : Int(clamping: min(room, table.size))
        }
    }

    /// The first four bytes of a symbol's name; fewer if it is shorter, none if it is not there.
    mutating func beginning(of symbol: SymbolIndex.Symbol) -> ArraySlice<UInt8> {
        let table = Int(symbol.table)
        let place = Int(symbol.name)
        guard place < sizes[table] else { return [] }
        let windowEnd = windowStart + window.count
        if table != windowTable || place < windowStart || place >= windowEnd
            || place + Self.longest > windowEnd && windowEnd < sizes[table]
        {
            read(table, at: place)
        }
        return window.dropFirst(place - windowStart).prefix(Self.longest)
            .prefix { $0 != tables[table].terminator }
    }

    private mutating func read(_ table: Int, at place: Int) {
        reads += 1
        let wanted = min(sizes[table] - place, Self.windowSize)
        window = tables[table].source.bytes(at: tables[table].start &+ UInt64(place), upTo: wanted)
        windowTable = table
        windowStart = place
        // A file that became shorter.
        if window.count < wanted { sizes[table] = place + window.count }
    }
}
