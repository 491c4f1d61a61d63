// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

@testable import Symbolization

/// The parts of the DWARF reader by themselves, and what it does about memory.
@Suite struct DWARFReaderTests {
    private func cursor(_ bytes: [UInt8]) -> DWARFCursor {
        DWARFCursor(bytes, origin: 100, range: 0..<bytes.count)
    }

    /// Most of these are the examples of DWARF 5, 7.6.
    private static let unsigned: [(bytes: [UInt8], value: UInt64)] = [
        ([0x02], 2), ([0x7f], 127), ([0x80, 0x01], 128), ([0x81, 0x01], 129), ([0xb9, 0x64], 12857),
        ([0x80, 0x80, 0x80, 0x00], 0), ([UInt8](repeating: 0xff, count: 9) + [1], .max),
    ]

    private static let signed: [(bytes: [UInt8], value: Int64)] = [
        ([0x02], 2), ([0x7e], -2), ([0xff, 0x00], 127), ([0x81, 0x7f], -127), ([0x80, 0x01], 128),
        ([0x80, 0x7f], -128), ([0x81, 0x01], 129), ([0xff, 0x7e], -129),
        ([UInt8](repeating: 0x80, count: 9) + [0x7f], .min),
    ]

    @Test func readsNumbers() {
        for (bytes, value) in Self.unsigned {
            var cursor = cursor(bytes)
            #expect(cursor.unsigned() == value)
            #expect(cursor.isAtEnd)
            #expect(!cursor.failed)
        }
        for (bytes, value) in Self.signed {
            var cursor = cursor(bytes)
            #expect(cursor.signed() == value)
            #expect(!cursor.failed)
        }
    }

    @Test func staysFailed() {
        var cursor = cursor([1, 2, 3])
        #expect(cursor.number(UInt32.self) == 0)
        #expect(cursor.failed)
        #expect(cursor.isAtEnd)
        #expect(cursor.byte() == 0)
        var other = self.cursor([0x80, 0x80])
        #expect(other.unsigned() == 0)
        #expect(other.failed)
        var third = self.cursor([0x41, 0x42])
        #expect(third.text() == nil)
    }

    @Test func seeksWithinItsBytes() {
        var cursor = cursor([1, 2, 3, 4])
        cursor.seek(to: 102)
        #expect(cursor.byte() == 3)
        cursor.seek(to: 99)
        #expect(cursor.failed)
        var other = self.cursor([1, 2, 3, 4])
        other.limit(to: 102)
        other.skip(2)
        #expect(other.isAtEnd)
        #expect(!other.failed)
        other.skip(UInt64.max)
        #expect(other.failed)
    }

    @Test func innerIntervalsOwn() {
        typealias Interval = DWARFIntervals.Interval
        let intervals = DWARFIntervals([
            Interval(start: 10, end: 50, owner: 1), Interval(start: 20, end: 30, owner: 2),
            Interval(start: 20, end: 30, owner: 3), Interval(start: 25, end: 60, owner: 4),
            Interval(start: 70, end: 70, owner: 5), Interval(start: 90, end: 80, owner: 6),
        ])
        let owners = [9, 10, 19, 20, 24, 25, 29, 30, 59, 60, 70, 85].map { intervals.owner(of: $0) }
        #expect(owners == [nil, 1, 1, 3, 3, 4, 4, 4, 4, nil, nil, nil])
        #expect(intervals.intervals(of: 9).map(\.start) == [10, 20, 25])
    }

    /// Compares with the obvious way.
    @Test func intervalsAreThoseOfALinearSearch() {
        var random = SeededGenerator(seed: 11)
        for _ in 0..<200 {
            let all = (0..<random.below(20)).map {
                let start = UInt64(random.below(50))
                return DWARFIntervals.Interval(
                    start: start, end: start + UInt64(random.below(20)), owner: UInt32($0))
            }
            let intervals = DWARFIntervals(all)
            for address in UInt64(0)..<75 {
                let around = all.filter { $0.start <= address && address < $0.end }
                let expected = around.max { ($0.start, $0.owner) < ($1.start, $1.owner) }?.owner
                #expect(intervals.owner(of: address) == expected)
            }
        }
    }

    /// With little memory, units are given up and read again, and the answers are the same.
    @Test func staysBelowTheLimit() throws {
        let directory = DWARFTools.Directory()
        let names = (0..<8).map { "part\($0)" }
        let main =
            "int main(int n, char **v) { return " + names.map { $0 + "(n)" }.joined(separator: "+") + "; }"
        let declarations = names.map { "int \($0)(int);\n" }.joined()
        try (declarations + main).write(
            toFile: directory.file("main.c"), atomically: false, encoding: .utf8)
        for name in names {
            let lines = (0..<3000).map { "x = x * \($0) + (x >> 3);\n" }.joined()
            try "int \(name)(int x) {\n\(lines)return x; }".write(
                toFile: directory.file(name + ".c"), atomically: false, encoding: .utf8)
        }
        let words = ["cc", "-g", "-O0", "main.c"] + names.map { $0 + ".c" } + ["-o", "program"]
        _ = try DWARFTools.run(words, in: directory)
        let headers = try #require(OpenFile(path: directory.file("program")).flatMap { ELFFile(.file($0)) })
        let text = try #require(headers.section(named: ".text"))
        let module = try DWARFOpenModule(directory.file("program"))
        let (large, small) = (DWARFLines(), DWARFLines(memoryLimit: 150_000))
        var random = SeededGenerator(seed: 5)
        for _ in 0..<500 {
            let address = UInt64.random(in: text.address..<text.address + text.size, using: &random)
            let one = large.lines(module: module.identity, address: address)
            let other = small.lines(module: module.identity, address: address)
            #expect(one.map(\.line) == other.map(\.line))
            #expect(one.map(\.file) == other.map(\.file))
            #expect(one.map(\.function) == other.map(\.function))
            #expect(small.statistics.bytesHeld <= 150_000)
        }
        #expect(small.statistics.unitsEvicted > 0)
        #expect(large.statistics.unitsEvicted == 0)
        #expect(large.statistics.unitsRead <= 9)
        let path =
            large.lines(module: module.identity, address: text.address + text.size / 2).first?.file ?? ""
        #expect(path.hasPrefix(directory.path))
    }

    @Test func answersAtOnceWithoutInformation() throws {
        let compiler = try #require(DWARFTools.path("swift-frontend"))
        let module = try DWARFOpenModule(compiler)
        let provider = DWARFLines()
        let start = cpuSeconds()
        #expect(provider.lines(module: module.identity, address: 0x600_0000).isEmpty)
        #expect(cpuSeconds() - start < 0.5)
        #expect(provider.statistics.modulesOpened == 0)
    }

    @Test func knowsNothingOfTheVDSO() {
        let vdso = ModuleIdentity(number: 1, path: "[vdso]", buildID: nil, file: -1, debugFile: nil)
        #expect(DWARFLines().lines(module: vdso, address: 0x1000).isEmpty)
    }
}
