// SPDX-License-Identifier: Apache-2.0
import CBPFPrograms
import Foundation
import Symbolization
import TestSupport
import Testing

@testable import Unwinding

/// Stock files, the vDSO and programs made here, against what libdw says of them.
///
/// scripts/check-unwind-tables does this with all files of a machine.
@Suite(.require(Requirement("cc and libdw-dev are needed", isMet: RulesOracle.shared != nil)))
struct OracleTests {
    private static let swift: String? = {
        let output = RulesOracle.output(["/bin/sh", "-c", "readlink -f \"$(command -v swift)\""])
        let folder = URL(fileURLWithPath: output.trimmingCharacters(in: .whitespacesAndNewlines))
            .deletingLastPathComponent().deletingLastPathComponent()
        return folder.appendingPathComponent("lib/swift/linux/libswiftCore.so").path
    }()

    private static let files =
        [
            "/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2", "/lib64/libc.so.6",
            "/usr/lib/x86_64-linux-gnu/libstdc++.so.6", "/usr/bin/python3", "/usr/bin/perl", "/bin/bash",
            "/usr/bin/gdb", "/lib32/libc.so.6",
            "/lib32/libm.so.6", "/lib32/ld-linux.so.2", "/lib32/libgcc_s.so.1", "/lib32/libgomp.so.1",
            "/usr/lib/x86_64-linux-gnu/libcrypto.so.3", "/lib/ld-musl-x86_64.so.1", swift,
        ].compactMap { $0 }.filter { FileManager.default.fileExists(atPath: $0) }

    /// Compares all rows of a file, and lookups at random places.
    private func compare(_ path: String, described: Bool = true) throws {
        let oracle = try #require(RulesOracle.shared)
        let file = try #require(OpenFile(path: path))
        let table = try #require(UnwindTable(.file(file)))
        #expect(table.statistics.malformedEntries == 0 && table.statistics.droppedRows == 0)
        var ranges = RulesOracle.Ranges()
        table.forEachRow { ranges.add($0, $1) }
        var random = SeededGenerator(seed: 42)
        let end = table.base + UInt64(table.pages.count) << 16
        for _ in 0..<2000 {
            let address = UInt64.random(in: table.base..<end, using: &random)
            ranges.add(address..<address + 1, table.rule(at: address))
        }
        let answer = try oracle.compare(path, ranges)
        #expect(answer.counts["ranges"] == ranges.count)
        #expect(answer.counts["differences"] == 0, "\(path)\n\(answer.text)")
        // One that finds nothing would agree with everything.
        let lookups = try #require(answer.counts["lookups"])
        let same = lookups - (answer.counts["padding"] ?? 0) - (answer.counts["signals"] ?? 0)
        #expect(!described || same > ranges.count / 2, "\(path)\n\(answer.text)")
    }

    @Test(arguments: files)
    func stockFiles(path: String) throws {
        try compare(path)
    }

    @Test func theOracleSeesDifferences() throws {
        let oracle = try #require(RulesOracle.shared)
        let file = try #require(OpenFile(path: "/bin/bash"))
        let table = try #require(UnwindTable(.file(file)))
        var ranges = RulesOracle.Ranges()
        table.forEachRow { range, rule in
            var rule = rule
            rule.fp_offset ^= 8
            if rule.cfa == UInt8(CFA_STACK.rawValue) { ranges.add(range, rule) }
        }
        let answer = try oracle.compare("/bin/bash", ranges)
        #expect(try #require(answer.counts["differences"]) >= ranges.count)
    }

