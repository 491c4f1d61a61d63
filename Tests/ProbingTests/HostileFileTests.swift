// SPDX-License-Identifier: Apache-2.0
import Foundation
import Symbolization
import TestSupport
import Testing

@testable import Probing

/// Files with numbers at which something ends, or made to cost much: what is looked for in them to be probed.
///
/// Short; APUS_FUZZ_SECONDS=20 goes on for that long, APUS_FUZZ_SEED=1 and so on elsewhere.
@Suite(.serialized) struct HostileFileTests {
    private static let environment = ProcessInfo.processInfo.environment
    private let seconds = Double(environment["APUS_FUZZ_SECONDS"] ?? "") ?? 0
    private let seed = UInt64(environment["APUS_FUZZ_SEED"] ?? "") ?? 42

    private func read(_ source: ByteSource) {
        guard let elf = ELFFile(source) else { return }
        if let allocator = Allocator(elf, names: AllocatorNames()) {
            #expect(allocator.functions.count <= 1 << 10)
        }
        for probe in StaticProbe.find(in: elf) { #expect(!probe.name.isEmpty) }
        let ends = FunctionEnds(elf)
        for places in [false, true] {
            for function in UserFunction.find(in: elf, places: places, where: { _ in true }) {
                #expect(!function.name.isEmpty && function.distance >= 0)
                if places { #expect(ends.of(function.address).returns.count <= 1 << 16) }
            }
        }
    }

    @Test(arguments: HostileKind.all.filter { !$0.isPerfMap }) func kinds(kind: HostileKind) throws {
        let path = NSTemporaryDirectory() + "apus-hostile-\(UUID().uuidString)"
        defer { unlink(path) }
        try Data(kind.bytes).write(to: URL(fileURLWithPath: path))
        if kind.length > 0 { #expect(truncate(path, Int(kind.length)) == 0) }
        let began = cpuSeconds()
        read(.file(try #require(OpenFile(path: path))))
        // Of a debug build, on a machine that does other things as well.
        #expect(cpuSeconds() - began < 60)
    }

    @Test func structures() {
        var random = SeededGenerator(seed: seed)
        let end = ProcessInfo.processInfo.systemUptime + seconds
        var round = 0
        while round < 2000 || ProcessInfo.processInfo.systemUptime < end {
            var file = HostileELF.random(&random)
            // Code that is looked into: what does nothing, then what is emulated; calls and jumps anywhere.
            let code: [UInt8] = [
                0x31, 0xc0, 0x90, 0x55, 0xe8, 0xff, 0xff, 0xff, 0x7f, 0x0f, 0x84, 0, 0, 0, 0x80, 0xc3,
            ]
            if random.below(2) == 0 {
                file.code = (0..<200).map { _ in code[random.below(code.count)] }
            }
            let bytes = file.bytes
            let began = cpuSeconds()
            read(.memory(bytes))
            #expect(cpuSeconds() - began < 10, "round \(round) of seed \(seed)")
            round += 1
        }
    }

    /// A probe behind the last instruction of all addresses.
    @Test func functionsAtTheEndOfAllAddresses() {
        var file = HostileELF()
        file.code = [0x31, 0xc0, 0x55, 0xc3]
        let address = UInt64.max - 1
        file.segments = [HostileELF.Segment(1, flags: 5, offset: 0x1000, address: address, size: 0x100)]
        file.add(["f", "malloc", "free"].map { HostileELF.Symbol($0, address, size: 4) })
        read(.memory(file.bytes))
    }
}
