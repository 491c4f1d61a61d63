// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Symbolization

/// Makes the table of a file: reads entries, orders them, and executes their instructions.
struct UnwindTableBuilder {
    private let machine: CallFrameMachine
    private let code: CodeBytes
    private var sections: [CallFrameSection] = []
    private var entries: CallFrameEntries
    /// In ascending order of their beginnings.
    private var functions: [FunctionEntry] = []
    private var rules = UnwindRules()
    private var goFunctions: GoFunctions?
    private(set) var statistics = UnwindTable.Statistics()
    /// What may still be executed, in bytes of instructions. Each is executed once, unless functions overlap.
    private var budget = 0

    init(_ elf: ELFFile, _ machine: CallFrameMachine) {
        self.machine = machine
        code = CodeBytes(elf)
        entries = CallFrameEntries(machine)
    }

    // MARK: Reading

    /// Adds the functions of a section that are in no section added before.
    mutating func add(_ section: CallFrameSection) {
        let before = entries.functions.count
        entries.read(section, number: UInt8(sections.count))
        sections.append(section)
        // An entry has 12 bytes or more, and each costs as much as 32.
        budget += 1 << 16 + section.bytes.count * 8
        var added: [FunctionEntry] = []
        added.reserveCapacity(entries.functions.count - before)
        for var entry in entries.functions[before...] {
            if entries.commons[Int(entry.common)].isSignalFrame { markSignalReturn(&entry) }
            guard let range = code.clipped(entry.start, entry.end) else { continue }
            entry.end = range.upperBound
            added.append(entry)
        }
        Self.sort(&added)
        if functions.isEmpty {
            functions = added
        } else {
            functions += Self.outside(functions, added)
            Self.sort(&functions)
        }
    }

    /// Callers are looked up by the byte before the return address, and this is where a handler returns to: its row
    /// begins one byte early.
    private mutating func markSignalReturn(_ entry: inout FunctionEntry) {
        budget -= 1 << 10
        guard budget > 0 else { return }
        for (number, kind) in machine.signalReturns.enumerated() {
            guard let place = code.signalReturn(kind.code, from: entry.start), place > 0 else { continue }
            entry.start = place - 1
            entry.signalReturn = UInt8(number)
            return
        }
    }

    /// Adds the code that returns from signal handlers where nothing says that it does.
    mutating func addSignalReturns() {
        for (number, kind) in machine.signalReturns.enumerated() {
            for place in code.signalReturns(kind.code) {
                // Room for the byte before it.
                guard place > 0, code.clipped(place - 1, place) != nil else { continue }
                functions.append(
                    FunctionEntry(
                        start: place - 1, end: place + UInt64(kind.code.count), signalReturn: UInt8(number)))
            }
        }
        Self.sort(&functions)
    }

    /// Adds the stubs of static programs, for functions that are chosen at run time: linkers do not describe them.
    mutating func addStubs(_ sections: [Range<UInt64>]) {
        let stubs = sections.compactMap { code.clipped($0.lowerBound, $0.upperBound) }
            .map { FunctionEntry(start: $0.lowerBound, end: $0.upperBound, isStubs: true) }
            .sorted { $0.start < $1.start }
        functions += Self.outside(functions, stubs)
        Self.sort(&functions)
    }

    /// Adds the functions of Go that no section describes.
    mutating func add(_ goFunctions: GoFunctions) {
        var added: [FunctionEntry] = []
        for number in 0..<goFunctions.count {
            guard let function = goFunctions.function(number),
                let range = code.clipped(function.start, function.end)
            else { continue }
            added.append(
                FunctionEntry(start: range.lowerBound, end: range.upperBound, goFunction: Int32(number)))
        }
        Self.sort(&added)
        functions += Self.outside(functions, added)
        Self.sort(&functions)
        self.goFunctions = goFunctions
        budget += 1 << 16 + goFunctions.byteCount * 8
    }

    /// Adds the rows of a part of a function of Go.
    private mutating func addGo(_ entry: FunctionEntry, _ part: Range<UInt64>, _ rows: inout UnwindRows) {
        guard let function = goFunctions?.function(Int(entry.goFunction)) else { return rows.add(part, 0) }
        guard goFunctions?.isRoot(function) != true else {
            return rows.add(part, rules.number(of: machine.rule(CFA_ROOT)) ?? 0)
        }
        var found: [(Range<UInt64>, Int64)] = []
        // Of a hostile file, all functions may have the same long table.
        if budget > 0 { goFunctions?.forEachDepth(of: function) { found.append(($0, $1)) } }
        budget -= found.count * 2 + 32
        guard budget > 0 else { return rows.add(part, 0) }
        for (range, depth) in found {
            let clamped = range.clamped(to: part)
            guard !clamped.isEmpty else { continue }
            let rule = machine.goRule(depth: depth)
            rows.add(clamped, rule.flatMap { rules.number(of: $0) } ?? 0)
        }
    }

    /// By address. Of functions that begin at the same, the one that is first in the file comes last, and so wins.
    private static func sort(_ functions: inout [FunctionEntry]) {
        let isSorted = functions.withUnsafeBufferPointer { functions in
            (1..<max(functions.count, 1)).allSatisfy { functions[$0 - 1].start < functions[$0].start }
        }
        if isSorted { return }
        functions.sort {
            $0.start != $1.start
                ? $0.start < $1.start
                : ($0.section, $0.instructionsStart) > ($1.section, $1.instructionsStart)
        }
    }