    /// The image that the kernel gives to each process, from our own memory.
    @Test func vDSO() throws {
        // Foundation's whole reads stop early in files of /proc.
        let contents = try FileHandle(forReadingAtPath: "/proc/self/maps")?.readToEnd()
        let maps = String(decoding: try #require(contents), as: UTF8.self)
        let line = try #require(maps.split(separator: "\n").first { $0.hasSuffix("[vdso]") })
        let bounds = line.prefix { $0 != " " }.split(separator: "-").compactMap { UInt($0, radix: 16) }
        try #require(bounds.count == 2)
        let image = try #require(UnsafeRawPointer(bitPattern: bounds[0]))
        let bytes = Array(UnsafeRawBufferPointer(start: image, count: Int(bounds[1] - bounds[0])))
        let table = try #require(UnwindTable(.memory(bytes)))
        #expect(table.statistics.entries > 0 && table.statistics.malformedEntries == 0)
        let directory = RulesOracle.Directory()
        try Data(bytes).write(to: URL(fileURLWithPath: directory.file("vdso")))
        try compare(directory.file("vdso"))
    }

    /// Ways to build the program of the tests for symbols.
    @Test(arguments: [
        "-O2 -fomit-frame-pointer", "-O0", "-O2 -static", "-O2 -s", "-O2 -static -s",
        "-O2 -g -fno-asynchronous-unwind-tables -fno-unwind-tables",
        "-O2 -g -gz=zlib -fno-asynchronous-unwind-tables -fno-unwind-tables",
        "-O2 -g -gz=zlib-gnu -fno-asynchronous-unwind-tables -fno-unwind-tables",
        "-O2 -m32",
    ])
    func builds(options: String) throws {
        let directory = RulesOracle.Directory()
        let path = directory.file("program")
        let source = RulesOracle.tests.appendingPathComponent("Programs/sym_target.c").path
        let words = ["cc"] + options.split(separator: " ").map(String.init) + [source, "-o", path]
        _ = RulesOracle.output(["/usr/bin/env"] + words)
        try #require(OpenFile(path: path) != nil, "\(words)")
        try compare(path)
    }

    /// What debuggers get from a separate file when the program has nothing.
    @Test func aSeparateDebugFile() throws {
        let directory = RulesOracle.Directory()
        let paths = ["whole", "stripped", "stripped.debug"].map(directory.file)
        let source = RulesOracle.tests.appendingPathComponent("Programs/sym_target.c").path
        for words in [
            [
                "cc", "-O2", "-g", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables",
                "-Wl,--build-id=none", source, "-o", paths[0],
            ],
            ["objcopy", "--only-keep-debug", paths[0], paths[2]], ["strip", paths[0], "-o", paths[1]],
            ["objcopy", "--add-gnu-debuglink=" + paths[2], paths[1]],
        ] { _ = RulesOracle.output(["/usr/bin/env"] + words) }
        let whole = try #require(OpenFile(path: paths[0]).flatMap { UnwindTable(.file($0)) })
        let file = try #require(OpenFile(path: paths[1]))
        let search = DebugFileSearch(root: nil, debugRoot: directory.path)
        let split = try #require(UnwindTable(file, path: paths[1], search: search))
        let alone = try #require(UnwindTable(.file(file)))
        #expect(split.rows == whole.rows && split.rules == whole.rules)
        #expect(alone.rows.count < whole.rows.count)
        // One that was changed since is another.
        let handle = try #require(FileHandle(forWritingAtPath: paths[2]))
        try handle.seekToEnd()
        try handle.write(contentsOf: Data([1]))
        try handle.close()
        #expect(UnwindTable(file, path: paths[1], search: search)?.rows == alone.rows)
    }
}

/// Tests/Oracles/libdw-rules, compiled when it is first needed.
final class RulesOracle: Sendable {
    static let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    /// nil where it cannot be compiled.
    static let shared = RulesOracle()

    private let directory = Directory()

    /// A directory that is removed with the object.
    final class Directory: Sendable {
        let path = NSTemporaryDirectory() + "/apus-unwind-" + UUID().uuidString

        init() { try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }

        deinit { try? FileManager.default.removeItem(atPath: path) }

        func file(_ name: String) -> String { path + "/" + name }
    }

    /// Addresses and the rule that is said to hold there, as the program reads them.
    struct Ranges {
        private(set) var bytes: [UInt8] = []
        private(set) var count = 0

        mutating func add(_ range: Range<UInt64>, _ rule: unwind_rule) {
            bytes += number(range.lowerBound) + number(range.upperBound)
            withUnsafeBytes(of: rule) { bytes += $0 }
            count += 1
        }
    }

    private init?() {
        let source = Self.tests.appendingPathComponent("Oracles/libdw-rules.c").path
        _ = Self.output([
            "/usr/bin/env", "cc", "-O2", source, "-o", directory.file("libdw-rules"), "-ldw", "-lelf",
        ])
        guard FileManager.default.isExecutableFile(atPath: directory.file("libdw-rules")) else { return nil }
    }

    /// What a program prints, "" if it cannot be run.
    static func output(_ words: [String], input: String = "/dev/null") -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: words[0])
        process.arguments = Array(words.dropFirst())
        process.standardInput = FileHandle(forReadingAtPath: input)
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return "" }
        let data = (try? pipe.fileHandleForReading.readToEnd()) ?? nil
        process.waitUntilExit()
        return String(decoding: data ?? Data(), as: UTF8.self)
    }

    func compare(_ path: String, _ ranges: Ranges) throws -> (counts: [String: Int], text: String) {
        let input = directory.file(UUID().uuidString)
        defer { try? FileManager.default.removeItem(atPath: input) }
        try Data(ranges.bytes).write(to: URL(fileURLWithPath: input))
        let text = Self.output([directory.file("libdw-rules"), path], input: input)
        let words = text.split(separator: "\n").last?.split(separator: " ") ?? []
        let pairs = stride(from: 0, to: words.count - 1, by: 2).map {
            (String(words[$0]), Int(words[$0 + 1]) ?? -1)
        }
        return (Dictionary(pairs) { $1 }, text)
    }
}
