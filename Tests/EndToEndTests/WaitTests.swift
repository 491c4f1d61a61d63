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

    func count(milliseconds: Range<Int64>) -> Int {
        buckets.filter {
            $0.low_ns >= milliseconds.lowerBound * 1_000_000
                && $0.high_ns <= milliseconds.upperBound * 1_000_000
        }.reduce(0) { $0 + $1.count }
    }
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

        private func producer(_ result: Finished) throws -> Int32 {
            let line = try #require(result.text.split(separator: "\n").first { $0.hasPrefix("producer ") })
            return try #require(line.split(separator: " ").dropFirst().first.flatMap { Int32($0) })
        }

        @Test(arguments: [[], ["--linear", "1000"]])
        func waitsAreCountedByTheirLengthAndKind(shape: [String]) throws {
            let rounds = 30
            let result = try run(
                ["offcputime", "--histogram", "--json"] + shape + ["--", try framed("producer"), "\(rounds)"])
            let thread = try producer(result)
            let all = try result.text.split(separator: "\n").filter { $0.hasPrefix("{") }.map {
                try JSONDecoder().decode(Waits.self, from: Data($0.utf8))
            }.filter { $0.id == thread }
            let sleep = try #require(all.first { $0.wait == "sleep" })
            #expect(sleep.count == rounds)
            // A busy machine may be late with one, but never early. 80 ms and 20 ms is what the program asks for.
            #expect(sleep.count(milliseconds: 64..<132) >= rounds * 9 / 10)
            #expect(sleep.count(milliseconds: 0..<64) == 0)
            let lock = try #require(all.first { $0.wait == "lock" })
            #expect(lock.count(milliseconds: 16..<33) >= rounds * 8 / 10)
        }

        @Test func theWakerOfALockIsWhoUnlocksIt() throws {
            let result = try run(["offcputime", "--wakers", "--json", "--", try framed("producer"), "20"])
            let thread = try producer(result)
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
            #expect(total > 300_000_000)
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
            let thread = try producer(result)
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
