// SPDX-License-Identifier: Apache-2.0

/// The functions of a unit, and what was inlined into them (DWARF 5, 3.3).
struct DWARFScopes {
    struct Scope {
        /// The offset of the entry that has the name, or leads to it.
        var entry: UInt64
        /// What this was inlined into; `noParent` for what was not.
        var parent: UInt32
        var callFile: UInt32
        var callLine: UInt32
        var isInlined: Bool
    }

    static let noParent = UInt32.max

    private(set) var scopes: [Scope] = []
    /// The innermost scope of each address.
    private(set) var intervals = DWARFIntervals([])

    /// Of no functions.
    init() {}

    /// Reads all entries of a unit.
    init(_ unit: DWARFUnit, code: DWARFCode) {
        let size = unit.header.end - unit.header.entries
        guard size <= UInt64(DWARFLimits.unitBytes),
            unit.object.budget.spend(Int(size) * DWARFBudget.Cost.byte),
            let section = unit.object.section(.info)
        else { return }
        let cursor = section.cursor(at: unit.header.entries, upTo: Int(size))
        var builder = DWARFScopeBuilder(unit: unit, code: code, cursor: cursor)
        builder.readEntries()
        scopes = builder.scopes
        intervals = DWARFIntervals(builder.intervals)
    }

    var bytesHeld: Int { scopes.count * MemoryLayout<Scope>.stride + intervals.bytesHeld }
}

/// Walks the entries of a unit and keeps those that are functions with code.
private struct DWARFScopeBuilder {
    /// An entry whose children are being read.
    private struct Level {
        /// The innermost function around the children.
        var scope: UInt32
        /// How many functions are around them.
        var depth: UInt16
        /// The function, if this entry is one, and how many intervals there were before.
        var ownScope: UInt32
        var intervalsBefore: Int
    }

    let unit: DWARFUnit
    let code: DWARFCode
    var cursor: DWARFCursor
    var scopes: [DWARFScopes.Scope] = []
    var intervals: [DWARFIntervals.Interval] = []
    private var levels: [Level] = []

    init(unit: DWARFUnit, code: DWARFCode, cursor: DWARFCursor) {
        self.unit = unit
        self.code = code
        self.cursor = cursor
    }

    mutating func readEntries() {
        let table = unit.abbreviations
        let encoding = unit.header.encoding
        while !cursor.isAtEnd {
            let start = cursor.position
            let number = cursor.unsigned()
            if number == 0 {
                if let level = levels.popLast() { drop(level) }
                continue
            }
            guard let abbreviation = table[number] else { return }
            switch abbreviation.tag {
            case DWARFTag.subprogram, DWARFTag.inlinedSubroutine: readFunction(abbreviation, at: start)
            case DWARFTag.enumerationType, DWARFTag.arrayType, DWARFTag.subroutineType:
                readType(abbreviation)
            default:
                if let size = abbreviation.size(encoding) {
                    cursor.skip(size)
                } else {
                    skip(abbreviation)
                }
                if abbreviation.hasChildren { descend() }
            }
            guard levels.count <= DWARFLimits.depth, scopes.count < DWARFLimits.scopes,
                intervals.count <= DWARFLimits.intervals
            else { return }
        }
    }

    private mutating func skip(_ abbreviation: DWARFAbbreviations.Abbreviation) {
        for index in abbreviation.attributes {
            let attribute = unit.abbreviations.attributes[index]
            _ = cursor.value(attribute.form, constant: attribute.constant, unit.header.encoding)
            if cursor.failed { return }
        }
    }

    /// Goes on with the children of an entry, which is the function `scope` or none.
    private mutating func descend(_ scope: UInt32 = DWARFScopes.noParent, intervalsBefore: Int = 0) {
        let around = levels.last
        let isScope = scope != DWARFScopes.noParent
        levels.append(
            Level(
                scope: isScope ? scope : around?.scope ?? DWARFScopes.noParent,
                depth: (around?.depth ?? 0) + (isScope ? 1 : 0), ownScope: scope,
                intervalsBefore: intervalsBefore))
    }

    /// A type that cannot have functions inside: its children need not be read.
    private mutating func readType(_ abbreviation: DWARFAbbreviations.Abbreviation) {
        let entry = DWARFEntry(&cursor, abbreviation, unit.abbreviations, unit.header.encoding)
        guard abbreviation.hasChildren else { return }
        if let (object, next) = unit.target(entry.sibling), object === unit.object,
            next > cursor.position, next < unit.header.end
        {
            cursor.seek(to: next)
        } else {
            descend()
        }
    }

    private mutating func readFunction(
        _ abbreviation: DWARFAbbreviations.Abbreviation, at start: UInt64
    ) {
        // An entry can have many attributes that take no bytes.
        guard unit.object.budget.spend(abbreviation.attributes.count * DWARFBudget.Cost.byte) else {
            return cursor.fail()
        }
        let entry = DWARFEntry(&cursor, abbreviation, unit.abbreviations, unit.header.encoding)
        let depth = levels.last?.depth ?? 0
        guard !cursor.failed, Int(depth) < DWARFLimits.inlineDepth else {
            if abbreviation.hasChildren { descend() }
            return
        }
        let before = intervals.count
        let scope = UInt32(scopes.count)
        scopes.append(makeScope(entry, at: start))
        unit.forEachRange(lowPC: entry.lowPC, highPC: entry.highPC, ranges: entry.ranges) { from, to in
            if code.contains(from), intervals.count < DWARFLimits.intervals,
                unit.object.budget.spend(DWARFBudget.Cost.interval)
            {
                intervals.append(DWARFIntervals.Interval(start: from, end: to, owner: scope))
            }
        }
        if abbreviation.hasChildren {
            descend(scope, intervalsBefore: before)
        } else if intervals.count == before {
            scopes.removeLast()
        }
    }

    private func makeScope(_ entry: DWARFEntry, at start: UInt64) -> DWARFScopes.Scope {
        let isInlined = entry.tag == DWARFTag.inlinedSubroutine
        var scope = DWARFScopes.Scope(
            entry: start, parent: DWARFScopes.noParent, callFile: 0, callLine: 0, isInlined: isInlined)
        // Where a function was inlined often, its name need be looked up only once.
        if !entry.name.exists, !entry.linkageName.exists, let (object, origin) = unit.target(entry.origin),
            object === unit.object
        {
            scope.entry = origin
        }
        guard isInlined else { return scope }
        scope.parent = levels.last?.scope ?? DWARFScopes.noParent
        scope.callFile = UInt32(exactly: entry.callFile.number) ?? 0
        scope.callLine = UInt32(exactly: entry.callLine.number) ?? 0
        return scope
    }

    /// Removes a function that turned out to have no code, nor anything inlined that has.
    private mutating func drop(_ level: Level) {
        if level.ownScope != DWARFScopes.noParent, Int(level.ownScope) == scopes.count - 1,
            intervals.count == level.intervalsBefore
        {
            scopes.removeLast()
        }
    }
}
