// SPDX-License-Identifier: Apache-2.0
import CBPFPrograms
import Foundation
import Symbolization
import Testing

@testable import Unwinding

/// How functions become rows and pages, and which files have a table.
@Suite struct UnwindTableTests {
    private static let none = unwind_rule(CFA_NO_RULE)
    private static let entry = unwind_rule(CFA_STACK, 8)
    private static let signalReturn: [UInt8] = [0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05]

    /// Functions where the stack has so many bytes.
    private func image(_ functions: [(start: UInt64, size: UInt64, stack: UInt8)]) -> FrameImage {
        var section = FrameSection()
        section.addCommon()
        for function in functions {
            section.addFunction(function.start, function.size, [0x0e, function.stack])
        }
        return FrameImage(frames: section.bytes)
    }

    private func stack(_ size: Int32) -> unwind_rule { unwind_rule(CFA_STACK, size) }

    /// The rows as addresses and rules, after a check of what holds for each table.
    private func rows(_ table: UnwindTable) -> [(UInt64, unwind_rule)] {
        #expect(table.base % 65536 == 0 && table.pages.first?.isEmpty == false)
        #expect(
            table.rules.first == Self.none && Set(table.rules.map(\.description)).count == table.rules.count)
        #expect(table.statistics.rows == table.rows.count)
        var result: [(UInt64, unwind_rule)] = []
        var next = 0
        for (number, page) in table.pages.enumerated() {
            #expect(page.lowerBound == next)
            next = page.upperBound
            #expect(page.isEmpty || table.rows[page.lowerBound] & 0xffff == 0)
            for row in page.dropFirst() {
                #expect(table.rows[row - 1] & 0xffff < table.rows[row] & 0xffff)
                #expect(table.rows[row - 1] >> 16 != table.rows[row] >> 16)
            }
            result += page.map {
                (
                    table.base + UInt64(number) << 16 + UInt64(table.rows[$0] & 0xffff),
                    table.rules[Int(table.rows[$0] >> 16)]
                )
            }
        }
        #expect(next == table.rows.count)
        return result
    }

    private func expectRows(_ image: FrameImage, _ expected: [(UInt64, unwind_rule)]) throws {
        let found = rows(try #require(image.table))
        #expect(found.map(\.0) == expected.map(\.0))
        #expect(found.map(\.1) == expected.map(\.1))
    }

    @Test func smallGapsArePadding() throws {
        try expectRows(
            image([(0x11010, 16, 16), (0x1102f, 17, 24), (0x11050, 16, 32)]),
            [
                (0x10000, Self.none), (0x11010, stack(16)), (0x1102f, stack(24)), (0x11040, Self.none),
                (0x11050, stack(32)), (0x11060, Self.none),
            ])
    }

    @Test func orderDoesNotMatterAndEqualNeighboursAreOne() throws {
        try expectRows(
            image([(0x10020, 16, 16), (0x10000, 16, 16), (0x10010, 16, 16)]),
            [(0x10000, stack(16)), (0x10030, Self.none)])
    }

    @Test func pagesBeginWithWhatHoldsThere() throws {
        try expectRows(
            image([(0x1fff0, 32, 16), (0x3fff0, 16, 16)]),
            [
                (0x10000, Self.none), (0x1fff0, stack(16)), (0x20000, stack(16)), (0x20010, Self.none),
                (0x30000, Self.none), (0x3fff0, stack(16)),
            ])
    }

    @Test func pagesWithoutCodeAreEmpty() throws {
        var image = image([(0x10100, 16, 16), (0x80100, 16, 24)])
        image.ranges = [0x10000..<0x11000, 0x80000..<0x81000]
        let table = try #require(image.table)
        #expect(rows(table).count == 6)
        #expect(table.pages.map(\.isEmpty) == [false, true, true, true, true, true, true, false])
        for address: UInt64 in [0, 0xffff, 0x1ffff, 0x20000, 0x50000, 0x90000, .max] {
            #expect(table.rule(at: address) == Self.none)
        }
        #expect(table.rule(at: 0x1010f) == stack(16) && table.rule(at: 0x8010f) == stack(24))
    }

    @Test func theFunctionThatBeginsLaterWins() throws {
        try expectRows(
            image([(0x10000, 0x100, 16), (0x10020, 0x40, 24), (0x10030, 0x10, 32), (0x10050, 0x20, 40)]),
            [
                (0x10000, stack(16)), (0x10020, stack(24)), (0x10030, stack(32)), (0x10040, stack(24)),
                (0x10050, stack(40)), (0x10070, stack(16)), (0x10100, Self.none),
            ])
    }

    @Test func functionsAreCutToCode() throws {
        var image = image([(0, 0x20, 16), (0x500, 0x20, 16), (0x1000, 0x8000_0000, 24), (0x2000, .max, 32)])
        image.ranges = [0x1000..<0x2000]
        try expectRows(image, [(0, Self.none), (0x1000, stack(24)), (0x2000, Self.none)])
    }

    @Test func moreRowsThanAPageMayHaveAreCounted() throws {
        var section = FrameSection()
        section.addCommon()
        var instructions: [UInt8] = []
        for number in 0..<20_000 { instructions += [0x0e, number % 2 == 0 ? 16 : 24, 0x42] }
        section.addFunction(0x10000, 40_000, instructions)
        section.addFunction(0x20000, 16, [0x0e, 32])
        let table = try #require(FrameImage(frames: section.bytes).table)
        _ = rows(table)
        #expect(table.pages[0].count == Int(UNWIND_PAGE_ROWS))
        #expect(table.statistics.droppedRows == 20_000 - Int(UNWIND_PAGE_ROWS) + 1)
        #expect(table.rule(at: 0x10000 + 2 * 16382) == stack(16))
        #expect(table.rule(at: 0x10000 + 2 * 16383) == Self.none)
        #expect(table.rule(at: 0x10000 + 39_999) == Self.none && table.rule(at: 0x20000) == stack(32))
    }

    @Test func moreRulesThanThereMayBeAreCounted() throws {
        var section = FrameSection()
        section.addCommon()
        for page in 0..<5 {
            var instructions: [UInt8] = []
            for number in 0..<14_000 {
                let size = page * 14_000 + number + 16
                instructions += [
                    0x0e, UInt8(size & 127) | 128, UInt8(size >> 7 & 127) | 128, UInt8(size >> 14), 0x44,
                ]
            }
            section.addFunction(0x10000 + UInt64(page) << 16, 56_000, instructions)
        }
        var image = FrameImage(frames: section.bytes)
        image.ranges = [0x10000..<0x70000]
        let table = try #require(image.table)
        _ = rows(table)
        #expect(table.rules.count == Int(UNWIND_RULES))
        #expect(table.statistics.inexpressibleRows == 70_000 - 65_535)
        #expect(table.rule(at: 0x10000 + 4 * 5000) == stack(5016))
        #expect(table.rule(at: 0x50000 + 4 * 13_999) == Self.none)
    }

    // MARK: Signals

    @Test(arguments: [0, 1] as [UInt64])
    func theReturnFromASignalHandlerBeginsOneByteEarly(early: UInt64) throws {
        var section = FrameSection()
        section.addCommon("zRS", data: [0])
        section.addFunction(0x1100 - early, 9 + early, data: [0], [0x0e, 160])
        section.addFunction(0x1200, 16, data: [0], [0x0e, 24])
        section.addCommon()
        section.addFunction(0x10f0, 16, [0x0e, 16])
        var image = FrameImage(code: [0x1100: Self.signalReturn], frames: section.bytes)
        // Nothing is found by its bytes only.
        image.needed = 1
        try expectRows(
            image,
            [
                (0, Self.none), (0x10f0, stack(16)), (0x10ff, unwind_rule(CFA_SIGNAL, 40)),
                (0x1109, Self.none),
                // Another frame of an interrupted function is as it says.
                (0x1200, stack(24)), (0x1210, Self.none),
            ])
    }

    @Test(arguments: [true, false])
    func theReturnFromASignalHandlerIsKnownByItsCode(isDescribed: Bool) throws {
        var image = image([(0x1010, 16, 16)] + (isDescribed ? [(0x1100, 16, 16)] : []))
        image.code = [0x1100: Self.signalReturn]
        let table = try #require(image.table)
        for address: UInt64 in 0x10ff..<0x1109 {
            #expect(table.rule(at: address) == unwind_rule(CFA_SIGNAL, 40))
        }
        #expect(table.rule(at: 0x10fe) == Self.none)
        #expect(table.rule(at: 0x1109) == (isDescribed ? stack(16) : Self.none))
        image.needed = 1
        #expect(image.table?.rule(at: 0x1100) == (isDescribed ? stack(16) : Self.none))
    }

    @Test func theReturnFromASignalHandlerIsFoundAcrossChunks() throws {
        var image = image([(0x1010, 16, 16)])
        image.ranges = [0x1000..<0x400000]
        for place: UInt64 in [0x100ffc, 0x200ff1, 0x3ffff7] { image.code[place] = Self.signalReturn }
        let table = try #require(image.table)
        for place: UInt64 in [0x100ffc, 0x200ff1, 0x3ffff7] {
            #expect(table.rule(at: place) == unwind_rule(CFA_SIGNAL, 40))
        }
    }

    // MARK: Files

    @Test func otherFilesHaveNoTable() {
        let image = image([(0x1000, 16, 16)])
        #expect(image.table != nil)
        var other = image
        other.machine = 183
        #expect(other.table == nil)
        var bytes = image.bytes
        bytes[4] = 1
        #expect(UnwindTable(.memory(bytes)) == nil)
        #expect(UnwindTable(.memory([])) == nil && FrameImage().table == nil)
        #expect(UnwindTable(.memory(Array(image.bytes.prefix(0x1000)))) == nil)
    }

    @Test func sectionHeadersAreNotNeeded() throws {
        var image = image([(0x1000, 16, 16)])
        image.hasSections = false
        // The end, and then something else.
        image.frames += number(0 as UInt32) + [UInt8](repeating: 0xee, count: 100)
        #expect(image.table?.rule(at: 0x1000) == stack(16))
        #expect(image.table?.statistics.malformedEntries == 0)
    }

    @Test func anEndInTheMiddleIsSkipped() throws {
        var image = image([(0x1000, 16, 16)])
        let more = self.image([(0x1010, 16, 24)])
        image.frames += number(0 as UInt32) + more.frames
        #expect(image.table?.rule(at: 0x1000) == stack(16))
        #expect(image.table?.rule(at: 0x1010) == stack(24))
    }

    @Test func debugFrameFillsWhatIsLeft() throws {
        var image = image([(0x10010, 16, 16)])
        var section = FrameSection(isDebug: true)
        section.addCommon()
        section.addFunction(0x10000, 24, [0x0e, 24])
        section.addFunction(0x10018, 24, [0x0e, 32])
        section.addFunction(0x10020, 16, [0x0e, 40])
        image.debugFrames = section.bytes
        try expectRows(
            image,
            [(0x10000, stack(24)), (0x10010, stack(16)), (0x10020, stack(40)), (0x10030, Self.none)])
    }

    @Test func theSeparateDebugFileIsAskedOnlyIfNeeded() throws {
        var section = FrameSection(isDebug: true)
        section.addCommon()
        section.addFunction(0x1200, 16, [0x0e, 24])
        let debug = FrameImage(debugFrames: section.bytes).bytes
        let little = image([(0x1000, 16, 16)])
        let table = try #require(UnwindTable(.memory(little.bytes)) { _ in .memory(debug) })
        #expect(table.rule(at: 0x1000) == stack(16) && table.rule(at: 0x1200) == stack(24))
        let much = image([(0x1000, 0x3f000, 16)])
        #expect(
            UnwindTable(.memory(much.bytes)) { _ in
                Issue.record("asked")
                return nil
            } != nil)
    }
}
