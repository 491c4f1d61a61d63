// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

extension EndToEnd {
    /// Calls that a signal interrupts and the kernel takes up again, or that a tracer meddles with.
    @Suite struct InterruptedCallTests {
        /// What the program knows of its own calls: how often each was made, and how often it failed.
        private static let truth: [(name: String, count: Int, errors: Int)] = [
            // The first one is of /dev/zero; reads of zero are the handler's.
            ("openat", 4, 1), ("clock_nanosleep", 2, 1), ("pause", 1, 1), ("read", 3, 0),
            ("rt_sigreturn", 8, 0),
        ]

        private func restarts(_ arguments: [String]) throws -> (rows: JSONLines, folder: TemporaryFolder) {
            let folder = try TemporaryFolder()
            let found = try JSONLines.of(arguments + ["--", try Harness.program("restarts"), folder.path])
            #expect(found.others == ["8"])
            return (found, folder)
        }

        @Test(arguments: [[], ["-L"]])
        func syscountCountsACallOnceAndAsItEnds(options: [String]) throws {
            let found = try restarts(["syscount", "--json"] + options).rows
            for (name, count, errors) in Self.truth {
                let row = try #require(found.rows.first { $0.text("syscall") == name }, "\(name)")
                #expect(row.number("count") == count, "\(name)")
                #expect(row.number("errors") == errors, "\(name)")
                if !options.isEmpty { #expect(row.number("timed") == count, "\(name)") }
            }
            #expect(!found.rows.contains { $0.text("syscall") == "restart_syscall" })
            guard !options.isEmpty else { return }
            // From the first time that it began: with what came before the signals and behind them.
            let times = ["read": 120_000_000, "clock_nanosleep": 1_000_000_000]
            for (name, least) in times {
                let row = found.rows.first { $0.text("syscall") == name }
                #expect(row?.number("max_ns") ?? 0 >= least, "\(name)")
            }
        }

        @Test func syscountShowsWhatFailed() throws {
            let found = try restarts(["syscount", "--json", "-x"]).rows
            let failed = found.rows.map { "\($0.text("syscall")) \($0.number("count"))" }
                .filter { name in Self.truth.contains { name.hasPrefix($0.name) } }
            #expect(failed.sorted() == ["clock_nanosleep 1", "openat 1", "pause 1"])
            let interrupted = try restarts(["syscount", "--json", "-e", "EINTR"]).rows
            #expect(interrupted.rows.count == 3)
        }

        @Test func opensnoopShowsAnOpenOnceAndAsItEnds() throws {
            let (found, _) = try restarts(["opensnoop", "--json"])
            let rows = found.rows.filter { $0.text("path") != "/dev/zero" }
            #expect(
                rows.map { "\($0.text("path")) \($0.text("error"))" }
                    == ["restarted ", "failed EINTR", "stopped "])
            #expect(rows.map { $0.number("fd") < 0 } == [false, true, false])
            let (failed, _) = try restarts(["opensnoop", "--json", "-x"])
            #expect(failed.rows.map { $0.text("path") } == ["failed"])
        }

        @Test(arguments: [[], ["-L"]])
        func whatATracerMeddlesWithIsBookedOnNoOtherCall(options: [String]) throws {
            let found = try JSONLines.of(
                ["syscount", "--json", "--follow"] + options + ["--", try Harness.program("tampered")])
            func row(_ name: String) -> [String: Any]? { found.rows.first { $0.text("syscall") == name } }
            // Ten of its own, and four that were made from others.
            #expect(row("getppid")?.number("count") == 14)
            #expect(row("getgid") == nil)
            // Cancelled: the kernel has not made them.
            #expect(row("getuid") == nil)
            #expect(row("rt_sigreturn") == nil)
            // Refused: the caller has made them, and they have failed.
            #expect(row("getegid")?.number("count") == 3)
            #expect(row("getegid")?.number("errors") == 3)
            if !options.isEmpty {
                #expect(row("getppid")?.number("timed") == 14)
                #expect(row("getegid")?.number("timed") == 0)
            }
        }
    }
}
