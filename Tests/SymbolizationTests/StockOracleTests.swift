// SPDX-License-Identifier: Apache-2.0
import Foundation
import Processes
import TestSupport
import Testing

@testable import Symbolization

/// What the symbolizer says of some thousands of addresses in each of many programs: functions as gdb's `info symbol`
/// names them; files, lines and inlined functions as `addr2line` or `llvm-symbolizer` has them.
@Suite(.require(.tool("gdb")), .require(.dwarf("addr2line")), .require(.dwarf("llvm-symbolizer")))
struct StockOracleTests {
    private let directory = DWARFTools.Directory()

    private static let stock: [String] = {
        // Its code is in a library, or in the executable.
        let python = try? output(
            "python3", "-c",
            "import os, sys, sysconfig as s; "
                + "library = os.path.join(s.get_config_var('LIBDIR'), s.get_config_var('INSTSONAME') or ''); "
                + "print(os.path.realpath(library if library.endswith('.so.1.0') else sys.executable))")
        return [
            "/bin/bash", python?.trimmingCharacters(in: .whitespacesAndNewlines) ?? "", "/usr/bin/perl",
            "/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
        ].filter { access($0, R_OK) == 0 }
    }()

    @Test(arguments: stock) func stockProgramsAreNamedAsByTheOracles(file: String) throws {
        try expectAgreement(file)
    }

    @Test(arguments: ["g++ -O2 -g", "clang++ -O2 -g", "rustc -g -O", "swiftc -g -O"])
    func compiledProgramsAreNamedAsByTheOracles(command: String) throws {
        var words = command.split(separator: " ").map(String.init)
        let source: String
        if words[0].hasSuffix("++") {
            source = DWARFTools.sources + "/dwarf_inlines.cpp"
        } else {
            let name = words[0] == "rustc" ? "dwarf_inlines.rs" : "dwarf_inlines.swift"
            source = directory.file(name)
            try DWARFOracleTests.text(of: name).write(toFile: source, atomically: false, encoding: .utf8)
        }
        words += [source, "-o", "program"]
        try require(.dwarf(words[0], isExpected: words[0] != "rustc"))
        _ = try DWARFTools.run(words, in: directory)
        try expectAgreement(directory.file("program"))
    }

    private func expectAgreement(_ file: String) throws {
        let comparison = try StockComparison(file, directory)
        let result = try comparison.run()
        if ProcessInfo.processInfo.environment["APUS_DWARF_REPORT"] != nil { print("\(file): \(result)") }
        // How many functions a file names depends on what its distribution has stripped.
        #expect(result.inFunctions > 100, "\(result)")
        #expect(Double(result.named) >= 0.99 * Double(result.inFunctions), "\(result)")
        #expect(result.share >= 0.999, "\(result)")
    }
}

/// One file, mapped nowhere but in what the symbolizer is told.
private struct StockComparison {
    struct Result: CustomStringConvertible {
        /// How many addresses are in functions that nm lists with a size.
        var inFunctions = 0
        var named = 0
        var placed = 0
        var differences: [String] = []

        var share: Double { 1 - Double(differences.count) / Double(max(named + placed, 1)) }

        var description: String {
            "nm has \(inFunctions), gdb names \(named), oracles place \(placed), \(differences.count) differ, \(share * 100) % equal\n"
                + differences.prefix(12).map { String($0.prefix(600)) }.joined(separator: "\n")
        }
    }

    private let file: String
    private let directory: DWARFTools.Directory
    private let elf: ELFFile
    private let symbolizer = Symbolizer(options: SymbolizerOptions(demangle: false), lines: DWARFLines())
    private let process = getpid()
    private static let base: UInt64 = 1 << 40

    init(_ file: String, _ directory: DWARFTools.Directory) throws {
        self.file = file
        self.directory = directory
        elf = try #require(OpenFile(path: file).flatMap { ELFFile(.file($0)) })
        var information = stat()
        try #require(stat(file, &information) == 0)
        let device = information.st_dev
        symbolizer.observe(process: process)
        for segment in elf.segments where segment.isCode {
            let page = segment.address & ~0xfff
            symbolizer.map(
                process: process,
                CodeMapping(
                    start: Self.base + page, length: segment.fileSize + 0x1000,
                    offset: segment.offset & ~0xfff, major: UInt32(device >> 8 & 0xfff),
                    minor: UInt32(device & 0xff | device >> 12 & 0xfff00), inode: UInt64(information.st_ino),
                    generation: 1, path: file))
        }
    }

    func run() throws -> Result {
        let addresses = self.addresses()
        let symbols = try gdb(addresses)
        let places = try places(addresses)
        let (aliases, ranges) = names()
        var result = Result()
        result.inFunctions = Self.count(addresses, in: ranges)
        for (index, address) in addresses.enumerated() {
            let frames = symbolizer.frames(
                user: Self.base + address, process: process, isReturnAddress: false)
            let outer = frames[frames.count - 1]
            if let symbol = symbols[index] {
                result.named += 1
                if !isSame(outer, symbol, at: address, aliases) {
                    result.differences.append(
                        "\(String(address, radix: 16)): gdb \(symbol), we "
                            + "\(outer.function ?? "nothing") + \(outer.functionOffset)")
                }
            }
            if symbols[index] == nil, let name = outer.function, places.gnu[address]?.last?.line ?? 0 == 0 {
                result.differences.append("\(String(address, radix: 16)): gdb nothing, we \(name)")
            }
            let others = [places.gnu[address] ?? [], places.llvm[address] ?? []]
            guard others.contains(where: { $0.contains { $0.line > 0 } }) else { continue }
            result.placed += 1
            let own = frames.map { frame in
                DWARFFrame(
                    // What is not inlined is named by its symbol, which was compared above.
                    function: frame.isInlined ? frame.function ?? "??" : "??",
                    file: frame.file.map(DWARFComparison.lastComponent) ?? "??", line: frame.line ?? 0)
            }
            if !DWARFComparison.agrees(own, others) {
                result.differences.append("\(String(address, radix: 16)): \(others), we \(own)")
            }
        }
        return result
    }

