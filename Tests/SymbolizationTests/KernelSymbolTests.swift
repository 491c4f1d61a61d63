// SPDX-License-Identifier: Apache-2.0
import Foundation
import Processes
import TestSupport
import Testing

@testable import Symbolization

@Suite struct KernelSymbolTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func write(_ text: String, to name: String = "kallsyms") throws {
        try text.write(toFile: directory.file(name), atomically: false, encoding: .utf8)
    }

    private var symbolizer: Symbolizer {
        Symbolizer(options: SymbolizerOptions(), proc: ProcFS(root: directory.path))
    }

    private func text(_ address: UInt64, _ symbolizer: Symbolizer) -> String {
        symbolizer.frames(kernel: address, isReturnAddress: false)[0].text(offset: true, module: true)
    }

    private let listing = """
        0000000000001000 A fixed_percpu_data
        ffffffff81000000 T startup_64
        ffffffff81000000 T _stext
        ffffffff81000100 t helper
        ffffffff81000100 T __helper_global
        ffffffff81000100 W helper_weak
        ffffffff81000200 T last_text
        ffffffff81000300 D some_data
        ffffffff81000310 r constants
        ffffffffc0000010 t nft_do_chain\t[nf_tables]
        ffffffffc0000000 t nft_first\t[nf_tables]
        ffffffffc0100000 t bpf_prog_6deef7357e7b4530\t[bpf]
        ffffffffc0200000 t _RNvNtCs1234_6kernel5print4func\t[rust_mod]

        """

    @Test func functionsAreNamed() throws {
        try write(listing)
        let symbolizer = symbolizer
        #expect(symbolizer.kernelNamesHidden == nil)
        // Of two global names the one without underscores in front; global before weak before local.
        #expect(text(0xffff_ffff_8100_0001, symbolizer) == "startup_64+0x1 [kernel]")
        #expect(text(0xffff_ffff_8100_0100, symbolizer) == "__helper_global+0x0 [kernel]")
        #expect(text(0xffff_ffff_8100_02ff, symbolizer) == "last_text+0xff [kernel]")
        #expect(text(0xffff_ffff_8100_0300, symbolizer) == "[unknown] [kernel]+0xffffffff81000300")
        // Not in order.
        #expect(text(0xffff_ffff_c000_000f, symbolizer) == "nft_first+0xf [nf_tables]")
        #expect(text(0xffff_ffff_c000_0010, symbolizer) == "nft_do_chain+0x0 [nf_tables]")
        #expect(text(0xffff_ffff_c010_0004, symbolizer) == "bpf_prog_6deef7357e7b4530+0x4 [bpf]")
        #expect(text(0xffff_ffff_c020_0004, symbolizer) == "kernel::print::func+0x4 [rust_mod]")
        #expect(text(0x1000, symbolizer) == "[unknown] [kernel]+0x1000")
    }

    @Test func aReturnAddressBelongsToTheCallBeforeIt() throws {
        try write(listing)
        let frame = symbolizer.frames(kernel: 0xffff_ffff_8100_0200, isReturnAddress: true)[0]
        #expect(frame.function == "__helper_global" && frame.functionOffset == 0x100 && frame.kind == .kernel)
    }

    @Test func whatIsLoadedLaterIsFoundButNotLookedForAllTheTime() throws {
        try write(listing)
        let symbolizer = symbolizer
        let begin = monotonicNanoseconds()
        #expect(text(0xffff_ffff_c070_0000, symbolizer).hasPrefix("[unknown]"))
        try write(listing + "ffffffffc0700000 t new_function\t[new_module]\n")
        // It looks at most once a second.
        var answer = text(0xffff_ffff_c070_0000, symbolizer)
        while answer.hasPrefix("[unknown]"), monotonicNanoseconds() - begin < 60_000_000_000 {
            usleep(10_000)
            answer = text(0xffff_ffff_c070_0000, symbolizer)
        }
        #expect(answer == "new_function+0x0 [new_module]")
        #expect(monotonicNanoseconds() - begin >= 1_000_000_000)
    }

    @Test func hiddenAddressesAreReported() throws {
        try write("0000000000000000 A fixed_percpu_data\n0000000000000000 T _text\n0000000000000000 t f\n")
        try write("2\n", to: "sys/kernel/kptr_restrict")
        let reason = try #require(symbolizer.kernelNamesHidden)
        #expect(reason.contains("kptr_restrict is 2") && reason.hasSuffix("."))
        #expect(text(0xffff_ffff_8100_0001, symbolizer) == "[unknown] [kernel]+0xffffffff81000001")
        try write("")
        #expect(symbolizer.kernelNamesHidden != nil)
    }

    @Test func nonsenseIsSkipped() throws {
        try write(
            "\n\nffffffff81000000\nffffffff81000000 T\nffffffff81000000 T \nxyz T f\n 1 T f\nffffffff81000000 T good"
        )
        #expect(text(0xffff_ffff_8100_0000, symbolizer) == "good+0x0 [kernel]")
    }

    @Test(.require(.root)) func theRunningKernelIsNamed() throws {
        let symbolizer = Symbolizer(options: SymbolizerOptions())
        let hidden = symbolizer.kernelNamesHidden
        try require(Requirement(hidden ?? "", isExpected: false, isMet: hidden == nil))
        var addresses: [String: UInt64] = [:]
        let all = try #require(readFile("/proc/kallsyms", limit: 1 << 26))
        for line in String(decoding: all, as: UTF8.self).split(separator: "\n") {
            let fields = line.split(separator: " ")
            if fields.count == 3, "tT".contains(fields[1]) {
                addresses[String(fields[2])] = UInt64(fields[0], radix: 16)
            }
        }
        for name in ["vfs_read", "schedule", "do_exit"] {
            guard let address = addresses[name] else { continue }
            #expect(text(address + 1, symbolizer) == "\(name)+0x1 [kernel]")
        }
        #expect(symbolizer.statistics.symbolsIndexed > 10_000)
    }
}
