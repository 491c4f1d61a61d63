// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

extension EndToEnd {
    /// `profile --off-cpu`: all of a thread's time.
    @Suite struct WallTimeTests {
        private func run(_ words: [String]) throws -> Finished {
            let result = try Finished([Harness.apus] + words, patience: 60)
            try #require(result.end == .exited(0), "\(result.errors)")
            return result
        }

        private func framed(_ name: String) throws -> String {
            try Harness.program(name, options: ["-g", "-O1", "-fno-omit-frame-pointer"])
        }

        private func wall(_ stacks: [Stack], where holds: (Stack) -> Bool = { _ in true }) -> Double {
            Double(stacks.filter(holds).reduce(0) { $0 + ($1.wallNs ?? 0) })
        }

        @Test func aThreadThatWaitsIsOffTheCPUForAllOfItsTime() throws {
            let result = try run(
                ["profile", "--off-cpu", "-F", "99", "--json", "--", try framed("producer"), "50"])
            let line = try #require(result.text.split(separator: "\n").first { $0.hasPrefix("producer ") })
            let words = line.split(separator: " ").compactMap { Double($0) }
            try #require(words.count == 3)
            // What is measured are the sleep and the lock of hand_over.
            let stacks = try Stack.all(result.text).filter {
                $0.tid == Int32(words[0]) && !$0.has("pthread_barrier_wait")
            }
            let total = wall(stacks)
            #expect(abs(total - words[1]) < 0.02 * words[1], "\(total) of \(words[1])")
            let slept = wall(stacks) { $0.state == "off-cpu" && $0.wait == "sleep" }
            let locked = wall(stacks) { $0.state == "off-cpu" && $0.wait == "lock" }
            #expect(slept > 0.76 * total && slept < 0.84 * total)
            #expect(locked > 0.16 * total && locked < 0.24 * total)
        }

        @Test func aThreadThatBurnsIsOnTheCPUOrPreempted() throws {
            let began = Date()
            let result = try run([
                "profile", "--off-cpu", "-F", "99", "--json", "--", try framed("burn"), "6",
            ])
            #expect(Date().timeIntervalSince(began) >= 6)
            let line = try #require(result.text.split(separator: "\n").first { $0.hasPrefix("burned ") })
            let burned = try #require(line.split(separator: " ").dropFirst().first.flatMap { Double($0) })
            let stacks = try Stack.all(result.text).filter { $0.comm.hasPrefix("burn") }
            for stack in stacks {
                #expect(stack.wallNs == (stack.onCpuNs ?? 0) + (stack.offCpuNs ?? 0))
                #expect((stack.state == "on-cpu") == (stack.offCpuNs == 0))
            }
            let on = wall(stacks) { $0.state == "on-cpu" }
            // On a busy machine it is chance whether a sample finds a thread that runs for part of the time.
            let share = min(1, burned / 6e9)
            let chance = 4 * (6 * 999 * share * (1 - share)).squareRoot() * 1e9 / 999
            #expect(abs(on - burned) < 0.02 * burned + chance, "\(on) of \(burned)")
            let total = wall(stacks)
            #expect(abs(total - 6e9) < 0.02 * 6e9 + chance, "\(total) of 6 s")
        }

        @Test func foldedStacksSayWhichTimeWasOffTheCPU() throws {
            let result = try run(
                ["profile", "--off-cpu", "-f", "-F", "99", "--", try framed("producer"), "10"])
            let lines = result.text.split(separator: "\n").filter { $0.hasPrefix("producer;") }
            let waits = lines.filter { $0.contains(";wait_for_work;") && $0.contains(";[off-CPU: sleep] ") }
            let slept = waits.compactMap { $0.split(separator: " ").last.flatMap { Int($0) } }.reduce(0, +)
            #expect(slept > 760_000 && slept < 900_000, "\(slept)")
        }

        /// Go's own reader is the one that most people have; scripts/setup --test brings it.
        private static let pprof: [String]? = {
            let words = ["go", "tool", "pprof"]
            let found = try? Finished(words + ["-h"], patience: 60)
            return found.map { $0.end == .exited(0) || $0.errors.contains("Usage") } == true ? words : nil
        }()

        private static let mustHavePprof = ProcessInfo.processInfo.environment["CI"] != nil

        @Test(.enabled(if: pprof != nil || mustHavePprof, "go tool pprof is not installed"))
        func pprofReadsTheProfile() throws {
            let pprof = try #require(Self.pprof, "go tool pprof is not installed: run scripts/setup --test")
            let folder = try TemporaryFolder()
            let path = folder.path("wall.pb.gz")
            let result = try run(
                [
                    "profile", "--off-cpu", "-F", "99", "--json", "--pprof", path, "--",
                    try framed("producer"), "10",
                ])
            let stacks = try Stack.all(result.text)
            let raw = try Finished(pprof + ["-raw", path])
            try #require(raw.end == .exited(0), "\(raw.errors)")
            #expect(raw.text.contains("\nwall/nanoseconds[dflt] on_cpu/nanoseconds off_cpu/nanoseconds\n"))
            #expect(raw.text.hasPrefix("PeriodType: cpu nanoseconds\n"))
            // "values: locations" for each sample, between "Samples:" and "Locations".
            let samples = raw.text.components(separatedBy: "Locations").first?.split(separator: "\n") ?? []
            let walls = samples.compactMap { line -> Int64? in
                let words = line.split(separator: ":").first?.split(separator: " ") ?? []
                return words.count == 3 ? Int64(words[0]) : nil
            }
            #expect(Double(walls.reduce(0, +)) == wall(stacks))
            let sleeping = try Finished(
                pprof + ["-traces", "-tagfocus=wait=sleep", "-sample_index=off_cpu", path])
            #expect(sleeping.end == .exited(0))
            #expect(sleeping.text.contains("wait_for_work") && sleeping.text.contains("[off-CPU: sleep]"))
            #expect(!sleeping.text.contains("[off-CPU: lock]"))
        }

        @Test func whatMakesNoSenseTogetherIsRefused() throws {
            for words in [["-C", "0"], ["-I"]] {
                let result = try Finished([Harness.apus, "profile", "--off-cpu"] + words)
                #expect(result.end == .exited(64))
                #expect(result.errors.contains("--off-cpu is about threads: leave out \(words[0])"))
            }
        }
    }
}
