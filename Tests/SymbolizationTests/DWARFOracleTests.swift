// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

@testable import Symbolization

/// Programs of many compilers, looked up by the reader and by `addr2line` and `llvm-symbolizer`.
///
/// Where those two differ, either is right.
@Suite(.require(.dwarf("addr2line")), .require(.dwarf("llvm-symbolizer")))
struct DWARFOracleTests {
    /// How a program is made: a command, in which `@` is the source.
    struct Program: CustomTestStringConvertible, Sendable {
        var testDescription: String
        var command: [String]
        /// Without the rest, for oracles that do not know it.
        var plain: [String]?

        init(_ command: String, plain: String? = nil) {
            testDescription = command
            self.command = command.split(separator: " ").map(String.init)
            self.plain = plain?.split(separator: " ").map(String.init)
        }
    }

    static let programs = [
        Program("g++ -O2 -gdwarf-2"),
        Program("g++ -O2 -gdwarf-2 -gstrict-dwarf -ffunction-sections -Wl,--gc-sections"),
        Program("g++ -O2 -gdwarf-3"),
        Program("g++ -O2 -gdwarf-4 -fdebug-types-section"),
        Program("g++ -O2 -gdwarf-5"),
        Program("g++ -O0 -gdwarf-5"),
        Program("g++ -O2 -gdwarf-5 -gdwarf64"),
        Program("g++ -O2 -gdwarf-5 -gz=zlib"),
        Program("g++ -O2 -gdwarf-5 -gz=zlib-gnu", plain: "g++ -O2 -gdwarf-5"),
        Program("g++ -O2 -gdwarf-5 -ffunction-sections -Wl,--gc-sections"),
        Program("g++ -O2 -gdwarf-5 -flto"),
        Program("g++ -O2 -gdwarf-5 -gsplit-dwarf"),
        Program("g++ -O2 -gdwarf-4 -gsplit-dwarf"),
        Program("clang++ -O2 -gdwarf-2"),
        Program("clang++ -O2 -gdwarf-4"),
        Program("clang++ -O2 -gdwarf-5"),
        Program("clang++ -O2 -gdwarf-5 -gdwarf64"),
        Program("clang++ -O2 -g1"),
        Program("clang++ -O2 -gdwarf-4 -gsplit-dwarf"),
        Program("clang++ -O2 -gdwarf-5 -gsplit-dwarf"),
        Program("clang++ -O2 -gdwarf-5 -flto -fuse-ld=lld"),
        Program("clang++ -O2 -gdwarf-5 -ffunction-sections -fuse-ld=lld -Wl,--gc-sections,--icf=all"),
    ]

    private let directory = DWARFTools.Directory()

    /// Compiles a program, with a compiler that scripts/setup has brought.
    private func build(_ command: [String], source: String = "dwarf_inlines.cpp", to name: String) throws
        -> String
    {
        _ = try DWARFTools.run(
            command + [DWARFTools.sources + "/" + source, "-o", name], in: directory)
        return directory.file(name)
    }

    private func expectAgreement(
        _ comparison: DWARFComparison, _ what: String, known: Double = 0.5, inlined: Double = 0.3
    ) throws {
        let result = try comparison.run()
        if ProcessInfo.processInfo.environment["APUS_DWARF_REPORT"] != nil {
            print("\(what): \(result.summary)")
        }
        #expect(result.share >= 0.999, "\(result.summary)\n\(result.differences.joined(separator: "\n"))")
        #expect(Double(result.known) >= known * Double(result.addresses), "\(result.summary)")
        #expect(Double(result.inlined) >= inlined * Double(result.addresses), "\(result.summary)")
        #expect(result.statistics.bytesHeld < 64 << 20)
    }

    @Test(arguments: programs)
    func agreesWithTheOracles(_ program: Program) throws {
        let file = try build(program.command, to: "program")
        let oracle = try program.plain.map { try build($0, to: "oracle") } ?? file
        let isUnoptimized = program.command.contains("-O0")
        try expectAgreement(
            DWARFComparison(directory: directory, file: file, oracle: oracle), program.testDescription,
            inlined: isUnoptimized ? 0 : 0.3)
    }

    @Test func readsASeparateDebugFile() throws {
        let whole = try build(["g++", "-O2", "-gdwarf-5"], to: "whole")
        let file = directory.file("stripped")
        let debug = directory.file("stripped.debug")
        for words in [
            ["objcopy", "--only-keep-debug", whole, debug], ["strip", whole, "-o", file],
            ["objcopy", "--add-gnu-debuglink=" + debug, file],
        ] { _ = try DWARFTools.run(words, in: directory) }
        try expectAgreement(
            DWARFComparison(directory: directory, file: file, debugFile: debug, oracle: whole), "debuglink")
    }

    @Test func readsZstandard() throws {
        let plain = try build(["clang++", "-O2", "-gdwarf-5"], to: "plain")
        let packed = directory.file("packed")
        let words = ["objcopy", "--compress-debug-sections=zstd", plain, packed]
        _ = try DWARFTools.run(words, in: directory)
        try expectAgreement(DWARFComparison(directory: directory, file: packed, oracle: plain), "zstd")
    }

