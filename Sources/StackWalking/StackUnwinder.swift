// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Glibc
internal import Symbolization
internal import Tracing
internal import Unwinding

/// Gives the programs what they need to walk stacks: tables of the files that processes have mapped, and where.
///
/// See bpf/include/unwind.h for the layout. A file's table is made when a process is first seen to map it, and serves
/// all processes.
final class StackUnwinder {
    let object: LoadedObject
    private let rows: RowStore
    private let rules: RuleStore
    private let pages: SharedArray<unwind_page>
    private let mappings: MappingStore
    private let processes: HashMap<UInt32, unwind_process>
    private var usedPages = 0
    private var tables: [ObjectIdentifier: Placed] = [:]
    private var known: [Int32: unwind_process] = [:]
    private(set) var counts = Counts()
    /// Reads the call frame information of files, and hands over each as it is there.
    var makeTables: ([Module], (Module, UnwindTable?) -> Void) -> Void = { modules, use in
        for module in modules { use(module, UnwindTable(module.source)) }
    }

    /// A maker of tables that asks, before every few files, whether to go on. What it leaves out is as if it had no table.
    static func inPortions<File, Table>(
        _ make: @escaping ([File], (File, Table) -> Void) -> Void, while isWanted: @escaping () -> Bool
    ) -> ([File], (File, Table) -> Void) -> Void {
        { files, use in
            var rest = files[...]
            while !rest.isEmpty && isWanted() {
                make(Array(rest.prefix(portion)), use)
                rest = rest.dropFirst(portion)
            }
        }
    }

    static let portion = 8

    struct Counts {
        var files = 0
        var rows = 0
        /// Files whose table found no room.
        var filesLeftOut = 0
        /// Processes whose mappings found no room.
        var processesLeftOut = 0
        /// Nanoseconds spent on making tables.
        var nanoseconds: UInt64 = 0
    }

    /// A file's table, in the programs' pages.
    private struct Placed {
        /// Held, so that no other module can get its identifier.
        let module: Module
        let base: UInt64
        let firstPage: UInt32
        /// 0: the file has no call frame information.
        let pages: UInt32
    }

    init(_ object: LoadedObject) throws {
        self.object = object
        rows = RowStore(object)
        rules = RuleStore(try object.sharedArray("unwind_rules"))
        pages = try object.sharedArray("unwind_pages")
        mappings = MappingStore(try object.sharedArray("unwind_mappings"))
        processes = object.map("unwind_processes")
    }

    /// Tells the programs of a process's code. Files that are new take time: about 10 ms for each MB of their
    /// .eh_frame.
    ///
    /// - Parameter meaning: of the process's addresses, as the symbolizer has it.
    /// - Returns: where there was other code before.
    @discardableResult
    func update(_ process: Int32, _ code: [CodeRegion], meaning: UInt32) -> [Range<UInt64>] {
        let list = code.map(mapping)
        let old = known[process]
        if let old, old.meaning == meaning, mappings.holds(list, at: old) {
            // The programs drop their entry when the process executes another program: it may be missing.
            // And its walks may be left to us again.
            try? processes.set(UInt32(process), to: old)
            return []
        }
        guard let place = mappings.place(list, meaning: meaning) else {
            counts.processesLeftOut += 1
            return []
        }
        do {
            try processes.set(UInt32(process), to: place)
        } catch {
            counts.processesLeftOut += 1
            mappings.retire(place)
            return []
        }
        known[process] = place
        guard let old else { return [] }
        defer { mappings.retire(old) }
        return mappings.replaced(old, by: list)
    }

    /// Forgets a process that has ended.
    func remove(_ process: Int32) {
        guard let place = known.removeValue(forKey: process) else { return }
        processes.remove(UInt32(process))
        mappings.retire(place)
    }

    /// Bytes that tables and lists take in the kernel.
    var bytesHeld: Int { rows.bytesHeld + usedPages * MemoryLayout<unwind_page>.stride + rules.bytesHeld }

    /// The rule of an address in a region, found as the programs do; CFA_NO_RULE if there is none.
    func rule(at address: UInt64, in region: CodeRegion) -> unwind_rule {
        let mapping = mapping(region)
        let offset = address &- mapping.bias
        guard offset >> UInt64(UNWIND_PAGE_BITS) < UInt64(mapping.pages) else { return unwind_rule() }
        let page = pages[Int(mapping.first_page) + Int(offset >> UInt64(UNWIND_PAGE_BITS))]
        guard let row = rows.find(UInt32(truncatingIfNeeded: offset & 0xffff), in: page) else {
            return unwind_rule()
        }
        return rules.rule(row >> 16)
    }

    private func mapping(_ region: CodeRegion) -> unwind_mapping {
        let placed = region.module.map(table)
        return unwind_mapping(
            start: region.start, end: region.end,
            bias: region.start &- region.address &+ (placed?.base ?? 0),
            first_page: placed?.firstPage ?? (region.isFile ? 0 : UNWIND_NO_FILE),
            pages: placed?.pages ?? 0)
    }

    private func table(of module: Module) -> Placed {
        if tables[ObjectIdentifier(module)] == nil { Self.addTables(of: [module], to: [self]) }
        return tables[ObjectIdentifier(module)] ?? Placed(module: module, base: 0, firstPage: 0, pages: 0)
    }

