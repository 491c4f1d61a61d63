// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// What Tests/Programs/late.c knows about itself.
private struct Late {
    struct Wake {
        let realNs: Int64
        let lateNs: Int64
        /// For how long it had waited for a CPU since the wake-up before.
        let waitedNs: Int64
    }

    var wakes: [Wake] = []
    var fusion = 0
    var hog = 0
    var runDelayNs: UInt64 = 0

    init(_ output: String) throws {
        var before: Int64 = 0
        for line in output.split(separator: "\n") {
            let words = line.split(separator: " ")
            if words.first == "wake", words.count == 4, let real = Int64(words[1]),
                let late = Int64(words[2]),
                let waited = Int64(words[3])
            {
                // A kernel without schedstat says 0: then lateness has to do.
                wakes.append(Wake(realNs: real, lateNs: late, waitedNs: waited > 0 ? waited - before : late))
                before = waited
            } else if words.first == "end", words.count == 4 {
                fusion = Int(words[1]) ?? 0
                hog = Int(words[2]) ?? 0
                runDelayNs = UInt64(words[3]) ?? 0
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

        /// Each wait ends between two wake-ups that the thread itself has noted.
        @Test func everyLateWakeUpIsReportedOnceAndBlamedOnTheHog() throws {
            let program = try Harness.program("late")
            let result = try run(
                ["runqslower", "1000", "--json", "--summary", "-c", "fusion_thread", "--", program, "10"])
            let late = try Late(result.text)
            let waits = try objects(result.text, type: "wait").filter {
                number($0, "tid") == Int64(late.fusion)
            }
            let woken = waits.filter { $0["kind"] as? String == "woken" }
            #expect(late.wakes.count == 500)
            // Far from the threshold, and far from what a second, short wait could add.
            for (index, wake) in late.wakes.enumerated() where wake.waitedNs > 5_000_000 {
                let earlier = index > 0 ? late.wakes[index - 1].realNs : 0
                let matching = woken.filter { number($0, "wait_ns") > 4_000_000 }
                    .filter { number($0, "time_ns") > earlier && number($0, "time_ns") <= wake.realNs }
                #expect(matching.count == 1, "waited \(wake.waitedNs) before \(wake.realNs)")
            }
            #expect(woken.count <= late.wakes.filter { $0.waitedNs > 900_000 }.count)
            #expect(woken.count > 400)
            let blamed = waits.filter { firstRunner($0) == "hog_thread" }.count
            #expect(Double(blamed) >= 0.95 * Double(waits.count))
            try compareWithKernel(result.text, late)
        }

        private func compareWithKernel(_ output: String, _ late: Late) throws {
            let summaries = try objects(output, type: "distribution")
            let summary = try #require(summaries.first { number($0, "id") == Int64(late.fusion) })
            let total = Double(number(summary, "total_ns"))
            // /proc/PID/schedstat is the kernel's own count; some kernels have none.
            let truth =
                late.runDelayNs > 0
                ? Double(late.runDelayNs) : Double(late.wakes.reduce(0) { $0 + $1.lateNs })
            #expect(abs(total - truth) < 0.02 * truth, "\(total) against \(truth)")
            #expect(firstRunner(summary) == "hog_thread")
        }

        /// libbpf-tools goes blind after some ten thousand threads: it never forgets those that have ended.
        @Test func threadsThatCameAndWentDoNotBlindIt() throws {
            let program = try Harness.program("late")
            let threads = try Harness.program("short-threads")
            let result = try run(
                ["runqslower", "1000", "--json", "-c", "fusion_thread", "--follow", "--", "sh", "-c"]
                    + ["\(threads) 200000; \(program) 4"], patience: 120)
            let late = try Late(result.text)
            let waits = try objects(result.text, type: "wait").filter {
                number($0, "tid") == Int64(late.fusion)
            }
            let expected = late.wakes.filter { $0.waitedNs > 1_200_000 }.count
            #expect(expected > 100)
            #expect(Double(waits.count) >= 0.99 * Double(expected))
            #expect(!result.errors.contains("lost"))
        }

        @Test func theSumOfAllWaitsIsTheKernelsOwn() throws {
            let result = try run(["runqlat", "-L", "--json", "--", try Harness.program("late"), "2"])
            let late = try Late(result.text)
            let thread = try #require(
                try objects(result.text, type: "distribution").first {
                    number($0, "id") == Int64(late.fusion)
                })
            let truth = Double(late.runDelayNs)
            try #require(truth > 0)
            #expect(abs(Double(number(thread, "total_ns")) - truth) < 0.02 * truth)
            let buckets = thread["buckets"] as? [[String: Any]] ?? []
            #expect(buckets.reduce(0) { $0 + number($1, "count") } == number(thread, "count"))
        }

        /// The hog burns 10 ms in each of 100 periods, whatever else the machine does.
        @Test func timeOnTheCPUAddsUp() throws {
            let result = try run(["cpudist", "-L", "--json", "--", try Harness.program("late"), "2"])
            let hog = try #require(
                try objects(result.text, type: "distribution").first {
                    $0["name"] as? String == "hog_thread"
                })
            let total = Double(number(hog, "total_ns"))
            #expect(total > 0.97e9 && total < 1.15e9, "\(total)")
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
            #expect(number(wait, "own_tid") == Int64(late.fusion))
            #expect(number(wait, "tid") != number(wait, "own_tid"))
        }

        @Test func aTaskThatItsCgroupHoldsUpIsThrottled() throws {
            guard let group = try Throttled() else { return }
            let result = try run(
                ["runqslower", "10000", "--json", "--duration", "1.5", "--", "sh", "-c"]
                    + ["echo $$ > \(group.folder)/cgroup.procs; while :; do :; done"])
            let waits = try objects(result.text, type: "wait")
            #expect(waits.count > 5)
            #expect(waits.filter { $0["cause"] as? String == "throttled" }.count > waits.count / 2)
        }
    }
}

/// A cgroup that may use a fifth of a CPU, where this machine has the controller.
private final class Throttled {
    let folder: String

    init?() throws {
        let first = "/sys/fs/cgroup/cpu"
        let isFirst = FileManager.default.fileExists(atPath: first + "/cpu.cfs_quota_us")
        guard let mount = isFirst ? first : Harness.cgroupMount else { return nil }
        folder = mount + "/apus-throttled-\(getpid())"
        guard mkdir(folder, 0o755) == 0 else { return nil }
        let setting = isFirst ? ("cpu.cfs_quota_us", "20000") : ("cpu.max", "20000 100000")
        guard
            (try? setting.1.write(toFile: "\(folder)/\(setting.0)", atomically: false, encoding: .utf8))
                != nil
        else {
            rmdir(folder)
            return nil
        }
    }

    deinit {
        // The kernel needs a moment to let go of a task that has just ended.
        for _ in 0..<200 where rmdir(folder) != 0 { usleep(10_000) }
    }
}
