// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

extension EndToEnd {
    /// `-- command`: a command that is run to be traced.
    @Suite struct LaunchedCommandTests {
        private func run(
            _ arguments: [String], json: Bool = true, input: Int32? = nil
        ) throws -> Outcome {
            try TracedRun((json ? ["--json"] : []) + arguments, input: input).finish()
        }

        /// All there is of a static program: its one open.
        @Test(arguments: ["--", "--exec"])
        func theVeryFirstOpenOfAStaticProgram(option: String) throws {
            let folder = try TemporaryFolder()
            let path = try folder.file("only")
            let program = try Harness.program("open-once")
            let outcome = try run([option, program, path])
            #expect(outcome.end == .exited(0))
            #expect(outcome.errors.isEmpty)
            #expect(outcome.lines.count == 1)
            let row = try outcome.row(path)
            #expect(row.outcome == CommandTests.outcome(3))
            #expect(row.comm.hasPrefix("open-once") || program.hasSuffix(row.comm))
        }

        @Test func theFirstOpenOfADynamicProgram() throws {
            let folder = try TemporaryFolder()
            let path = try folder.file("last")
            let outcome = try run(["--", "/bin/cat", path])
            let rows = try outcome.rows(containing: "{")
            #expect(outcome.end == .exited(0))
            #expect(rows.first?.path == "/etc/ld.so.cache")
            #expect(rows.last?.path == path)
            #expect(Set(rows.map(\.pid)).count == 1)
            #expect(Set(rows.map(\.comm)) == ["cat"])
        }

        /// The command's options are the command's, and ours end before it.
        @Test func itsArgumentsAreItsOwn() throws {
            let outcome = try run(["--", "printf", "%s|", "-p", "--json", "--", "-x", ""])
            #expect(outcome.lines.contains { $0.starts(with: Data("-p|--json|--|-x||".utf8)) })
            let exec = try run(["--exec", "printf", "%s|", "-p", "--json", "--", "-x", ""])
            #expect(exec.lines.contains { $0.starts(with: Data("-p|--json|--|-x||".utf8)) })
        }

        @Test(arguments: ["--", "--exec"])
        func itsLastArgumentMayBeTwoDashes(option: String) throws {
            let outcome = try run([option, "/bin/cat", "/dev/null", "--"])
            #expect(outcome.end == .exited(0))
            #expect(try outcome.rows(containing: "/dev/null").count == 1)
        }

        @Test func inputAndOutputAreItsOwn() throws {
            let folder = try TemporaryFolder()
            let text = "a line that is no row \(UUID().uuidString)"
            try (text + "\n").write(toFile: folder.path("text"), atomically: true, encoding: .utf8)
            let input = open(folder.path("text"), O_RDONLY | O_CLOEXEC)
            defer { close(input) }
            let outcome = try run(["--", "sh", "-c", "cat; echo complaint >&2"], input: input)
            #expect(outcome.end == .exited(0))
            #expect(outcome.lines.contains(Data(text.utf8)))
            #expect(outcome.errors == "complaint\n")
        }

        @Test func withoutFollowItsChildrenAreNotShown() throws {
            let folder = try TemporaryFolder()
            let path = try folder.file("read")
            let command = ["--", "sh", "-c", "cat '\(path)'; true"]
            #expect(try run(command).rows(containing: path).isEmpty)
            let followed = try run(["--follow"] + command)
            #expect(try followed.row(path).comm == "cat")
        }

        @Test(arguments: ["exit 3", "kill -9 $$", "kill -SEGV $$"])
        func howItEndsIsItsOwnAffair(script: String) throws {
            let outcome = try run(["--", "sh", "-c", script])
            #expect(outcome.end == .exited(0))
            #expect(outcome.errors.isEmpty)
            #expect(try outcome.rows(containing: "{").first?.path == "/etc/ld.so.cache")
        }

        /// Signals that we take for ourselves, and descriptors that we open, are not the command's.
        @Test(arguments: [["grep", "^Sig[BI]", "/proc/self/status"], ["ls", "/proc/self/fd"]])
        func itStartsAsItWouldWithoutUs(command: [String]) throws {
            let alone = try Finished(command)
            let outcome = try run(["--"] + command)
            let lines = outcome.lines.filter { $0.first != UInt8(ascii: "{") }
            #expect(!lines.isEmpty)
            #expect(lines.map { String(decoding: $0, as: UTF8.self) + "\n" }.joined() == alone.text)
        }

        @Test func itIsToldToEndWhenWeAre() throws {
            let run = try TracedRun(["--json", "--", "sh", "-c", "echo pid $$; exec sleep 1000"])
            try run.wait(for: "pid ")
            let child = try run.number(behind: "pid ")
            run.send(SIGINT)
            let outcome = try run.finish()
            #expect(outcome.end == .exited(0))
            #expect(outcome.errors.isEmpty)
            #expect(kill(child, 0) == -1)
        }

        @Test func oneThatIgnoresThatIsKilled() throws {
            let script = "trap '' TERM INT; echo pid $$; while :; do sleep 0.1; done"
            let run = try TracedRun(["--json", "--", "sh", "-c", script])
            let child = try run.number(behind: "pid ")
            run.send(SIGTERM)
            let outcome = try run.finish()
            #expect(outcome.end == .exited(0))
            #expect(kill(child, 0) == -1)
        }

        @Test func theDurationEndsItToo() throws {
            let outcome = try run(["-d", "0.5", "--", "sleep", "1000"])
            #expect(outcome.end == .exited(0))
            #expect(outcome.errors.isEmpty)
            #expect(try outcome.rows(containing: "{").allSatisfy { $0.comm == "sleep" })
        }

        @Test func aCommandThatThereIsNot() throws {
            let outcome = try run(["--", "/apus-missing/command", "x"])
            #expect(outcome.end == .exited(1))
            #expect(outcome.output.isEmpty)
            #expect(outcome.complaints.count == 1)
            #expect(outcome.errors.contains("/apus-missing/command"))
            #expect(outcome.errors.contains("No such file or directory"))
        }
    }
}
