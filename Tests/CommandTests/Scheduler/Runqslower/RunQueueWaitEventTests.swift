// SPDX-License-Identifier: Apache-2.0
import CBPFPrograms
import Testing

@testable import Commands

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
