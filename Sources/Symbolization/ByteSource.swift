// SPDX-License-Identifier: Apache-2.0

/// Bytes to be read at offsets: a file's, or some in memory.
package enum ByteSource {
    case file(OpenFile)
    case memory([UInt8])

    /// How many there are now.
    var size: UInt64 {
        switch self {
        case .file(let file): file.stamp?.size ?? 0
        case .memory(let bytes): UInt64(bytes.count)
        }
    }

    /// Exactly `count` bytes; nil if there are fewer.
    func bytes(at offset: UInt64, count: Int) -> [UInt8]? {
        // Before memory is asked for: a size in a hostile header can be anything.
        guard count >= 0, offset <= size, UInt64(count) <= size - offset else { return nil }
        let found = bytes(at: offset, upTo: count)
        return found.count == count ? found : nil
    }

    /// At most `count` bytes, fewer at the end.
    package func bytes(at offset: UInt64, upTo count: Int) -> [UInt8] {
        switch self {
        case .file(let file):
            [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
                filled = file.read(at: offset, into: UnsafeMutableRawBufferPointer(buffer))
            }
        case .memory(let bytes):
            Array(bytes.dropFirst(Int(clamping: offset)).prefix(count))
        }
    }
}

extension [UInt8] {
    /// A little-endian number of the bytes at `offset`; nil if they are not all there.
    func number<Value: FixedWidthInteger & BitwiseCopyable>(_ type: Value.Type, at offset: Int) -> Value? {
        guard offset >= 0, offset <= count - MemoryLayout<Value>.size else { return nil }
        return withUnsafeBytes {
            Value(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: Value.self))
        }
    }

    /// The bytes from `offset` to the next zero, or to the end.
    func string(at offset: Int) -> ArraySlice<UInt8> {
        dropFirst(offset).prefix { $0 != 0 }
    }
}
