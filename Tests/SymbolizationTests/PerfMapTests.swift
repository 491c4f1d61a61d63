// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

@testable import Symbolization

@Suite struct PerfMapTests {
    /// The names at some addresses, "" for none.
    private func names(_ text: String, _ addresses: UInt64..., limit: Int = 1000) -> [String] {
        let bytes = Array(text.utf8)
        let entries = PerfMapEntries(bytes, limit: limit)
        return addresses.map { address in
            entries.find(address).map {
                String(decoding: bytes[Int($0.name.lowerBound)..<Int($0.name.upperBound)], as: UTF8.self)
            } ?? ""
        }
    }

    @Test func linesAreRead() {
        let text = "1000 10 first one\n0x2000 0x8 LazyCompile:~f /a b.js:1\r\n3000 10 last, without a newline"
        #expect(names(text, 0xfff, 0x1000, 0x100f, 0x1010) == ["", "first one", "first one", ""])
        #expect(
            names(text, 0x2007, 0x2008, 0x3001) == [
                "LazyCompile:~f /a b.js:1", "", "last, without a newline",
            ])
    }

    @Test func ofOverlappingOnesTheLaterCounts() {
        // The second covers the middle of the first, the third the end of both.
        let text = "1000 100 a\n1040 80 b\n10a0 40 c\n"
        #expect(names(text, 0x103f, 0x1040, 0x109f, 0x10a0, 0x10df) == ["a", "b", "b", "c", "c"])
        #expect(names(text, 0x10e0, 0x10ff, 0x1100) == ["a", "a", ""])
        #expect(names("1000 10 old\n1000 10 new\n", 0x1000, 0x100f) == ["new", "new"])
        #expect(names("1000 10 old\n0 ffffffff all\n", 0x1000) == ["all"])
        #expect(names("0 ffffffff all\n1000 10 new\n", 0xfff, 0x1000, 0x1010) == ["all", "new", "all"])
    }

    @Test func aPlainSearchAgrees() {
        var random = SeededGenerator(seed: 11)
        for _ in 0..<200 {
            let lines = (0..<random.below(30)).map { (random.below(60), 1 + random.below(30), "f\($0)") }
            let text = lines.map { "\(String($0.0, radix: 16)) \(String($0.1, radix: 16)) \($0.2)\n" }
                .joined()
            for address in 0..<100 {
                let expected = lines.last { address >= $0.0 && address < $0.0 + $0.1 }?.2 ?? ""
                #expect(names(text, UInt64(address)) == [expected])
            }
        }
    }

    @Test func nonsenseIsSkipped() {
        let text =
            "\n\n \nzz 10 x\n1000\n1000 10\n1000 10 \n1000 0 empty\n-1 10 x\nffffffffffffffff 10 past\n"
        #expect(names(text + "1000 10 good\n", 0x1000) == ["good"])
        #expect(names(text, 0x1000, .max) == ["", ""])
        #expect(names("11111111111111111 10 long\n", 0x1111_1111_1111_1111) == [""])
        let long = String(repeating: "x", count: 10_000)
        #expect(names("1000 10 \(long)\n", 0x1000)[0].count == 4096)
    }

    @Test func ofMoreLinesThanAreKeptThoseCountThatStillNameSomething() {
        // Memory that is used again and again, and one function that stays.
        var text = "90000 10 early\n"
        for round in 0..<2000 { text += "\(String(0x1000 + round % 50 * 16, radix: 16)) 10 f\(round)\n" }
        #expect(names(text, 0x1000, 0x1310, 0x90000, limit: 100) == ["f1950", "f1999", "early"])
        // More of them that do than there is room for: the last.
        text = (0..<2000).map { "\(String(0x1000 + $0 * 16, radix: 16)) 10 f\($0)\n" }.joined()
        #expect(
            names(text, 0x1000, 0x1000 + 1999 * 16, 0x1000 + 1960 * 16, limit: 100) == ["", "f1999", "f1960"])
        #expect(names("1000 10 a\n2000 10 b\n", 0x2000, limit: 1) == ["b"])
    }

    /// The name at an address, by a map that is read while it is written.
    private func name(_ map: PerfMap, _ address: UInt64) -> String { map.function(at: address)?.name ?? "" }

    @Test func aMapThatGrowsIsReadOn() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.file("map")
        let map = PerfMap(path: "/map") { _ in true }
        let root = open(directory.path, O_RDONLY | O_DIRECTORY)
        defer { close(root) }
        func write(_ text: String, appending: Bool) throws {
            let file = open(path, O_WRONLY | O_CREAT | (appending ? O_APPEND : O_TRUNC), 0o644)
            defer { close(file) }
            let bytes = Array(text.utf8)
            #expect(Glibc.write(file, bytes, bytes.count) == bytes.count)
        }
        try write("1000 10 one\n2000 10 tw", appending: false)
        #expect(map.open(root: root) == 1)
        #expect(name(map, 0x1000) == "one" && name(map, 0x2000) == "tw")
        // The rest of a line, and one more.
        try write("o\n3000 10 three\n", appending: true)
        #expect(name(map, 0x1000) == "one" && name(map, 0x2000) == "two" && name(map, 0x3000) == "three")
        // Not the same file any more, though it is longer.
        try write("1000 10 other one, with a long name\n4000 10 four\n5000 10 five\n", appending: false)
        #expect(name(map, 0x1000).hasPrefix("other one") && name(map, 0x4000) == "four")
        #expect(name(map, 0x2000).isEmpty && name(map, 0x3000).isEmpty)
        try write("6000 10 six\n", appending: false)
        #expect(name(map, 0x1000).isEmpty && name(map, 0x6000) == "six")
    }

    @Test func theEndOfAMapOfAnySizeCounts() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.file("map")
        let file = open(path, O_WRONLY | O_CREAT, 0o644)
        defer { close(file) }
        // A hole: of a gigabyte, only the last quarter is looked at.
        let last = Array("\n7000 10 first\n7000 10 last\n".utf8)
        #expect(pwrite(file, last, last.count, 1 << 30) == last.count)
        let map = PerfMap(path: "/map") { _ in true }
        let root = open(directory.path, O_RDONLY | O_DIRECTORY)
        defer { close(root) }
        #expect(map.open(root: root) == 1)
        #expect(name(map, 0x7000) == "last")
        #expect(map.bytesHeld < 1 << 20)
    }

    /// A process of ours with a page of code that only a perf map names.
    private final class Page {
        let start: UInt64
        let path = "/tmp/perf-\(getpid()).map"

        init() {
            let page = mmap(nil, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
            start = UInt64(UInt(bitPattern: page))
        }

        deinit {
            munmap(UnsafeMutableRawPointer(bitPattern: UInt(start)), 4096)
            unlink(path)
        }

        func write(_ lines: (offset: UInt64, size: Int, name: String)...) throws {
            let text = lines.map {
                "\(String(start + $0.offset, radix: 16)) \(String($0.size, radix: 16)) \($0.name)\n"
            }
            try text.joined().write(toFile: path, atomically: false, encoding: .utf8)
        }
    }

    @Test func theMapOfAProcessIsReadAgainWhenItChanges() throws {
        let page = Page()
        let symbolizer = Symbolizer(options: SymbolizerOptions())
        symbolizer.observe(process: getpid())
        func frame(_ offset: UInt64) -> Frame {
            symbolizer.frames(user: page.start + offset, process: getpid(), isReturnAddress: false)[0]
        }
        #expect(frame(0x10).function == nil && frame(0x10).kind == .user && frame(0x10).module == "[anon]")
        try page.write((0, 0x20, "one"))
        symbolizer.observe(process: getpid())
        #expect(
            frame(0x10)
                == Frame(
                    kind: .jit, function: "one", functionOffset: 0x10, module: page.path,
                    moduleOffset: page.start + 0x10, address: page.start + 0x10))
        try page.write((0, 0x20, "one"), (8, 0x20, "two"))
        #expect(frame(0x10).function == "two" && frame(0x10).functionOffset == 8)
        // One that takes its place is found when the process is looked at again.
        unlink(page.path)
        try page.write((0, 0x20, "three"))
        symbolizer.observe(process: getpid())
        #expect(frame(0x10).function == "three")
        if isRoot {
            // Somebody else's.
            #expect(chown(page.path, 12345, 12345) == 0)
            let other = Symbolizer(options: SymbolizerOptions())
            #expect(
                other.frames(user: page.start + 0x10, process: getpid(), isReturnAddress: false)[0].function
                    == nil)
        }
    }

    @Test(.require(.tool("node", isExpected: false))) func functionsOfNodeAreNamed() throws {
        let script = """
            function hotInner(n) { let s = 0; for (let i = 0; i < n; i++) s += i * i % 7; return s; }
            for (let i = 0; i < 2000; i++) hotInner(3000);
            console.log("main 1\\npid " + process.pid);
            process.stdin.resume();
            """
        let target = try Target(["node", "--perf-basic-prof", "-e", script])
        let path = "/tmp/perf-\(target.pid).map"
        defer { unlink(path) }
        let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
        let line = try #require(lines.last { $0.contains("hotInner") }).split(separator: " ", maxSplits: 2)
        let symbolizer = Symbolizer(options: SymbolizerOptions())
        symbolizer.observe(process: target.pid)
        let address = try #require(UInt64(line[0], radix: 16))
        let frame = symbolizer.frames(user: address + 1, process: target.pid, isReturnAddress: false)[0]
        #expect(
            frame.kind == .jit && frame.function?.contains("hotInner") ?? false && frame.functionOffset == 1)
    }
}
