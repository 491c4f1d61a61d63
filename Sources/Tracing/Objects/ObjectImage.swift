// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import CZlib

/// A BPF object file that is part of this executable.
package struct ObjectImage {
    package let name: String
    /// Valid as long as this value or a copy of it.
    package let bytes: UnsafeRawBufferPointer
    /// nil if somebody else owns the bytes.
    let owner: Memory?

    final class Memory {
        let bytes: UnsafeMutableRawBufferPointer
        init(bytes count: Int) { bytes = .allocate(byteCount: count, alignment: 8) }
        deinit { bytes.deallocate() }
    }

    /// - Parameter bytes: must outlive the image.
    init(name: String, bytes: UnsafeRawBufferPointer) {
        self.name = name
        self.bytes = bytes
        owner = nil
    }

    private init(name: String, _ memory: Memory) {
        self.name = name
        bytes = UnsafeRawBufferPointer(memory.bytes)
        owner = memory
    }

    /// Every embedded object, in the order of their names.
    package static var all: [ObjectImage] { embedded.map(unpack) }

    /// The image with this name; asking for one that is not there is a mistake in the program.
    package static func named(_ name: String) -> ObjectImage {
        guard let object = embedded.first(where: { String(cString: $0.name) == name }) else {
            preconditionFailure("no BPF object named \(name) is embedded")
        }
        return unpack(object)
    }

    private static var embedded: [apus_object] {
        (0..<Int(apus_object_count)).map { apus_object_at(UInt($0)).pointee }
    }

    private static func unpack(_ object: apus_object) -> ObjectImage {
        let memory = Memory(bytes: Int(object.size))
        let bytes = memory.bytes
        var stream = z_stream()
        // 16: of gzip's format (zlib manual, inflateInit2)
        var code = inflateInit2_(
            &stream, MAX_WBITS + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        stream.next_in = UnsafeMutablePointer(mutating: object.packed)
        stream.avail_in = UInt32(object.packed_size)
        stream.next_out = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
        stream.avail_out = UInt32(bytes.count)
        if code == Z_OK { code = inflate(&stream, Z_FINISH) }
        inflateEnd(&stream)
        precondition(code == Z_STREAM_END && stream.avail_out == 0, "an embedded object is damaged")
        return ObjectImage(name: String(cString: object.name), memory)
    }
}
