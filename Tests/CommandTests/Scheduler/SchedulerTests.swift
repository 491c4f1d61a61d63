// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

/// What Tests/Programs/late.c knows about itself.
private struct Late {
    /// Between one wake-up that the thread noted and the next.
    struct Period {
        let begin: Int64
        let end: Int64
        /// For how long it waited for a CPU, and how often, by the kernel's account (/proc/PID/schedstat).
        let waitedNs: Int64
        let waits: Int64
    }

    struct Hog {
        var thread: Int64 = 0
        var burnedNs: Int64 = 0
        var ranNs: Int64 = 0
        var runs: Int64 = 0
    }

    var periods: [Period] = []
    var hog = Hog()
    var fusion: Int64 = 0
    var waitedNs: Int64 = 0
    var waits: Int64 = 0

    var longestNs: Int64 { periods.map(\.waitedNs).max() ?? 0 }

    init(_ output: String) throws {
        var before = (end: Int64(0), waited: Int64(0), waits: Int64(0))
        for line in output.split(separator: "\n") {
            let words = line.split(separator: " ")
            let numbers = words.dropFirst().compactMap { Int64($0) }
            guard let name = words.first, words.count == 5, numbers.count == 4 else { continue }
            switch name {
            case "wake":
                periods.append(
                    Period(
                        begin: before.end, end: numbers[0], waitedNs: numbers[2] - before.waited,
                        waits: numbers[3] - before.waits))
                before = (numbers[0], numbers[2], numbers[3])
            case "hog":
                hog = Hog(thread: numbers[0], burnedNs: numbers[1], ranNs: numbers[2], runs: numbers[3])
            case "end": (fusion, waitedNs, waits) = (numbers[0], numbers[2], numbers[3])
            default: break
            }
        }
        guard fusion > 0 else { throw HarnessError("late said nothing: \(output.suffix(200))") }
    }
}

/// The lines of JSON in an output, of one type.
private func objects(_ output: String, type: String) throws -> [[String: Any]] {
    try output.split(separator: "\n").filter { $0.hasPrefix("{") }.compactMap { line in
        let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
        return object?["type"] as? String == type ? object : nil
    }
}

private func number(_ object: [String: Any], _ key: String) -> Int64 {
    (object[key] as? NSNumber)?.int64Value ?? -1
}

private func firstRunner(_ object: [String: Any]) -> String? {
    (object["ran_instead"] as? [[String: Any]])?.first?["comm"] as? String
}

extension EndToEnd {
    @Suite struct SchedulerTests {
        private func run(_ words: [String], patience: TimeInterval = 60) throws -> Finished {
            let result = try Finished([Harness.apus] + words, patience: patience)
            try #require(result.end == .exited(0), "\(result.errors)")
            return result
        }

        /// The account that the kernel keeps of each thread is the truth, and has no more than 1 ms for each wait
        /// that is not long enough for a row.
        ///
        /// Kernels of some sandboxes report no switch away from the sandbox's own threads: each CPU's switches, which
        /// must begin where the one before ended, have a gap only behind those; perf's counter of the same tracepoint
        /// lacks as many as funccount, of what /proc/stat counts. A wait that such a switch ends has no row. That is
        /// why both threads have real-time priorities: what else runs hardly comes between them.
        @Test func everyLateWakeUpIsReportedOnceAndBlamedOnTheHog() throws {
            let program = try Harness.program("late")
            let result = try run(
                ["runqslower", "1000", "--json", "--summary", "-c", "fusion_thread", "--", program, "10"])
            let late = try Late(result.text)
            let waits = try objects(result.text, type: "wait").filter { number($0, "tid") == late.fusion }
            try #require(late.periods.count == 500)
            var differences: [String] = []
            for period in late.periods {
                let rows = waits.filter {
                    number($0, "time_ns") > period.begin && number($0, "time_ns") <= period.end
                }
                let rest = period.waitedNs - rows.reduce(0) { $0 + number($1, "wait_ns") }
                let small = period.waits - Int64(rows.count)
                if small < 0 || rest < -500_000 || rest > small * 1_000_000 + 500_000 {
                    differences.append("\(period): \(rows)")
                }
            }
            #expect(differences.count <= 500 / 20, "\(differences)")
            // Both timers may come at once where a host holds up the CPU: then there is nothing to wait for.
            let expected = late.periods.filter { $0.waitedNs > 1_500_000 }.count
            #expect(expected > 250)
            #expect(Double(waits.count) >= 0.95 * Double(expected), "\(waits.count) of \(expected)")
            let blamed = waits.filter { firstRunner($0) == "hog_thread" }.count
            #expect(Double(blamed) >= 0.95 * Double(waits.count))
            #expect(waits.allSatisfy { ["woken", "preempted"].contains($0["kind"] as? String) })
            #expect(2 * waits.filter { $0["kind"] as? String == "woken" }.count > waits.count)
            try compareWithKernel(result.text, late)
            let summaries = try objects(result.text, type: "distribution")
            #expect(summaries.first { number($0, "id") == late.fusion }.flatMap(firstRunner) == "hog_thread")
        }

