// SPDX-License-Identifier: Apache-2.0
internal import CZlib

/// zlib has refused; its own number for why.
package struct CompressionError: Error, Equatable {
    package let code: Int32
}

/// Appends the bytes as a gzip file. The same bytes give the same file: it holds no time and no name.
package func appendGzip(
    _ bytes: UnsafeRawBufferPointer, to writer: ByteWriter
) throws(CompressionError) {
    var stream = z_stream()
    // 15 bits of window, and 16 for the frame of gzip instead of zlib's.
    let begun = deflateInit2_(
        &stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
        Int32(MemoryLayout<z_stream>.size))
    guard begun == Z_OK else { throw CompressionError(code: begun) }
    defer { deflateEnd(&stream) }
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 16)
    defer { buffer.deallocate() }
    var rest = bytes[...]
    while true {
        // zlib counts in 32 bits.
        let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(1 << 30))
        rest = rest.dropFirst(piece.count)
        stream.next_in = UnsafeMutableRawPointer(mutating: piece.baseAddress)?
            .assumingMemoryBound(to: UInt8.self)
        stream.avail_in = UInt32(piece.count)
        let mode = rest.isEmpty ? Z_FINISH : Z_NO_FLUSH
        repeat {
            stream.next_out = buffer.baseAddress?.assumingMemoryBound(to: UInt8.self)
            stream.avail_out = UInt32(buffer.count)
            let code = deflate(&stream, mode)
            guard code != Z_STREAM_ERROR else { throw CompressionError(code: code) }
            writer.append(
                UnsafeRawBufferPointer(rebasing: buffer.dropLast(Int(stream.avail_out))))
        } while stream.avail_out == 0
        if rest.isEmpty { return }
    }
}

extension Profile {
    /// Writes a .pb.gz file, as `pprof` and most viewers of profiles read it.
    package func writePprof(to writer: ByteWriter, defaultValue: Int = 0) throws(CompressionError) {
        let plain = ByteWriter(capacity: 1 << 16)
        writeProtobuf(to: plain, defaultValue: defaultValue)
        try appendGzip(plain.bytes, to: writer)
    }
}
