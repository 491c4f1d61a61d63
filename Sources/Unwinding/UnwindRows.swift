// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms

/// Puts together rows and pages from what holds where, in ascending order.
struct UnwindRows {
    let base: UInt64
    private(set) var pages: [Range<Int>] = []
    private(set) var rows: [UInt32] = []
    /// Rows for which there was no room.
    private(set) var dropped = 0

    /// Where what was added last ends.
    private var end: UInt64
    /// What holds there, and what the rows say of it, which is NO_RULE where there is no room.
    private var wanted: UInt16 = 0
    private var current: UInt16 = 0
    private var pageStart = 0

    /// 4 GB of addresses: code that is farther than that from the first has no rows.
    static let maximumPages = 1 << 16
    private static let maximumRows = 16 << 20
    private static let maximumPageRows = Int(UNWIND_PAGE_ROWS)
    /// As many bytes between functions are padding at most.
    private static let maximumPadding = 15

    /// - Parameters:
    ///   - first: The address where the first rule begins.
    ///   - expected: About how many rows there will be.
    init(first: UInt64, expected: Int) {
        base = first & ~0xffff
        end = first
        rows.reserveCapacity(min(expected, Self.maximumRows))
    }

    /// Says that a rule holds in a range, which is not empty, and does not begin before the last one's end.
    mutating func add(_ range: Range<UInt64>, _ rule: UInt16) {
        if range.lowerBound - end > UInt64(Self.maximumPadding) { begin(at: end, 0) }
        begin(at: range.lowerBound, rule)
        end = range.upperBound
    }

    /// Ends what was added last.
    mutating func finish() {
        begin(at: end, 0)
        closePage()
        // What was reserved was an estimate.
        if rows.capacity > rows.count + rows.count / 16 { rows = rows.withUnsafeBufferPointer { Array($0) } }
    }

    private mutating func begin(at address: UInt64, _ rule: UInt16) {
        if rule == wanted, rule == current, !pages.isEmpty { return }
        let page = Int((address - base) >> 16)
        while pages.count <= page { openPage() }
        wanted = rule
        guard rule != current else { return }
        let offset = UInt32(truncatingIfNeeded: address & 0xffff)
        let count = rows.count - pageStart
        if offset == 0 {
            // The page was opened just now, with what held before.
            if count > 0 { rows.removeLast() }
            if rule != 0 { rows.append(UInt32(rule) << 16) }
            current = rule
        } else if count >= Self.maximumPageRows - 1 || rows.count >= Self.maximumRows - 2 {
            if rule != 0 { dropped += 1 }
            if current != 0 { rows.append(offset) }
            current = 0
        } else {
            if count == 0 { rows.append(0) }
            rows.append(UInt32(rule) << 16 | offset)
            current = rule
        }
    }

    private mutating func closePage() {
        if !pages.isEmpty { pages[pages.count - 1] = pageStart..<rows.count }
    }

    private mutating func openPage() {
        closePage()
        pageStart = rows.count
        pages.append(pageStart..<pageStart)
        current = rows.count < Self.maximumRows - 2 ? wanted : 0
        if current != 0 { rows.append(UInt32(current) << 16) }
    }
}
