// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

extension EndToEnd {
    /// Stacks of a program that calls its functions in known numbers (Tests/Programs/functions.c).
    @Suite struct StackCountTests {
        private func folded(_ arguments: [String]) throws -> [String: Int] {
            let result = try Finished([Harness.apus, "stackcount", "-f"] + arguments)
            try #require(result.end == .exited(0), "\(result.errors)")
            var counts: [String: Int] = [:]
            for line in result.text.split(separator: "\n") {
                guard let space = line.lastIndex(of: " ") else { continue }
                counts[String(line[..<space]), default: 0] += Int(line[line.index(after: space)...]) ?? 0
            }
            return counts
        }

        @Test func whoCallsAFunctionAndHowOften() throws {
            let program = try Harness.program("functions")
            let found = try folded(["\(program):local_to_file", "--", program])
            let through = found.filter { $0.key.hasSuffix(";seldom_called;local_to_file") }
            let direct = found.filter { $0.key.hasSuffix(";main;local_to_file") }
            #expect(through.values.reduce(0, +) == 30, "\(found)")
            #expect(direct.values.reduce(0, +) == 40, "\(found)")
            #expect(found.values.reduce(0, +) == 70)
        }

        @Test func kernelStacksOfATracepointAreOneForAllProcesses() throws {
            let program = try Harness.program("calls")
            let found = try folded(["-K", "t:sched:sched_process_fork", "--", program])
            #expect(found.values.reduce(0, +) == 1)
            let stack = try #require(found.keys.first)
            #expect(stack.contains("kernel_clone") || stack.contains("_do_fork"), "\(stack)")
        }

        @Test func intervalsAddUpAndPicturesAreOfTheWholeRun() throws {
            let program = try Harness.program("functions")
            let folder = try TemporaryFolder()
            let picture = folder.path("calls.svg")
            let script = "\(program); " + Harness.untilOutputHas(#""calls":[1-9]"#) + program
            let rows = try JSONLines.of([
                "stackcount", "--json", "-i", "0.05", "--flamegraph", picture, "-U", "--follow",
                "\(program):sleeps_a_while", "--", "sh", "-c", script,
            ]).rows
            #expect(rows.count > 1)
            #expect(rows.map { $0.number("calls") }.reduce(0, +) == 6)
            #expect(Set(rows.map { $0.number("time_ns") }).count > 1)
            #expect(try String(contentsOfFile: picture, encoding: .utf8).contains("sleeps_a_while"))
        }

        @Test func stacksOfSingleSystemCalls() throws {
            let program = try Harness.program("calls")
            let found = try folded(["-U", "t:syscalls:sys_enter_getppid", "--", program])
            let calls = found.values.reduce(0, +)
            #expect(calls == 1000 || calls == 1011, "\(found)")
        }

        @Test func nothingToCountIsAnError() throws {
            let result = try Finished([Harness.apus, "stackcount"])
            #expect(result.end == .exited(64))
            #expect(result.errors.contains("give what to look at"))
        }
    }
}
