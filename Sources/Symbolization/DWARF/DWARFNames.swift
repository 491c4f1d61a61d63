// SPDX-License-Identifier: Apache-2.0

extension DWARFObject {
    /// The unit that an offset of .debug_info is in; nil if there is none.
    func unit(containing offset: UInt64) -> DWARFUnit? {
        if let recentUnit, recentUnit.header.offset <= offset, offset < recentUnit.header.end {
            return recentUnit
        }
        var low = 0
        var high = units.count
        while low < high {
            let middle = (low + high) / 2
            if units[middle] <= offset { low = middle + 1 } else { high = middle }
        }
        guard low > 0, let unit = DWARFUnit(self, at: units[low - 1]), offset < unit.header.end else {
            return nil
        }
        recentUnit = unit
        return unit
    }
}

extension DWARFUnit {
    private func contains(_ offset: UInt64) -> Bool { header.offset <= offset && offset < header.end }

    /// The name of a function: its linkage name if it has one (DWARF 5, 3.3.1, 3.3.8.2, 2.13.2).
    func functionName(at offset: UInt64) -> String? {
        if let known = object.knownName(offset) { return known }
        let name = findName(offset)
        object.store(name: name, for: offset)
        return name
    }

    private func findName(_ offset: UInt64) -> String? {
        var plain: String?
        var unit = self
        var offset = offset
        // What describes itself as described elsewhere may do so in a circle.
        for _ in 0..<DWARFLimits.hops {
            if !unit.contains(offset) {
                guard let other = unit.object.unit(containing: offset) else { return plain }
                unit = other
            }
            guard unit.object.budget.spend(DWARFBudget.Cost.unit), let entry = unit.entry(at: offset) else {
                return plain
            }
            if let name = unit.text(entry.linkageName) { return name }
            if plain == nil { plain = unit.text(entry.name) }
            guard let (object, next) = unit.target(entry.origin) else { return plain }
            if object !== unit.object {
                guard let other = object.unit(containing: next) else { return plain }
                unit = other
            }
            offset = next
        }
        return plain
    }
}
