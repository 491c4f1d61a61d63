// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

extension EndToEnd {
    /// How a run begins and ends, and that it leaves nothing behind.
    @Suite struct LifeCycleTests {
        @Test(arguments: [SIGINT, SIGTERM, SIGHUP])
        func aSignalEndsItWithAllRowsOut(signal: Int32) throws {
            let folder = try TemporaryFolder()
            let agent = try Agent()
            let run = try TracedRun(["--json", "-p", agent.process])
            try run.waitUntilAttached(agent.sentinel)
            try agent.openNumbered(1000, folder.path("x"))
            run.send(signal)
            let outcome = try run.finish()
            #expect(outcome.end == .exited(0))
            #expect(outcome.errors.isEmpty)
            #expect(try outcome.rows(containing: folder.path).count == 1000)
        }

        /// As a shell starts its background jobs.
        @Test func SIGINTThatWasIgnoredEndsItToo() throws {
            let run = try TracedRun(
                ["--json"], through: ["sh", "-c", "trap '' INT; exec \"$0\" \"$@\""])
            try run.waitUntilAttached(.own)
            run.send(SIGINT)
            #expect(try run.finish().end == .exited(0))
        }

        @Test func itEndsWithItsTarget() throws {
            let folder = try TemporaryFolder()
            let agent = try Agent()
            let run = try TracedRun(["--json", "-p", agent.process])
            try run.waitUntilAttached(agent.sentinel)
            try agent.open(folder.path("x"))
            #expect(agent.finish() == .exited(0))
            let outcome = try run.finish()
            #expect(outcome.end == .exited(0))
            #expect(outcome.errors.isEmpty)
            #expect(try outcome.row(folder.path("x")).pid == agent.pid)
        }

        @Test func itEndsWithTheLastOfItsTargets() throws {
            let folder = try TemporaryFolder()
            let (first, last) = (try Agent(), try Agent())
            let run = try TracedRun(["--json", "-p", "\(first.pid),\(last.pid)"])
            try run.waitUntilAttached(first.sentinel)
            _ = first.finish()
            try last.open(folder.path("x"))
            try run.wait(for: folder.path("x"))
            _ = last.finish()
            #expect(try run.finish().end == .exited(0))
        }

        @Test(arguments: ["-d", "--duration"], ["1", "0.3", "1e-2"])
        func itEndsAfterTheDuration(option: String, seconds: String) throws {
            let agent = try Agent()
            let start = Date()
            let outcome = try TracedRun([option, seconds, "-p", agent.process]).finish()
            #expect(outcome.end == .exited(0))
            #expect(outcome.errors.isEmpty)
            #expect(outcome.lines.count == 1)
            #expect(Date().timeIntervalSince(start) >= (Double(seconds) ?? 0))
        }

        /// Nobody has to wait for an event to see that tracing has begun.
        @Test func theHeadingComesAtOnceThroughAPipe() throws {
            let agent = try Agent()
            let pipe = try Pipe()
            let child = try Child(
                [Harness.apus, "opensnoop", "-p", agent.process],
                Child.Streams(output: pipe.writer, errors: 2))
            pipe.closeWriter()
            let words = try pipe.line(by: child).split(separator: " ").map(String.init)
            #expect(words == ["PID", "COMM", "FD", "ERR", "PATH"])
            child.send(SIGINT)
            #expect(child.wait() == .exited(0))
        }

        /// And a row not for another row, nor for the end.
        @Test func aRowComesAtOnceThroughAPipe() throws {
            let folder = try TemporaryFolder()
            let agent = try Agent()
            let pipe = try Pipe()
            let child = try Child(
                [Harness.apus, "opensnoop", "-p", agent.process],
                Child.Streams(output: pipe.writer, errors: 2))
            pipe.closeWriter()
            _ = try pipe.line(by: child)
            for index in 0..<20 {
                try agent.open(folder.path("\(index)"))
                #expect(try pipe.line(by: child).hasSuffix(folder.path("\(index)")))
            }
            child.send(SIGINT)
            #expect(child.wait() == .exited(0))
        }

        /// `| head -1`, with and without anything more to write.
        @Test(arguments: [true, false])
        func itEndsWithItsReader(moreEvents: Bool) throws {
            let folder = try TemporaryFolder()
            let agent = try Agent()
            let pipe = try Pipe()
            let errors = try Scratch()
            let child = try Child(
                [Harness.apus, "opensnoop", "-p", agent.process],
                Child.Streams(output: pipe.writer, errors: errors.descriptor))
            pipe.closeWriter()
            _ = try pipe.line(by: child)
            pipe.closeReader()
            let deadline = Date() + Harness.patience
            while moreEvents, child.end() == nil, Date() < deadline {
                try agent.openNumbered(100, folder.path("x"))
            }
            #expect(child.wait() == .exited(0))
            #expect(try errors.contents().isEmpty)
        }

