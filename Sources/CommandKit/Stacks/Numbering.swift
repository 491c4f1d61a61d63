// SPDX-License-Identifier: Apache-2.0

/// Gives each of many values a number of its own: 0, 1, 2 … in the order in which they come.
///
/// It takes five to eleven bytes for each beside the value, which it holds once.
struct Numbering<Element: Hashable> {
    private(set) var elements: [Element] = []
    /// Open addressing; -1 where nothing is. The size is a power of two and more than the number of values.
    private var slots = [Int32](repeating: -1, count: 16)

    var count: Int { elements.count }

    subscript(number: Int32) -> Element { elements[Int(number)] }

    /// The value's number; `count` grows if it is a new one.
    mutating func number(_ element: Element) -> Int32 {
        // Three quarters full at most.
        if elements.count * 4 >= slots.count * 3 { grow() }
        let slot = slot(element)
        if slots[slot] >= 0 { return slots[slot] }
        let number = Int32(elements.count)
        slots[slot] = number
        elements.append(element)
        return number
    }

    /// The number that a value has got; nil if it has none.
    func known(_ element: Element) -> Int32? {
        let number = slots[slot(element)]
        return number < 0 ? nil : number
    }

    /// Where the value is, or where it belongs.
    private func slot(_ element: Element) -> Int {
        let mask = slots.count - 1
        var slot = element.hashValue & mask
        while slots[slot] >= 0, elements[Int(slots[slot])] != element { slot = (slot + 1) & mask }
        return slot
    }

    private mutating func grow() {
        slots = [Int32](repeating: -1, count: slots.count * 2)
        for number in elements.indices { slots[slot(elements[number])] = Int32(number) }
    }
}
