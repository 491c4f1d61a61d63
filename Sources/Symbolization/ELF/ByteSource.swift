// SPDX-License-Identifier: Apache-2.0

/// Bytes to be read at offsets: a file's, or some in memory.
package enum ByteSource {
    case file(OpenFile)
    case memory([UInt8])

    /// How many there are now.
    package var size: UInt64 {
        switch self {
        case .file(let file): file.stamp?.size ?? 0
        case .memory(let bytes): UInt64(bytes.count)
        }
    }

    /// Exactly `count` bytes; nil if there are fewer.
    package func bytes(at offset: UInt64, count: Int) -> [UInt8]? {
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

    /// Reads at an offset until the buffer is full or the bytes end; returns how many were read.
    package func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Int {
        switch self {
        case .file(let file): return file.read(at: offset, into: buffer)
        case .memory(let bytes):
            let found = bytes.dropFirst(Int(clamping: offset)).prefix(buffer.count)
            buffer.copyBytes(from: found)
            return found.count
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

    /// The bytes from `offset` to the next zero, or to the end; at most `limit`.
    func string(at offset: Int, limit: Int = .max) -> ArraySlice<UInt8> {
        dropFirst(offset).prefix(limit).prefix { $0 != 0 }
    }

    /// Whether these bytes are at `offset`, and a zero or the end behind them. Looks at no more than that.
    func hasString(_ wanted: [UInt8], at offset: Int) -> Bool {
        guard offset <= count - wanted.count, self[offset...].starts(with: wanted) else { return false }
        return offset + wanted.count == count || self[offset + wanted.count] == 0
    }
}
