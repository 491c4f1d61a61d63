// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

extension EndToEnd {
    /// Standard streams that are closed, full, or read by nobody, for all that can be run.
    @Suite struct StandardStreamTests {
        /// What writes something to standard output, whatever happens on the machine, and ends by itself.
        static let writers: [[String]] = [
            ["--help"], ["--version"], ["--list-commands"], ["opensnoop", "--help"],
            ["opensnoop", "--version"],
            ["probes", "software:*"], ["check"], ["syscount", "-l"], ["opensnoop", "--duration", "0.1"],
            ["execsnoop", "--duration", "0.1"], ["exitsnoop", "--duration", "0.1"],
            ["filetop", "0.1", "1"], ["syscount", "-d", "0.1"], ["runqslower", "--duration", "0.1"],
            ["runqlat", "0.1", "1"], ["cpudist", "0.1", "1"], ["funccount", "t:sched:*", "-d", "0.1"],
            ["offcputime", "--histogram", "0.1"], ["memleak", "0.1", "1"],
        ]

        /// With a shell in front that closes or replaces some of its descriptors.
        private func run(_ words: [String], _ redirection: String) throws -> Finished {
            try Finished(
                ["sh", "-c", "exec \"$0\" \"$@\" \(redirection)", Harness.apus] + words, patience: 60)
        }

        /// The numbers of closed descriptors are not given to other files, which would then be written to.
        @Test(arguments: writers)
        func aClosedOutputCannotBeWritten(words: [String]) throws {
            let result = try run(words, ">&-")
            #expect(result.end == .exited(1))
            #expect(result.errors.hasSuffix("cannot write the output: EBADF\n"))
        }

        @Test(arguments: writers)
        func aFullDiskIsAFailure(words: [String]) throws {
            let result = try run(words, ">/dev/full")
            #expect(result.end == .exited(1))
            #expect(result.errors.hasSuffix("cannot write the output: ENOSPC\n"))
        }

        /// A limit of the size of files is a failure like a full disk, and no signal that nobody explains.
        @Test func aLimitOfFileSizesIsAFailure() throws {
            let folder = try TemporaryFolder()
            let script = "ulimit -f 0; exec \"$0\" opensnoop --duration 0.1 > '\(folder.path("output"))'"
            let result = try Finished(["sh", "-c", script, Harness.apus], patience: 60)
            // The file that takes our messages here has the same limit.
            #expect(result.end == .exited(1))
        }

        @Test func fewDescriptorsAreSaid() throws {
            let result = try Finished(
                ["sh", "-c", "ulimit -n 12; exec \"$0\" opensnoop --duration 0.1", Harness.apus], patience: 60
            )
            #expect(result.end == .exited(1))
            #expect(
                result.errors.contains("raise the limit of open files with ulimit -n"), "\(result.errors)")
        }

        @Test func allOfThemMayBeClosed() throws {
            let result = try run(["opensnoop", "--duration", "0.1"], "<&- >&- 2>&-")
            #expect(result.end == .exited(1))
            #expect(result.output.isEmpty && result.errors.isEmpty)
        }

        @Test(arguments: [(0, "<&-"), (1, ">&-"), (2, "2>&-")])
        func aLaunchedCommandFindsClosedWhatWasClosed(number: Int, redirection: String) throws {
            let folder = try TemporaryFolder()
            let answer = folder.path("answer")
            let script = """
                for n in 0 1 2; do if [ -e /proc/$$/fd/$n ]; then echo $n; fi; done > '\(answer)'
                """
            // Only rows would be written, and there are none.
            let result = try run(
                ["opensnoop", "--json", "--path", "/no/such/path", "--", "sh", "-c", script], redirection)
            #expect(result.end == .exited(0))
            // The shell has opened its own output by then.
            let expected = [0, 1, 2].filter { $0 != number || number == 1 }
            #expect(
                try String(contentsOfFile: answer, encoding: .utf8)
                    == expected.map { "\($0)\n" }.joined())
        }

        /// It takes seconds where the machine is busy.
        @Test func checkSaysAtOnceWhatItKnowsAndCanBeEnded() throws {
            for signal in [SIGINT, SIGTERM] {
                let pipe = try Pipe()
                let child = try Child(
                    [Harness.apus, "check"], Child.Streams(output: pipe.writer, errors: 2))
                pipe.closeWriter()
                #expect(try pipe.line().hasPrefix("KIND"))
                #expect(try pipe.line().contains("Linux"))
                child.send(signal)
                #expect(child.wait() == .killed(signal))
            }
        }
    }
}
