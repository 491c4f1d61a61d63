// SPDX-License-Identifier: Apache-2.0

/// Which unit describes the code at an address.
struct DWARFUnitIndex {
    private typealias Interval = DWARFIntervals.Interval

    /// Owners are indices of the object's units.
    private var intervals: DWARFIntervals
    private var all: [Interval]
    /// Units that do not say where their code is: their functions must be read to know.
    private(set) var unclear: [UInt32] = []

    /// Reads .debug_aranges, and the first entries of the units that it leaves out.
    init(_ object: DWARFObject, code: DWARFCode) {
        var found: [Interval] = []
        let described = Self.readAddressRanges(object) { start, length, unit in
            let (end, overflow) = start.addingReportingOverflow(length)
            guard !overflow, code.contains(start), found.count < DWARFLimits.intervals else { return }
            found.append(Interval(start: start, end: end, owner: unit))
        }
        all = found
        intervals = DWARFIntervals([])
        for (index, offset) in object.units.enumerated() where !described[index] {
            guard object.budget.spend(DWARFBudget.Cost.item) else { break }
            readUnit(object, at: offset, index: UInt32(index), code: code)
        }
        sort()
    }

    func unit(of address: UInt64) -> UInt32? { intervals.owner(of: address) }

    var bytesHeld: Int { intervals.bytesHeld + all.count * MemoryLayout<Interval>.stride }

    /// Adds what turned out to be the code of a unit.
    mutating func add(_ pieces: [DWARFIntervals.Interval]) {
        if all.count + pieces.count <= DWARFLimits.intervals { all += pieces }
    }

    /// Ends the search through units that were unclear.
    mutating func finish() {
        unclear = []
        sort()
    }

    private mutating func sort() {
        // A unit inside another's range is the better answer.
        all.sort { $0.end - $0.start > $1.end - $1.start }
        intervals = DWARFIntervals(all)
        if unclear.isEmpty { all = [] }
    }

    private mutating func readUnit(
        _ object: DWARFObject, at offset: UInt64, index: UInt32, code: DWARFCode
    ) {
        guard let section = object.section(.info), let header = DWARFUnitHeader(section, at: offset),
            header.kind == .compile || header.kind == .skeleton, let unit = DWARFUnit(object, at: offset)
        else { return }
        let root = unit.root
        guard root.tag == DWARFTag.compileUnit || root.tag == DWARFTag.skeletonUnit else { return }
        guard root.ranges.exists || root.lowPC.exists && root.highPC.exists else {
            unclear.append(index)
            return
        }
        unit.forEachRange(lowPC: root.lowPC, highPC: root.highPC, ranges: root.ranges, isRoot: true) {
            if code.contains($0), all.count < DWARFLimits.intervals,
                object.budget.spend(DWARFBudget.Cost.interval)
            {
                all.append(Interval(start: $0, end: $1, owner: index))
            }
        }
    }

    // MARK: .debug_aranges

    /// Reads all sets (DWARF 5, 6.1.2); says which units have one that is not empty.
    private static func readAddressRanges(
        _ object: DWARFObject, _ body: (_ start: UInt64, _ length: UInt64, _ unit: UInt32) -> Void
    ) -> [Bool] {
        var described = [Bool](repeating: false, count: object.units.count)
        guard let section = object.section(.addressRanges), section.size <= UInt64(DWARFLimits.unitBytes),
            object.budget.spend(Int(section.size) * DWARFBudget.Cost.byte)
        else { return described }
        var cursor = section.cursor(at: 0, upTo: Int(section.size))
        while !cursor.isAtEnd {
            let start = cursor.position
            let (length, is64) = cursor.unitLength()
            let (end, overflow) = cursor.position.addingReportingOverflow(length)
            guard !cursor.failed, !overflow else { break }
            var set = cursor
            set.limit(to: end)
            readSet(&set, start: start, is64: is64, units: object.units) { first, length, unit in
                described[Int(unit)] = true
                body(first, length, unit)
            }
            cursor.seek(to: end)
        }
        return described
    }

    private static func readSet(
        _ cursor: inout DWARFCursor, start: UInt64, is64: Bool, units: [UInt64],
        _ body: (_ start: UInt64, _ length: UInt64, _ unit: UInt32) -> Void
    ) {
        let version = cursor.number(UInt16.self)
        let offset = cursor.number(size: is64 ? 8 : 4)
        let size = Int(cursor.byte())
        let segmentSize = cursor.byte()
        guard !cursor.failed, version == 2, size == 4 || size == 8, segmentSize == 0,
            let unit = index(of: offset, in: units)
        else { return }
        // The pairs begin at a multiple of their size.
        let pair = UInt64(2 * size)
        cursor.skip((pair - (cursor.position - start) % pair) % pair)
        while UInt64(cursor.remaining) >= pair {
            let first = cursor.number(size: size)
            let length = cursor.number(size: size)
            if first == 0, length == 0 { return }
            if length > 0 { body(first, length, unit) }
        }
    }

    private static func index(of offset: UInt64, in units: [UInt64]) -> UInt32? {
        var low = 0
        var high = units.count
        while low < high {
            let middle = (low + high) / 2
            if units[middle] < offset { low = middle + 1 } else { high = middle }
        }
        return low < units.count && units[low] == offset ? UInt32(low) : nil
    }
}
