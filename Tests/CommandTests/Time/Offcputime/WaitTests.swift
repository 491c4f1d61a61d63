// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// A histogram of `offcputime --histogram --json`.
private struct Waits: Decodable {
    struct Bucket: Decodable {
        let low_ns: Int64
        let high_ns: Int64
        let count: Int
    }

    let id: Int32
    let wait: String
    let count: Int
    let buckets: [Bucket]

    /// What they last in all is between these.
    var least: Int64 { buckets.reduce(0) { $0 + $1.low_ns * Int64($1.count) } }
    var most: Int64 { buckets.reduce(0) { $0 + $1.high_ns * Int64($1.count) } }
}

extension EndToEnd {
    /// What offcputime says of waits beside their stacks: how long they take, and who ends them.
    @Suite struct WaitTests {
        private func run(_ words: [String]) throws -> Finished {
            let result = try Finished([Harness.apus] + words, patience: 60)
            try #require(result.end == .exited(0), "\(result.errors)")
            return result
        }

        private func framed(_ name: String) throws -> String {
            try Harness.program(name, options: ["-g", "-O1", "-fno-omit-frame-pointer"])
        }

        @Test(arguments: [[], ["--linear", "1000"]])
        func waitsAreCountedByTheirLengthAndKind(shape: [String]) throws {
            let rounds = 30
            let result = try run(
                ["offcputime", "--histogram", "--json"] + shape + ["--", try framed("producer"), "\(rounds)"])
            let truth = try ProducerTruth(result.text)
            let all = try result.text.split(separator: "\n").filter { $0.hasPrefix("{") }.map {
                try JSONDecoder().decode(Waits.self, from: Data($0.utf8))
            }.filter { $0.id == truth.thread }
            let sleep = try #require(all.first { $0.wait == "sleep" })
            #expect(sleep.count >= rounds * 9 / 10 && sleep.count <= rounds)
            #expect(sleep.buckets.reduce(0) { $0 + $1.count } == sleep.count)
            // It asks for 80 ms, and on a busy machine it is late, but never early.
            #expect(sleep.buckets.allSatisfy { $0.high_ns > 80_000_000 || $0.count == 0 })
            let unreported = Int64(rounds - sleep.count) * truth.longest
            #expect(sleep.least <= truth.slept)
            #expect(sleep.most >= truth.slept - truth.cpu - unreported - truth.slept / 100)
            // Waits at the barriers are in it too.
            let lock = try #require(all.first { $0.wait == "lock" })
            #expect(lock.count >= rounds * 9 / 10)
            let missing = Int64(max(0, rounds - lock.count)) * truth.longest
            #expect(lock.most >= truth.locked * 9 / 10 - truth.cpu - missing)
        }

        @Test func theWakerOfALockIsWhoUnlocksIt() throws {
            let result = try run(["offcputime", "--wakers", "--json", "--", try framed("producer"), "20"])
            let thread = try ProducerTruth(result.text).thread
            let waits = try Stack.all(result.text).filter {
                $0.tid == thread && $0.wait == "lock" && !$0.has("pthread_barrier_wait") && $0.has("produce")
            }
            let total = waits.reduce(0) { $0 + ($1.offCpuNs ?? 0) }
            let byConsumer = waits.filter {
                guard let waker = $0.waker else { return false }
                return waker.comm == "consumer" && waker.pid == $0.pid && waker.tid != thread
                    && waker.has("futex_wake") && waker.frames.contains { $0.kind == "user" }
                    && !waker.frames.contains { ($0.function ?? "").hasPrefix("bpf_") }
            }
            #expect(total > 200_000_000)
            #expect(Double(byConsumer.reduce(0) { $0 + ($1.offCpuNs ?? 0) }) > 0.95 * Double(total))
        }

        @Test func foldedWakersFollowTheBlockedStackUpsideDown() throws {
            let result = try run(["offcputime", "--wakers", "-f", "--", try framed("producer"), "5"])
            let lines = result.text.split(separator: "\n").filter {
                $0.contains(";produce;") && !$0.contains("barrier") && $0.contains(";--;try_to_wake_up;")
            }
            let waking = try #require(
                lines.first { $0.contains(";futex_wake;") && $0.contains(";consumer ") })
            let blocked = try #require(waking.range(of: ";--;"))
            let before = waking[..<blocked.lowerBound].split(separator: ";")
            let after = waking[blocked.upperBound...].split(separator: ";")
            #expect(before.first == "producer" && before.last == "__schedule")
            #expect(after.last?.hasPrefix("consumer ") == true)
            let order = ["try_to_wake_up", "futex_wake", "do_futex"].map { name in
                after.firstIndex { $0 == name } ?? -1
            }
            #expect(order[0] == 0 && order[0] < order[1] && order[1] < order[2], "\(order)")
            // The user's frames are above the kernel's.
            #expect(order[2] < after.count - 2)
        }

        @Test func theWakerOfASleepIsTheTimersInterrupt() throws {
            let result = try run(["offcputime", "--wakers", "--json", "--", try framed("producer"), "10"])
            let thread = try ProducerTruth(result.text).thread
            let sleeps = try Stack.all(result.text).filter { $0.tid == thread && $0.wait == "sleep" }
            #expect(!sleeps.isEmpty)
            for waker in sleeps.map(\.waker) {
                // Not whatever task it hit, nor that task's functions.
                #expect(waker?.comm == "(interrupt)" && waker?.tid == 0)
                #expect(waker?.has("hrtimer_wakeup") == true)
                #expect(waker?.frames.allSatisfy { $0.kind == "kernel" } == true)
            }
        }

        @Test func recordingsAreDrawnAndCompared() throws {
            let folder = try TemporaryFolder()
            let program = try framed("producer")
            for (name, rounds) in [("before", "3"), ("after", "6")] {
                let result = try run(["offcputime", "--json", "--", program, rounds])
                try result.output.write(to: URL(fileURLWithPath: folder.path(name)))
            }
            let (before, after) = (folder.path("before"), folder.path("after"))
            for words in [[before], ["--diff", before, after]] {
                _ = try run(["flamegraph"] + words + ["-o", folder.path("a.svg")])
                let text = try String(contentsOfFile: folder.path("a.svg"), encoding: .utf8)
                #expect(text.contains("wait_for_work") && text.contains("off_cpu"))
            }
            let cpu = folder.path("cpu")
            try Data("main;f 3\n".utf8).write(to: URL(fileURLWithPath: cpu))
            let mixed = try Finished(
                [Harness.apus, "flamegraph", "--diff", before, cpu, "-o", folder.path("a.svg")])
            #expect(mixed.end == .exited(1))
            #expect(mixed.errors.contains("the recordings measure different things"))
        }

        @Test func histogramsAndStacksExcludeEachOther() throws {
            for words in [["--wakers"], ["-f"], ["--flamegraph", "x.svg"]] {
                let result = try Finished([Harness.apus, "offcputime", "--histogram"] + words)
                #expect(result.end == .exited(64))
                #expect(result.errors.contains("--histogram shows no stacks: leave out \(words[0])"))
            }
        }
    }
}
