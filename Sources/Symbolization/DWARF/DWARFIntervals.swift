// SPDX-License-Identifier: Apache-2.0

/// Which of several owners each address belongs to. Each interval that owns addresses costs 12 to 24 bytes.
struct DWARFIntervals {
    struct Interval {
        var start: UInt64
        var end: UInt64
        var owner: UInt32
    }

    /// Where the owner changes, ascending.
    private var starts: [UInt64] = []
    /// Who owns the addresses from there on.
    private var owners: [UInt32] = []
    private static let nobody = UInt32.max

    /// Where several overlap, the one that starts last owns: it is the inner one. Of those that start together
    /// it is the last in the array.
    init(_ intervals: [Interval]) {
        let order = intervals.indices.filter { intervals[$0].start < intervals[$0].end }
            .sorted { (intervals[$0].start, $0) < (intervals[$1].start, $1) }
        guard let first = order.first else { return }
        starts.reserveCapacity(order.count)
        owners.reserveCapacity(order.count)
        var next = 0
        var open: [Int] = []
        var position = intervals[first].start
        while true {
            while next < order.count, intervals[order[next]].start == position {
                open.append(order[next])
                next += 1
            }
            // Those that ended while an inner one was on top are found now.
            while let top = open.last, intervals[top].end <= position { open.removeLast() }
            append(position, open.last.map { intervals[$0].owner } ?? Self.nobody)
            var nearest = open.last.map { intervals[$0].end }
            if next < order.count { nearest = min(nearest ?? .max, intervals[order[next]].start) }
            guard let nearest else { return }
            position = nearest
        }
    }

    private mutating func append(_ start: UInt64, _ owner: UInt32) {
        guard owner != owners.last ?? Self.nobody else { return }
        starts.append(start)
        owners.append(owner)
    }

    var bytesHeld: Int { starts.count * 12 }

    /// Whose an address is.
    func owner(of address: UInt64) -> UInt32? {
        var low = 0
        var high = starts.count
        while low < high {
            let middle = (low + high) / 2
            if starts[middle] <= address { low = middle + 1 } else { high = middle }
        }
        guard low > 0, owners[low - 1] != Self.nobody else { return nil }
        return owners[low - 1]
    }

    /// All that is owned by anybody, as belonging to one owner.
    func intervals(of owner: UInt32) -> [Interval] {
        starts.indices.dropLast().filter { owners[$0] != Self.nobody }
            .map { Interval(start: starts[$0], end: starts[$0 + 1], owner: owner) }
    }
}

/// Where a module's code is. What describes code elsewhere describes functions that the linker dropped.
struct DWARFCode {
    private let ranges: [Range<UInt64>]

    init(_ headers: ELFFile) {
        var merged: [Range<UInt64>] = []
        for range in headers.codeRanges() {
            if let last = merged.last, range.lowerBound <= last.upperBound {
                merged[merged.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
            } else {
                merged.append(range)
            }
        }
        ranges = merged
    }

    func contains(_ address: UInt64) -> Bool {
        var low = 0
        var high = ranges.count
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].lowerBound <= address { low = middle + 1 } else { high = middle }
        }
        return low > 0 && address < ranges[low - 1].upperBound
    }
}
