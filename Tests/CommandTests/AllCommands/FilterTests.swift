// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

extension EndToEnd {
    /// Each filter: what must be shown is shown, and nothing else.
    @Suite struct FilterTests {
        /// The names of the files in the folder for which there are rows.
        private func names(_ outcome: Outcome, _ folder: TemporaryFolder) throws -> [String] {
            try outcome.rows(containing: folder.path + "/").map {
                String($0.path.dropFirst(folder.path.count + 1))
            }
        }

        @Test func aProcess() throws {
            let folder = try TemporaryFolder()
            let (one, two) = (try Agent(), try Agent())
            for option in ["-p", "--pid"] {
                let outcome = try trace([option, one.process], by: one) {
                    try two.open(folder.path("two"))
                    try one.open(folder.path("one"))
                    try two.open(folder.path("two"))
                }
                let names = try names(outcome, folder)
                #expect(names == ["one"])
                #expect(outcome.end == .exited(0) && outcome.errors.isEmpty)
            }
        }

        @Test func severalProcesses() throws {
            let folder = try TemporaryFolder()
            let agents = try (0..<4).map { _ in try Agent() }
            for arguments in [
                ["-p", "\(agents[0].pid),\(agents[2].pid)"],
                // Processes and threads add up.
                ["-p", agents[0].process, "-t", agents[2].process],
            ] {
                let outcome = try trace(arguments, by: agents[0]) {
                    for (index, agent) in agents.enumerated() { try agent.open(folder.path("\(index)")) }
                }
                let names = try names(outcome, folder)
                #expect(names == ["0", "2"])
            }
        }

        @Test(arguments: ["nobody", "65534"])
        func aUser(user: String) throws {
            let folder = try TemporaryFolder()
            let (nobody, root) = (try Agent(), try Agent())
            try nobody.must("setuid", "65534")
            for option in ["-u", "--uid"] {
                let outcome = try trace([option, user], by: nobody) {
                    try root.open(folder.path("root"))
                    try nobody.open(folder.path("nobody"))
                }
                let names = try names(outcome, folder)
                #expect(names == ["nobody"])
            }
            let outcome = try trace(["-u", "0"]) {
                try root.open(folder.path("root"))
                try nobody.open(folder.path("nobody"))
            }
            let names = try names(outcome, folder)
            #expect(names == ["root"])
        }

        @Test(arguments: [
            ("q", true), ("fghij", true), ("abcdefghijklmnq", true), ("lmnq", true), ("abc", true),
            ("abcdefghijklmqn", false), ("acb", false), ("abcabc", false), ("Q", false), ("fghijm", false),
        ])
        func aPartOfTheTasksName(part: String, matches: Bool) throws {
            let folder = try TemporaryFolder()
            let (agent, other) = (try Agent(), try Agent())
            let sentinel = Sentinel { path in
                try other.must("comm", path: part)
                try other.open(path)
                try other.must("comm", path: "zzz")
            }
            try agent.must("comm", path: "abcdefghijklmnq")
            for option in ["-n", "--name", "--comm"] {
                let outcome = try trace([option, part], sentinel: sentinel) {
                    try other.open(folder.path("other"))
                    try agent.open(folder.path("agent"))
                }
                let names = try names(outcome, folder)
                #expect(names == (matches ? ["agent"] : []))
            }
        }

        /// The search has to begin anew within what it has matched.
        @Test func aPartThatRepeatsItself() throws {
            let folder = try TemporaryFolder()
            let agent = try Agent()
            let sentinel = Sentinel { path in
                try agent.must("comm", path: "aab")
                try agent.open(path)
            }
            let outcome = try trace(["-n", "aab"], sentinel: sentinel) {
                for name in ["aaaab", "aabaab", "abaab", "aba", "ab", "aa", "bbbbbbbbbbbbaab", "aabb"] {
                    try agent.must("comm", path: name)
                    try agent.open(folder.path(name))
                }
            }
            #expect(
                try names(outcome, folder) == ["aaaab", "aabaab", "abaab", "bbbbbbbbbbbbaab", "aabb"])
        }

        @Test(arguments: ["-x", "--failed"])
        func onlyFailures(option: String) throws {
            let folder = try TemporaryFolder()
            try folder.file("there")
            let agent = try Agent()
            let outcome = try trace([option]) {
                for call in ["open", "openat", "openat2"] {
                    try agent.open(folder.path("there"), call: call)
                    try agent.open(folder.path("missing"), call: call)
                }
                try agent.open(folder.path("created"), call: "creat", mode: 0o600)
                try agent.open(folder.path("there/below"), call: "creat", mode: 0o600)
            }
            let names = try names(outcome, folder)
            #expect(names == ["missing", "missing", "missing", "there/below"])
        }

