// SPDX-License-Identifier: Apache-2.0

/// The lines and functions of one module, of which each unit is read when it is asked for.
final class DWARFModule {
    private struct WeakLineTable { weak var table: DWARFLineTable? }

    let budget: DWARFBudget
    private let object: DWARFObject
    private let isInDebugFile: Bool
    private let code: DWARFCode
    private let others: RelatedFiles
    private let split: DWARFSplit
    private var index: DWARFUnitIndex?
    /// By the unit's number; nil for those that cannot be read.
    private var units: [UInt32: DWARFUnitContents?] = [:]
    private var unitBytes = 0
    /// By offset: several units may share one.
    private var lineTables: [UInt64: WeakLineTable] = [:]
    /// When it was asked for last.
    private(set) var lastUse = 0
    private(set) var unitsRead = 0

    /// Looks for debug information; nil if there is none.
    init?(
        _ identity: ModuleIdentity, budget: DWARFBudget, memoryLimit: Int, opener: @escaping RelatedFileOpener
    ) {
        let others = RelatedFiles(identity, opener)
        self.others = others
        let file = DWARFFile(others, isDebugFile: false)
        file.lend(identity.file)
        guard identity.file >= 0, let headers = file.headers() else { return nil }
        budget.beginLookup()
        let code = DWARFCode(headers)
        if let object = DWARFObject(file, headers: headers, budget: budget, memoryLimit: memoryLimit) {
            self.object = object
            isInDebugFile = false
        } else {
            let file = DWARFFile(others, isDebugFile: true)
            guard let descriptor = identity.debugFile else { return nil }
            file.lend(descriptor)
            guard let headers = file.headers(),
                let object = DWARFObject(file, headers: headers, budget: budget, memoryLimit: memoryLimit)
            else { return nil }
            self.object = object
            isInDebugFile = true
        }
        self.code = code
        self.budget = budget
        split = DWARFSplit(budget: budget, memoryLimit: memoryLimit / 4)
        object.release()
    }

    /// The functions at an address, innermost first; and whether something had to be read for that.
    func frames(
        of identity: ModuleIdentity, at address: UInt64, time: Int
    ) -> (frames: [(function: String?, file: String, line: Int, inlined: Bool)], didRead: Bool) {
        lastUse = time
        guard code.contains(address), let descriptor = isInDebugFile ? identity.debugFile : identity.file
        else { return ([], false) }
        others.identity = identity
        object.file.lend(descriptor)
        budget.beginLookup()
        let before = (object.reads, object.nameBytes, unitsRead)
        let contents = unit(of: address).flatMap { read(known: $0) }
        let frames = contents?.frames(at: address) ?? []
        var didRead = before != (object.reads, object.nameBytes, unitsRead)
        if let contents {
            contents.lastUse = time
            didRead = account(contents) || didRead
        }
        if didRead { object.release() } else { object.file.release() }
        return (frames, didRead)
    }

    /// Takes notice of what a unit holds; true if that has changed.
    private func account(_ contents: DWARFUnitContents) -> Bool {
        if contents.unit.object !== object {
            contents.unit.object.release()
            split.object?.release()
        }
        let change = contents.bytesHeld - contents.bytesAccounted
        contents.bytesAccounted += change
        unitBytes += change
        return change != 0
    }

    private func unit(of address: UInt64) -> UInt32? {
        if index == nil, !budget.isExhausted { index = DWARFUnitIndex(object, code: code) }
        guard let index else { return nil }
        if let unit = index.unit(of: address) { return unit }
        guard !index.unclear.isEmpty else { return nil }
        for number in index.unclear {
            guard let unit = read(number) else { continue }
            self.index?.add(unit.intervals(of: number))
        }
        self.index?.finish()
        return self.index?.unit(of: address)
    }

    private func read(known number: UInt32) -> DWARFUnitContents? {
        if let known = units[number] { return known }
        guard !budget.isExhausted else { return nil }
        let contents = read(number)
        units[number] = .some(contents)
        return contents
    }

    private func read(_ number: UInt32) -> DWARFUnitContents? {
        guard object.units.indices.contains(Int(number)),
            let unit = DWARFUnit(object, at: object.units[Int(number)])
        else { return nil }
        unitsRead += 1
        let lines = lineTable(unit)
        guard let inner = split.unit(of: unit) else {
            return DWARFUnitContents(
                unit: unit, scopes: DWARFScopes(unit, code: code), lines: lines, callFiles: lines)
        }
        // A split unit may have a table of files of its own.
        let files = inner.lineProgram.flatMap { DWARFLineTable(inner, at: $0, code: code) }
        defer { inner.object.release() }
        return DWARFUnitContents(
            unit: inner, scopes: DWARFScopes(inner, code: code), lines: lines, callFiles: files ?? lines,
            ownObject: inner.object === split.object ? nil : inner.object)
    }

    private func lineTable(_ unit: DWARFUnit) -> DWARFLineTable? {
        guard let offset = unit.lineProgram else { return nil }
        if let table = lineTables[offset]?.table { return table }
        let table = DWARFLineTable(unit, at: offset, code: code)
        lineTables[offset] = WeakLineTable(table: table)
        return table
    }

    // MARK: Memory

    /// An estimate.
    var bytesHeld: Int {
        unitBytes + object.bytesHeld + object.units.count * 8 + (index?.bytesHeld ?? 0) + split.bytesHeld
            + lineTables.count * 32 + units.count * 32
    }

    /// When each unit that is held was asked for last, and how much it takes.
    var unitUses: [(time: Int, bytes: Int)] {
        units.values.compactMap { contents in contents.map { ($0.lastUse, $0.bytesAccounted) } }
    }

    var unitsHeld: Int { units.count }

    /// Gives up the units that were not asked for since.
    /// - Returns: How many.
    func evictUnits(usedBefore time: Int) -> Int {
        let before = units.count
        units = units.filter { ($0.value?.lastUse ?? time) >= time }
        unitBytes = units.values.reduce(0) { $0 + ($1?.bytesAccounted ?? 0) }
        lineTables = lineTables.filter { $0.value.table != nil }
        return before - units.count
    }
}
