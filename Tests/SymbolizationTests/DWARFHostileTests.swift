// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

@testable import Symbolization

/// Files made to cost much: what they cost is bounded.
///
/// Large with APUS_FUZZ_SECONDS=20 or more, which is for optimized builds.
@Suite(.serialized) struct DWARFHostileTests {
    private typealias Kind = (tag: UInt64, children: Bool, pairs: [(UInt64, UInt64)])

    private let size = DWARFTools.isThorough ? 60 << 20 : 1 << 16
    /// Per lookup.
    private let patience = DWARFTools.isThorough ? 6.0 : 15.0
    /// A unit from 0x1000 on, of 64 KB.
    private let unitKind: Kind = (0x11, true, [(0x11, 0x01), (0x12, 0x07)])
    private let unit: [UInt8] = [1] + Self.pair(0x1000, 0x10000)

    private static func pair(_ one: UInt64, _ other: UInt64) -> [UInt8] {
        var bytes = DWARFBytes()
        bytes.number(one)
        bytes.number(other)
        return bytes.bytes
    }

    private func report(_ seconds: Double, _ function: String = #function) {
        if DWARFTools.isThorough { print("\(function): \(seconds) s") }
    }

    private func table(_ kinds: Kind...) -> [UInt8] { DWARFImage.abbreviations([unitKind] + kinds) }

    @Test func originsThatGoInCircles() throws {
        // Unit-relative: the header has 12 bytes, the unit's entry 17.
        let function: Kind = (0x2e, false, [(0x11, 0x01), (0x12, 0x07), (0x31, 0x13)])
        var entry = DWARFBytes()
        entry.bytes = [2] + Self.pair(0x1000, 0x10)
        entry.number(UInt32(12 + 17))
        let image = DWARFImage(abbreviations: table(function), entries: unit + entry.bytes + [0])
        let (frames, _) = try image.lookUp()
        #expect(frames.count == 1)
        #expect(frames.first?.function == nil)
        #expect(frames.first?.inlined == false)
    }

    @Test func manyFunctionsWithOneLongRangeList() throws {
        let function: Kind = (0x2e, false, [(0x55, 0x17)])
        let entries = (0..<size / 64).flatMap { _ in [2, 12, 0, 0, 0] as [UInt8] }
        var list = DWARFBytes()
        list.bytes = [UInt8](repeating: 0, count: 12)
        for _ in 0..<size / 17 { list.bytes += [7] + Self.pair(0x1000, 0x10).prefix(8) + [1] }
        let image = DWARFImage(
            abbreviations: table(function), entries: unit + entries + [0], ["rnglists": list.bytes])
        let seconds = try image.lookUp().seconds
        #expect(seconds < patience)
        report(seconds)
    }

    @Test func rangesWhoseAddressesAreFarApart() throws {
        let function: Kind = (0x2e, false, [(0x55, 0x17)])
        var list = DWARFBytes()
        list.bytes = [UInt8](repeating: 0, count: 12)
        var generator = SeededGenerator(seed: 3)
        for _ in 0..<size / 8 {
            list.bytes.append(3)
            list.unsigned(UInt64.random(in: 0..<UInt64(size / 8), using: &generator))
            list.bytes.append(1)
        }
        let image = DWARFImage(
            abbreviations: table(function), entries: unit + [2, 12, 0, 0, 0, 0],
            ["rnglists": list.bytes, "addr": [UInt8](repeating: 0, count: size)])
        let seconds = try image.lookUp().seconds
        #expect(seconds < patience)
        report(seconds)
    }

    @Test func deepNesting() throws {
        let block: Kind = (0x0b, true, [])
        let inlined: Kind = (0x1d, true, [(0x11, 0x01), (0x12, 0x07)])
        for (kind, entry) in [(block, [2]), (inlined, [2] + Self.pair(0x1000, 0x1000))] {
            let entries = [[UInt8]](repeating: entry, count: size / entry.count).flatMap(\.self)
            let image = DWARFImage(abbreviations: table(kind), entries: unit + entries)
            let (frames, seconds) = try image.lookUp()
            #expect(seconds < patience)
            report(seconds)
            #expect(frames.count <= DWARFLimits.inlineDepth + 1)
            #expect(frames.last?.inlined != true)
        }
    }