        static let flagFilters: [([String], [String])] = [
            (["O_WRONLY"], ["w", "wc", "creat"]),
            (["O_RDONLY"], ["r", "rx"]),
            (["O_RDWR"], ["rw"]),
            (["O_CREAT"], ["wc", "creat"]),
            (["o_creat"], ["wc", "creat"]),
            (["CLOEXEC"], ["rx"]),
            (["O_TRUNC"], ["creat"]),
            (["O_WRONLY", "O_RDWR"], ["w", "rw", "wc", "creat"]),
            (["O_RDONLY", "O_CREAT"], ["r", "rx", "wc", "creat"]),
            (["O_DIRECT"], []),
        ]

        @Test(arguments: flagFilters)
        func flags(wanted: [String], shown: [String]) throws {
            let folder = try TemporaryFolder()
            let agent = try Agent()
            // Has all flags that are asked for, and may fail.
            let sentinel = Sentinel { path in
                for access: UInt64 in 0...2 { try agent.open(path, flags: access | 0o2041100) }
            }
            let arguments = wanted.enumerated().flatMap { index, flag in
                [["-f", "--flag-filter", "--flag_filter"][index % 3], flag]
            }
            let outcome = try trace(arguments, sentinel: sentinel) {
                try agent.open(folder.path("r"))
                try agent.open(folder.path("rx"), flags: 0o2000000)
                try agent.open(folder.path("w"), flags: 1)
                try agent.open(folder.path("rw"), call: "openat2", flags: 2)
                try agent.open(folder.path("wc"), call: "open", flags: 0o101)
                try agent.open(folder.path("creat"), call: "creat")
            }
            let names = try names(outcome, folder)
            #expect(names == shown)
        }

        /// O_SYNC has O_DSYNC's bit, and O_TMPFILE O_DIRECTORY's: only all bits make the flag.
        @Test(arguments: [("O_SYNC", "sync"), ("O_TMPFILE", "tmpfile")])
        func flagsOfSeveralBits(flag: String, shown: String) throws {
            let folder = try TemporaryFolder()
            let agent = try Agent()
            let sentinel = Sentinel { try agent.open($0, flags: 0o24210002) }
            let outcome = try trace(["-f", flag], sentinel: sentinel) {
                try agent.open(folder.path("dsync"), flags: 0o10000)
                try agent.open(folder.path("directory"), flags: 0o200000)
                try agent.open(folder.path("sync"), flags: 0o4010000)
                try agent.open(folder.path("tmpfile"), flags: 0o20200002)
            }
            let names = try names(outcome, folder)
            #expect(names == [shown])
        }

        @Test(arguments: [
            ("*/ab*", ["abc"]), ("*.txt", ["a.txt", "sub/b.txt"]), ("*/?bc", ["abc", "xbc"]),
            ("*/[a-m]bc", ["abc"]), ("*/[!a]bc", ["xbc"]), ("*/sub/*", ["sub/b.txt"]), ("*/*\\**", ["s*r"]),
            ("abc", []), ("*/ABC", []),
        ])
        func pathsByPattern(pattern: String, shown: [String]) throws {
            let folder = try TemporaryFolder()
            let agent = try Agent()
            let sentinels = ["abc", "xbc", "a.txt", "sub/*.txt", "ABC"]
            let sentinel = Sentinel { path in
                for name in sentinels { try agent.open(path + "/" + name) }
                try agent.must("chdir", path: "/")
                if pattern == "abc" { try agent.open("abc") }
            }
            let run = try TracedRun(["--json", "--path", pattern])
            if pattern == "abc" {
                try run.wait(for: "\"path\":\"abc\"") { try sentinel.open(sentinel.path) }
            } else {
                try run.waitUntilAttached(sentinel)
            }
            for name in ["abc", "xbc", "a.txt", "sub/b.txt", "s*r"] { try agent.open(folder.path(name)) }
            run.send(SIGINT)
            let names = try names(run.finish(), folder)
            #expect(names == shown)
        }

        /// The pattern is for the path as shown.
        @Test func patternsApplyToCompletedPaths() throws {
            let folder = try TemporaryFolder()
            let agent = try Agent()
            let sentinel = Sentinel { _ in try agent.open(folder.path("sentinel")) }
            let run = try TracedRun(["--json", "-F", "--path", folder.path + "/*"])
            try run.wait(for: folder.path("sentinel")) { try sentinel.open("") }
            try agent.must("chdir", path: folder.path)
            try agent.open("relative")
            try agent.must("chdir", path: "/")
            try agent.open("relative")
            run.send(SIGINT)
            #expect(try names(run.finish(), folder).filter { $0 != "sentinel" } == ["relative"])
        }
    }
}
