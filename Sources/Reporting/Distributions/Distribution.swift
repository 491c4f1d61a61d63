// SPDX-License-Identifier: Apache-2.0
internal import Arithmetic

/// How many durations fell into which range, in nanoseconds.
package struct Distribution: Equatable, Sendable {
    package struct Bucket: Equatable, Sendable {
        package let low: UInt64
        /// The first value that is too large for the bucket.
        package let high: UInt64
        package var count: UInt64

        package init(low: UInt64, high: UInt64, count: UInt64) {
            self.low = low
            self.high = high
            self.count = count
        }
    }

    /// In ascending order, without those that are empty.
    package private(set) var buckets: [Bucket]
    /// The sum of all durations.
    package private(set) var total: UInt64
    package private(set) var maximum: UInt64

    /// - Parameter buckets: in any order; ranges do not overlap.
    package init(buckets: [Bucket] = [], total: UInt64 = 0, maximum: UInt64 = 0) {
        self.buckets = buckets.filter { $0.count > 0 }.sorted { $0.low < $1.low }
        self.total = total
        self.maximum = maximum
    }

    package var count: UInt64 { buckets.reduce(0) { $0.addingClamped($1.count) } }

    package var mean: UInt64 { count == 0 ? 0 : total / count }

    /// The duration that this share (0 to 1) of all durations does not exceed, interpolated inside its bucket.
    package func percentile(_ share: Double) -> UInt64 {
        let all = count
        guard all > 0 else { return 0 }
        let rank = max(1, min(all, UInt64(clampingRounded: (share * Double(all)).rounded(.up))))
        var before: UInt64 = 0
        for bucket in buckets {
            if bucket.count >= rank - before {
                let part = Double(rank - before) / Double(bucket.count)
                let width = Double(bucket.high.subtractingClamped(bucket.low))
                let value = bucket.low.addingClamped(UInt64(clampingRounded: (width * part).rounded(.down)))
                return min(value, maximum)
            }
            before += bucket.count
        }
        return maximum
    }

    /// Adds the durations of another distribution.
    package mutating func add(_ other: Distribution) {
        var merged: [UInt64: Bucket] = [:]
        for bucket in buckets + other.buckets {
            let known = merged[bucket.low]?.count ?? 0
            merged[bucket.low] = Bucket(
                low: bucket.low, high: bucket.high, count: known.addingClamped(bucket.count))
        }
        self = Distribution(
            buckets: Array(merged.values), total: total.addingClamped(other.total),
            maximum: max(maximum, other.maximum))
    }

    /// What has come since an earlier state of the same distribution.
    ///
    /// The maximum of the new part is known exactly if it is a new maximum, else from its highest bucket.
    package func since(_ earlier: Distribution) -> Distribution {
        var rest: [UInt64: UInt64] = [:]
        for bucket in earlier.buckets { rest[bucket.low] = bucket.count }
        let new = buckets.map { bucket in
            Bucket(
                low: bucket.low, high: bucket.high,
                count: bucket.count - min(bucket.count, rest[bucket.low] ?? 0))
        }
        let highest = new.last { $0.count > 0 }.map { min(maximum, $0.high) } ?? 0
        return Distribution(
            buckets: new, total: total - min(total, earlier.total),
            maximum: maximum > earlier.maximum ? maximum : highest)
    }
}

/// The unit that a histogram is shown in.
package enum TimeUnit: Sendable {
    case nanoseconds, microseconds, milliseconds

    package var nanoseconds: UInt64 {
        switch self {
        case .nanoseconds: 1
        case .microseconds: 1000
        case .milliseconds: 1_000_000
        }
    }

    /// As in BCC's headings.
    package var heading: StaticString {
        switch self {
        case .nanoseconds: "nsecs"
        case .microseconds: "usecs"
        case .milliseconds: "msecs"
        }
    }
}

extension Distribution {
    /// One line of a printed histogram: both ends belong to it.
    struct Row: Equatable {
        let low: UInt64
        let high: UInt64
        let count: UInt64
    }

    /// Powers of two in `unit`, from the first to the last that is not empty, as BCC's log2 histograms.
    func powersOfTwo(_ unit: TimeUnit) -> [Row] {
        var counts: [UInt64] = []
        for bucket in buckets {
            // The bucket's first value decides: buckets do not straddle powers of two of the unit.
            let value = bucket.low / unit.nanoseconds
            let slot = value < 2 ? 0 : 63 - value.leadingZeroBitCount
            while counts.count <= slot { counts.append(0) }
            counts[slot] = counts[slot].addingClamped(bucket.count)
        }
        return counts.enumerated().map { slot, count in
            Row(low: slot == 0 ? 0 : 1 << UInt64(slot), high: (2 << UInt64(slot)) &- 1, count: count)
        }
    }

    /// The buckets as they are, with the empty ones between them.
    func linear(_ unit: TimeUnit) -> [Row] {
        guard let width = buckets.first.map({ $0.high.subtractingClamped($0.low) }), width > 0,
            let last = buckets.last
        else {
            return []
        }
        var counts: [UInt64: UInt64] = [:]
        for bucket in buckets { counts[bucket.low] = bucket.count }
        return stride(from: 0, through: last.low, by: Int(clamping: width)).map { low in
            Row(
                low: low / unit.nanoseconds, high: max(low.addingClamped(width), 1) / unit.nanoseconds - 1,
                count: counts[low] ?? 0)
        }
    }

    /// Writes the histogram as BCC's tools print theirs.
    package func write(to writer: ByteWriter, unit: TimeUnit, linear: Bool) {
        let rows = linear ? self.linear(unit) : powersOfTwo(unit)
        let wide = rows.count > 32
        let most = rows.reduce(0) { max($0, $1.count) }
        writer.append(repeating: 32, count: wide ? 15 : 5)
        let heading = unit.heading.description
        writer.append(heading)
        writer.append(repeating: 32, count: (wide ? 29 : 19) - heading.utf8.count)
        writer.append(" : count    distribution\n")
        for row in rows {
            writer.padded(row.low, width: wide ? 20 : 10, right: true)
            writer.append(" -> ")
            writer.padded(row.high, width: wide ? 20 : 10, right: false)
            writer.append(" : ")
            writer.padded(row.count, width: 8, right: false)
            writer.append(" |")
            // At most `most` times 40, and so at most 40.
            let stars =
                most == 0 ? 0 : Int(most.dividingFullWidth(row.count.multipliedFullWidth(by: 40)).quotient)
            writer.append(repeating: UInt8(ascii: "*"), count: stars)
            writer.append(repeating: 32, count: 40 - stars)
            writer.append("|\n")
        }
    }
}

extension ByteWriter {
    /// A number with blanks up to `width`, in front of it or behind.
    func padded(_ value: UInt64, width: Int, right: Bool) {
        let start = count
        appendNumber(value)
        let padding = width - (count - start)
        if right {
            insert(repeating: 32, count: padding, at: start)
        } else {
            append(repeating: 32, count: padding)
        }
    }
}
