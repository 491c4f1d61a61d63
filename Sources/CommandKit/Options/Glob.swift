// SPDX-License-Identifier: Apache-2.0
internal import ArgumentParser
internal import Reporting

/// A pattern of the shell's kind over bytes: `*` (which matches `/` too), `?`, `[a-z]`, `[!a-z]`, `\` before a
/// character that means itself.
package struct Glob: Equatable, Sendable {
    private enum Element: Equatable {
        case anyText
        case anyByte
        case byte(UInt8)
        case set([ClosedRange<UInt8>], inverted: Bool)
    }

    private let elements: [Element]

    /// - Throws: `ValidationError` for a set that is not closed, a range the wrong way round, or a `\` at the end.
    package init(_ pattern: String) throws {
        var elements: [Element] = []
        var rest = Array(pattern.utf8)[...]
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "*"): if elements.last != .anyText { elements.append(.anyText) }
            case UInt8(ascii: "?"): elements.append(.anyByte)
            case UInt8(ascii: "["): elements.append(try Self.parseSet(&rest, pattern))
            case UInt8(ascii: "\\"):
                guard let quoted = rest.popFirst() else {
                    throw ValidationError(
                        "the pattern '\(escaped(pattern))' ends in a backslash: write \\\\ for one.")
                }
                elements.append(.byte(quoted))
            default: elements.append(.byte(byte))
            }
        }
        self.elements = elements
    }

    private static func parseSet(_ rest: inout ArraySlice<UInt8>, _ pattern: String) throws -> Element {
        let close = UInt8(ascii: "]")
        var ranges: [ClosedRange<UInt8>] = []
        var inverted = false
        if let first = rest.first, first == UInt8(ascii: "!") || first == UInt8(ascii: "^") {
            inverted = true
            rest.removeFirst()
        }
        let quote = UInt8(ascii: "\\")
        while var low = rest.popFirst() {
            // As in the shell, a bracket that comes first stands for itself.
            if low == close && !ranges.isEmpty { return .set(ranges, inverted: inverted) }
            if low == quote, let quoted = rest.popFirst() { low = quoted }
            guard rest.first == UInt8(ascii: "-"), var high = rest.dropFirst().first, high != close else {
                ranges.append(low...low)
                continue
            }
            if high == quote, let quoted = rest.dropFirst(2).first {
                high = quoted
                rest.removeFirst()
            }
            guard low <= high else {
                throw ValidationError("the pattern '\(escaped(pattern))' has a range that runs backwards.")
            }
            ranges.append(low...high)
            rest.removeFirst(2)
        }
        throw ValidationError(
            "the pattern '\(escaped(pattern))' has a [ without its ]: write \\[ for a plain one.")
    }

    /// Whether all of `text` matches. Takes at most text times pattern steps, whatever the pattern.
    package func matches(_ text: UnsafeRawBufferPointer) -> Bool {
        var element = 0
        var index = 0
        // Where the last * is, and how much it has taken so far: the only place to go back to.
        var star = -1
        var starIndex = 0
        while index < text.count {
            if element < elements.count, elements[element] == .anyText {
                star = element
                starIndex = index
                element += 1
            } else if element < elements.count, Self.accepts(elements[element], text[index]) {
                element += 1
                index += 1
            } else if star >= 0 {
                starIndex += 1
                index = starIndex
                element = star + 1
            } else {
                return false
            }
        }
        return elements[element...].allSatisfy { $0 == .anyText }
    }

    package func matches(_ text: String) -> Bool {
        var text = text
        return text.withUTF8 { matches(UnsafeRawBufferPointer($0)) }
    }

    private static func accepts(_ element: Element, _ byte: UInt8) -> Bool {
        switch element {
        case .anyText: false
        case .anyByte: true
        case .byte(let wanted): wanted == byte
        case .set(let ranges, let inverted): ranges.contains { $0.contains(byte) } != inverted
        }
    }
}
