// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

extension EndToEnd {
    /// The process without privileges that reads symbols, lines and tables for the commands.
    @Suite struct ReaderTests {
        /// A run of a command that names stacks, and its reader.
        private final class Run {
            private let output: Scratch
            private let errors: Scratch
            let child: Child

            init(_ words: [String]) throws {
                output = try Scratch()
                errors = try Scratch()
                child = try Child(
                    [Harness.apus] + words + ["-v"],
                    Child.Streams(output: output.descriptor, errors: errors.descriptor))
                do {
                    try eventually("\(words[0]) to be ready", by: [child]) {
                        try said.contains("ready: all probes are attached")
                    }
                } catch {
                    throw HarnessError("\(error); stderr: \(try said)")
                }
            }

            var said: String { get throws { String(decoding: try errors.contents(), as: UTF8.self) } }

            /// The reader that it has now.
            var reader: pid_t? {
                let path = "/proc/\(child.pid)/task/\(child.pid)/children"
                let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
                return text.split(separator: " ").compactMap { pid_t($0) }.first { process in
                    let name = try? String(contentsOfFile: "/proc/\(process)/comm", encoding: .utf8)
                    return name == "apus-reader\n"
                }
            }

            func finish() throws -> (end: End?, text: String, said: String) {
                child.send(SIGINT)
                let end = child.wait(patience: 60)
                return (end, String(decoding: try output.contents(), as: UTF8.self), try said)
            }
        }

        static let commands: [[String]] = [
            ["profile", "-F", "99", "--json", "-p"], ["offcputime", "--json", "-p"],
            ["stackcount", "-U", "t:syscalls:sys_enter_*", "--json", "-p"],
            ["memleak", "--json", "--older", "0", "-p"],
        ]

        /// Something to see for each command.
        private func target(for command: String = "offcputime") throws -> Child {
            let options = ["-g", "-O1"]
            switch command {
            case "profile": return try Child([try Harness.program("burn", options: options), "60"])
            case "memleak":
                let script =
                    "import time\nkept = []\nwhile True:\n kept.append(bytes(5000))\n time.sleep(0.01)"
                return try Child(["python3", "-c", script])
            default: return try Child([try Harness.program("callers", options: options), "100000"])
            }
        }

        /// Waits until it has done enough for some samples, and for some waits, since now.
        private func letWork(_ target: Child) throws {
            func work() throws -> (cpu: Double, waits: Int) {
                let stat = try String(contentsOfFile: "/proc/\(target.pid)/stat", encoding: .utf8)
                // utime and stime (proc(5)), in hundredths of a second.
                let fields = stat.split(separator: ")").last?.split(separator: " ") ?? []
                let status = try String(contentsOfFile: "/proc/\(target.pid)/status", encoding: .utf8)
                let waits = status.split(separator: "\n").first { $0.hasPrefix("voluntary_ctxt_switches") }
                return (
                    fields.count > 12 ? ((Double(fields[11]) ?? 0) + (Double(fields[12]) ?? 0)) / 100 : 0,
                    waits?.split(separator: "\t").last.flatMap { Int($0) } ?? 0
                )
            }
            let before = try work()
            try eventually("the target to work", by: [target]) {
                let now = try work()
                return now.cpu > before.cpu + 0.3 || now.waits > before.waits + 30
            }
        }

        private func isOver(_ process: pid_t) -> Bool {
            let state = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)
            return state == nil || state?.contains(") Z ") == true
        }

        @Test(arguments: commands)
        func aReaderThatIsKilledIsStartedAgainAndNamesAreThere(words: [String]) throws {
            let target = try target(for: words[0])
            defer { target.send(SIGKILL) }
            let run = try Run(words + [String(target.pid)])
            let early = try run.said
            let first = try #require(run.reader, "no reader: \(early)")
            kill(first, SIGKILL)
            try letWork(target)
            let (end, text, said) = try run.finish()
            #expect(end == .exited(0), "\(said)")
            let wanted = ["profile": "burn_here", "memleak": "_PyEval_EvalFrameDefault"]
            #expect(text.contains("\"\(wanted[words[0]] ?? "sleep_here")\""), "\(said)")
            #expect(said.contains("the process that reads symbols ended 1 times"), "\(said)")
            #expect(said.contains("nothing is missing"), "\(said)")
            #expect(kill(first, 0) != 0, "it was not reaped")
        }

        @Test func theReaderHasNoPrivilegesAndNoFilesButItsOwn() throws {
            let target = try target()
            defer { target.send(SIGKILL) }
            let run = try Run(["offcputime", "--json", "-p", String(target.pid)])
            let reader = try #require(run.reader)
            let status = try String(contentsOfFile: "/proc/\(reader)/status", encoding: .utf8)
            func field(_ name: String) -> [Substring] {
                let line = status.split(separator: "\n").first { $0.hasPrefix(name + ":") } ?? ""
                return line.split(whereSeparator: { $0 == "\t" || $0 == " " }).dropFirst().map { $0 }
            }
            for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
                #expect(field(set).first.flatMap { UInt64($0, radix: 16) } == 0, "\(set)")
            }
            #expect(field("Seccomp").first == "2")
            #expect(field("NoNewPrivs").first == "1")
            #expect(field("Uid").allSatisfy { $0 == "65534" })
            // Nothing of what the command traces with: no BPF map, no perf event.
            let files = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(reader)/fd").map {
                name in
                (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(reader)/fd/\(name)"))
                    ?? ""
            }
            #expect(
                files.allSatisfy { !$0.contains("bpf") && !$0.contains("perf") && !$0.contains("anon_inode") }
            )
            #expect(try run.finish().end == .exited(0))
            try eventually("the reader to end") { isOver(reader) }
        }

        @Test func theReaderEndsWithACommandThatIsKilled() throws {
            let target = try target()
            defer { target.send(SIGKILL) }
            let run = try Run(["offcputime", "--json", "-p", String(target.pid)])
            let reader = try #require(run.reader)
            run.child.send(SIGKILL)
            _ = run.child.wait(patience: Harness.patience)
            try eventually("the reader to end") { isOver(reader) }
        }

        /// Every time it is needed, until there is no reader any more: the names are lost, and the rest is not.
        @Test func aReaderThatAlwaysEndsCostsNamesOnly() throws {
            let target = try target()
            defer { target.send(SIGKILL) }
            let run = try Run(["offcputime", "--json", "-p", String(target.pid)])
            try letWork(target)
            // Before it is asked for anything, and then whenever it is there.
            let first = try #require(run.reader)
            kill(first, SIGKILL)
            run.child.send(SIGINT)
            try eventually("the command to end") {
                if let reader = run.reader { kill(reader, SIGKILL) }
                return run.child.end() != nil
            }
            let (end, text, said) = try run.finish()
            #expect(end == .exited(0), "\(said)")
            #expect(!text.isEmpty && said.contains("the process that reads symbols ended"), "\(said)")
        }
    }
}
