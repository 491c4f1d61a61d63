// SPDX-License-Identifier: Apache-2.0

/// The boxes of a flame graph. Each begins where the box before it ends, above the one it was called by.
struct FlameLayout {
    struct Box {
        /// Index into `labels`.
        let label: Int
        /// Index into the tree's details, -1 for none.
        let detail: Int
        let depth: Int
        /// Sum of all that is to the left.
        let start: UInt64
        let total: UInt64
        /// What ends here; the rest belongs to the boxes above.
        let own: UInt64
        /// The other profile's total, if two are compared.
        let other: UInt64
    }

    /// Every box before those above it, from left to right; the first is the whole.
    private(set) var boxes: [Box] = []
    private(set) var labels: [FrameTree.Label]
    private(set) var depth = 1
    /// Frames that were merged into grey boxes, and their share of the total.
    private(set) var cutFrames = 0
    private(set) var cutValue: UInt64 = 0
    /// Frames that only the other profile has.
    private(set) var missingFrames = 0
    private(set) var missingValue: UInt64 = 0

    private let tree: FrameTree
    private let totals: [UInt64]
    private let others: [UInt64]
    private let threshold: UInt64
    private var markers: [Int: Int] = [:]

    var total: UInt64 { boxes[0].total }
    var otherTotal: UInt64 { boxes[0].other }

    /// - Parameter minimumShare: below this share of the total, siblings are merged.
    init(_ tree: FrameTree, order: FlameGraph.Order, minimumShare: Double) {
        self.tree = tree
        labels = tree.labels
        totals = tree.totals(0)
        others = tree.totals(1)
        let total = tree.own[0].reduce(0, +)
        threshold = max(1, UInt64((Double(total) * max(0, min(1, minimumShare))).rounded(.up)))
        labels.append(.init(text: "all", kind: .marker))
        boxes.append(
            Box(
                label: labels.count - 1, detail: -1, depth: 0, start: 0, total: total, own: 0,
                other: tree.own[1].reduce(0, +)))
        let children = tree.children(order == .name ? .name : .value(totals: totals))
        place(children, frameCounts: frameCounts)
    }

    /// By node: how many frames it and what is above it are.
    private var frameCounts: [Int] {
        var counts = [Int](repeating: 1, count: tree.nodes.count)
        for node in counts.indices.reversed() where tree.nodes.firsts[node] >= 0 {
            counts[Int(tree.nodes.firsts[node])] += counts[node]
        }
        return counts
    }

    private enum Step {
        case node(Int, depth: Int, start: UInt64)
        case merged(frames: Int, depth: Int, start: UInt64, total: UInt64, other: UInt64)
    }

    private mutating func place(_ children: FrameTree.Children, frameCounts: [Int]) {
        boxes.reserveCapacity(tree.nodes.count + 1)
        var pending: [Step] = []
        func push(_ layout: inout Self, above node: Int, depth: Int, start: UInt64) {
            let first = pending.count
            var start = start
            var (frames, merged, mergedOther) = (0, 0 as UInt64, 0 as UInt64)
            for child in children.of(node).map(Int.init) {
                if layout.totals[child] >= layout.threshold {
                    pending.append(.node(child, depth: depth, start: start))
                    start += layout.totals[child]
                } else if layout.totals[child] == 0 {
                    layout.miss(child, frames: frameCounts[child])
                } else {
                    frames += frameCounts[child]
                    merged += layout.totals[child]
                    mergedOther += layout.others[child]
                }
            }
            if frames > 0 {
                pending.append(
                    .merged(frames: frames, depth: depth, start: start, total: merged, other: mergedOther))
            }
            pending[first...].reverse()
        }
        push(&self, above: -1, depth: 1, start: 0)
        while let step = pending.popLast() {
            switch step {
            case .node(let node, let depth, let start):
                append(node, depth: depth, start: start)
                push(&self, above: node, depth: depth + 1, start: start)
            case .merged(let frames, let depth, let start, let total, let other):
                append(merged: frames, depth: depth, start: start, total: total, other: other)
            }
        }
    }

    private mutating func append(_ node: Int, depth: Int, start: UInt64) {
        self.depth = max(self.depth, depth + 1)
        boxes.append(
            Box(
                label: Int(tree.nodes.seconds[node]), detail: Int(tree.detailOfNode[node]), depth: depth,
                start: start, total: totals[node], own: tree.own[0][node], other: others[node]))
    }

    private mutating func append(merged frames: Int, depth: Int, start: UInt64, total: UInt64, other: UInt64)
    {
        self.depth = max(self.depth, depth + 1)
        cutFrames += frames
        cutValue += total
        if markers[frames] == nil {
            markers[frames] = labels.count
            let text = "(\(groupedText(UInt64(frames))) narrow frame\(frames == 1 ? "" : "s"))"
            labels.append(.init(text: text, kind: .marker))
        }
        boxes.append(
            Box(
                label: markers[frames] ?? 0, detail: -1, depth: depth, start: start, total: total, own: total,
                other: other))
    }

    private mutating func miss(_ node: Int, frames: Int) {
        guard others[node] > 0 else { return }
        missingFrames += frames
        missingValue += others[node]
    }

    /// How much a box grew (above zero) or shrank, as one of the colours of a comparison.
    ///
    /// The largest change of the picture has the strongest colour; the root of its share of that, because most
    /// changes are much smaller than the largest.
    func differenceStep(_ box: Box, isAfter: Bool, largest: UInt64) -> Int {
        let grew = isAfter ? box.total > box.other : box.other > box.total
        let change = box.total > box.other ? box.total - box.other : box.other - box.total
        guard largest > 0 else { return 0 }
        // The whole may have changed by more than any of its parts.
        let share = min(1, Double(change) / Double(largest))
        let step = Int((Double(FlamePalette.differenceSteps) * share.squareRoot()).rounded())
        return grew ? step : -step
    }

    /// The largest change of any box but the whole.
    var largestDifference: UInt64 {
        boxes.dropFirst().reduce(0) {
            max($0, $1.total > $1.other ? $1.total - $1.other : $1.other - $1.total)
        }
    }
}