    @Test func attributesWithoutBytes() throws {
        let pairs = [(UInt64, UInt64)](repeating: (0x3f, 0x19), count: 127)
        let function: Kind = (0x2e, false, pairs)
        let entries = [UInt8](repeating: 2, count: size)
        let image = DWARFImage(abbreviations: table(function), entries: unit + entries + [0])
        let seconds = try image.lookUp().seconds
        #expect(seconds < patience)
        report(seconds)
    }

    @Test func unitsWithoutEnd() throws {
        // Each has a table of its own, that overlaps those of the others.
        let count = size / 16
        let abbreviations = DWARFImage.abbreviations(
            (0..<count / 4).map { _ in (0x34, false, [(0x11, 0x01)]) as Kind })
        var image = DWARFImage(abbreviations: abbreviations, entries: [])
        image.sections["info"] = (0..<count).flatMap {
            DWARFImage.unit([1, 0], abbreviations: UInt32($0 % abbreviations.count))
        }
        let seconds = try image.lookUp().seconds
        #expect(seconds < patience)
        report(seconds)
    }

    @Test func lineProgramsWithoutEnd() throws {
        let unitKind: Kind = (0x11, false, [(0x11, 0x01), (0x12, 0x07), (0x10, 0x17)])
        for opcode in [0x20, 1, 3, 0] as [UInt8] {
            var header = DWARFBytes()
            header.bytes = [1, 1, 1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0]
            var program = DWARFBytes()
            program.bytes = [0, 9, 2]
            program.number(UInt64(0x1000))
            program.bytes += [UInt8](repeating: opcode, count: size) + [2, 4, 0, 1, 1]
            var line = DWARFBytes()
            line.number(UInt32(8 + header.bytes.count + program.bytes.count))
            line.number(UInt16(5))
            line.bytes += [8, 0]
            line.number(UInt32(header.bytes.count))
            line.bytes += header.bytes + program.bytes
            let image = DWARFImage(
                abbreviations: DWARFImage.abbreviations([unitKind]), entries: unit + [0, 0, 0, 0, 0],
                ["line": line.bytes])
            let seconds = try image.lookUp().seconds
            #expect(seconds < patience)
            report(seconds)
        }
    }

    @Test func compressedBytesThatSayTheyAreMany() throws {
        for method in [1, 2] as [UInt32] {
            for claimed in [UInt64.max, 1 << 40, 1 << 28, 100] {
                var bytes = DWARFBytes()
                bytes.number(method)
                bytes.number(UInt32(0))
                bytes.number(claimed)
                bytes.number(UInt64(1))
                bytes.bytes += [0x78, 0x9c] + [UInt8](repeating: 0x55, count: 1000)
                var image = DWARFImage(abbreviations: bytes.bytes, entries: [])
                image.sections["info"] = bytes.bytes
                image.flags = 0x800
                let (frames, seconds) = try image.lookUp()
                #expect(frames.isEmpty)
                #expect(seconds < patience)
            }
        }
    }

    @Test func sectionsThatAreCutShort() throws {
        let directory = DWARFTools.Directory()
        let function: Kind = (0x2e, false, [(0x11, 0x01), (0x12, 0x07), (0x03, 0x08)])
        let entries = unit + [2] + Self.pair(0x1000, 0x10) + Array("name\0\0".utf8)
        let path = directory.file("image")
        try DWARFImage(abbreviations: table(function), entries: entries).write(to: path)
        let whole = try Data(contentsOf: URL(fileURLWithPath: path))
        let module = try DWARFOpenModule(path)
        #expect(DWARFLines().lines(module: module.identity, address: 0x1004).first?.function == "name")
        for count in stride(from: 0, to: whole.count, by: 3) {
            // The file is cut while it is known: what was read of it stays, the rest is gone.
            try whole.write(to: URL(fileURLWithPath: path))
            let module = try DWARFOpenModule(path)
            let provider = DWARFLines()
            _ = provider.lines(module: module.identity, address: 0x9000)
            truncate(path, count)
            _ = provider.lines(module: module.identity, address: 0x1004)
            _ = DWARFLines().lines(module: module.identity, address: 0x1004)
        }
    }
}