        /// Each wait that the kernel did not report may have been one of the longest.
        private func compareWithKernel(_ output: String, _ late: Late) throws {
            let thread = try #require(
                try objects(output, type: "distribution").first { number($0, "id") == late.fusion })
            try #require(late.waits > 0, "the kernel keeps no account (/proc/PID/schedstat)")
            // The account ends at the last wake-up; the thread may wait once more before it ends.
            let unreported = max(0, late.waits - number(thread, "count"))
            #expect(unreported <= late.waits / 20, "\(unreported) of \(late.waits)")
            let allowed = late.waitedNs / 100 + unreported * late.longestNs
            let total = number(thread, "total_ns")
            #expect(abs(total - late.waitedNs) < allowed, "\(total) against \(late.waitedNs)")
            let buckets = thread["buckets"] as? [[String: Any]] ?? []
            #expect(buckets.reduce(0) { $0 + number($1, "count") } == number(thread, "count"))
        }

        /// libbpf-tools goes blind after some ten thousand threads: it never forgets those that have ended.
        @Test func threadsThatCameAndWentDoNotBlindIt() throws {
            let program = try Harness.program("late")
            let threads = try Harness.program("short-threads")
            let result = try run(
                ["runqslower", "1000", "--json", "-c", "fusion_thread", "--follow", "--", "sh", "-c"]
                    + ["\(threads) 70000; \(program) 4"], patience: 240)
            let late = try Late(result.text)
            let waits = try objects(result.text, type: "wait").filter { number($0, "tid") == late.fusion }
            let expected = late.periods.filter { $0.waitedNs > 5_000_000 }.count
            #expect(expected > 100)
            #expect(Double(waits.count) >= 0.95 * Double(expected))
            #expect(!result.errors.contains("lost"))
        }

        @Test func theSumOfAllWaitsIsTheKernelsOwn() throws {
            let result = try run(["runqlat", "-L", "--json", "--", try Harness.program("late"), "2"])
            try compareWithKernel(result.text, try Late(result.text))
        }

