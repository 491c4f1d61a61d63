// SPDX-License-Identifier: Apache-2.0
internal import Reading
internal import Symbolization
internal import Unwinding

/// Unwinding tables that are made while the programs are loaded which will use them.
final class EarlyTables {
    private let reader: ReaderProcess
    private var tables: [ObjectIdentifier: (module: Module, table: UnwindTable?)] = [:]
    private var rows = 0
    /// Nanoseconds that it took to make them.
    private(set) var nanoseconds: UInt64 = 0
    /// Four bytes each. The rest is made when it is needed.
    private static let mostRows = 4 << 20
    private static let atOnce = 16

    init(_ reader: ReaderProcess) { self.reader = reader }

    /// Makes the tables of files, each once.
    func make(_ modules: [Module]) {
        let began = monotonicNanoseconds()
        defer { nanoseconds += monotonicNanoseconds() - began }
        var seen: Set<ObjectIdentifier> = []
        var rest = modules.filter { seen.insert(ObjectIdentifier($0)).inserted }[...]
        while !rest.isEmpty, rows < Self.mostRows {
            reader.unwindTables(of: Array(rest.prefix(Self.atOnce))) { module, table in
                tables[ObjectIdentifier(module)] = (module, table)
                rows += table?.rows.count ?? 0
            }
            rest = rest.dropFirst(Self.atOnce)
        }
    }

    /// Hands over the tables of files: those that are there, and then the others as they are made.
    func take(_ modules: [Module], _ use: (Module, UnwindTable?) -> Void) {
        var others: [Module] = []
        for module in modules {
            if let made = tables.removeValue(forKey: ObjectIdentifier(module)) {
                use(module, made.table)
            } else {
                others.append(module)
            }
        }
        reader.unwindTables(of: others, use)
    }

    /// Forgets what nobody has taken.
    func forget() { tables = [:] }
}
