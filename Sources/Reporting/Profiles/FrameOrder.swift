// SPDX-License-Identifier: Apache-2.0

extension FrameTree {
    /// How the nodes above the same one are sorted.
    enum Order {
        case name
        /// Largest first; by name where they are equal.
        case value(totals: [UInt64])
    }

    /// The nodes' children in order.
    struct Children {
        /// All nodes, those of one parent side by side.
        fileprivate let nodes: [Int32]
        /// By parent: where its children are in `nodes`; last what has no parent.
        fileprivate let ranges: [Range<Int>]

        /// - Parameter node: -1 for those without a parent.
        func of(_ node: Int) -> ArraySlice<Int32> { nodes[ranges[node < 0 ? ranges.count - 1 : node]] }
    }

    func children(_ order: Order) -> Children {
        let count = nodes.count
        // Counting by parent first leaves only siblings to be compared.
        var starts = [Int](repeating: 0, count: count + 2)
        func place(_ parent: Int32) -> Int { parent < 0 ? count : Int(parent) }
        for parent in nodes.firsts { starts[place(parent) + 1] += 1 }
        for index in 1..<starts.count { starts[index] += starts[index - 1] }
        let ranges = (0...count).map { starts[$0]..<starts[$0 + 1] }
        var sorted = [Int32](repeating: 0, count: count)
        for node in 0..<count {
            let place = place(nodes.firsts[node])
            sorted[starts[place]] = Int32(node)
            starts[place] += 1
        }
        let ranks = nameRanks
        func rank(_ node: Int32) -> Int { ranks[Int(nodes.seconds[Int(node)])] }
        for range in ranges where range.count > 1 {
            switch order {
            case .name: sorted[range].sort { rank($0) < rank($1) }
            case .value(let totals):
                sorted[range].sort {
                    let (one, other) = (totals[Int($0)], totals[Int($1)])
                    return one == other ? rank($0) < rank($1) : one > other
                }
            }
        }
        return Children(nodes: sorted, ranges: ranges)
    }

    /// By label: its place in the alphabet.
    private var nameRanks: [Int] {
        let sorted = labels.indices.sorted {
            let (one, other) = (labels[$0], labels[$1])
            return one.text == other.text ? one.kind.rawValue < other.kind.rawValue : one.text < other.text
        }
        var ranks = [Int](repeating: 0, count: sorted.count)
        for (rank, label) in sorted.enumerated() { ranks[label] = rank }
        return ranks
    }

    /// Every node before its children, siblings in order.
    func preorder(_ order: Order) -> [(node: Int, depth: Int)] {
        let children = children(order)
        var visited: [(node: Int, depth: Int)] = []
        visited.reserveCapacity(nodes.count)
        var pending: [(node: Int, depth: Int)] = children.of(-1).reversed().map { (Int($0), 0) }
        while let next = pending.popLast() {
            visited.append(next)
            for child in children.of(next.node).reversed() { pending.append((Int(child), next.depth + 1)) }
        }
        return visited
    }
}
