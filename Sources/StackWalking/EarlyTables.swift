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

    init(_ reader: ReaderProcess) { self.reader = reader }

    /// Makes the tables of files, each once, as long as they are wanted.
    func make(_ modules: [Module], while isWanted: @escaping () -> Bool) {
        let began = monotonicNanoseconds()
        defer { nanoseconds += monotonicNanoseconds() - began }
        var seen: Set<ObjectIdentifier> = []
        let files = modules.filter { seen.insert(ObjectIdentifier($0)).inserted }
        let make = StackUnwinder.inPortions(reader.unwindTables) { [self] in
            rows < Self.mostRows && isWanted()
        }
        make(files) { module, table in
            tables[ObjectIdentifier(module)] = (module, table)
            rows += table?.rows.count ?? 0
        }
    }

    /// Hands over the tables that are there.
    ///
    /// - Returns: the other files.
    func take(_ modules: [Module], _ use: (Module, UnwindTable?) -> Void) -> [Module] {
        modules.filter { module in
            guard let made = tables.removeValue(forKey: ObjectIdentifier(module)) else { return true }
            use(module, made.table)
            return false
        }
    }

    /// Forgets what nobody has taken.
    func forget() { tables = [:] }
}
