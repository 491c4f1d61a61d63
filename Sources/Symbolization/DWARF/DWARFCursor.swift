// SPDX-License-Identifier: Apache-2.0

/// Reads one value after the other from some of a section's bytes.
///
/// What is not there reads as 0 and makes the cursor `failed`, which it then stays, at its end: a loop that runs
/// until `isAtEnd` ends, whatever the bytes are.
struct DWARFCursor {
    private let bytes: [UInt8]
    /// Where in its section the first of `bytes` is.
    private let origin: UInt64
    private var index: Int
    private var end: Int
    private(set) var failed = false

    /// - Parameter range: What of `bytes` may be read; cut to those that exist.
    init(_ bytes: [UInt8], origin: UInt64, range: Range<Int>) {
        self.bytes = bytes
        self.origin = origin
        end = min(max(range.upperBound, 0), bytes.count)
        index = min(max(range.lowerBound, 0), end)
    }

    var isAtEnd: Bool { index >= end }
    var remaining: Int { end - index }
    /// The offset in the section of what is read next.
    var position: UInt64 { origin + UInt64(index) }

    mutating func fail() {
        failed = true
        index = end
    }

    /// Goes to an offset in the section that the cursor covers.
    mutating func seek(to position: UInt64) {
        guard position >= origin, position - origin <= UInt64(end) else { return fail() }
        index = Int(position - origin)
    }

    /// Reads nothing at or after this offset in the section.
    mutating func limit(to position: UInt64) {
        guard position >= self.position else { return fail() }
        end = Int(min(position - origin, UInt64(end)))
    }

    mutating func skip(_ count: UInt64) {
        guard count <= UInt64(end - index) else { return fail() }
        index += Int(count)
    }

    mutating func byte() -> UInt8 {
        guard index < end else {
            fail()
            return 0
        }
        defer { index += 1 }
        return bytes[index]
    }

    mutating func number<Value: FixedWidthInteger & BitwiseCopyable>(_ type: Value.Type) -> Value {
        let size = MemoryLayout<Value>.size
        guard size <= end - index else {
            fail()
            return 0
        }
        defer { index += size }
        return bytes.withUnsafeBytes {
            Value(littleEndian: $0.loadUnaligned(fromByteOffset: index, as: Value.self))
        }
    }

    /// An unsigned number of 1 to 8 bytes.
    mutating func number(size: Int) -> UInt64 {
        switch size {
        case 1: return UInt64(byte())
        case 2: return UInt64(number(UInt16.self))
        case 4: return UInt64(number(UInt32.self))
        case 8: return number(UInt64.self)
        case 3:
            let low = UInt64(number(UInt16.self))
            return low | UInt64(byte()) << 16
        default:
            fail()
            return 0
        }
    }

    /// An unsigned LEB128 (DWARF 5, 7.6). What exceeds 64 bits is lost.
    mutating func unsigned() -> UInt64 {
        // Most are of one byte.
        if index < end, bytes[index] < 0x80 {
            defer { index += 1 }
            return UInt64(bytes[index])
        }
        return longNumber().value
    }

    /// A signed LEB128 (DWARF 5, 7.6).
    mutating func signed() -> Int64 {
        let (value, bits) = longNumber()
        guard bits < 64, value >> UInt64(bits - 1) & 1 == 1 else { return Int64(bitPattern: value) }
        return Int64(bitPattern: value | ~UInt64(0) << UInt64(bits))
    }

    private mutating func longNumber() -> (value: UInt64, bits: Int) {
        var value: UInt64 = 0
        var bits = 0
        while index < end {
            let next = bytes[index]
            index += 1
            if bits < 64 { value |= UInt64(next & 0x7f) << UInt64(bits) }
            bits += 7
            if next < 0x80 { return (value, bits) }
        }
        fail()
        return (0, 64)
    }

    /// Skips a text and the zero that ends it.
    mutating func skipText() {
        while index < end {
            index += 1
            if bytes[index - 1] == 0 { return }
        }
        fail()
    }

    /// The bytes up to the next zero; nil if there is none.
    mutating func text() -> String? {
        let start = index
        skipText()
        return failed ? nil : String(decoding: bytes[start..<index - 1], as: UTF8.self)
    }
}
