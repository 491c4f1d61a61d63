// SPDX-License-Identifier: Apache-2.0
#if canImport(CZlib)
    internal import CZlib
#endif
#if canImport(CZstd)
    internal import CZstd
#endif

/// Decompresses sections piece by piece: neither what goes in nor what comes out need be held twice.
struct DWARFDecompression {
    /// Reads compressed bytes at an offset; returns how many.
    let read: (UInt64, UnsafeMutableRawBufferPointer) -> Int
    let offset: UInt64
    let count: UInt64
    /// How many bytes must come out.
    let size: Int

    private static let chunkSize = 1 << 17

    /// Feeds `use` with pieces of the input until it says that it wants no more.
    private func feed(_ use: (UnsafeMutableRawBufferPointer) -> Bool) {
        let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.chunkSize, alignment: 16)
        defer { chunk.deallocate() }
        var done: UInt64 = 0
        while done < count {
            let wanted = Int(min(count - done, UInt64(chunk.count)))
            let filled = read(
                offset + done, UnsafeMutableRawBufferPointer(rebasing: chunk[..<wanted]))
            guard filled > 0 else { return }
            done += UInt64(filled)
            guard use(UnsafeMutableRawBufferPointer(rebasing: chunk[..<filled])) else { return }
        }
    }

    /// Exactly `size` bytes that `fill` puts into the buffer and counts.
    private func output(_ fill: (UnsafeMutableBufferPointer<UInt8>) -> Int) -> [UInt8]? {
        let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, filled in filled = fill(buffer) }
        return bytes.count == size ? bytes : nil
    }

    /// zlib (ELFCOMPRESS_ZLIB, and .zdebug_); nil if damaged.
    func inflated() -> [UInt8]? {
        #if canImport(CZlib)
            guard size <= Int(UInt32.max) else { return nil }
            var stream = z_stream()
            guard inflateInit_(&stream, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
                return nil
            }
            defer { inflateEnd(&stream) }
            return output { buffer in
                stream.next_out = buffer.baseAddress
                stream.avail_out = UInt32(size)
                feed { Self.inflate(&stream, $0) }
                return size - Int(stream.avail_out)
            }
        #else
            return nil
        #endif
    }

    #if canImport(CZlib)
        /// Uses up a piece of the input; false if that is not possible.
        private static func inflate(_ stream: inout z_stream, _ input: UnsafeMutableRawBufferPointer) -> Bool
        {
            stream.next_in = input.baseAddress?.assumingMemoryBound(to: UInt8.self)
            stream.avail_in = UInt32(input.count)
            while stream.avail_in > 0, stream.avail_out > 0 {
                let code = CZlib.inflate(&stream, Z_NO_FLUSH)
                // Linkers that merge sections leave several streams one after the other.
                if code == Z_STREAM_END, inflateReset(&stream) == Z_OK { continue }
                guard code == Z_OK else { return false }
            }
            return stream.avail_out > 0
        }
    #endif

    /// Zstandard (ELFCOMPRESS_ZSTD); nil if damaged.
    func unpacked() -> [UInt8]? {
        #if canImport(CZstd)
            guard let context = ZSTD_createDCtx() else { return nil }
            defer { ZSTD_freeDCtx(context) }
            // The window is memory that the input asks for: not more than 8 MB, or than what comes out.
            let bits = min(max(Int.bitWidth - size.leadingZeroBitCount, 23), 27)
            guard ZSTD_isError(ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, Int32(bits))) == 0 else {
                return nil
            }
            return output { buffer in
                var out = ZSTD_outBuffer(dst: buffer.baseAddress, size: size, pos: 0)
                feed { input in
                    var source = ZSTD_inBuffer(src: input.baseAddress, size: input.count, pos: 0)
                    while source.pos < source.size, out.pos < out.size {
                        guard ZSTD_isError(ZSTD_decompressStream(context, &out, &source)) == 0 else {
                            return false
                        }
                    }
                    return out.pos < out.size
                }
                // The last bytes may still be inside.
                var none = ZSTD_inBuffer(src: nil, size: 0, pos: 0)
                var before = -1
                while out.pos < out.size, out.pos != before {
                    before = out.pos
                    guard ZSTD_isError(ZSTD_decompressStream(context, &out, &none)) == 0 else { break }
                }
                return out.pos
            }
        #else
            return nil
        #endif
    }
}
