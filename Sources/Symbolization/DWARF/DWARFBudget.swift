// SPDX-License-Identifier: Apache-2.0

/// How much work a module may cause: hostile files can make much of little.
///
/// The unit is about a nanosecond of the machines of 2024.
final class DWARFBudget {
    /// What things cost.
    enum Cost {
        /// A byte of entries, of line programs, of what is decompressed.
        static let byte = 4
        /// Fetching some bytes from a file.
        static let read = 3000
        /// An entry of a list.
        static let item = 25
        /// A piece of code of a function, which will be sorted.
        static let interval = 250
        /// A unit's header and first entry.
        static let unit = 500
        /// Opening another file.
        static let file = 50_000
    }

    /// Left for the current lookup.
    private var lookup = 0
    /// Left for all lookups: what is given up to save memory can be read again, but not for ever.
    private var total: Int
    private static let perLookup = 4_000_000_000
    /// That of all modules together; nil if this is it.
    private let all: DWARFBudget?

    init(total: Int = 30_000_000_000, of all: DWARFBudget? = nil) {
        self.total = total
        self.all = all
    }

    /// For all modules: a process can map any number of files that cost as much as one may.
    static func ofAllModules() -> DWARFBudget { DWARFBudget(total: 120_000_000_000) }

    /// Whether the module has used up what it may, or all modules have.
    var isExhausted: Bool { total <= 0 || all?.isExhausted ?? false }

    func beginLookup() { lookup = Self.perLookup }

    /// Whether work of that cost may be done.
    func spend(_ cost: Int) -> Bool {
        guard lookup >= cost, !isExhausted else { return false }
        lookup -= cost
        total -= cost
        all?.total -= cost
        return true
    }
}