    /// Makes the tables that are not there yet of many files at once: each is stored while the next is made.
    static func addTables(of modules: [Module], to unwinders: [StackUnwinder]) {
        var seen: Set<ObjectIdentifier> = []
        let new = modules.filter { module in
            let number = ObjectIdentifier(module)
            return seen.insert(number).inserted && unwinders.contains { $0.tables[number] == nil }
        }
        guard !new.isEmpty, let first = unwinders.first else { return }
        let began = monotonicNanoseconds()
        first.makeTables(new) { module, table in
            for unwinder in unwinders where unwinder.tables[ObjectIdentifier(module)] == nil {
                unwinder.tables[ObjectIdentifier(module)] = unwinder.store(table, of: module)
            }
        }
        first.counts.nanoseconds += monotonicNanoseconds() - began
    }

    private func store(_ table: UnwindTable?, of module: Module) -> Placed {
        let none = Placed(module: module, base: 0, firstPage: 0, pages: 0)
        guard let table else { return none }
        guard usedPages + table.pages.count <= pages.count else {
            counts.filesLeftOut += 1
            return none
        }
        let numbers = table.rules.map(rules.number)
        let first = usedPages
        for (index, range) in table.pages.enumerated() {
            guard let place = rows.store(table.rows[range], numbers) else {
                counts.filesLeftOut += 1
                return none
            }
            pages[first + index] = place
        }
        usedPages += table.pages.count
        counts.files += 1
        counts.rows += table.rows.count
        return Placed(
            module: module, base: table.base, firstPage: UInt32(first), pages: UInt32(table.pages.count))
    }
}

/// The rows of all files, in arrays that are added with need.
private final class RowStore {
    private static let perElement = Int(UNWIND_PAGE_ROWS)
    private static let perArray = Int(UNWIND_ROW_ELEMENTS) * perElement

    private let object: LoadedObject
    private var all: [SharedArray<UInt32>] = []
    private var array: SharedArray<UInt32>? { all.last }
    private var arrays: Int { all.count }
    /// In the last array.
    private var used = 0

    init(_ object: LoadedObject) { self.object = object }

    var bytesHeld: Int { arrays * Self.perArray * 4 }

    /// The last row of a page that begins at an offset or before.
    func find(_ offset: UInt32, in page: unwind_page) -> UInt32? {
        let number = Int(page.element) / Int(UNWIND_ROW_ELEMENTS)
        guard page.count > 0, all.indices.contains(number) else { return nil }
        let start = Int(page.element) % Int(UNWIND_ROW_ELEMENTS) * Self.perElement
        var low = start + Int(page.first)
        var high = low + Int(page.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if all[number][middle] & 0xffff <= offset { low = middle } else { high = middle }
        }
        return all[number][low]
    }

    /// Stores a page's rows; nil if there is no room.
    ///
    /// - Parameter numbers: the programs' numbers of the rules that the rows name.
    func store(_ rows: ArraySlice<UInt32>, _ numbers: [UInt16]) -> unwind_page? {
        guard !rows.isEmpty else { return unwind_page(element: 0, first: 0, count: 0) }
        let left = Self.perElement - used % Self.perElement
        // A page's rows lie in one element.
        if left < rows.count { used += left }
        if array == nil || used >= Self.perArray {
            guard arrays < Int(UNWIND_ROW_ARRAYS),
                let made: SharedArray<UInt32> = try? object.addArray(
                    to: "unwind_rows", at: arrays, values: Int(UNWIND_ROW_ELEMENTS),
                    valueBytes: MemoryLayout<unwind_rows>.size)
            else { return nil }
            all.append(made)
            used = 0
        }
        let start = rows.startIndex
        array?.fill(used..<used + rows.count) { index in
            let row = rows[start + index]
            return row & 0xffff | UInt32(numbers[Int(row >> 16)]) << 16
        }
        defer { used += rows.count }
        return unwind_page(
            element: UInt32((arrays - 1) * Int(UNWIND_ROW_ELEMENTS) + used / Self.perElement),
            first: UInt16(used % Self.perElement), count: UInt16(rows.count))
    }
}

/// The rules of all files, each once. Number 0 is that there is none.
private final class RuleStore {
    private struct Content: Hashable {
        let low: UInt64
        let high: UInt64
    }

    private let rules: SharedArray<unwind_rule>
    private var numbers: [Content: UInt16] = [:]

    init(_ rules: SharedArray<unwind_rule>) {
        self.rules = rules
        _ = number(unwind_rule())
    }

    var bytesHeld: Int { numbers.count * MemoryLayout<unwind_rule>.stride }

    func rule(_ number: UInt32) -> unwind_rule { rules[Int(number)] }

    func number(_ rule: unwind_rule) -> UInt16 {
        let content = withUnsafeBytes(of: rule) {
            Content(
                low: $0.loadUnaligned(as: UInt64.self),
                high: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        }
        if let known = numbers[content] { return known }
        // Thousands are in use on a whole machine; what comes after the last number counts as no rule.
        guard numbers.count < rules.count else { return 0 }
        let number = UInt16(numbers.count)
        rules[Int(number)] = rule
        numbers[content] = number
        return number
    }
}
