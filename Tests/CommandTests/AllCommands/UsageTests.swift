// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

extension EndToEnd {
    /// What cannot be done is said in one sentence, on stderr, and by the exit status.
    @Suite struct UsageTests {
        static let failures: [(arguments: [String], status: Int32, says: String)] = [
            (["-p", "abc"], 64, "abc"),
            (["-p", "-1"], 64, "-1"),
            (["-p", "1,,2"], 64, "''"),
            (["-p", Harness.impossibleProcess], 1, Harness.impossibleProcess),
            (["-t", Harness.impossibleProcess], 1, Harness.impossibleProcess),
            (["--duration", "-1"], 64, "-1"),
            (["--duration", "0"], 64, "'0'"),
            (["--duration", "x"], 64, "'x'"),
            (["--duration", "nan"], 64, "nan"),
            (["-d", "1", "--duration", "2"], 64, "duration"),
            (["--path", "[a-"], 64, "[a-"),
            (["--path", "[z-a]"], 64, "[z-a]"),
            (["--path", "a\\"], 64, "backslash"),
            (["-f", "O_NONSENSE"], 64, "O_NONSENSE"),
            (["-n", "sixteen--letters"], 64, "sixteen--letters"),
            (["-n", ""], 64, "''"),
            (["-u", "no-such-user"], 64, "no-such-user"),
            (["--buffer-size", "1x"], 64, "1x"),
            (["--buffer-size", "0"], 64, "'0'"),
            (["-b", "0"], 64, "'0'"),
            (["--container", "no-such-container"], 1, "no-such-container"),
            (["--cgroup", "/no-such-cgroup"], 1, "/no-such-cgroup"),
            (["--cgroup", "/tmp"], 1, "/tmp"),
            (["--btf", "/nonexistent"], 1, "/nonexistent"),
            (["--btf", "/etc/passwd"], 1, "/etc/passwd"),
            (["--", "/no-such-folder/command"], 1, "/no-such-folder/command"),
            (["--", "/etc/passwd"], 1, "Permission denied"),
            (["--no-such-option"], 64, "--no-such-option"),
            (["stray"], 64, "stray"),
            (["--"], 64, "no command behind '--'"),
            (["--path", "\u{1b}[2J["], 64, "\\x1b[2J"),
            (["-p"], 64, "-p"),
        ]

        @Test(arguments: failures)
        func aFailure(arguments: [String], status: Int32, says: String) throws {
            for json in [true, false] {
                let outcome = try TracedRun((json ? ["--json"] : []) + arguments).finish()
                #expect(outcome.end == .exited(status))
                #expect(outcome.complaints.count == 1 && outcome.errors.hasSuffix("\n"))
                #expect(outcome.errors.hasPrefix("opensnoop: "))
                #expect(outcome.errors.contains(says))
                #expect(outcome.errors.utf8.dropLast().allSatisfy { $0 >= 0x20 })
                // At most the heading.
                #expect(outcome.lines.count <= (json ? 0 : 1))
            }
        }

        @Test(
            arguments: [
                (["opensnop"], "did you mean opensnoop?"),
                (["opensonop", "-p", "1"], "did you mean opensnoop?"),
                (["offcputimes", "--json"], "did you mean offcputime?"),
                (["offcpu"], "did you mean offcputime?"), (["xyzzy"], "apus --help lists them"),
                (["op\u{1b}[31m"], "'op\\x1b[31m'"), ([String(repeating: "o", count: 5000)], "lists them"),
            ])
        func aCommandThatIsNotThere(words: [String], says: String) throws {
            let result = try Finished([Harness.apus] + words)
            #expect(result.end == .exited(64) && result.text.isEmpty)
            #expect(result.errors.hasPrefix("apus: no command '") && result.errors.contains(says))
        }

        @Test func theVersionIsThatOfAllCommands() throws {
            let folder = try TemporaryFolder()
            let link = folder.path("memleak")
            try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: Harness.apus)
            let versions = try [[Harness.apus], [Harness.apus, "memleak"], [link]].map { words in
                let result = try Finished(words + ["--version"])
                #expect(result.end == .exited(0) && result.errors.isEmpty)
                return result.text
            }
            #expect(Set(versions).count == 1)
            #expect(versions[0].contains("libbpf ") && versions[0].first?.isNumber == true)
        }