    /// How many of the addresses, which are in order, are in ranges, which are not.
    private static func count(_ addresses: [UInt64], in ranges: [Range<UInt64>]) -> Int {
        var found = 0
        var place = 0
        var end: UInt64 = 0
        let ordered = ranges.sorted { $0.lowerBound < $1.lowerBound }
        for address in addresses {
            while place < ordered.count, ordered[place].lowerBound <= address {
                end = max(end, ordered[place].upperBound)
                place += 1
            }
            if address < end { found += 1 }
        }
        return found
    }

    private func isSame(
        _ own: Frame, _ symbol: (name: String, offset: UInt64), at address: UInt64,
        _ aliases: [UInt64: Set<String>]
    ) -> Bool {
        guard let function = own.function, own.functionOffset == symbol.offset else { return false }
        if plain(function) == plain(symbol.name) { return true }
        // A stub to a function that is chosen at run time: gdb gives the place of what chooses it.
        if symbol.name.hasPrefix("*ABS*+0x"), function.hasSuffix("@plt"),
            let target = UInt64(symbol.name.dropFirst(8).dropLast(4), radix: 16)
        {
            return aliases[target]?.contains(String(function.dropLast(4))) == true
        }
        return aliases[address &- symbol.offset]?.contains(plain(function)) == true
    }

    /// Without its version.
    private func plain(_ name: String) -> String {
        name.hasSuffix("@plt") ? name : String(name.split(separator: "@").first ?? "")
    }

    /// Addresses by chance in all sections of code, as many in stubs as there are.
    private func addresses() -> [UInt64] {
        var random = SeededGenerator(seed: 7)
        var found = Set<UInt64>()
        for range in elf.codeRanges() {
            let isMain = elf.section(named: ".text")?.address == range.lowerBound
            for _ in 0..<(isMain ? 3000 : min(300, range.count)) {
                found.insert(UInt64.random(in: range, using: &random))
            }
        }
        return found.sorted()
    }

    // MARK: Oracles

    /// By the number of the address: the symbol, and how far behind its start that is.
    private func gdb(_ addresses: [UInt64]) throws -> [(name: String, offset: UInt64)?] {
        let script = directory.file("script")
        try addresses.map { "info symbol \($0)\n" }.joined()
            .write(toFile: script, atomically: false, encoding: .utf8)
        let text = try output(
            "gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off", "-ex", "set print demangle off",
            "-x", script, file)
        let answers = text.split(separator: "\n").filter {
            $0.contains(" in section ") || $0.hasPrefix("No symbol matches")
        }
        try #require(answers.count == addresses.count)
        return answers.map { answer in
            guard let end = answer.range(of: " in section ") else { return nil }
            let parts = answer[..<end.lowerBound].components(separatedBy: " + ")
            return (parts[0], parts.count > 1 ? UInt64(parts[1]) ?? 0 : 0)
        }
    }

    private func places(_ addresses: [UInt64]) throws -> (
        gnu: [UInt64: [DWARFFrame]], llvm: [UInt64: [DWARFFrame]]
    ) {
        var whole = file
        if let debugFile {
            // The symbols of a separate file cannot be left out else.
            whole = directory.file("whole")
            let words = ["eu-unstrip", "-o", whole, file, debugFile]
            guard (try? DWARFTools.run(words, in: directory)) != nil else { return ([:], [:]) }
        }
        return try DWARFComparison(directory: directory, file: file, oracle: whole).answers(addresses)
    }

    private var debugFile: String? {
        guard let buildID = elf.buildID.map({ hexadecimal($0) }) else { return nil }
        let path = "/usr/lib/debug/.build-id/\(buildID.prefix(2))/\(buildID.dropFirst(2)).debug"
        return access(path, R_OK) == 0 ? path : nil
    }

    /// All names that symbol tables have for each address, and where functions are, also by the separate debug file.
    private func names() -> (aliases: [UInt64: Set<String>], functions: [Range<UInt64>]) {
        var found: [UInt64: Set<String>] = [:]
        var functions = Set<Range<UInt64>>()
        for file in [file] + [debugFile].compactMap(\.self) {
            for table in ["--dynamic", "--debug-syms"] {
                let text = (try? output("nm", table, "--defined-only", "-S", file)) ?? ""
                for line in text.split(separator: "\n") {
                    let words = line.split(separator: " ")
                    guard let name = words.last, words.count > 2, let address = UInt64(words[0], radix: 16)
                    else { continue }
                    found[address, default: []].insert(plain(String(name)))
                    guard words.count == 4, "tTwWi".contains(words[2]), let size = UInt64(words[1], radix: 16)
                    else { continue }
                    functions.insert(address..<address &+ size)
                }
            }
        }
        return (found, Array(functions))
    }
}
