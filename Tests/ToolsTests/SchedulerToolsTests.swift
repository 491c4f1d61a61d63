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

@Suite struct RunQueueWaitEventTests {
    private func record(_ head: wait_event, _ runs: [wait_run]) -> [UInt8] {
        var head = head
        head.run_count = UInt16(runs.count)
        return withUnsafeBytes(of: head) { Array($0) }
            + runs.flatMap { run in withUnsafeBytes(of: run) { Array($0) } }
    }

    private func run(_ thread: UInt32, _ held: UInt64) -> wait_run {
        var run = wait_run()
        run.thread = thread
        run.held_ns = held
        withUnsafeMutableBytes(of: &run.comm) { $0.copyBytes(from: Array("t\(thread)".utf8)) }
        return run
    }

    private func decode(_ bytes: [UInt8]) -> RunQueueWaitEvent? {
        bytes.withUnsafeBytes { RunQueueWaitEvent($0.bytes) }
    }

    @Test func runsOfOneThreadAddUpLongestFirst() throws {
        let bytes = record(wait_event(), [run(5, 10), run(7, 15), run(5, 10)])
        let event = try #require(decode(bytes))
        #expect(event.runners.map(\.thread) == [5, 7])
        #expect(event.runners.map(\.held) == [20, 15])
        #expect(event.runners.map(\.comm) == ["t5", "t7"])
    }

    @Test func aRecordThatIsTooShortIsNone() {
        let bytes = record(wait_event(), [run(1, 1)])
        #expect(decode(Array(bytes.dropLast())) == nil)
        #expect(decode(Array(bytes.prefix(8))) == nil)
    }

    @Test func halfOfTheWaitDecidesTheCause() throws {
        var head = wait_event()
        head.wait_ns = 100
        #expect(try #require(decode(record(head, [run(3, 90)]))).cause == .contention)
        #expect(try #require(decode(record(head, [run(0, 60), run(3, 40)]))).cause == .wakeup)
        head.interrupt_ns = 51
        #expect(try #require(decode(record(head, [run(3, 90)]))).cause == .interrupts)
        head.throttled_ns = 60
        #expect(try #require(decode(record(head, [run(3, 90)]))).cause == .throttled)
    }

    @Test func sharesAreOfTheReportedWaits() throws {
        var summary = RunQueueWaitSummary()
        var head = wait_event()
        head.thread = 9
        head.wait_ns = 100
        summary.add(try #require(decode(record(head, [run(1, 80), run(2, 20)]))))
        summary.add(try #require(decode(record(head, [run(1, 40), run(2, 10), run(3, 40), run(4, 10)]))))
        #expect(summary.culprits(of: 9).map(\.thread) == [1, 3, 2])
        #expect(summary.culprits(of: 9).map(\.share) == [0.6, 0.2, 0.15])
        #expect(summary.culprits(of: 8).isEmpty)
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

@Suite struct SchedulerOptionTests {
    @Test func thePeersOptionsParse() throws {
        let slower = try #require(try Runqslower.parseAsRoot(["-P", "-p", "1", "500"]) as? Runqslower)
        #expect(slower.threshold == 500 && slower.previous && slower.targets.processes == IDList(ids: [1]))
        #expect(try #require(try Runqslower.parseAsRoot([]) as? Runqslower).threshold == 10_000)
        #expect(try #require(try Runqslower.parseAsRoot(["0"]) as? Runqslower).threshold == 0)
        let prefix = try #require(try Runqslower.parseAsRoot(["-c", "pre"]) as? Runqslower)
        #expect(prefix.targets.comm == "pre" && prefix.targets.commIsPrefix)
        let lat = try #require(try Runqlat.parseAsRoot(["-m", "-T", "-L", "-p", "5", "1", "10"]) as? Runqlat)
        #expect(lat.intervals.interval == 1 && lat.intervals.count == 10 && lat.intervals.byThread)
        #expect(try #require(try Cpudist.parseAsRoot(["-O", "-P", "-e"]) as? Cpudist).histograms.percentiles)
    }

    @Test(arguments: [
        ["runqslower", "x"], ["runqslower", "-1"], ["runqlat", "-P", "-L"], ["runqlat", "0"],
        ["runqlat", "1", "0"],
        ["runqlat", "--pidnss", "-P"], ["cpudist", "--max-keys", "0"],
        ["runqslower", "-c", "a", "--comm", "b"],
        ["runqlat", "-c", "/a", "--cgroup", "/b"],
    ])
    func wrongUsageIsRefused(words: [String]) {
        #expect(throws: (any Error).self) { _ = try Apus.parseAsRoot(words) }
    }
}