        @Test func withoutCapabilities() throws {
            let folder = try TemporaryFolder()
            let copy = folder.path("apus")
            try FileManager.default.copyItem(atPath: Harness.apus, toPath: copy)
            let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
            for arguments in [[], ["--json"], ["--dry-run"], ["--", "touch", "/tmp/apus-must-not-be-made"]] {
                let result = try Finished(nobody + [copy, "opensnoop"] + arguments)
                #expect(result.end == .exited(1))
                #expect(result.output.isEmpty)
                #expect(result.errors.split(separator: "\n").count == 1)
                #expect(result.errors.contains("CAP_BPF") && result.errors.contains("CAP_PERFMON"))
                #expect(access("/tmp/apus-must-not-be-made", F_OK) != 0)
            }
        }

        /// What could never be answered is refused before anything is traced.
        @Test(
            arguments: [
                (["profile", "-f", "--json", "1"], 64, "-f and --json"),
                (["offcputime", "-f", "--json", "1"], 64, "-f and --json"),
                (["stackcount", "-f", "--json", "-D", "1", "c:malloc"], 64, "-f and --json"),
                (["profile", "-C", "x", "1"], 64, "invalid CPU 'x'"),
                (["profile", "-C", "8191", "1"], 1, "no CPU 8191"),
                (["funccount", "-c", "8191", "-d", "1", "t:sched:*"], 1, "no CPU 8191"),
                (["stackcount", "-c", "8191", "-D", "1", "t:sched:*"], 1, "no CPU 8191"),
                (["funclatency", "--cpu", "8191", "-d", "1", "c:malloc"], 1, "no CPU 8191"),
                (["profile", "--flamegraph", "/no/such/folder/x.svg", "600"], 1, "/no/such/folder/x.svg"),
                (["offcputime", "--pprof", "/no/such/folder/x", "600"], 1, "/no/such/folder/x"),
                (["stackcount", "--pprof", "/no/such/folder/x", "c:malloc"], 1, "/no/such/folder/x"),
                (["memleak", "--flamegraph", "/no/such/folder/x.html"], 1, "/no/such/folder/x.html"),
                (["opensnoop", "--btf", "/etc/passwd"], 1, "holds no BTF"),
            ] as [([String], Int32, String)])
        func whatCannotComeOutIsSaidAtOnce(words: [String], status: Int32, says: String) throws {
            let result = try Finished([Harness.apus] + words)
            #expect(result.end == .exited(status))
            #expect(result.text.isEmpty)
            #expect(result.errors.contains(says) && result.errors.split(separator: "\n").count == 1)
        }

        /// Not root is needed, but two capabilities.
        @Test func withTwoCapabilitiesItTraces() throws {
            let folder = try TemporaryFolder()
            let copy = folder.path("apus")
            try FileManager.default.copyItem(atPath: Harness.apus, toPath: copy)
            let few = "-all,+bpf,+perfmon"
            let result = try Finished([
                "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=\(few)",
                "--ambient-caps=\(few)", copy, "opensnoop", "--json", "--", "/bin/cat", "/etc/hostname",
            ])
            #expect(result.end == .exited(0))
            #expect(result.errors.isEmpty)
            let outcome = Outcome(end: result.end, output: result.output, errors: result.errors)
            #expect(try outcome.row("/etc/hostname").uid == 65534)
        }

        @Test func helpIsOutput() throws {
            let (whole, part) = (
                try Finished([Harness.apus, "--help"]), try Finished([Harness.apus, "opensnoop", "--help"])
            )
            for help in [whole, part] {
                #expect(help.end == .exited(0))
                #expect(help.errors.isEmpty)
            }
            #expect(whole.text.contains("opensnoop"))
            #expect(part.text.contains("--full-path"))
        }

        @Test func theNameOfALinkIsTheCommand() throws {
            let folder = try TemporaryFolder()
            let link = folder.path("opensnoop")
            try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: Harness.apus)
            let help = try Finished([link, "--help"])
            #expect(help.end == .exited(0))
            #expect(help.errors.isEmpty)
            // They differ in how the command is called.
            let other = try Finished([Harness.apus, "opensnoop", "--help"]).text
            #expect(help.text.contains("USAGE: opensnoop "))
            #expect(other.contains("USAGE: apus opensnoop "))
            #expect(help.text.contains("--full-path"))
            let path = try folder.file("traced")
            let run = try Finished([link, "--json", "--", "/bin/cat", path])
            let outcome = Outcome(end: run.end, output: run.output, errors: run.errors)
            #expect(run.end == .exited(0))
            #expect(try outcome.row(path).comm == "cat")
            let failure = try Finished([link, "-p", "abc"])
            #expect(failure.end == .exited(64))
            #expect(failure.errors.hasPrefix("opensnoop: "))
        }
    }
}
