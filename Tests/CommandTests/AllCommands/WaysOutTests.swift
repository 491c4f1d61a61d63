// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

extension EndToEnd {
    /// However a run ends: what was gathered is written where that can be done, and nothing is left running.
    @Suite struct WaysOutTests {
        /// Runs a command whose standard output goes to a file.
        private func run(_ words: [String], output path: String) throws -> (end: End?, said: String) {
            let errors = try Scratch()
            let descriptor = open(path, O_WRONLY | O_CLOEXEC)
            try #require(descriptor >= 0)
            defer { close(descriptor) }
            let child = try Child(
                [Harness.apus] + words, Child.Streams(output: descriptor, errors: errors.descriptor))
            let end = child.wait(patience: 60)
            return (end, String(decoding: try errors.contents(), as: UTF8.self))
        }

        @Test(arguments: [
            ["profile", "-F", "99", "--duration", "1"], ["offcputime", "--duration", "1"],
            ["memleak", "--", "python3", "-c", "kept = [bytes(1000) for _ in range(100)]"],
        ])
        func aFullDiskLosesRowsAndNotThePicture(words: [String]) throws {
            // An idle machine has no samples, and so no rows.
            let busy = try Child([try Harness.program("burn"), "60"])
            defer { busy.send(SIGKILL) }
            let folder = try TemporaryFolder()
            let picture = ["--flamegraph", folder.path("stacks.svg")]
            let all = [words[0]] + picture + words.dropFirst()
            let (end, said) = try run(all, output: "/dev/full")
            #expect(end == .exited(1))
            let complaints = said.split(separator: "\n").filter { $0.contains("cannot write the output") }
            #expect(complaints.count == 1, "\(said)")
            let text = try String(contentsOfFile: folder.path("stacks.svg"), encoding: .utf8)
            #expect(text.hasSuffix("</svg>\n") || text.hasSuffix("</svg>"))
        }

        @Test func aFullDiskEndsTheLaunchedCommand() throws {
            let folder = try TemporaryFolder()
            let script = "echo $$ > \(folder.path("pid")); ls /etc > /dev/null; exec sleep 1000"
            let (end, said) = try run(["opensnoop", "--", "sh", "-c", script], output: "/dev/full")
            #expect(end == .exited(1), "\(said)")
            // It may have been ended before it said who it is.
            let text = (try? String(contentsOfFile: folder.path("pid"), encoding: .utf8)) ?? ""
            if let process = pid_t(text.trimmingCharacters(in: .newlines)) {
                #expect(kill(process, 0) != 0 && errno == ESRCH)
            }
        }

        /// Whoever reads our output may have seen enough: that is no failure.
        @Test func aReaderWhoLeavesGetsThePictureStill() throws {
            let busy = try Child([try Harness.program("burn"), "60"])
            defer { busy.send(SIGKILL) }
            let folder = try TemporaryFolder()
            let picture = folder.path("stacks.svg")
            let script =
                "\(Harness.apus) profile -F 99 --duration 1 --flamegraph \(picture); echo $? > \(folder.path("status"))"
            _ = try Finished(["sh", "-c", "(\(script)) | head -1"], patience: 60)
            let status = try String(contentsOfFile: folder.path("status"), encoding: .utf8)
            #expect(status == "0\n")
            #expect(try String(contentsOfFile: picture, encoding: .utf8).contains("</svg>"))
        }

        @Test func aCommandThatCannotBeRunIsOneSentence() throws {
            let (end, said) = try run(["runqlat", "--", "/nonexistent/program"], output: "/dev/null")
            #expect(end == .exited(1))
            #expect(said.contains("cannot run '/nonexistent/program'"))
        }
    }
}