    @Test(.require(.dwarf("dwz")), arguments: [false, true])
    func readsWhatDwzLeaves(isAlternate: Bool) throws {
        let plain = try build(["g++", "-O2", "-gdwarf-4"], to: "plain")
        for name in ["one", "other"] {
            try FileManager.default.copyItem(atPath: plain, toPath: directory.file(name))
        }
        let common = isAlternate ? ["-m", "common", "-M", "common"] : []
        _ = try DWARFTools.run(["dwz"] + common + ["one", "other"], in: directory)
        #expect(FileManager.default.fileExists(atPath: directory.file("common")) == isAlternate)
        try expectAgreement(
            DWARFComparison(directory: directory, file: directory.file("one"), oracle: plain), "dwz")
    }

    @Test(.require(.dwarf("llvm-dwp", isExpected: false)), arguments: ["4", "5"], ["g++", "clang++"])
    func readsAPackage(version: String, compiler: String) throws {
        let command = [compiler, "-O2", "-gsplit-dwarf", "-gdwarf-" + version]
        let file = try build(command, to: "split")
        let other = directory.file("other")
        _ = try DWARFTools.run(["llvm-dwp", "-e", file, "-o", other + ".dwp"], in: directory)
        try FileManager.default.copyItem(atPath: file, toPath: other)
        // The oracles look for the .dwo files, which must be away before the comparison.
        for name in try FileManager.default.contentsOfDirectory(atPath: directory.path)
        where name.hasSuffix(".dwo") {
            try FileManager.default.removeItem(atPath: directory.file(name))
        }
        let whole = try build([compiler, "-O2", "-gdwarf-" + version], to: "whole")
        try expectAgreement(DWARFComparison(directory: directory, file: other, oracle: whole), "dwp")
    }

    @Test func readsLinesWithoutTheSplitFile() throws {
        let file = try build(["clang++", "-O2", "-gdwarf-5", "-gsplit-dwarf"], to: "split")
        for name in try FileManager.default.contentsOfDirectory(atPath: directory.path)
        where name.hasSuffix(".dwo") {
            try FileManager.default.removeItem(atPath: directory.file(name))
        }
        try expectAgreement(
            DWARFComparison(directory: directory, file: file, oracle: file), "no dwo", inlined: 0)
    }

    @Test(arguments: ["rustc -g -O", "swiftc -g -O"])
    func readsOtherLanguages(command: String) throws {
        let source = command.hasPrefix("rustc") ? "dwarf_inlines.rs" : "dwarf_inlines.swift"
        let path = directory.file(source)
        try Self.text(of: source).write(toFile: path, atomically: false, encoding: .utf8)
        let words = command.split(separator: " ").map(String.init) + [path, "-o", "program"]
        try require(.dwarf(words[0], isExpected: words[0] != "rustc"))
        _ = try DWARFTools.run(words, in: directory)
        let file = directory.file("program")
        try expectAgreement(
            DWARFComparison(directory: directory, file: file, oracle: file), command, inlined: 0.2)
    }

    static func text(of source: String) -> String {
        source.hasSuffix(".rs")
            ? """
            use std::collections::{BTreeMap, HashMap};
            fn sum(n: u64) -> u64 { (1..n).filter(|x| x % 3 == 0).map(|x| x * x).sum() }
            fn main() {
                let mut sums: HashMap<String, u64> = HashMap::new();
                let mut names = BTreeMap::new();
                for word in std::env::args() {
                    *sums.entry(word.clone()).or_default() += sum(word.len() as u64);
                    names.insert(word, 1);
                }
                let mut all: Vec<_> = sums.iter().collect();
                all.sort_by(|a, b| b.1.cmp(a.1));
                println!("{:?} {:?}", all, names);
            }
            """
            : """
            struct Point: Hashable { var x: Int; var y: Int }
            func area(_ points: [Point]) -> Int { points.map { $0.x * $0.y }.filter { $0 % 2 == 0 }.reduce(0, +) }
            var words: [Point: [String]] = [:]
            for word in CommandLine.arguments { words[Point(x: word.count, y: 1), default: []].append(word) }
            print(area(Array(words.keys)), words.values.flatMap { $0 }.sorted().joined(separator: ","))
            """
    }

    @Test(.require(.dwarf("eu-unstrip")))
    func readsTheCLibrary() throws {
        let library = "/lib/x86_64-linux-gnu/libc.so.6"
        try require(.file(library))
        let headers = try #require(OpenFile(path: library).flatMap { ELFFile(.file($0)) })
        let buildID = hexadecimal(try #require(headers.buildID))
        let debug = "/usr/lib/debug/.build-id/\(buildID.prefix(2))/\(buildID.dropFirst(2)).debug"
        try require(
            Requirement(
                "libc6-dbg is not installed", isExpected: false, isMet: access(debug, R_OK) == 0))
        let whole = directory.file("whole")
        _ = try DWARFTools.run(["eu-unstrip", "-o", whole, library, debug], in: directory)
        try expectAgreement(
            DWARFComparison(directory: directory, file: library, debugFile: debug, oracle: whole), "libc",
            inlined: 0.05)
    }
}