        /// The hog burns 10 ms by the clock in each period that it is in time for; the kernel's account has less where a host takes
        /// the CPU, or something more important runs in between.
        @Test func timeOnTheCPUAddsUp() throws {
            let result = try run(["cpudist", "-L", "--json", "--", try Harness.program("late"), "2"])
            let hog = try Late(result.text).hog
            let found = try #require(
                try objects(result.text, type: "distribution").first { number($0, "id") == hog.thread })
            #expect(found["name"] as? String == "hog_thread")
            let unreported = max(0, hog.runs - number(found, "count"))
            #expect(unreported <= hog.runs / 20, "\(unreported) of \(hog.runs)")
            let total = number(found, "total_ns")
            #expect(total > hog.ranNs - hog.ranNs / 100 - unreported * 10_000_000, "\(total): \(hog)")
            #expect(total < hog.burnedNs + hog.burnedNs / 10, "\(total): \(hog)")
        }

        @Test func twoRecordingsAreComparedWithoutTracing() throws {
            let folder = try TemporaryFolder()
            let program = try Harness.program("late")
            var files: [String] = []
            for name in ["before", "after"] {
                let result = try run(["runqlat", "-L", "--json", "--", program, "1"])
                files.append(folder.path(name))
                try result.text.write(toFile: folder.path(name), atomically: true, encoding: .utf8)
            }
            let same = try run(["runqlat", "--json", "--compare", files[0], "--compare", files[0]])
            #expect(same.text.contains("\"what\":\"thread fusion_thread\""))
            for line in same.text.split(separator: "\n") {
                let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any] ?? [:]
                #expect(number(object, "before") == number(object, "after"))
            }
            let other = try run(["runqlat", "--compare", files[0], "--compare", files[1]])
            #expect(other.text.hasPrefix("WHAT "))
        }

        @Test func aThreadInAnotherPIDNamespaceHasBothNumbers() throws {
            let program = try Harness.program("late")
            let result = try run(
                [
                    "runqslower", "1000", "--json", "--follow", "--", "unshare", "--pid", "--fork", program,
                    "1",
                ])
            let late = try Late(result.text)
            let wait = try #require(
                try objects(result.text, type: "wait").first { $0["comm"] as? String == "fusion_thread" })
            #expect(number(wait, "own_tid") == late.fusion)
            #expect(number(wait, "tid") != number(wait, "own_tid"))
        }

        @Test func aTaskThatItsCgroupHoldsUpIsThrottled() throws {
            let found = try Throttled()
            try require(
                Requirement(
                    "no cgroup with a limit of CPU time can be made", isExpected: false, isMet: found != nil))
            let group = try #require(found)
            let run = try TracedRun(
                ["1000", "--json", "--", "sh", "-c"]
                    + ["echo $$ > \(group.folder)/cgroup.procs; while :; do :; done"], command: "runqslower")
            // What else happens on the machine decides how long that takes. Once more it is held up while it ends.
            try eventually("it to use up its share") { try group.timesThrottled() >= 10 }
            run.send(SIGINT)
            let outcome = try run.finish()
            try #require(outcome.end == .exited(0), "\(outcome.errors)")
            let throttled = try objects(String(decoding: outcome.output, as: UTF8.self), type: "wait").filter
            {
                $0["cause"] as? String == "throttled"
            }
            let times = try group.timesThrottled()
            #expect(throttled.count <= times)
            #expect(throttled.count >= times * 3 / 4 - 1, "\(throttled.count) of \(times)")
        }
    }
}

/// A cgroup that may use a twentieth of a CPU, where this machine has the controller: less than a busy machine leaves it.
private final class Throttled {
    let folder: String

    init?() throws {
        let first = "/sys/fs/cgroup/cpu"
        let isFirst = FileManager.default.fileExists(atPath: first + "/cpu.cfs_quota_us")
        guard let mount = isFirst ? first : Harness.cgroupMount else { return nil }
        folder = mount + "/apus-throttled-\(getpid())"
        guard mkdir(folder, 0o755) == 0 else { return nil }
        let setting = isFirst ? ("cpu.cfs_quota_us", "5000") : ("cpu.max", "5000 100000")
        guard
            (try? setting.1.write(toFile: "\(folder)/\(setting.0)", atomically: false, encoding: .utf8))
                != nil
        else {
            rmdir(folder)
            return nil
        }
    }

    /// The kernel's own count.
    func timesThrottled() throws -> Int {
        let text = try Finished(["cat", "\(folder)/cpu.stat"]).text
        let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("nr_throttled ") })
        return try #require(line.split(separator: " ").last.flatMap { Int($0) })
    }

    deinit {
        // The kernel needs a moment to let go of a task that has just ended.
        for _ in 0..<200 where rmdir(folder) != 0 { usleep(10_000) }
    }
}
