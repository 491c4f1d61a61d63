// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// Text under construction, as bytes.
///
/// A class over raw memory and free of generics, because rows are written here by the hundred thousand a second:
/// the same with `[UInt8]` and generic numbers took three times as long.
package final class ByteWriter {
    private var storage: UnsafeMutableRawBufferPointer
    package private(set) var count = 0

    package init(capacity: Int = 256) {
        storage = .allocate(byteCount: max(64, capacity), alignment: 16)
    }

    deinit { storage.deallocate() }

    /// What has been written; valid until something else is.
    package var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: storage[..<count]) }

    /// A copy as text.
    package var text: String { String(decoding: bytes, as: UTF8.self) }

    package func removeAll() { count = 0 }

    /// Room for `more` bytes behind what is there.
    @inline(__always)
    private func end(room more: Int) -> UnsafeMutableRawPointer {
        if count + more > storage.count { grow(by: more) }
        // The allocation is never empty.
        return storage.baseAddress.unsafelyUnwrapped + count
    }

    private func grow(by more: Int) {
        let larger = UnsafeMutableRawBufferPointer.allocate(
            byteCount: max(storage.count * 2, count + more), alignment: 16)
        larger.copyMemory(from: bytes)
        storage.deallocate()
        storage = larger
    }

    @inline(__always)
    package func append(_ byte: UInt8) {
        end(room: 1).storeBytes(of: byte, as: UInt8.self)
        count += 1
    }

    package func append(_ text: UnsafeRawBufferPointer) {
        guard let source = text.baseAddress else { return }
        memcpy(end(room: text.count), source, text.count)
        count += text.count
    }

    package func append(_ text: StaticString) {
        text.withUTF8Buffer { append(UnsafeRawBufferPointer($0)) }
    }

    package func append(_ text: String) {
        var text = text
        text.withUTF8 { append(UnsafeRawBufferPointer($0)) }
    }

    package func append(repeating byte: UInt8, count times: Int) {
        guard times > 0 else { return }
        memset(end(room: times), Int32(byte), times)
        count += times
    }

    /// Inserts `times` times `byte` before the byte at `index`: how a right-aligned cell is padded.
    package func insert(repeating byte: UInt8, count times: Int, at index: Int) {
        guard times > 0 else { return }
        let start = end(room: times) - (count - index)
        memmove(start + times, start, count - index)
        memset(start, Int32(byte), times)
        count += times
    }

    /// - Parameters:
    ///   - radix: 2 to 16.
    ///   - minimumDigits: zeros are put in front up to this many digits, 64 at most.
    package func appendNumber(_ value: UInt64, radix: UInt64 = 10, minimumDigits: Int = 1) {
        var digits = 1
        var rest = value / radix
        while rest > 0 {
            digits += 1
            rest /= radix
        }
        digits = max(digits, min(minimumDigits, 64))
        var at = end(room: digits) + digits
        count += digits
        rest = value
        for _ in 0..<digits {
            let digit = UInt8(truncatingIfNeeded: rest % radix)
            at -= 1
            at.storeBytes(of: digit < 10 ? 48 + digit : 87 + digit, as: UInt8.self)
            rest /= radix
        }
    }

    package func appendNumber(_ value: Int64) {
        if value < 0 { append(UInt8(ascii: "-")) }
        appendNumber(value.magnitude)
    }
}
