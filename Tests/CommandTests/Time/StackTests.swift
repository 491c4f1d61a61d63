// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

extension EndToEnd {
    @Suite struct StackTests {
        private func run(_ words: [String], patience: TimeInterval = 60) throws -> Finished {
            let result = try Finished([Harness.apus] + words, patience: patience)
            try #require(result.end == .exited(0), "\(result.errors)")
            return result
        }

        /// With frame pointers, which user stacks follow.
        private func framed(_ name: String) throws -> String {
            try Harness.program(name, options: ["-g", "-O1", "-fno-omit-frame-pointer"])
        }

        @Test func theTimeOfAProducerSplitsBetweenSleepAndLock() throws {
            let rounds = 50
            let result = try run(["offcputime", "--json", "--", try framed("producer"), "\(rounds)"])
            let truth = try ProducerTruth(result.text)
            let stacks = try Stack.all(result.text).filter { $0.tid == truth.thread }
            // In the same functions it may also be put off its CPU.
            for (function, wait, time) in [
                ("wait_for_work", "sleep", truth.slept), ("hand_over", "lock", truth.locked),
            ] {
                let all = stacks.filter { $0.has(function) }
                #expect(all.allSatisfy { $0.wait == wait || $0.wait == "preempted" })
                let waits = all.filter { $0.wait == wait }.reduce(0) { $0 + ($1.blocks ?? 0) }
                #expect(waits >= rounds * 9 / 10)
                truth.expect(
                    all.reduce(0) { $0 + ($1.offCpuNs ?? 0) }, of: time, unreported: max(0, rounds - waits))
            }
        }

        @Test func samplesAddUpToTheTimeBurned() throws {
            let result = try run(["profile", "-F", "99", "--json", "--", try framed("burn"), "10"])
            let line = try #require(result.text.split(separator: "\n").first { $0.hasPrefix("burned ") })
            let burned = try #require(line.split(separator: " ").dropFirst().first.flatMap { Double($0) })
            let stacks = try Stack.all(result.text).filter { $0.comm.hasPrefix("burn") }
            let samples = Double(stacks.reduce(0) { $0 + ($1.samples ?? 0) })
            let expected = burned / 1e9 * 99
            // On a busy machine it is chance whether a sample finds a thread that runs for part of the time: four
            // deviations of such a sum.
            let share = min(1, burned / 10e9)
            let chance = 4 * (10 * 99 * share * (1 - share)).squareRoot()
            #expect(abs(samples - expected) < 0.02 * expected + chance, "\(samples) of \(expected)")
            let named = Double(stacks.filter { $0.has("burn_here") }.reduce(0) { $0 + ($1.samples ?? 0) })
            #expect(named > 0.95 * samples)
        }

        @Test func foldedStacksHoldEverySample() throws {
            let program = try framed("burn")
            let result = try run(["profile", "-f", "-F", "99", "--", program, "2"])
            let lines = result.text.split(separator: "\n").filter { $0.hasPrefix("burn") && $0.contains(";") }
            #expect(lines.allSatisfy { $0.split(separator: " ").last.flatMap { Int($0) } != nil })
            let burning = lines.filter { $0.contains(";main;burn_here ") || $0.contains(";burn_here ") }
            #expect(!burning.isEmpty)
        }

        @Test func aProcessThatIsGoneStillHasNames() throws {
            let program = try framed("burn")
            let result = try run(
                [
                    "profile", "-F", "99", "--json", "--follow", "--", "sh", "-c",
                    "\(program) 0.5; \(program) 0.5; sleep 1",
                ])
            let stacks = try Stack.all(result.text).filter { $0.comm.hasPrefix("burn") }
            #expect(Set(stacks.filter { $0.has("burn_here") }.map(\.pid)).count == 2)
        }

        @Test func aThreadThatNeverWakesIsInTheResult() throws {
            let run = try TracedRun(
                ["--json", "--", "sh", "-c", "echo pid $$; exec sleep 1000"], command: "offcputime")
            let process = try run.number(behind: "pid ")
            try eventually("sleep to sleep") {
                try String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8).contains("(sleep) S")
            }
            let begin = Date()
            usleep(1_000_000)
            let least = Date().timeIntervalSince(begin)
            run.send(SIGINT)
            let outcome = try run.finish()
            try #require(outcome.end == .exited(0), "\(outcome.errors)")
            let still = try Stack.all(String(decoding: outcome.output, as: UTF8.self))
                .filter { $0.comm == "sleep" && $0.still == "blocked" }
            #expect(still.count == 1)
            #expect(still.first?.wait == "sleep")
            #expect(Double(still.first?.offCpuNs ?? 0) >= least * 1e9)
        }

        @Test func aThreadThatWasBlockedBeforeIsInTheResult() throws {
            let sleeper = try Child(["sleep", "60"])
            defer { sleeper.send(SIGKILL) }
            try eventually("sleep to sleep", by: [sleeper]) {
                let stat = try String(contentsOfFile: "/proc/\(sleeper.pid)/stat", encoding: .utf8)
                return stat.contains("(sleep) S")
            }
            let result = try run(["offcputime", "--json", "--duration", "1", "-p", "\(sleeper.pid)"])
            let stacks = try Stack.all(result.text)
            #expect(stacks.count == 1)
            #expect(stacks.first?.since == "before the start" && stacks.first?.still == "blocked")
            #expect(stacks.first?.wait == "sleep")
        }

        @Test func noFrameOfTheTracerIsShown() throws {
            let result = try run(["offcputime", "--json", "--", try framed("producer"), "3"])
            for stack in try Stack.all(result.text) {
                let names = stack.frames.compactMap(\.function)
                #expect(!names.contains { $0.hasPrefix("bpf_") || $0.hasPrefix("__traceiter") }, "\(names)")
            }
        }

        @Test func theEffortOfNamingIsToldWhenAsked() throws {
            let result = try run(["profile", "-v", "-F", "99", "--json", "--", try framed("burn"), "1"])
            let line = try #require(
                result.errors.split(separator: "\n").first { $0.contains(" addresses looked up, ") })
            let numbers = line.split { !$0.isNumber }.compactMap { Int($0) }
            try #require(numbers.count == 6)
            let frames = try Stack.all(result.text).flatMap(\.frames)
            let unnamed = frames.filter { $0.function == nil }.count
            #expect(numbers[0] >= Set(frames.map { $0.function }).count)
            #expect(numbers[1] >= min(1, unnamed) && numbers[1] <= numbers[0])
            #expect(numbers[2] > 0 && numbers[3] > 0 && numbers[4] > 0)
            let quiet = try run(["profile", "-F", "99", "--json", "--", try framed("burn"), "0.2"])
            #expect(!quiet.errors.contains("looked up"))
        }

        @Test func picturesAndProfilesAreWritten() throws {
            let folder = try TemporaryFolder()
            let program = try framed("burn")
            for name in ["a.svg", "a.html"] {
                _ = try run(
                    [
                        "profile", "-F", "99", "--flamegraph", folder.path(name), "--pprof",
                        folder.path("a.pb.gz"),
                    ]
                        + ["--", program, "1"])
                let text = try String(contentsOfFile: folder.path(name), encoding: .utf8)
                #expect(text.contains("burn_here"))
                #expect(!text.contains("http-equiv=\"refresh\"") && !text.contains("src=\"http"))
            }
            let unpacked = try Finished(["gzip", "-dc", folder.path("a.pb.gz")])
            #expect(unpacked.end == .exited(0))
            #expect(unpacked.output.range(of: Data("burn_here".utf8)) != nil)
        }
    }
}
