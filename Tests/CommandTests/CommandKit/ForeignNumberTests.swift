import ArgumentParser
// SPDX-License-Identifier: Apache-2.0
import Arithmetic
import CBPFPrograms
import Foundation
import Reporting
import Symbolization
import TestSupport
import Testing

@testable import Commands

/// Numbers that come from other programs and from files: at the ends of their types, none may end ours.
@Suite struct ForeignNumberTests {
    @Test func arithmeticStopsAtTheEnds() {
        #expect(UInt64.max.addingClamped(1) == .max && UInt64(1).subtractingClamped(2) == 0)
        #expect(Int.max.addingClamped(1) == .max && Int.min.addingClamped(-1) == .min)
        #expect(Int.min.subtractingClamped(1) == .min && Int.max.subtractingClamped(-1) == .max)
        #expect(Int8(-100).multipliedClamped(by: 2) == .min && Int8(-100).multipliedClamped(by: -2) == .max)
        #expect(Int8(3).multipliedClamped(by: 4) == 12 && UInt8(20).multipliedClamped(by: 20) == .max)
        #expect(Int64(clampingRounded: 1e300) == .max && Int64(clampingRounded: -.infinity) == .min)
        #expect(Int64(clampingRounded: .nan) == 0 && Int64(clampingRounded: -2.5) == -3)
        #expect(
            UInt64(clampingRounded: -1) == 0 && UInt64(clampingRounded: 18_446_744_073_709_551_616) == .max)
        #expect(Int64(clampingRounded: 9_223_372_036_854_775_808) == .max)
    }

    /// An allocator of the target's own may say that its blocks are as large as it likes.
    @Test func sumsOfMemoryThatNobodyHas() throws {
        let report = MemleakReport(try Memleak.parse(["-p", "1"]), process: 1)
        let block = Double((1 << 46) as UInt64 - 1)
        #expect(report.whole(131_072 * block) == Int64(131_072 * (1 << 46) as UInt64 - 1024 * 128))
        #expect(report.whole(131_073 * block) == .max)
        #expect(
            report.whole(.infinity) == .max && report.whole(-.infinity) == .min && report.whole(.nan) == 0)
    }

    @Test(arguments: [
        ("-9223372036854775808@x", nil), ("9223372036854775807@x", nil), ("0@x", nil), ("3@%eax", nil),
        ("16@%xmm0", nil), ("4f@%xmm0", nil), ("@", nil), ("-4@%edi", 4), ("8@-16(%rbp)", 8), ("1@$5", 1),
        ("99999999999999999999@x", nil),
    ])
    func sizesOfUSDTArguments(operand: String, size: Int?) {
        let detail = ProbeListing.detail(operand, number: 1)
        #expect(detail.size == size && detail.name == "arg1")
        #expect(
            detail.operand == (size == nil ? operand : operand.split(separator: "@").last.map(String.init)))
        #expect(detail.isSigned == (size != nil && operand.hasPrefix("-")))
    }

    private func read(_ lines: [String]) throws -> [DistributionRecord] {
        let path = NSTemporaryDirectory() + "apus-numbers-\(UUID().uuidString)"
        try lines.joined(separator: "\n").write(toFile: path, atomically: false, encoding: .utf8)
        defer { unlink(path) }
        return try DistributionRecord.read(path)
    }

    private func line(_ buckets: [(low: UInt64, high: UInt64, count: UInt64)], total: UInt64, maximum: UInt64)
        -> String
    {
        let texts = buckets.map { #"{"low_ns":\#($0.low),"high_ns":\#($0.high),"count":\#($0.count)}"# }
        return
            #"{"command":"runqlat","by":"all","id":1,"name":"x","total_ns":\#(total),"max_ns":\#(maximum),"#
            + #""buckets":[\#(texts.joined(separator: ","))]}"#
    }

    private func compare(_ before: [DistributionRecord], _ after: [DistributionRecord]) throws {
        let writer = ByteWriter()
        for json in [false, true] {
            let table = Table(DistributionComparison.columns, json: json)
            for line in DistributionComparison(before: before, after: after).lines {
                table.write(line, to: writer)
            }
        }
        #expect(writer.count > 0)
    }

    @Test func distributionsAtTheEndsOfNumbers() throws {
        let most = try read([line([(0, .max, 1)], total: .max, maximum: .max)])
        #expect(most[0].distribution.percentile(1) == .max)
        let least = try read([line([(0, 1, 1)], total: 1, maximum: 1)])
        try compare(least, most)
        try compare(most, least)
        // Each count fits, their sum does not.
        let large = [(low: 1 as UInt64, high: 2 as UInt64, count: (1 << 48) as UInt64 - 1)]
        let one = try read([line(large, total: .max, maximum: .max)])
        var sum = one[0].distribution
        for _ in 0..<70 { sum.add(sum) }
        #expect(sum.count == .max && sum.total == .max && sum.percentile(0.5) <= 2)
    }

    @Test func anyDistributions() throws {
        var random = SeededGenerator(seed: 9)
        var records: [DistributionRecord] = []
        for round in 0..<400 {
            let buckets = (0..<random.below(6)).map { _ in
                (low: random.extreme(), high: random.extreme(), count: random.extreme())
            }
            let read = try read([line(buckets, total: random.extreme(), maximum: random.extreme())])
            let writer = ByteWriter()
            for record in read {
                record.writeJSON(to: writer)
                for unit in [TimeUnit.nanoseconds, .milliseconds] {
                    record.distribution.write(to: writer, unit: unit, linear: false)
                }
            }
            if round % 2 == 1 { try compare(records, read) }
            records = read
        }
    }

    /// As many as two files of a quarter of a gigabyte have, and names that occur once.
    @Test func comparingManyTakesTimeOnlyOnceForEach() {
        let many = (0..<60_000).map { number in
            DistributionRecord(
                command: "runqlat", by: "thread", id: UInt64(number), name: "name \(number)",
                distribution: Distribution())
        }
        let began = ProcessInfo.processInfo.systemUptime
        #expect(DistributionComparison(before: many, after: many.reversed()).lines.count == 240_000)
        // Each with each are 3.6 billion comparisons of texts: minutes.
        #expect(ProcessInfo.processInfo.systemUptime - began < 20)
    }

    @Test(arguments: [Int.min, -1, 0, 3, Int.max])
    func aReportThatSaysAnyNumberOfStacks(count: Int) {
        var recording = StackRecording()
        recording.read(line: #"{"type":"stack","bytes":5,"allocations":1,"frames":[]}"#.utf8)
        recording.read(line: #"{"type":"report","bytes":5,"stacks":\#(count)}"#.utf8)
        #expect(recording.missingStacks == max(0, count == .min ? 0 : count - 1))
    }
}
