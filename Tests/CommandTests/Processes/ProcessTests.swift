// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

extension EndToEnd {
    /// What starts and what ends, against a program that knows, and against strace.
    @Suite struct ProcessTests {
        private static let odd = "a b\tc\n\"\\\u{1b}[31m"

        @Test func everyExecIsARowWithItsArguments() throws {
            let count = 200
            let found = try JSONLines.of([
                "execsnoop", "--json", "-x", "--follow", "--", try Harness.program("spawner"), "execs",
                "\(count)",
            ])
            let words = try #require(found.others.first).split(separator: " ")
            let execs = found.rows.filter { $0.text("path") == "/proc/self/exe" }
            #expect(execs.count == count + 1)
            #expect(
                execs.map { $0["args"] as? [String] ?? [] }
                    == (0...count).map { ["renamed", "nothing", String($0), "", Self.odd] })
            #expect(
                execs.allSatisfy { $0.number("ppid") == Int(words[0]) && $0.text("parent_comm") == "spawner" }
            )
            #expect(Set(execs.map { $0.number("pid") }).count == count + 1)
            // The last one was called from the second thread, which took over the process.
            let fromThread = try #require(execs.last)
            #expect(fromThread.number("tid") != fromThread.number("pid"))
            #expect(execs.dropLast().allSatisfy { $0.number("tid") == $0.number("pid") })
            let failed = found.rows.filter { $0.number("errno") != 0 }
            #expect(failed.count == 1)
            #expect(failed.first?.number("errno") == Int(words[1]))
            #expect(failed.first?["args"] as? [String] == ["failing", "one", "two"])
            #expect(found.rows.count == count + 3)
        }

        @Test func argumentsAreShownUpToTheLimitAndThenCounted() throws {
            let long = String(repeating: "x", count: 4000)
            let result = try Finished(
                [Harness.apus, "execsnoop", "--json", "--", "true"] + (0..<10).map { "\($0)" + long })
            let row = try #require(try JSONLines(result.text).rows.first)
            #expect(row.number("arg_count") == 11)
            #expect(row.number("arg_bytes") == 5 + 10 * 4002)
            #expect(row["incomplete"] as? [String] == ["arguments cut"])
            let arguments = row["args"] as? [String] ?? []
            #expect(Array(arguments.prefix(5)) == ["true"] + (0..<4).map { "\($0)" + long })
            #expect(arguments.reduce(0) { $0 + $1.utf8.count + 1 } >= 16_384)
            #expect(result.errors.contains("1 execs have more arguments"))
        }

        @Test func theTableQuotesCutsAndEscapes() throws {
            let result = try Finished([
                Harness.apus, "execsnoop", "-q", "--max-args", "3", "--", "/bin/true", "a \"b\"",
                "\u{1b}[31m",
                "three",
            ])
            let lines = result.text.split(separator: "\n")
            #expect(lines.first?.hasPrefix("PCOMM            PID ") == true)
            #expect(
                lines.last?.hasSuffix(#"  0 "/bin/true" "a \"b\"" "\x1b[31m" ..."#) == true, "\(result.text)")
        }

        @Test func onlyWhatTheExpressionsFind() throws {
            let script = "/bin/true one; /bin/echo two > /dev/null; /bin/true two"
            let named = try JSONLines.of([
                "execsnoop", "--json", "-n", "^(true|none)$", "--follow", "--", "sh", "-c", script,
            ])
            #expect(named.rows.map { $0.text("comm") } == ["true", "true"])
            let lined = try JSONLines.of([
                "execsnoop", "--json", "-l", "^/bin/[a-z]+ two$", "--follow", "--", "sh", "-c", script,
            ])
            #expect(lined.rows.map { $0.text("comm") } == ["echo", "true"])
            let wrong = try Finished([Harness.apus, "execsnoop", "-n", "("])
            #expect(wrong.end == .exited(64))
            #expect(wrong.errors.contains("invalid regular expression"))
        }

        @Test(.require(.tool("strace")))
        func theSameExecsAsStrace() throws {
            let folder = try TemporaryFolder()
            let log = folder.path("log")
            let script = folder.path("script")
            try "#!/bin/sh -e\nls / > /dev/null\nmissing-command || env true\n".write(
                toFile: script, atomically: true, encoding: .utf8)
            chmod(script, 0o755)
            let found = try JSONLines.of([
                "execsnoop", "-x", "--json", "--follow", "--", "strace", "-f", "-o", log, "-e",
                "trace=execve",
                "/bin/sh", "-c", "\(script) a; \(script) 'b c'; true",
            ])
            let theirs = try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n").compactMap {
                line -> String? in
                guard let start = line.range(of: "execve(\"")?.upperBound else { return nil }
                let path = line[start...].prefix { $0 != "\"" }
                return "\(path) \(line.contains(" = 0") ? 0 : 2)"
            }
            let ours = found.rows.filter { $0.text("comm") != "strace" || $0.number("errno") > 0 }
                .filter { !$0.text("path").hasSuffix("/strace") }
                .map { "\($0.text("path")) \($0.number("errno"))" }
            #expect(theirs.count > 5)
            #expect(ours.sorted() == theirs.sorted())
            let scripts = found.rows.filter { $0["script"] as? Bool == true }
            #expect(
                scripts.map { $0["args"] as? [String] } == [
                    ["/bin/sh", "-e", script, "a"], ["/bin/sh", "-e", script, "b c"],
                ])
        }

        /// wait(2) is the truth: each process once, with the status that its parent got.
        @Test func everyEndIsARowWithTheStatusOfWait() throws {
            let folder = try TemporaryFolder()
            let program = try Harness.program("spawner")
            let found = try JSONLines.of([
                "exitsnoop", "--json", "--follow", "--", "sh", "-c",
                "cd \(folder.path); \(program) ends; true",
            ])
            let truth = found.others.map { line in line.split(separator: " ").compactMap { Int($0) } }
            #expect(truth.count == 50)
            for line in truth {
                let rows = found.rows.filter { $0.number("pid") == line[0] }
                #expect(rows.count == 1, "\(line)")
                let row = try #require(rows.first)
                let signal = line[1] & 0x7f
                #expect(row.number("code") == (signal == 0 ? line[1] >> 8 : -1), "\(line)")
                #expect(row.number("signal") == (signal == 0 ? -1 : signal), "\(line)")
                if signal != 0 { #expect(row["core_dumped"] as? Bool == (line[1] & 0x80 != 0)) }
                #expect(row.text("parent_comm") == "spawner")
            }
            #expect(found.rows.count == truth.count + 2)
            let failed = try JSONLines.of([
                "exitsnoop", "--json", "-x", "--follow", "--", "sh", "-c", "true; (exit 3); (exit 0); true",
            ])
            #expect(failed.rows.map { $0.number("code") } == [3])
        }

        @Test func ageIsFromForkToTheEnd() throws {
            let begin = Date()
            let found = try JSONLines.of([
                "exitsnoop", "--json", "--follow", "--", "sh", "-c", "sleep 0.3; true",
            ])
            let all = Int(Date().timeIntervalSince(begin) * 1e9)
            let row = try #require(found.rows.first { $0.text("comm") == "sleep" })
            #expect((300_000_000..<all).contains(row.number("age_ns")))
        }

        @Test func everyThreadIfAskedFor() throws {
            let found = try JSONLines.of([
                "exitsnoop", "--json", "-T", "--", try Harness.program("short-threads"), "500",
            ])
            #expect(found.rows.count == 501)
            #expect(Set(found.rows.map { $0.number("tid") }).count == 501)
            #expect(Set(found.rows.map { $0.number("pid") }).count == 1)
            // 40 processes whose eight threads end at the same moment: none may hide another one.
            // One of the others leaves a core dump where it runs.
            let folder = try TemporaryFolder()
            let program = try Harness.program("spawner")
            for _ in 0..<10 {
                let together = try JSONLines.of([
                    "exitsnoop", "--json", "-T", "--follow", "--", "sh", "-c",
                    "cd \(folder.path); exec \(program) ends",
                ])
                #expect(together.rows.count == 51 + 40 * 7 + 2)
            }
        }
    }
}
