// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

extension EndToEnd {
    /// Times of a program that measures itself inside of its functions and outside (programs/latency.c).
    @Suite struct FunctionLatencyTests {
        /// What the program, and itself executed again, say of one function.
        private struct Truth {
            var calls = 0
            var inside = 0
            var outside = 0
        }

        private func truth(_ lines: [String]) -> [String: Truth] {
            var found: [String: Truth] = [:]
            for words in lines.map({ $0.split(separator: " ") }) where words.count == 4 {
                found[String(words[0]), default: Truth()].calls += Int(words[1]) ?? 0
                found[String(words[0]), default: Truth()].inside += Int(words[2]) ?? 0
                found[String(words[0]), default: Truth()].outside += Int(words[3]) ?? 0
            }
            return found
        }

        private func run(_ arguments: [String]) throws -> (lines: JSONLines, errors: String) {
            let result = try Finished([Harness.apus, "funclatency", "--json"] + arguments)
            try #require(result.end == .exited(0), "\(result.errors)")
            return (try JSONLines(result.text), result.errors)
        }

        @Test func everyCallIsTimedBetweenInsideAndOutside() throws {
            let program = try Harness.program("latency")
            let functions =
                "^(sleeps|recurses|tail_calls|tail_called|leaves_by_jump|waits_for_ever|becomes_another)$"
            let (found, errors) = try run(["-F", "--follow", "-r", "\(program):\(functions)", "--", program])
            let truth = truth(found.others)
            #expect(Set(truth.keys) == ["sleeps", "recurses", "tail_calls", "tail_called"])
            #expect(truth["sleeps"]?.calls == 116)
            #expect(Set(found.rows.map { $0.text("function") }) == Set(truth.keys))
            for row in found.rows {
                let expected = try #require(truth[row.text("function")])
                #expect(row.number("count") == expected.calls, "\(row)")
                #expect(row.number("total_ns") >= expected.inside, "\(row)")
                #expect(row.number("total_ns") <= expected.outside, "\(row)")
                let buckets = try #require(row["buckets"] as? [[String: Any]])
                #expect(buckets.map { $0.number("count") }.reduce(0, +) == expected.calls)
            }
            // Five jumps and an exec, and the thread that waits when its process ends, then or before we look.
            let missing = errors.split(separator: "\n").compactMap { line -> Int? in
                guard line.contains("in no histogram") else { return nil }
                return line.split(separator: " ").compactMap { Int($0) }.first
            }
            #expect(missing.reduce(0, +) == 7, "\(errors)")
            #expect(!errors.contains("lost"), "\(errors)")
        }

        @Test func whatIsTooDeepIsSaidToBeLost() throws {
            let program = try Harness.program("latency")
            let deep = try run(["\(program):recurses", "--", program, "deep"])
            #expect(deep.lines.rows.map { $0.number("count") } == [100])
            #expect(!deep.errors.contains("lost"), "\(deep.errors)")
            let shallow = try run(["-l", "3", "\(program):recurses", "--", program, "deep"])
            #expect(shallow.lines.rows.map { $0.number("count") } == [3])
            #expect(shallow.errors.contains("97 calls lost"), "\(shallow.errors)")
        }

        @Test func histogramsOfThreadsAndProcesses() throws {
            let program = try Harness.program("latency")
            let threads = try run(["-L", "\(program):sleeps", "--", program]).lines.rows
            #expect(threads.map { $0.number("count") }.sorted() == [15, 25, 25, 25, 25])
            #expect(Set(threads.map { $0.number("pid") }).count == 1)
            #expect(Set(threads.map { $0.number("tid") }).count == 5)
            let processes = try run(["-P", "-F", "--follow", "\(program):sleeps", "--", program]).lines.rows
            #expect(processes.map { $0.number("count") }.sorted() == [1, 115])
            // It executes itself again as /proc/self/exe.
            #expect(Set(processes.map { $0.text("name") }) == ["sleeps latency", "sleeps exe"])
        }

        @Test func averageTotalAndCountStandBelow() throws {
            let program = try Harness.program("functions")
            let result = try Finished([
                Harness.apus, "funclatency", "-m", "\(program):sleeps_a_while", "--", program,
            ])
            #expect(result.end == .exited(0))
            let last = try #require(result.text.split(separator: "\n").last)
            let match = try #require(
                last.wholeMatch(of: /avg = (\d+) msecs, total: (\d+) msecs, count: 3/), "\(last)")
            let total = try #require(Int(match.2))
            #expect(total >= 60)
            #expect(Int(match.1) == total / 3)
            #expect(result.text.contains("msecs               : count    distribution\n"))
        }

        @Test func intervalsAddUp() throws {
            let program = try Harness.program("functions")
            let script = "\(program); " + Harness.untilOutputHas(#""count":[1-9]"#) + program
            let rows = try run([
                "-i", "0.05", "--follow", "\(program):sleeps_a_while", "--", "sh", "-c", script,
            ]).lines.rows
            #expect(rows.map { $0.number("count") }.reduce(0, +) == 6)
            #expect(rows.count > 1)
        }

        @Test(arguments: [
            (["funclatency"], Int32(64), "give what to look at"),
            (["funclatency", "t:sched:*"], 64, "names no functions"),
            (["funclatency", "-u", "-m", "c:read"], 64, "exclude each other"),
            (["funclatency", "-l", "65", "c:read"], 64, "expected 1 to 64"),
            (["funclatency", "c:no_such_function"], 1, "nothing here matches"),
            (["funclatency", "--return-probes", "always", "c:_setjmp"], 1, "cannot be timed"),
        ])
        func whatCannotBeTimedIsSaid(words: [String], status: Int32, message: String) throws {
            let result = try Finished([Harness.apus] + words)
            #expect(result.end == .exited(status))
            #expect(result.output.isEmpty)
            #expect(result.errors.contains(message), "\(result.errors)")
            #expect(result.errors.split(separator: "\n").count == 1)
        }
    }
}