        @Test func aReaderThatReadsNothingDoesNotKeepItFromEnding() throws {
            let folder = try TemporaryFolder()
            let agent = try Agent()
            let pipe = try Pipe()
            let child = try Child(
                [Harness.apus, "opensnoop", "-p", agent.process], Child.Streams(output: pipe.writer))
            pipe.closeWriter()
            _ = try pipe.line(by: child)
            try agent.openNumbered(20_000, folder.path("x"))
            child.send(SIGINT)
            #expect(child.wait() == .exited(0))
        }

        @Test func outputThatCannotBeWrittenIsAFailure() throws {
            let full = open("/dev/full", O_WRONLY | O_CLOEXEC)
            defer { close(full) }
            let errors = try Scratch()
            let child = try Child(
                [Harness.apus, "opensnoop"], Child.Streams(output: full, errors: errors.descriptor))
            #expect(child.wait() == .exited(1))
            let text = String(decoding: try errors.contents(), as: UTF8.self)
            #expect(text == "opensnoop: cannot write the output: ENOSPC\n")
        }

        @Test func killedItLeavesNothing() throws {
            let run = try TracedRun(["--json", "--", "sh", "-c", "echo pid $$; exec sleep 1000"])
            let child = try run.number(behind: "pid ")
            let programs = Set(Self.programs(of: run.pid))
            #expect(!programs.isEmpty)
            run.send(SIGKILL)
            #expect(try run.finish().end == .killed(SIGKILL))
            try eventually("the end of the command") { Self.hasEnded(child) }
            try eventually("the end of the BPF programs") {
                try programs.isDisjoint(with: Self.loadedPrograms())
            }
        }

        @Test func endedItLeavesNothing() throws {
            let run = try TracedRun(["--json"])
            try run.waitUntilAttached(.own)
            let programs = Set(Self.programs(of: run.pid))
            #expect(!programs.isEmpty)
            run.send(SIGINT)
            #expect(try run.finish().end == .exited(0))
            try eventually("the end of the BPF programs") {
                try programs.isDisjoint(with: Self.loadedPrograms())
            }
        }

        @Test(arguments: [[], ["--", "touch"], ["--json", "-F", "-p"]])
        func aDryRunLeavesNothing(arguments: [String]) throws {
            let folder = try TemporaryFolder()
            let agent = try Agent()
            let last =
                arguments.isEmpty ? [] : arguments.last == "-p" ? [agent.process] : [folder.path("made")]
            let before = try Self.loadedPrograms().max() ?? 0
            let run = try TracedRun(["--dry-run"] + arguments + last)
            let outcome = try run.finish()
            #expect(outcome.end == .exited(0))
            #expect(outcome.output.isEmpty && outcome.errors.isEmpty)
            #expect(access(folder.path("made"), F_OK) != 0)
            // Programs without an owner would be ours, or another run's that comes or goes: those change.
            try eventually("the end of the BPF programs") {
                try Self.programsWithoutOwner(after: before).isEmpty
            }
        }

        /// The IDs of the programs that a process holds.
        private static func programs(of process: Int32) -> [Int] {
            let folder = "/proc/\(process)/fdinfo"
            let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
            return names.flatMap { name in
                let text = (try? String(contentsOfFile: folder + "/" + name, encoding: .utf8)) ?? ""
                return text.split(separator: "\n").filter { $0.hasPrefix("prog_id:") }.compactMap {
                    Int($0.split(separator: "\t").last ?? "")
                }
            }
        }

        private static func bpftool() throws -> [[String: Any]] {
            let list = try Finished(["bpftool", "--json", "prog", "list"])
            guard list.end == .exited(0) else { throw HarnessError("bpftool: \(list.errors)") }
            return try JSONSerialization.jsonObject(with: list.output) as? [[String: Any]] ?? []
        }

        private static func loadedPrograms() throws -> [Int] { try bpftool().compactMap { $0["id"] as? Int } }

        /// Programs of opensnoop that no process holds, of those with higher IDs: the kernel counts upwards.
        private static func programsWithoutOwner(after id: Int) throws -> [String] {
            try bpftool().filter { $0["pids"] == nil && $0["id"] as? Int ?? 0 > id }.compactMap {
                $0["name"] as? String
            }
            .filter {
                $0.hasPrefix("syscall_") || $0.hasPrefix("io_uring_") || $0.hasPrefix("follow_")
            }
        }

        /// Gone, or a zombie that its new parent has not yet looked at.
        private static func hasEnded(_ process: Int32) -> Bool {
            guard let text = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8) else {
                return true
            }
            return text.split(separator: ")").last?.hasPrefix(" Z") == true
        }
    }
}
