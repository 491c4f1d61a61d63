// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

extension EndToEnd {
    /// Counts of a program that is known to the last call, and those of strace.
    @Suite struct SyscountTests {
        private func row(_ found: JSONLines, _ name: String, abi: String = "native") throws -> [String: Any] {
            let rows = found.rows.filter { $0.text("syscall") == name && $0.text("abi") == abi }
            #expect(rows.count == 1, "\(name)")
            return try #require(rows.first, "\(name)")
        }

        @Test func everyCallAndErrorIsCountedOnce() throws {
            let found = try JSONLines.of([
                "syscount", "--json", "--follow", "--", try Harness.program("calls"),
            ])
            let truth: [(String, Int, Int)] = [
                ("getppid", 1500, 0), ("read", 132, 0), ("openat", 19, 17), ("close", 5, 5), ("kill", 7, 0),
                ("rt_sigreturn", 7, 0), ("clock_nanosleep", 3, 0), ("syscall_999", 2, 2), ("execve", 1, 0),
                ("clone", 1, 0),
            ]
            for (name, count, errors) in truth {
                let row = try row(found, name)
                #expect(row.number("count") == count, "\(name)")
                #expect(row.number("errors") == errors, "\(name)")
            }
        }

        @Test(.require(.tool("strace")))
        func theSameCountsAsStrace() throws {
            let folder = try TemporaryFolder()
            let program = try Harness.program("calls")
            let found = try JSONLines.of(["syscount", "--json", "--follow", "--", program])
            let ours = found.rows.filter { !$0.text("syscall").hasPrefix("syscall_") }
                .map {
                    "\($0.text("abi")) \($0.text("syscall")) \($0.number("count")) \($0.number("errors"))"
                }
            let log = folder.path("counts")
            try #require(Finished(["strace", "-f", "-c", "-o", log, program]).end == .exited(0))
            var abi = "native"
            var theirs: [String] = []
            for line in try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n") {
                if line.contains("32 bit mode") { abi = "32-bit" }
                let words = line.split(separator: " ")
                // % time, seconds, usecs/call, calls, [errors,] syscall
                guard words.count >= 5, let calls = Int(words[3]), let name = words.last, name != "total"
                else {
                    continue
                }
                theirs.append("\(abi) \(name) \(calls) \(words.count > 5 ? words[4] : "0")")
            }
            #expect(theirs.count > 15)
            #expect(ours.sorted() == theirs.sorted())
        }

        @Test func callsOf32BitsAreToldApart() throws {
            let program = try Harness.program("calls")
            let found = try JSONLines.of(["syscount", "--json", "-s", "getppid", "--", program])
            #expect(try row(found, "getppid").number("count") == 1000)
            try require(
                Requirement(
                    "this kernel has no 32-bit calls", isExpected: false, isMet: found.rows.count > 1))
            #expect(try row(found, "getppid", abi: "32-bit").number("count") == 11)
            let table = try Finished([Harness.apus, "syscount", "-s", "getppid", "--", program])
            #expect(table.text.contains("\ngetppid (32-bit)             11        0\n"), "\(table.text)")
        }

        @Test func byProcess() throws {
            let found = try JSONLines.of([
                "syscount", "--json", "-P", "-s", "getppid", "--follow", "--", try Harness.program("calls"),
            ])
            // With the 32-bit ones, where the kernel has them.
            let counts = found.rows.map { $0.number("count") }
            #expect(counts == [1011, 500] || counts == [1000, 500])
            #expect(found.rows.allSatisfy { $0.text("comm") == "calls" })
        }

        @Test(arguments: [[], ["-i", "0.05"]])
        func aProcessIsShownUnderItsLastName(options: [String]) throws {
            let script = "kill -0 $$; printf the-worker > /proc/$$/comm; kill -0 $$; sleep 0.2; kill -0 $$"
            let found = try JSONLines.of(
                ["syscount", "--json", "-P", "-s", "kill"] + options + ["--", "sh", "-c", script])
            #expect(found.rows.reduce(0) { $0 + $1.number("count") } == 3)
            #expect(found.rows.last?.text("comm") == "the-worker")
            // A thread's name is not that of its process.
            #expect(!found.rows.contains { $0.text("comm") == "sleep" })
        }

        @Test func onlyFailures() throws {
            let program = try Harness.program("calls")
            let all = try JSONLines.of(["syscount", "--json", "-x", "--", program])
            #expect(
                all.rows.map { "\($0.text("syscall")) \($0.number("count")) \($0.number("errors"))" }
                    .filter { !$0.hasPrefix("getppid") } == ["openat 17 17", "close 5 5", "syscall_999 2 2"])
            let one = try JSONLines.of(["syscount", "--json", "-e", "EBADF", "--", program])
            #expect(one.rows.map { $0.text("syscall") } == ["close"])
            #expect(try Finished([Harness.apus, "syscount", "-e", "ENOTHING"]).end == .exited(64))
            #expect(try Finished([Harness.apus, "syscount", "-s", "no_such_call"]).end == .exited(64))
        }

        @Test func latencyIsThatOfTheCall() throws {
            let program = try Harness.program("calls")
            let begin = Date()
            let found = try JSONLines.of(["syscount", "--json", "-L", "--", program])
            let all = Int(Date().timeIntervalSince(begin) * 1e9)
            let sleeps = try row(found, "clock_nanosleep")
            #expect(sleeps.number("timed") == 3)
            #expect((60_000_000..<all).contains(sleeps.number("total_ns")))
            #expect(sleeps.number("max_ns") >= 20_000_000)
            #expect(sleeps.number("average_ns") == sleeps.number("total_ns") / 3)
            let histogram = try JSONLines.of([
                "syscount", "--json", "-s", "clock_nanosleep,close", "--histogram", "--", program,
            ])
            #expect(histogram.rows.map { $0.text("name") } == ["clock_nanosleep", "close"])
            let sleep = try #require(histogram.rows.first)
            #expect(sleep.number("count") == 3 && sleep.number("max_ns") >= 20_000_000)
            let buckets = sleep["buckets"] as? [[String: Any]] ?? []
            #expect(buckets.reduce(0) { $0 + $1.number("count") } == 3)
            #expect(buckets.allSatisfy { $0.number("high_ns") > 20_000_000 })
        }

        @Test func intervalsAddUp() throws {
            let program = try Harness.program("calls")
            let found = try JSONLines.of([
                "syscount", "--json", "-i", "0.1", "-s", "clock_nanosleep", "--follow", "--", "sh", "-c",
                "\(program); " + Harness.untilOutputHas(#""count":[1-9]"#) + program,
            ])
            #expect(found.rows.count >= 2)
            #expect(found.rows.reduce(0) { $0 + $1.number("count") } == 6)
        }

        @Test func theListHasTheNamesOfTheHeaders() throws {
            let names = Set(try Finished([Harness.apus, "syscount", "-l"]).text.split(separator: "\n"))
            #expect(names.isSuperset(of: ["read", "openat", "execveat", "rt_sigreturn"]))
            #expect(names.count > 300)
        }
    }
}
