// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

@testable import Symbolization

/// What processes do, told by events: these are none that exist, so that /proc cannot help.
@Suite struct SymbolizerEventTests {
    private let directory: TemporaryDirectory
    private let symbolizer = Symbolizer(options: SymbolizerOptions())
    /// Above every limit of a kernel (PID_MAX_LIMIT is 2^22).
    private let parent: Int32 = 1 << 23
    private let child: Int32 = 1 << 23 + 1

    init() throws { directory = try TemporaryDirectory() }

    /// An ELF file with one function, as it is mapped: from 0x1000 of the file.
    private func code(_ function: String, at start: UInt64, length: UInt64 = 0x1000) throws -> CodeMapping {
        let path = try directory.file(function)
        if access(path, F_OK) != 0 {
            let image = ELFImage(symbols: [.init(name: function, value: 0x1000, size: 0x1000)])
            try Data(image.bytes).write(to: URL(fileURLWithPath: path))
        }
        var information = stat()
        try #require(stat(path, &information) == 0)
        return CodeMapping(
            start: start, length: length, offset: 0x1000,
            major: UInt32(information.st_dev >> 8 & 0xfff), minor: UInt32(information.st_dev & 0xff),
            inode: UInt64(information.st_ino), generation: 1, path: path)
    }

    private func name(_ address: UInt64, _ process: Int32, at time: UInt64? = nil) -> String? {
        symbolizer.frames(user: address, process: process, isReturnAddress: false, at: time)[0].function
    }

    @Test func mappingsAreAddedOneByOne() throws {
        symbolizer.execute(process: parent, at: 10)
        symbolizer.map(process: parent, try code("one", at: 0x40_0000))
        symbolizer.map(process: parent, try code("two", at: 0x50_0000))
        #expect(name(0x40_0010, parent) == "one" && name(0x50_0010, parent) == "two")
        #expect(name(0x40_1000, parent) == nil && name(0x3f_ffff, parent) == nil)
        // It is found that a name was remembered for what is not there any more.
        symbolizer.map(process: parent, try code("two", at: 0x40_0000))
        #expect(name(0x40_0010, parent) == "two")
    }

    @Test func aNewMappingTakesTheMiddleOfAnOldOne() throws {
        symbolizer.execute(process: parent, at: 10)
        symbolizer.map(process: parent, try code("one", at: 0x40_0000, length: 0x1000))
        var middle = try code("two", at: 0x40_0400, length: 0x400)
        symbolizer.map(process: parent, middle)
        #expect(name(0x40_03ff, parent) == "one" && name(0x40_0400, parent) == "two")
        #expect(name(0x40_07ff, parent) == "two" && name(0x40_0800, parent) == "one")
        // The rest still knows where in its file it is.
        let rest = symbolizer.frames(user: 0x40_0900, process: parent, isReturnAddress: false)[0]
        #expect(rest.functionOffset == 0x900 && rest.moduleOffset == 0x1900)
        // One that covers several, and ends in the midst of the last.
        middle = try code("three", at: 0x3f_f000, length: 0x1900)
        middle.offset = 0
        symbolizer.map(process: parent, middle)
        #expect(name(0x40_0000, parent) == "three" && name(0x40_0400, parent) == "three")
        #expect(name(0x40_0900, parent) == "one")
    }

    @Test func hostileMappingsAreLeftOut() throws {
        symbolizer.execute(process: parent, at: 10)
        for (start, length) in [(UInt64.max, UInt64(2)), (5, 0), (UInt64.max - 0xfff, 0x1000)] {
            var mapping = try code("one", at: start)
            mapping.length = length
            symbolizer.map(process: parent, mapping)
        }
        #expect(name(5, parent) == nil && name(.max, parent) == nil)
        // More than anybody has, each of another place.
        for number in 0..<UInt64(40_000) {
            let mapping = CodeMapping(
                start: 0x100_0000 + number * 0x2000, length: 0x1000, offset: 0, major: 0, minor: 0, inode: 0,
                generation: 0, path: "//anon")
            symbolizer.map(process: parent, mapping)
        }
        symbolizer.map(process: parent, try code("two", at: 0x40_0000))
        #expect(name(0x40_0010, parent) == "two")
    }

