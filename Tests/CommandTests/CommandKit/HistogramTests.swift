// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import CBPFPrograms
import Foundation
import Reporting
import Testing

@testable import Commands

/// What bucket_of() in bpf/lib/histogram.bpf.h does, told once more.
private func bucket(_ ns: UInt64, unit: UInt64) -> Int {
    let value = ns / unit
    if value < 8 { return Int(value) }
    let power = UInt64(63 - value.leadingZeroBitCount)
    return Int((power - 2) * 8 + (value >> (power - 3)) & 7)
}

@Suite struct KernelHistogramScaleTests {
    @Test(arguments: [TimeUnit.microseconds, .milliseconds, .nanoseconds])
    func everyDurationLiesInTheRangeOfItsBucket(unit: TimeUnit) {
        let scale = KernelHistograms.Scale(unit: unit, step: nil)
        var duration: UInt64 = 1
        while duration < 1 << 41 {
            for value in [duration - 1, duration, duration + 1, duration + duration / 3] {
                let index = bucket(value, unit: scale.countingUnit)
                guard index < Int(HISTOGRAM_BUCKETS) else { continue }
                let range = scale.range(index)
                #expect(range.low <= value && value < range.high)
            }
            duration *= 2
        }
    }

    @Test func rangesFollowEachOther() {
        let scale = KernelHistograms.Scale(unit: .microseconds, step: nil)
        for index in 1..<Int(HISTOGRAM_BUCKETS) {
            #expect(scale.range(index).low == scale.range(index - 1).high)
        }
        // A power of two of the unit is a bound, so that printed rows are sums of buckets.
        let bounds = Set((0..<Int(HISTOGRAM_BUCKETS)).map { scale.range($0).low })
        for power in 0..<30 { #expect(bounds.contains(1000 << UInt64(power))) }
    }
}

@Suite struct RecordingTests {
    private func record(_ name: String, _ counts: [UInt64]) -> DistributionRecord {
        let buckets = counts.enumerated().map { index, count in
            Distribution.Bucket(low: UInt64(index) * 1000, high: UInt64(index + 1) * 1000, count: count)
        }
        return DistributionRecord(
            command: "runqlat", by: "thread", id: 7, name: name,
            distribution: Distribution(buckets: buckets, total: 5, maximum: UInt64(counts.count) * 1000))
    }

    private func file(_ text: String) throws -> String {
        let path = NSTemporaryDirectory() + "apus-recording-\(UUID().uuidString)"
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        return path
    }

    @Test func whatWasWrittenIsReadBack() throws {
        let writer = ByteWriter()
        let records = [record("a \"quoted\" \u{1b} name", [1, 0, 3]), record("b", [2])]
        for record in records { record.writeJSON(to: writer) }
        let path = try file("{\"type\":\"wait\"}\nnonsense\n" + writer.text)
        defer { unlink(path) }
        #expect(try DistributionRecord.read(path) == records)
    }

    @Test func intervalsOfOneNameAddUp() throws {
        let writer = ByteWriter()
        record("a", [1]).writeJSON(to: writer)
        record("a", [2, 2]).writeJSON(to: writer)
        let path = try file(writer.text)
        defer { unlink(path) }
        let read = try DistributionRecord.read(path)
        #expect(read.map(\.distribution.count) == [5])
    }

    @Test(arguments: ["", "{}\n", "{\"type\":\"distribution\",\"buckets\":[{\"low_ns\":-1}]}\n"])
    func aFileWithoutADistributionIsRefused(text: String) throws {
        let path = try file(text)
        defer { unlink(path) }
        #expect(throws: CommandFailure.self) { try DistributionRecord.read(path) }
        #expect(throws: CommandFailure.self) { try DistributionRecord.read(path + ".missing") }
    }

    @Test func changesAreInPerCent() {
        let comparison = DistributionComparison(
            before: [record("a", [4])], after: [record("a", [3, 3]), record("new", [1])])
        let lines = comparison.lines
        #expect(
            lines.map(\.what) == Array(repeating: "thread a", count: 4)
                + Array(repeating: "thread new", count: 4))
        #expect(lines[0].change == 50)
        #expect(lines[3].change == 100)
        #expect(lines[4].change == nil)
    }
}
