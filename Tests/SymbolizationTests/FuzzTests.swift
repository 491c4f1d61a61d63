// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

@testable import Symbolization

/// Damaged input: nothing may crash, hang, or take unbounded memory. What comes out does not matter.
///
/// Short; APUS_FUZZ_SECONDS=20 goes on for that long for each reader, APUS_FUZZ_SEED=1 and so on elsewhere.
@Suite struct FuzzTests {
    private static let environment = ProcessInfo.processInfo.environment
    private let seconds = Double(environment["APUS_FUZZ_SECONDS"] ?? "") ?? 0
    private let seed = UInt64(environment["APUS_FUZZ_SEED"] ?? "") ?? 42

    /// Runs `body` with damaged copies of the inputs.
    private func fuzz(_ inputs: [[UInt8]], rounds: Int, _ body: ([UInt8], inout SeededGenerator) -> Void) {
        var random = SeededGenerator(seed: seed)
        let end = monotonicNanoseconds() + UInt64(seconds * 1e9)
        var round = 0
        while round < rounds || monotonicNanoseconds() < end {
            var bytes = inputs[round % inputs.count]
            for _ in 0...random.below(6) where !bytes.isEmpty { random.damage(&bytes) }
            let start = cpuSeconds()
            body(bytes, &random)
            let took = cpuSeconds() - start
            #expect(took < 5, "round \(round) of seed \(seed)")
            round += 1
        }
    }

    @Test func files() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.file("target")
        try Target.build(path, ["-Os", "-s"])
        try output("objcopy", "--add-gnu-debuglink=/bin/sh", path)
        let real = try Data(contentsOf: URL(fileURLWithPath: path))
        let symbols = (0..<20).map {
            ELFImage.Symbol(name: "f\($0)", value: 0x1000 + UInt64($0) * 8, size: 12)
        }
        let made = [true, false].flatMap { is64 in
            [true, false].map { ELFImage(symbols: symbols, is64: is64, usesExtendedCounts: $0).bytes }
        }
        fuzz(made + [Array(real)], rounds: 2000) { bytes, random in
            guard let elf = ELFFile(.memory(bytes)) else { return }
            let map = SegmentMap(elf)
            _ = (elf.buildID, elf.debugLink, elf.hasSymbols, elf.hasDebugInformation)
            var builder = SymbolIndexBuilder(limit: 1 << 16, code: elf.codeRanges())
            builder.add(elf, bias: random.below(2) == 0 ? 0 : random.next())
            builder.addLinkageStubs(elf)
            let index = builder.finishELF()
            for _ in 0..<20 {
                let address = random.below(2) == 0 ? UInt64(0x1000 + random.below(0x1000)) : random.next()
                _ = map.address(ofOffset: address)
                if let number = index.find(address) { _ = index.name(of: number) }
            }
        }
    }

    @Test func compressedSymbols() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.file("data")
        try String(repeating: "some text ", count: 2000).write(
            toFile: path, atomically: false, encoding: .utf8)
        try require(.tool("xz"))
        try output("xz", path)
        let packed = try Array(Data(contentsOf: URL(fileURLWithPath: path + ".xz")))
        #expect(decompressXZ(packed, limit: 1 << 20)?.count == 20_000)
        #expect(decompressXZ(packed, limit: 1000) == nil && decompressXZ([], limit: 1000) == nil)
        fuzz([packed], rounds: 500) { bytes, _ in
            #expect((decompressXZ(bytes, limit: 1 << 22)?.count ?? 0) <= 1 << 22)
        }
    }

    @Test func perfMaps() {
        let lines = (0..<40).map { "\(String($0 * 48 + 0x1000, radix: 16)) 40 function \($0)\n" }
        fuzz([Array(lines.joined().utf8)], rounds: 3000) { bytes, random in
            let entries = PerfMapEntries(bytes, limit: 100)
            for _ in 0..<20 {
                let found = entries.find(
                    random.below(2) == 0 ? UInt64(0x1000 + random.below(2048)) : random.next())
                if let found { #expect(found.name.upperBound <= UInt64(bytes.count)) }
            }
        }
    }

    @Test func listings() throws {
        let maps = try Array(Data(contentsOf: URL(fileURLWithPath: "/proc/self/maps"))).prefix(4000)
        fuzz([Array(maps)], rounds: 1000) { bytes, _ in
            for mapping in Mapping.executable(in: bytes) { _ = (mapping.cleanPath, mapping.linkName) }
        }
        let symbols =
            "ffffffff81000000 T a\nffffffff81000100 t b\t[m]\nffffffff81000200 D c\nffffffff81000300 W d\n"
        fuzz([Array(symbols.utf8)], rounds: 2000) { bytes, random in
            let index = KernelSymbols.index(bytes, limit: 1000)
            for _ in 0..<10 {
                if let number = index.find(0xffff_ffff_8100_0000 + UInt64(random.below(0x400))) {
                    _ = index.name(of: number)
                }
            }
        }
    }

    @Test func names() {
        let demangler = Demangler()
        let names = [
            "_RINvC1a1fDG0_INtC1b1TRL1_hRL0_hEEL_E", "_RINvC1a1fKVNtB2_1SS1xj1_EE",
            "_RNCNvCsgStHSCytQ6I_7mycrate4main0B3_",
            "_RNqCs4fqI2P2rA04_11utf8_identsu30____7hkackfecea1cbdathfdh9hlq6y",
            "_RINvC1a1fFK10aapcs_unwdEzE",
            "_ZN63_$LT$core..ptr..Unique$LT$T$GT$$u20$as$u20$core..ops..Deref$GT$5deref17h19f2ad4920655e85E",
            "_ZNSt6vectorISt4pairINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEiESaIS7_EE12emplace_backIJRKS6_iEEERS7_DpOT_",
            "_ZZN5outerIiE3fooIJidEEEvDpT_ENKUlvE_clEv",
            "$sSS7cStringSSSPys4Int8VG_tcfC", "$s1b1QV1fyyAA1PVyAFyAFyS2iGAGGAHGF",
            "$s10Foundation4DataV06InlineB0V9capacityAESi_tcfC", "$sSayxGSTsSTl9makeIterator0A0QzyFTW",
        ].map { Array($0.utf8) }
        fuzz(names, rounds: 3000) { bytes, _ in _ = demangler.text(of: bytes.filter { $0 != 0 }) }
    }
}