    @Test func aChildHasWhatItsParentHasUntilItExecutes() throws {
        symbolizer.execute(process: parent, at: 10)
        symbolizer.map(process: parent, try code("one", at: 0x40_0000))
        symbolizer.fork(parent: parent, child: child, at: 20)
        symbolizer.map(process: parent, try code("two", at: 0x50_0000))
        #expect(name(0x40_0010, child) == "one" && name(0x50_0010, child) == nil)
        symbolizer.execute(process: child, at: 30)
        symbolizer.map(process: child, try code("three", at: 0x40_0000))
        #expect(name(0x40_0010, child) == "three" && name(0x40_0010, parent) == "one")
        // What it ran before is found by its time.
        #expect(name(0x40_0010, child, at: 25) == "one" && name(0x40_0010, child, at: 30) == "three")
        #expect(symbolizer.moment(of: child, at: 29) == 20 && symbolizer.moment(of: child, at: 31) == 30)
        #expect(symbolizer.knows(0x40_0010, in: child, at: 25) && !symbolizer.knows(0x60_0000, in: child))
    }

    @Test func anExecutedProgramLeavesItsOldCodeLast() throws {
        symbolizer.execute(process: parent, at: 10)
        symbolizer.map(process: parent, try code("one", at: 0x40_0000))
        symbolizer.execute(process: parent, at: 20)
        symbolizer.map(process: parent, try code("two", at: 0x50_0000))
        // In execve, after the new program has its name: the registers are still those of the old one's call.
        #expect(name(0x40_0010, parent, at: 21) == "one")
        #expect(name(0x50_0010, parent, at: 15) == nil)
    }

    @Test func anIDThatIsGivenAgainIsAnotherProcess() throws {
        symbolizer.execute(process: parent, at: 10)
        symbolizer.map(process: parent, try code("one", at: 0x40_0000))
        symbolizer.exit(process: parent)
        #expect(name(0x40_0010, parent) == "one")
        symbolizer.execute(process: child, at: 20)
        symbolizer.map(process: child, try code("two", at: 0x40_0000))
        symbolizer.fork(parent: child, child: parent, at: 30)
        #expect(name(0x40_0010, parent) == "two" && name(0x40_0010, parent, at: 12) == "one")
    }

    @Test func oneFileIsOpenedOnce() throws {
        let mapping = try code("one", at: 0x40_0000)
        for process in parent..<parent + 1000 {
            symbolizer.execute(process: process, at: UInt64(process))
            symbolizer.map(process: process, mapping)
        }
        #expect(symbolizer.statistics.filesOpened == 1)
        #expect(name(0x40_0010, parent + 999) == "one")
    }

    @Test func anotherFileAtThePathIsNotTaken() throws {
        var mapping = try code("one", at: 0x40_0000)
        mapping.inode += 1
        symbolizer.execute(process: parent, at: 10)
        symbolizer.map(process: parent, mapping)
        let frame = symbolizer.frames(user: 0x40_0010, process: parent, isReturnAddress: false)[0]
        // Where it is, is known all the same.
        #expect(frame.function == nil && frame.module == mapping.path && frame.moduleOffset == 0x1010)
    }

    @Test func theOldestProcessesGoThatNobodyAskedFor() throws {
        let mapping = try code("one", at: 0x40_0000)
        let count = Int32(ProcessTable.keptBriefly + 100)
        for process in parent..<parent + count {
            symbolizer.execute(process: process, at: UInt64(process))
            symbolizer.map(process: process, mapping)
            if process % 50 == 0 { _ = symbolizer.keep(process: process) }
            symbolizer.exit(process: process)
        }
        let gone = (parent..<parent + count).filter { name(0x40_0010, $0) == nil }
        #expect(gone.count == 98 && gone.max() == parent + 99)
        #expect(!gone.contains { $0 % 50 == 0 })
    }

    @Test(.require(.root)) func eventsAndObservationAgree() throws {
        let path = directory.path + "/target"
        try Target.build(path, ["-no-pie"])
        let target = try Target([path])
        symbolizer.fork(parent: 0, child: target.pid, at: 10)
        symbolizer.execute(process: target.pid, at: 20)
        symbolizer.observe(process: target.pid)
        #expect(try target.frame("sym_static", symbolizer).function == "sym_static")
        let opened = symbolizer.statistics.filesOpened
        symbolizer.observe(process: target.pid)
        #expect(symbolizer.moment(of: target.pid, at: 25) == 20)
        #expect(symbolizer.statistics.filesOpened == opened)
        // A process that was there before: the first event makes us look.
        let other = Symbolizer(options: SymbolizerOptions())
        other.map(process: target.pid, try code("one", at: 0x7000_0000))
        #expect(try target.frame("sym_static", other).function == "sym_static")
    }
}
