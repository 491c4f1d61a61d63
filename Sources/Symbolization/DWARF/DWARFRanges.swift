// SPDX-License-Identifier: Apache-2.0

extension DWARFUnit {
    /// Calls `body` with each piece of code of an entry (DWARF 5, 2.17). Empty pieces are left out.
    func forEachRange(
        lowPC: DWARFValue, highPC: DWARFValue, ranges: DWARFValue, isRoot: Bool = false,
        _ body: (_ start: UInt64, _ end: UInt64) -> Void
    ) {
        if ranges.exists {
            guard let (section, offset) = rangeList(ranges, isRoot: isRoot) else { return }
            let reader = DWARFRangeReader(unit: self, section: section)
            if header.encoding.version >= 5 {
                reader.readList(at: offset, body)
            } else {
                reader.readPairs(at: offset, body)
            }
        } else if let low = address(lowPC), highPC.exists {
            // Since version 4 it may be a length.
            let high = highPC.isAddress ? address(highPC) ?? 0 : low &+ highPC.number
            if low < high { body(low, high) }
        }
    }
}

/// Reads range lists.
private struct DWARFRangeReader {
    let unit: DWARFUnit
    let section: DWARFSection
    /// Few lists are longer; those that are, are read in pieces.
    private static let pieceSize = 1 << 10

    init(unit: DWARFUnit, section: DWARFSection) {
        self.unit = unit
        self.section = section
    }

    /// A list of .debug_ranges (DWARF 4, 2.17.3, 7.23).
    func readPairs(at offset: UInt64, _ body: (UInt64, UInt64) -> Void) {
        let size = unit.header.encoding.addressSize
        let highest = size == 4 ? UInt64(UInt32.max) : .max
        var base = unit.base
        var position = offset
        while true {
            var cursor = section.cursor(at: position, upTo: Self.pieceSize)
            position = cursor.position
            while cursor.remaining >= 2 * size, unit.object.budget.spend(DWARFBudget.Cost.item) {
                let start = cursor.number(size: size)
                let end = cursor.number(size: size)
                if start == 0, end == 0 { return }
                if start == highest {
                    base = end
                } else if start < end {
                    Self.report(base &+ start, base &+ end, body)
                }
            }
            guard cursor.position > position, cursor.remaining < 2 * size else { return }
            position = cursor.position
        }
    }

    /// A list of .debug_rnglists (DWARF 5, 2.17.3, 7.25).
    func readList(at offset: UInt64, _ body: (UInt64, UInt64) -> Void) {
        var base = unit.base
        var position = offset
        while true {
            var cursor = section.cursor(at: position, upTo: Self.pieceSize)
            position = cursor.position
            // An entry takes at most 21 bytes, if its numbers are not padded.
            let isLast = cursor.remaining < Self.pieceSize
            while !cursor.isAtEnd, isLast || cursor.remaining > 32,
                unit.object.budget.spend(DWARFBudget.Cost.item)
            {
                guard readEntry(&cursor, &base, body), !cursor.failed else { return }
            }
            guard !isLast, cursor.position > position, cursor.remaining <= 32 else { return }
            position = cursor.position
        }
    }

    /// DW_RLE_* (DWARF 5, 7.25); false at the end of the list.
    private func readEntry(
        _ cursor: inout DWARFCursor, _ base: inout UInt64, _ body: (UInt64, UInt64) -> Void
    ) -> Bool {
        let size = unit.header.encoding.addressSize
        switch cursor.byte() {
        case 1: base = unit.address(index: cursor.unsigned()) ?? 0
        case 2:
            let start = unit.address(index: cursor.unsigned())
            let end = unit.address(index: cursor.unsigned())
            if let start, let end, !cursor.failed { Self.report(start, end, body) }
        case 3:
            let start = unit.address(index: cursor.unsigned())
            let length = cursor.unsigned()
            if let start, !cursor.failed { Self.report(start, start &+ length, body) }
        case 4:
            let start = base &+ cursor.unsigned()
            let end = base &+ cursor.unsigned()
            if !cursor.failed { Self.report(start, end, body) }
        case 5: base = cursor.number(size: size)
        case 6:
            let start = cursor.number(size: size)
            let end = cursor.number(size: size)
            if !cursor.failed { Self.report(start, end, body) }
        case 7:
            let start = cursor.number(size: size)
            let length = cursor.unsigned()
            if !cursor.failed { Self.report(start, start &+ length, body) }
        default: return false
        }
        return true
    }

    private static func report(_ start: UInt64, _ end: UInt64, _ body: (UInt64, UInt64) -> Void) {
        if start < end { body(start, end) }
    }
}
