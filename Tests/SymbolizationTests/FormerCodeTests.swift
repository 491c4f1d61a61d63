// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import Processes
@testable import Symbolization

/// Addresses that stood for something else before.
@Suite struct FormerCodeTests {
    private static let process: Int32 = 77
    private static let start: UInt64 = 0x10_0000

    /// Libraries whose code is at the same place in the file, with one function each, of their name.
    private final class Libraries {
        let directory: TemporaryDirectory
        let symbolizer: Symbolizer
        private var made: Set<String> = []

        init() throws {
            directory = try TemporaryDirectory()
            // No process is there: all is known from events.
            symbolizer = Symbolizer(
                options: SymbolizerOptions(), proc: ProcFS(root: directory.path + "/proc"))
            symbolizer.execute(process: FormerCodeTests.process, at: 100)
        }

        func map(
            _ name: String, at time: UInt64, from start: UInt64 = FormerCodeTests.start,
            bytes: UInt64 = 0x1000
        ) throws {
            var code = CodeMapping(
                start: start, length: bytes, offset: 0x1000, major: 0, minor: 0, inode: 0, generation: 0,
                path: "//anon")
            if name != "anon" {
                code.path = try directory.file(name + ".so")
                if made.insert(name).inserted {
                    let symbol = ELFImage.Symbol(name: name, value: 0x1000, size: 0x1000)
                    try Data(ELFImage(symbols: [symbol]).bytes).write(to: URL(fileURLWithPath: code.path))
                }
                var information = stat()
                #expect(stat(code.path, &information) == 0)
                // Linux keeps the number in this form (gnu_dev_makedev).
                let device = UInt64(information.st_dev)
                code.major = UInt32(device >> 8 & 0xfff | device >> 32 & ~0xfff)
                code.minor = UInt32(device & 0xff | device >> 12 & 0xffff_ff00)
                code.inode = UInt64(information.st_ino)
            }
            symbolizer.map(process: FormerCodeTests.process, code, at: time)
        }

        func name(at time: UInt64?, _ address: UInt64 = FormerCodeTests.start + 0x10) -> String {
            symbolizer.frames(
                user: address, process: FormerCodeTests.process, isReturnAddress: false, at: time)[0].function
                ?? ""
        }

        var meaning: UInt32 { symbolizer.meaning(of: FormerCodeTests.process) }
        func moment(_ time: UInt64) -> UInt64 { symbolizer.moment(of: FormerCodeTests.process, at: time) }
    }

    @Test func whatWasUnloadedHasTheNamesOfItsTime() throws {
        let libraries = try Libraries()
        try libraries.map("one", at: 200)
        let before = libraries.meaning
        #expect(libraries.name(at: 250) == "one")
        try libraries.map("two", at: 300)
        #expect(libraries.meaning != before)
        try libraries.map("three", at: 400)
        // In any order, and again: what was found is remembered.
        for _ in 0..<2 {
            #expect(libraries.name(at: nil) == "three" && libraries.name(at: 299) == "one")
            #expect(libraries.name(at: 300) == "two" && libraries.name(at: 399) == "two")
            #expect(libraries.name(at: 400) == "three" && libraries.name(at: 200) == "one")
        }
        // A moment stands for all times that are like it.
        #expect(libraries.moment(250) == 100 && libraries.moment(350) == 300 && libraries.moment(390) == 300)
        #expect(libraries.moment(.max) == 400)
        for (time, name) in [(250, "one"), (350, "two"), (401, "three")] as [(UInt64, String)] {
            #expect(libraries.name(at: libraries.moment(time)) == name)
        }
    }

    @Test func onlyWhatIsReplacedChanges() throws {
        let libraries = try Libraries()
        let end = Self.start + 0xc10
        try libraries.map("one", at: 200)
        try libraries.map("two", at: 300, bytes: 0x800)
        #expect(libraries.name(at: 250) == "one" && libraries.name(at: 350) == "two")
        #expect(libraries.name(at: 250, end) == "one" && libraries.name(at: 350, end) == "one")
        let meaning = libraries.meaning
        // The same again, elsewhere, and memory for code over other such memory, change nothing.
        try libraries.map("two", at: 400, bytes: 0x800)
        try libraries.map("one", at: 400, from: Self.start + 0x10_0000)
        try libraries.map("anon", at: 400, from: Self.start + 0x20_0000)
        try libraries.map("anon", at: 500, from: Self.start + 0x20_0000, bytes: 0x800)
        #expect(libraries.meaning == meaning && libraries.moment(.max) == 300)
        // Code made at run time where a library was.
        try libraries.map("anon", at: 600)
        #expect(
            libraries.meaning != meaning && libraries.name(at: 700).isEmpty
                && libraries.name(at: 599) == "two")
    }

    @Test func aProgramThatIsExecutedHasOtherCode() throws {
        let libraries = try Libraries()
        try libraries.map("one", at: 200)
        let symbolizer = libraries.symbolizer
        symbolizer.fork(parent: Self.process, child: 78, at: 250)
        #expect(symbolizer.meaning(of: 78) == libraries.meaning, "a child has what its parent has")
        symbolizer.execute(process: Self.process, at: 300)
        #expect(symbolizer.meaning(of: 78) != libraries.meaning)
        try libraries.map("two", at: 301)
        #expect(libraries.name(at: 250) == "one" && libraries.name(at: 350) == "two")
        #expect(libraries.moment(250) == 100 && libraries.moment(350) == 300)
        // The number is another process's.
        symbolizer.exit(process: Self.process)
        symbolizer.fork(parent: 78, child: Self.process, at: 400)
        #expect(libraries.name(at: 450) == "one" && libraries.name(at: 350) == "two")
    }

    @Test func aLookThatCameBeforeTheEventDoesNotChangeTheTime() {
        func mappings(_ text: String) -> [Mapping] { Mapping.executable(in: Array(text.utf8)) }
        let image = ProcessImage(since: 0)
        func look(_ text: String, at time: UInt64) -> Bool {
            image.update(mappings(text), at: time) { mapping in
                ProcessImage.Region(mapping: mapping, content: .other, name: mapping.cleanPath)
            }
        }
        _ = look("1000-3000 r-xp 0 8:1 7 a\n", at: 100)
        #expect(look("1000-2000 r-xp 0 8:1 8 b\n2000-3000 r-xp 0 8:1 9 c\n", at: 500))
        func names(_ time: UInt64) -> [String?] {
            [0x1800, 0x2800].map { image.region(at: $0, time: time)?.name }
        }
        #expect(names(300) == ["a", "a"] && names(500) == ["b", "c"])
        image.date(mappings("1000-2000 r-xp 0 8:1 8 b\n")[0], at: 200)
        #expect(names(199) == ["a", "a"] && names(300) == ["b", "a"] && names(500) == ["b", "c"])
        // A later event is of the same mapping, made so once more.
        image.date(mappings("1000-2000 r-xp 0 8:1 8 b\n")[0], at: 600)
        #expect(names(300) == ["b", "a"])
    }

    @Test func notAllThatEverWasIsKept() {
        var former = FormerCode()
        let mapping = Mapping.executable(in: Array("1000-2000 r-xp 0 8:1 7 a\n".utf8))[0]
        for time in 1...UInt64(3 * FormerCode.most) {
            former.add(ProcessImage.Region(mapping: mapping, content: .other, name: "\(time)"), until: time)
        }
        #expect(former.count <= FormerCode.most)
        let last = UInt64(3 * FormerCode.most)
        #expect(former.region(at: 0x1800, time: last - 1)?.name == "\(last)")
        #expect(former.region(at: 0x1800, time: last) == nil)
    }
}
