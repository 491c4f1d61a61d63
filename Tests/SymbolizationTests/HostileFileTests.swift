// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

@testable import Symbolization

/// Files with numbers at which something ends, or made to cost much: nothing may crash, hang, or take unbounded memory.
///
/// Short; APUS_FUZZ_SECONDS=20 goes on for that long, APUS_FUZZ_SEED=1 and so on elsewhere.
@Suite(.serialized) struct HostileFileTests {
    private static let environment = ProcessInfo.processInfo.environment
    private let seconds = Double(environment["APUS_FUZZ_SECONDS"] ?? "") ?? 0
    private let seed = UInt64(environment["APUS_FUZZ_SEED"] ?? "") ?? 42
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    /// All that is asked of a file whose code was met.
    private func read(_ path: String, at addresses: [UInt64]) throws {
        let file = try #require(OpenFile(path: path))
        let lines = DWARFLines(memoryLimit: 64 << 20)
        let reader = LocalReader(SymbolizerOptions(memoryLimit: 128 << 20), lines: lines)
        guard let elf = ELFFile(.file(file)), let facts = reader.facts(of: .file(file)) else { return }
        let search = DebugFileSearch(root: nil, debugRoot: "/nowhere", reader: reader)
        let module = Module(
            number: 1, path: path, source: .file(file), facts: facts,
            debugFile: search.find(for: facts, identity: file.identity, path: path), reader: reader)
        _ = (elf.linkerStubs, elf.hasSymbols, elf.hasDebugInformation)
        for address in addresses {
            let place = module.segments.address(ofOffset: address) ?? address
            _ = module.segments.codeAddress(ofOffset: address, bytes: address)
            for named in reader.names(at: [place, address].map { CodePlace(module: module, address: $0) }) {
                #expect(!named.names.isEmpty && named.names.count <= DWARFLimits.inlineDepth + 1)
                #expect(named.names.allSatisfy { ($0.function ?? "").utf8.count <= 1 << 16 })
            }
        }
        #expect(reader.effort.bytesHeld < 256 << 20 && lines.statistics.bytesHeld < 128 << 20)
    }

    @Test(arguments: HostileKind.all) func kinds(kind: HostileKind) throws {
        let path = try directory.file(kind.name)
        let bytes = kind.bytes
        let began = cpuSeconds()
        if kind.isPerfMap {
            let entries = PerfMapEntries(bytes, limit: PerfMap.maximumEntries)
            let name = try #require(entries.find(0x2000_0000_0004)).name
            #expect(name.count <= NameTable.maximumLength && entries.bytesHeld < 64 << 20)
        } else {
            try Data(bytes).write(to: URL(fileURLWithPath: path))
            try place(kind, at: path)
            try read(path, at: [HostileELF.codePlace, HostileELF.codePlace + 7, 0, .max, .max - 0x1000 + 4])
        }
        // Of a debug build, on a machine that does other things as well.
        #expect(cpuSeconds() - began < 30)
    }

    private func place(_ kind: HostileKind, at path: String) throws {
        if kind.length > 0 { #expect(truncate(path, Int(kind.length)) == 0) }
        switch kind.companion {
        case nil: break
        case .pipe(let name): #expect(mkfifo(try directory.file(name), 0o600) == 0)
        case .large(let name, let size):
            try Data(HostileELF().bytes).write(to: URL(fileURLWithPath: try directory.file(name)))
            #expect(truncate(try directory.file(name), Int(size)) == 0)
        }
    }

    @Test func structures() throws {
        var random = SeededGenerator(seed: seed)
        let path = try directory.file("structures")
        let end = monotonicNanoseconds() + UInt64(seconds * 1e9)
        var round = 0
        while round < 1500 || monotonicNanoseconds() < end {
            let bytes = HostileELF.random(&random).bytes
            try Data(bytes).write(to: URL(fileURLWithPath: path))
            let began = cpuSeconds()
            try read(
                path,
                at: [HostileELF.codePlace + 4, random.extreme(), random.extreme(near: [0x1000, 0x10_0000])])
            #expect(cpuSeconds() - began < 10, "round \(round) of seed \(seed)")
            round += 1
        }
    }

    @Test func perfMaps() {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<2000 {
            let lines = (0..<random.below(30)).map { _ in
                let (start, size) = (random.extreme(near: [0x1000]), random.extreme(near: [0x1000]))
                return "\(String(start, radix: 16)) \(String(size, radix: 16)) name\n"
            }
            let bytes = Array(lines.joined().utf8)
            let entries = PerfMapEntries(bytes, limit: 1000)
            for _ in 0..<20 {
                if let found = entries.find(random.extreme(near: [0x1000])) {
                    _ = bytes[Int(found.name.lowerBound)..<Int(found.name.upperBound)]
                }
            }
        }
    }

    /// Lines of /proc/PID/maps and of kallsyms.
    @Test func listings() {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<1000 {
            var text = ""
            var symbols = ""
            for _ in 0..<random.below(20) {
                let numbers = (0..<5).map { _ in String(random.extreme(near: [0x1000]), radix: 16) }
                text +=
                    "\(numbers[0])-\(numbers[1]) r-xp \(numbers[2]) \(numbers[3]):\(numbers[4]) 99999 /x\n"
                symbols += "\(numbers[0]) \(["T", "t", "W", "D", "A"][random.below(5)]) f\(numbers[1])\t[m]\n"
            }
            for mapping in Mapping.executable(in: Array(text.utf8)) {
                _ = (mapping.cleanPath, mapping.linkName)
                _ = mapping.part(from: random.extreme(), to: random.extreme())
            }
            let index = KernelSymbols.index(Array(symbols.utf8), limit: 1000)
            for _ in 0..<10 { if let number = index.find(random.extreme()) { _ = index.name(of: number) } }
        }
    }

    /// Mappings that events tell of, in any order.
    @Test func mappings() throws {
        var random = SeededGenerator(seed: seed)
        let image = ProcessImage(since: 0)
        for _ in 0..<5000 {
            let code = CodeMapping(
                start: random.extreme(near: [0x1000, 0x8000]),
                length: random.extreme(near: [0x1000, 0x8000]),
                offset: random.extreme(), major: 0, minor: 0, inode: 0, generation: 0, path: "//anon")
            guard let mapping = Mapping(code) else { continue }
            _ = image.add(ProcessImage.Region(mapping: mapping, content: .other, name: "[anon]"), at: 0)
            for region in [image.region(at: random.extreme()), image.region(at: code.start)] {
                #expect(region.map { $0.mapping.start < $0.mapping.end } ?? true)
            }
        }
        let ends = image.allRegions.map { ($0.mapping.start, $0.mapping.end) }
        #expect(zip(ends, ends.dropFirst()).allSatisfy { $0.1 <= $1.0 })
    }
}
