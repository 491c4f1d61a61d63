// SPDX-License-Identifier: Apache-2.0

/// Text under construction, as bytes: appending a row costs no `String`.
package struct ByteWriter {
    package private(set) var bytes: [UInt8] = []

    package init() {}

    package var count: Int { bytes.count }

    package mutating func reserve(_ capacity: Int) { bytes.reserveCapacity(capacity) }

    package mutating func removeAll() { bytes.removeAll(keepingCapacity: true) }

    package mutating func removeFirst(_ count: Int) { bytes.removeFirst(count) }

    package mutating func truncate(to count: Int) { bytes.removeLast(bytes.count - count) }

    @inline(__always)
    package mutating func append(_ byte: UInt8) { bytes.append(byte) }

    package mutating func append(_ text: StaticString) {
        text.withUTF8Buffer { bytes.append(contentsOf: $0) }
    }

    package mutating func append(_ text: String) { bytes.append(contentsOf: text.utf8) }

    package mutating func append(contentsOf other: some Sequence<UInt8>) { bytes.append(contentsOf: other) }

    package mutating func append(repeating byte: UInt8, count: Int) {
        guard count > 0 else { return }
        bytes.append(contentsOf: repeatElement(byte, count: count))
    }

    /// Inserts `count` times `byte` before the byte at `index`: how a right-aligned cell is padded.
    package mutating func insert(repeating byte: UInt8, count: Int, at index: Int) {
        guard count > 0 else { return }
        bytes.insert(contentsOf: repeatElement(byte, count: count), at: index)
    }

    /// - Parameters:
    ///   - radix: 2 to 16.
    ///   - minimumDigits: zeros are put in front up to this many digits.
    package mutating func appendNumber(_ value: UInt64, radix: UInt64 = 10, minimumDigits: Int = 1) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 64) { digits in
            var rest = value
            var at = digits.count
            repeat {
                at -= 1
                let digit = UInt8(truncatingIfNeeded: rest % radix)
                digits[at] = digit < 10 ? 48 + digit : 87 + digit
                rest /= radix
            } while rest > 0
            while digits.count - at < min(minimumDigits, digits.count) {
                at -= 1
                digits[at] = 48
            }
            bytes.append(contentsOf: digits[at...])
        }
    }

    package mutating func appendNumber(_ value: Int64) {
        if value < 0 { append(UInt8(ascii: "-")) }
        appendNumber(value.magnitude)
    }
}
