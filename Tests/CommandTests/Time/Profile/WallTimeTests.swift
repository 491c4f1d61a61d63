// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
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
            let truth = try ProducerTruth(result.text)
            let stacks = try Stack.all(result.text).filter { $0.tid == truth.thread }
            for (function, wait, time) in [
                ("wait_for_work", "sleep", truth.slept), ("hand_over", "lock", truth.locked),
            ] {
                let all = stacks.filter { $0.has(function) && $0.state == "off-cpu" }
                #expect(all.contains { $0.wait == wait })
                #expect(all.allSatisfy { $0.wait == wait || $0.wait == "preempted" })
                #expect(all.allSatisfy { $0.wallNs == $0.offCpuNs })
                // A kernel that does not report every switch has lost a few of 50.
                truth.expect(all.reduce(0) { $0 + ($1.offCpuNs ?? 0) }, of: time, unreported: 3)
            }
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
            let chance = 4 * (6 * 99 * share * (1 - share)).squareRoot() * 1e9 / 99
            #expect(abs(on - burned) < 0.02 * burned + chance, "\(on) of \(burned)")
            let total = wall(stacks)
            #expect(abs(total - 6e9) < 0.02 * 6e9 + chance, "\(total) of 6 s")
        }

        @Test func foldedStacksSayWhichTimeWasOffTheCPU() throws {
            let result = try run(
                ["profile", "--off-cpu", "-f", "-F", "99", "--", try framed("producer"), "10"])
            let truth = try ProducerTruth(result.text)
            let lines = result.text.split(separator: "\n").filter { $0.hasPrefix("producer;") }
            let waits = lines.filter { $0.contains(";wait_for_work;") && $0.contains(";[off-CPU: sleep] ") }
            let slept = waits.compactMap { $0.split(separator: " ").last.flatMap { Int($0) } }.reduce(0, +)
            truth.expect(Int64(slept) * 1000, of: truth.slept, unreported: 1)
        }

        private let pprof = ["go", "tool", "pprof"]

        @Test(.require(Harness.goPprof))
        func pprofReadsTheProfile() throws {
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
