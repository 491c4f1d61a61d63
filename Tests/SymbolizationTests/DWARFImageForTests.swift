// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

@testable import Symbolization

/// Bytes put together by hand, little-endian.
struct DWARFBytes {
    var bytes: [UInt8] = []

    mutating func number(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func unsigned(_ value: UInt64) {
        var value = value
        repeat {
            bytes.append(UInt8(value & 0x7f) | (value > 0x7f ? 0x80 : 0))
            value >>= 7
        } while value > 0
    }

    mutating func text(_ text: String) { bytes += Array(text.utf8) + [0] }
}

/// An ELF file made by hand, with code from 0x1000 to 0x101000 and whatever DWARF a test wants.
struct DWARFImage {
    /// By name, without `.debug_`.
    var sections: [String: [UInt8]]
    /// Section flags; SHF_COMPRESSED is 0x800.
    var flags: UInt64 = 0

    /// Wraps entries in one unit of version 5, with its own abbreviations.
    init(abbreviations: [UInt8], entries: [UInt8], _ others: [String: [UInt8]] = [:]) {
        sections = others
        sections["abbrev"] = abbreviations
        sections["info"] = Self.unit(entries)
    }

    static func unit(_ entries: [UInt8], abbreviations: UInt32 = 0) -> [UInt8] {
        var unit = DWARFBytes()
        unit.number(UInt32(8 + entries.count))
        unit.number(UInt16(5))
        unit.bytes += [1, 8]
        unit.number(abbreviations)
        return unit.bytes + entries
    }

    /// A table of abbreviations: tag, children, and pairs of attribute and form.
    static func abbreviations(_ kinds: [(tag: UInt64, children: Bool, pairs: [(UInt64, UInt64)])]) -> [UInt8]
    {
        var table = DWARFBytes()
        for (index, kind) in kinds.enumerated() {
            table.unsigned(UInt64(index + 1))
            table.unsigned(kind.tag)
            table.bytes.append(kind.children ? 1 : 0)
            for (name, form) in kind.pairs + [(0, 0)] {
                table.unsigned(name)
                table.unsigned(form)
            }
        }
        return table.bytes + [0]
    }

    /// Writes the file.
    func write(to path: String) throws {
        var file = DWARFBytes()
        var headers = DWARFBytes()
        var names: [UInt8] = [0]
        file.bytes = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1] + [UInt8](repeating: 0, count: 57)
        func section(
            _ name: String, type: UInt32, flags: UInt64, address: UInt64, size: Int, _ bytes: [UInt8]
        ) {
            headers.number(UInt32(names.count))
            names += Array(name.utf8) + [0]
            headers.number(type)
            for value in [flags, address, UInt64(file.bytes.count), UInt64(size)] { headers.number(value) }
            for _ in 0..<3 { headers.number(UInt64(0)) }
            file.bytes += bytes
        }
        section("", type: 0, flags: 0, address: 0, size: 0, [])
        section(".text", type: 8, flags: 6, address: 0x1000, size: 0x100000, [])
        for (name, bytes) in sections.sorted(by: { $0.key < $1.key }) {
            section(".debug_" + name, type: 1, flags: flags, address: 0, size: bytes.count, bytes)
        }
        let count = UInt16(sections.count + 3)
        let nameTable = names + Array(".names\0".utf8)
        section(".names", type: 3, flags: 0, address: 0, size: nameTable.count, nameTable)
        var head = DWARFBytes()
        head.number(UInt16(3))
        head.number(UInt16(62))
        head.number(UInt32(1))
        for value in [0, 0, UInt64(file.bytes.count)] { head.number(value) }
        head.number(UInt32(0))
        for value in [64, 56, 0, 64, count, count - 1] as [UInt16] { head.number(value) }
        file.bytes.replaceSubrange(16..<64, with: head.bytes)
        try Data(file.bytes + headers.bytes).write(to: URL(fileURLWithPath: path))
    }

    /// What the reader makes of an address, and how many seconds of a CPU that took.
    func lookUp(
        _ address: UInt64 = 0x1000, memoryLimit: Int = 512 << 20
    ) throws -> (frames: [(function: String?, file: String, line: Int, inlined: Bool)], seconds: Double) {
        let directory = DWARFTools.Directory()
        try write(to: directory.file("image"))
        let module = try DWARFOpenModule(directory.file("image"))
        let provider = DWARFLines(memoryLimit: memoryLimit)
        let start = cpuSeconds()
        let frames = provider.lines(module: module.identity, address: address)
        return (frames, cpuSeconds() - start)
    }
}
