// SPDX-License-Identifier: Apache-2.0

/// Gives each pair of numbers a number of its own: 0, 1, 2 … in the order in which they come.
///
/// With pairs of (parent, what follows it) this is a tree whose nodes come after their parents.
package struct PairTable: Sendable {
    package private(set) var firsts: [Int32] = []
    package private(set) var seconds: [Int32] = []
    /// Open addressing; -1 where nothing is. The size is a power of two and at least twice the number of pairs.
    private var slots = [Int32](repeating: -1, count: 64)

    package init() {}

    package var count: Int { firsts.count }

    /// The pair's number; `count` grows if it is a new one.
    package mutating func number(_ first: Int32, _ second: Int32) -> Int32 {
        if firsts.count * 2 >= slots.count { grow() }
        let slot = slot(first, second)
        if slots[slot] >= 0 { return slots[slot] }
        let number = Int32(firsts.count)
        slots[slot] = number
        firsts.append(first)
        seconds.append(second)
        return number
    }

    /// Where the pair is, or where it belongs.
    private func slot(_ first: Int32, _ second: Int32) -> Int {
        let mask = slots.count - 1
        var hash = UInt64(UInt32(bitPattern: first)) << 32 | UInt64(UInt32(bitPattern: second))
        hash = (hash ^ hash >> 31) &* 0x9e37_79b9_7f4a_7c15
        var slot = Int(truncatingIfNeeded: hash >> 24) & mask
        while slots[slot] >= 0 {
            let number = Int(slots[slot])
            if firsts[number] == first && seconds[number] == second { break }
            slot = (slot + 1) & mask
        }
        return slot
    }

    private mutating func grow() {
        slots = [Int32](repeating: -1, count: slots.count * 2)
        for number in firsts.indices { slots[slot(firsts[number], seconds[number])] = Int32(number) }
    }
}
