// SPDX-License-Identifier: Apache-2.0
internal import CSymbolization

/// Decompresses an .xz stream; nil if it is damaged, or longer than `limit` bytes.
func decompressXZ(_ bytes: [UInt8], limit: Int) -> [UInt8]? {
    var stream = lzma_stream()
    // "xz -9" takes 64 MiB and a bit; a header may ask for 4 GiB.
    guard lzma_stream_decoder(&stream, 96 << 20, 0) == LZMA_OK else { return nil }
    defer { lzma_end(&stream) }
    var output: [UInt8] = []
    let chunk = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: 1 << 16)
    defer { chunk.deallocate() }
    return bytes.withUnsafeBufferPointer { input in
        stream.next_in = input.baseAddress
        stream.avail_in = input.count
        while output.count < limit {
            stream.next_out = chunk.baseAddress
            stream.avail_out = chunk.count
            let status = lzma_code(&stream, LZMA_FINISH)
            output.append(contentsOf: chunk.prefix(chunk.count - stream.avail_out))
            if status == LZMA_STREAM_END { return output.count <= limit ? output : nil }
            // LZMA_BUF_ERROR is the answer to input that ends early.
            guard status == LZMA_OK else { return nil }
        }
        return nil
    }
}

/// The CRC-32 of a whole file (the one of IEEE 802.3, as .gnu_debuglink has it); nil if it has more than 4 GiB.
func checksum(of source: ByteSource) -> UInt32? {
    guard source.size <= 1 << 32 else { return nil }
    var sum: UInt32 = 0
    var position: UInt64 = 0
    while position <= 1 << 32 {
        let bytes = source.bytes(at: position, upTo: 1 << 18)
        guard !bytes.isEmpty else { return sum }
        sum = lzma_crc32(bytes, bytes.count, sum)
        position += UInt64(bytes.count)
    }
    return nil
}