    /// Those of `others` that begin outside of `functions`, up to where one of these begins. Both are sorted.
    private static func outside(_ functions: [FunctionEntry], _ others: [FunctionEntry]) -> [FunctionEntry] {
        var result: [FunctionEntry] = []
        var next = 0
        var covered: UInt64 = 0
        for var other in others {
            while next < functions.count, functions[next].start <= other.start {
                covered = max(covered, functions[next].end)
                next += 1
            }
            guard other.start >= covered else { continue }
            if next < functions.count { other.end = min(other.end, functions[next].start) }
            result.append(other)
        }
        return result
    }

    /// How many bytes of code the functions describe.
    var coveredBytes: UInt64 {
        var sum: UInt64 = 0
        var end: UInt64 = 0
        for function in functions where function.end > end {
            sum += function.end - max(function.start, end)
            end = function.end
        }
        return sum
    }

    // MARK: Executing

    /// The whole table; nil if there is no function.
    mutating func build() -> UnwindTable? {
        guard let first = functions.first?.start else { return nil }
        let bytes = sections.reduce(0) { $0 + $1.bytes.count }
        var rows = UnwindRows(first: first, expected: bytes / 6 + 64)
        let limit = rows.base.addingReportingOverflow(UInt64(UnwindRows.maximumPages) << 16)
        let last = limit.overflow ? UInt64.max : limit.partialValue
        // Those that have begun and not ended: of several, the last one counts.
        var open: [Int] = []
        var place = first
        for (index, function) in functions.enumerated() where function.end <= last {
            advance(&place, to: function.start, &open, &rows)
            // But nothing is above the code that returns from a signal handler.
            let isBelow =
                open.last.map { functions[$0].signalReturn != nil && functions[$0].end > place } ?? false
            open.insert(index, at: isBelow ? open.count - 1 : open.count)
        }
        advance(&place, to: last, &open, &rows)
        rows.finish()
        statistics.entries = functions.count
        statistics.malformedEntries += entries.malformed
        statistics.rows = rows.rows.count
        statistics.droppedRows += rows.dropped
        return UnwindTable(rows, rules.rules, statistics)
    }

    /// Adds the rows of open functions up to an address.
    private mutating func advance(
        _ place: inout UInt64, to target: UInt64, _ open: inout [Int], _ rows: inout UnwindRows
    ) {
        while let top = open.last, place < target {
            let function = functions[top]
            let end = min(function.end, target)
            if place < end {
                add(function, place..<end, &rows)
                place = end
            }
            if function.end <= place { open.removeLast() }
        }
        place = target
    }

    /// Adds the rows of a part of code that returns from signal handlers, and of the byte before it.
    private mutating func addSignalReturn(
        _ kind: CallFrameMachine.SignalReturn, at place: UInt64, _ part: Range<UInt64>,
        _ rows: inout UnwindRows
    ) {
        for (index, step) in kind.steps.enumerated() {
            let start = index == 0 ? part.lowerBound : place + step.offset
            let end = index + 1 < kind.steps.count ? place + kind.steps[index + 1].offset : part.upperBound
            let range = max(start, part.lowerBound)..<max(start, part.lowerBound, min(end, part.upperBound))
            guard !range.isEmpty else { continue }
            rows.add(range, rules.number(of: machine.signalRule(registers: step.registers)) ?? 0)
        }
    }

    /// Adds the rows of a part of a function.
    private mutating func add(_ function: FunctionEntry, _ part: Range<UInt64>, _ rows: inout UnwindRows) {
        if let number = function.signalReturn {
            return addSignalReturn(machine.signalReturns[Int(number)], at: function.start + 1, part, &rows)
        }
        guard function.goFunction < 0 else { return addGo(function, part, &rows) }
        guard !function.isStubs else {
            rows.add(part, rules.number(of: machine.stubs) ?? 0)
            return
        }
        let instructions = Int(function.instructionsStart)..<Int(function.instructionsEnd)
        budget -= instructions.count + 32
        guard budget > 0 else {
            statistics.malformedEntries += 1
            return rows.add(part, 0)
        }
        let section = sections[Int(function.section)]
        var bases = section.bases
        bases.function = function.start
        var program = CallFrameProgram(
            CallFrameReader(section.bytes, instructions), entries.commons[Int(function.common)],
            location: function.start, bases)
        repeat {
            let next = program.next()
            let end = min(next ?? part.upperBound, part.upperBound)
            let start = max(program.location, part.lowerBound)
            if start < end {
                rows.add(start..<end, program.isMalformed ? 0 : number(program.state))
            }
            guard let next, next < part.upperBound else { break }
            program.advance(to: next)
        } while true
        if program.isMalformed { statistics.malformedEntries += 1 }
    }

    private mutating func number(_ state: CallFrameState) -> UInt16 {
        guard let rule = machine.rule(state), let number = rules.number(of: rule) else {
            statistics.inexpressibleRows += 1
            return 0
        }
        return number
    }
}
