// SPDX-License-Identifier: Apache-2.0

/// The sections of a 64-bit little-endian ELF file (elf(5)), as far as tests need them.
struct ELFSections {
    private struct Header {
        let name: Int
        let offset: Int
        let size: Int
    }

    private let bytes: UnsafeRawBufferPointer
    private var headers: [Header] = []
    private var names = 0

    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
        let table = Int(load(0x28, UInt64.self))
        let entry = Int(load(0x3a, UInt16.self))
        for index in 0..<Int(load(0x3c, UInt16.self)) {
            let at = table + index * entry
            headers.append(
                Header(
                    name: Int(load(at, UInt32.self)), offset: Int(load(at + 0x18, UInt64.self)),
                    size: Int(load(at + 0x20, UInt64.self))))
        }
        names = headers[Int(load(0x3e, UInt16.self))].offset
    }

    private func load<Value: FixedWidthInteger & BitwiseCopyable>(_ at: Int, _ type: Value.Type) -> Value {
        Value(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: type))
    }

    func contents(_ name: String) -> String? {
        let header = headers.first { header in
            String(decoding: bytes[(names + header.name)...].prefix { $0 != 0 }, as: UTF8.self) == name
        }
        return header.map { String(decoding: bytes[$0.offset..<$0.offset + $0.size], as: UTF8.self) }
    }
}
