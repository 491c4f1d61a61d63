// SPDX-License-Identifier: Apache-2.0
import CBPFPrograms
import Foundation
import Symbolization
import TestSupport
import Testing

@testable import Unwinding

/// Damaged call frame information: nothing may crash, hang, or take unbounded memory.
///
/// Short; APUS_FUZZ_SECONDS=60 goes on for that long for each input, APUS_FUZZ_SEED=1 and so on elsewhere.
@Suite struct UnwindFuzzTests {
    private static let environment = ProcessInfo.processInfo.environment
    private let seconds = Double(environment["APUS_FUZZ_SECONDS"] ?? "") ?? 0
    private let seed = UInt64(environment["APUS_FUZZ_SEED"] ?? "") ?? 42

    /// Makes a table of each damaged copy, and checks what holds for every table.
    private func fuzz(rounds: Int, _ damaged: (inout SeededGenerator) -> [UInt8]) {
        var random = SeededGenerator(seed: seed)
        let end = ProcessInfo.processInfo.systemUptime + seconds
        var round = 0
        while round < rounds || ProcessInfo.processInfo.systemUptime < end {
            let bytes = damaged(&random)
            let start = cpuSeconds()
            if let table = UnwindTable(.memory(bytes), debugFile: { _ in .memory(bytes) }) {
                check(table, &random)
            }
            let took = cpuSeconds() - start
            #expect(took < 10, "round \(round) of seed \(seed)")
            round += 1
        }
    }

    private func check(_ table: UnwindTable, _ random: inout SeededGenerator) {
        var next = 0
        for page in table.pages {
            guard page.lowerBound == next, page.count <= Int(UNWIND_PAGE_ROWS),
                page.isEmpty || table.rows[page.lowerBound] & 0xffff == 0,
                page.dropFirst().allSatisfy({ table.rows[$0 - 1] & 0xffff < table.rows[$0] & 0xffff })
            else {
                Issue.record("seed \(seed)")
                return
            }
            next = page.upperBound
        }
        #expect(next == table.rows.count)
        #expect(table.rows.allSatisfy { Int($0 >> 16) < table.rules.count })
        for _ in 0..<10 {
            _ = table.rule(at: random.next())
            _ = table.rule(at: table.base &+ random.next() & 0xfffff)
        }
    }

    /// A bit of everything.
    private var handMade: FrameImage {
        var image = FrameImage(ranges: [0x1000..<0x3000, 0x20000..<0x21000])
        for isDebug in [false, true] {
            var section = FrameSection(isDebug: isDebug)
            section.addCommon("zPLR", data: [0x9b, 1, 2, 3, 4, 0x1b, 0x00])
            section.addFunction(
                0x1000, 64, data: [4, 1, 2, 3, 4],
                [0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6, 0x0a, 0x50, 0x0c, 7, 8, 0xc6, 0x41, 0x0b])
            section.addFunction(0x1020, 8, data: [0], [0x0f, 5, 0x77, 16, 0x06, 0x23, 8, 0x41, 0x13, 0x7d])
            section.addCommon("zRS", data: [0x50])
            section.addFunction(
                0x1040, 32, data: [0], [0x01] + number(0x1050 as UInt64) + [0x10, 6, 2, 0x76, 0x70])
            section.is64 = true
            section.addCommon(version: 4)
            section.addFunction(
                0x20000, 4096,
                [0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22, 0x03, 1, 0, 0x07, 16])
            if isDebug { image.debugFrames = section.bytes } else { image.frames = section.bytes }
        }
        image.code = [0x1040: CallFrameMachine.amd64.signalReturns[0].code]
        return image
    }

    @Test func sections() throws {
        let whole = handMade
        #expect(try #require(whole.table).statistics.entries >= 4)
        fuzz(rounds: 3000) { random in
            var image = whole
            image.hasSections = random.below(4) != 0
            for _ in 0...random.below(8) {
                if random.below(2) == 0, !image.frames.isEmpty {
                    random.damage(&image.frames)
                } else if !image.debugFrames.isEmpty {
                    random.damage(&image.debugFrames)
                }
            }
            return image.bytes
        }
    }

    @Test func files() throws {
        let whole = handMade.bytes
        fuzz(rounds: 500) { random in
            var bytes = whole
            for _ in 0...random.below(6) where !bytes.isEmpty { random.damage(&bytes) }
            return bytes
        }
    }

    @Test func aLibrary() throws {
        let path = "/lib64/ld-linux-x86-64.so.2"
        try require(.file(path))
        let bytes = [UInt8](try #require(FileManager.default.contents(atPath: path)))
        let section = try #require(ELFFile(.memory(bytes))?.section(named: ".eh_frame"))
        let range = Int(section.offset)..<Int(section.offset + section.size)
        fuzz(rounds: 20) { random in
            var frames = Array(bytes[range])
            for _ in 0...random.below(50) where !frames.isEmpty { random.damage(&frames) }
            frames += [UInt8](repeating: 0, count: max(range.count - frames.count, 0))
            var whole = bytes
            whole.replaceSubrange(range, with: frames.prefix(range.count))
            return whole
        }
    }

    /// What is made to take long: common entries and functions that overlap, each with many instructions.
    @Test func overlaps() throws {
        var section = FrameSection()
        section.addCommon()
        let advances = [UInt8](repeating: 0x41, count: 60_000)
        // All of these are open where the long ones are, and cut them to pieces.
        section.addFunction(0x10000, 0x1_0000, [0x0e, 16] + advances)
        for number in 0..<20_000 { section.addFunction(0x10001 + UInt64(number) * 2, 1, [0x0e, 24]) }
        let table = try #require(FrameImage(frames: section.bytes).table)
        #expect(table.statistics.malformedEntries > 0)
        let start = cpuSeconds()
        // Common entries within the instructions of a common entry.
        let size = 200_000
        let inner = number(UInt32(size)) + [0, 0, 0, 0, 1, 0, 1, 0x78, 16]
        var nested: [UInt8] = []
        for _ in 0..<5_000 { nested += inner }
        var bytes = number(UInt32(nested.count)) + nested
        for index in 0..<5_000 {
            let place = bytes.count + 4
            bytes += number(20 as UInt32) + number(UInt32(place - 4 - index * inner.count))
            bytes += number(0x10000 as UInt64) + number(16 as UInt64)
        }
        _ = FrameImage(frames: bytes).table
        #expect(cpuSeconds() - start < 30)
    }
}
