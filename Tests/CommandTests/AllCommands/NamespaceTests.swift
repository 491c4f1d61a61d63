// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

extension EndToEnd {
    /// Every command run from inside of namespaces in which processes have other numbers, and clocks another time, than
    /// in the kernel.
    @Suite(.serialized) struct NamespaceTests {
        private static let day = 86_400
        private static let namespaces = [
            "processes": ["--pid", "--fork", "--mount-proc"],
            "time": ["--time", "--monotonic", "\(10 * day)", "--boottime", "\(20 * day)"],
            "time-behind": ["--time", "--monotonic", "-60", "--boottime", "-60"],
        ]

        /// What each command is given, behind its name. PROGRAM and PID stand for what is traced.
        private static let commands = [
            "opensnoop": "-p PID --json --duration 0.5", "syscount": "-p PID --json -L --duration 0.5",
            "filetop": "-p PID --json --duration 0.5", "profile": "-F 199 -U -f -p PID 1",
            "offcputime": "-f -p PID 1", "runqlat": "--json -p PID 1 1", "cpudist": "--json -p PID 1 1",
            "runqslower": "0 --json -p PID --duration 0.5",
            "funccount": "-p PID --duration 0.5 PROGRAM:keeps_here",
            "stackcount": "-U -p PID -D 0.5 PROGRAM:keeps_here",
            "funclatency": "--json -p PID --duration 0.5 PROGRAM:waits_here",
            "memleak": "--json -o 200 -p PID --duration 1.5", "execsnoop": "--json -- sh -c 'echo $$'",
            "exitsnoop": "--json -- sh -c 'echo $$'",
        ]

        @Test func allCommandsAreHere() throws {
            let listed = try Finished([Harness.apus, "--list-commands"])
            let tracing = Set(listed.text.split(separator: "\n").map(String.init))
                .subtracting(["check", "flamegraph", "probes"])
            #expect(Set(Self.commands.keys) == tracing)
        }

        @Test(arguments: namespaces.keys.sorted())
        func everyCommandIsRightInside(kind: String) throws {
            let folder = try TemporaryFolder()
            let program = try Harness.program("everything", options: ["-g", "-fno-omit-frame-pointer"])
            var script = """
                cd \(folder.path); \(program) > pid & until [ -s pid ]; do sleep 0.01; done; read PID < pid

                """
            for (command, arguments) in Self.commands.sorted(by: { $0.key < $1.key }) {
                let words = arguments.replacingOccurrences(of: "PROGRAM", with: program)
                    .replacingOccurrences(of: "-p PID", with: "-p $PID")
                script += "\(Harness.apus) \(command) \(words) > \(command).out 2> \(command).err\n"
            }
            script += "kill $PID\n"
            let options = try #require(Self.namespaces[kind])
            try #require(
                Finished(["unshare"] + options + ["sh", "-c", script], patience: 300).end == .exited(0))
            let process = try #require(Int(try text(folder, "pid").split(separator: "\n").first ?? ""))
            try checkRows(folder, process)
            try checkSums(folder, program)
        }

        private func text(_ folder: TemporaryFolder, _ name: String) throws -> String {
            try String(contentsOfFile: folder.path(name), encoding: .utf8)
        }

        private func lines(_ folder: TemporaryFolder, _ command: String) throws -> JSONLines {
            try JSONLines(try text(folder, command + ".out"))
        }

        /// Rows have the namespace's numbers, and times that are those of the clock on the wall.
        private func checkRows(_ folder: TemporaryFolder, _ process: Int) throws {
            let now = Date().timeIntervalSince1970
            func expectTimes(_ rows: [[String: Any]], _ command: String) {
                #expect(!rows.isEmpty, "\(command)")
                for row in rows {
                    let age = now - Double(row.number("time_ns")) / 1e9
                    #expect((-1..<400).contains(age), "\(command): \(age) s ago")
                }
            }
            for command in ["opensnoop", "filetop", "runqslower"] {
                let rows = try lines(folder, command).rows
                expectTimes(rows, command)
                #expect(rows.allSatisfy { $0.number("pid") == process }, "\(command)")
            }
            let opens = try lines(folder, "opensnoop").rows
            #expect(opens.contains { $0.text("path") == "/etc/passwd" })
            for command in ["execsnoop", "exitsnoop"] {
                let found = try lines(folder, command)
                expectTimes(found.rows, command)
                let own = found.rows.filter { "\($0.number("pid"))" == found.others.first }
                #expect(own.count == 1, "\(command)")
                #expect(own.allSatisfy { (0..<60_000_000_000).contains($0.number("age_ns")) }, "\(command)")
            }
            let calls = try lines(folder, "syscount").rows
            expectTimes(calls, "syscount")
            let sleep = calls.first { $0.text("syscall") == "clock_nanosleep" }
            #expect((10_000_000..<60_000_000_000).contains(sleep?.number("max_ns") ?? 0))
        }

        private func checkSums(_ folder: TemporaryFolder, _ program: String) throws {
            #expect(try text(folder, "profile.out").contains("main;computes_here"))
            let blocked = try text(folder, "offcputime.out").split(separator: "\n")
            #expect(blocked.contains { $0.contains("main;waits_here") })
            // In microseconds, of a second: one thread waits 10 ms at a time, the other all the time. By a clock of
            // another namespace it would be nothing, or days.
            let times = blocked.compactMap { $0.split(separator: " ").last.flatMap { Int($0) } }
            #expect((10_000..<60_000_000).contains(times.reduce(0, +)), "\(times)")
            for command in ["runqlat", "cpudist", "funclatency"] {
                #expect(try lines(folder, command).rows.contains { $0.number("count") > 0 }, "\(command)")
            }
            let counted = try text(folder, "funccount.out").split(separator: "\n")
                .first { $0.contains("keeps_here") }
            #expect(Int(counted?.split(separator: " ").last ?? "") ?? 0 > 0)
            #expect(try text(folder, "stackcount.out").contains("main"))
            let leaks = try text(folder, "memleak.out")
            let said = try text(folder, "memleak.err")
            #expect(leaks.contains("keeps_here"), "\(said)")
        }
    }
}
