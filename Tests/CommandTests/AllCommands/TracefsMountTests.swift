// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

extension EndToEnd {
    /// Tracefs as it is mounted on one machine and not on the next: what is listed and counted is the same.
    @Suite struct TracefsMountTests {
        /// A command in namespaces of its own, in which tracefs is mounted or is not.
        private func namespace(mounted: Bool, _ words: [String]) -> [String] {
            let script = """
                umount -R -l /sys/kernel/debug 2>/dev/null
                while umount /sys/kernel/tracing 2>/dev/null; do :; done
                \(mounted ? "mount -t tracefs tracefs /sys/kernel/tracing || exit 99" : "")
                exec "$@"
                """
            // Also of processes: the mounts that process 1 sees are seen by others through it.
            return [
                "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script,
                "sh",
            ] + words
        }

        private func output(mounted: Bool, _ words: [String]) throws -> String {
            let result = try Finished(namespace(mounted: mounted, words), patience: 60)
            try #require(result.end == .exited(0), "\(result.errors)")
            return result.text
        }

        /// Other mounts come and go with what else runs here.
        private func tracefsMounts() throws -> [Substring] {
            try String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8).split(separator: "\n")
                .filter { $0.contains(" tracefs ") || $0.contains(" debugfs ") }
        }

        /// How `check` says that it is reached, and whether it is.
        private func reach(_ words: [String]) throws -> (works: String, remark: String) {
            let result = try Finished(words, patience: 60)
            let row = try #require(
                try JSONLines(result.text).rows.first { $0.text("what").contains("(tracefs)") })
            return (row.text("works"), row.text("remark"))
        }

        @Test(arguments: [
            ["t:*:*"], ["--json", "-v", "t:sched:*"], ["kprobe:vfs_*"], ["-v", "t:syscalls:sys_enter_o*"],
        ])
        func whatIsListedIsTheSame(pattern: [String]) throws {
            let words = [Harness.apus, "probes"] + pattern
            let found = try output(mounted: false, words)
            #expect(!found.isEmpty)
            #expect(try output(mounted: true, words) == found)
        }

        @Test(arguments: [
            ["funccount", "t:syscalls:sys_*_getppid"], ["funccount", "t:sched:sched_process_ex*"],
            ["stackcount", "t:syscalls:sys_enter_getppid"],
        ])
        func whatIsCountedIsTheSame(command: [String]) throws {
            let program = try Harness.program("calls")
            let words = [Harness.apus] + command + ["--json", "--", program]
            let key = command[0] == "stackcount" ? "calls" : "count"
            let counts = try [false, true].map { mounted in
                try JSONLines(output(mounted: mounted, words)).rows.map { $0.number(key) }.sorted()
            }
            #expect(counts[0].reduce(0, +) > 0)
            #expect(counts[0] == counts[1])
        }

        @Test func checkSaysHowItIsReached() throws {
            let check = [Harness.apus, "check", "--json"]
            let (mounted, own) = try (
                reach(namespace(mounted: true, check)), reach(namespace(mounted: false, check))
            )
            #expect(mounted == ("yes", "mounted at /sys/kernel/tracing"))
            #expect(own == ("yes", "by a mount of our own that others do not see"))
        }

        /// Container runtimes have lists of system calls that are older than those for detached mounts.
        @Test func withoutTheNewSystemCalls() throws {
            let through = [try Harness.program("without-fsopen"), Harness.apus]
            let own = try reach(namespace(mounted: false, through + ["check", "--json"]))
            #expect(own == ("yes", "by a mount of our own that others do not see"))
            let found = try output(mounted: false, through + ["probes", "t:*:*"])
            #expect(try output(mounted: true, [Harness.apus, "probes", "t:*:*"]) == found)
        }

        @Test(arguments: [[], ["without-fsopen"]])
        func nobodySeesAMountOfOurs(through: [String]) throws {
            let before = try tracefsMounts()
            let said = try Pipe()
            let folder = try TemporaryFolder()
            // The executable is process 1 there.
            let script = """
                cat /proc/1/mountinfo > '\(folder.path("mounts"))'
                ls -l /proc/self/fd > '\(folder.path("descriptors"))'
                echo ready
                sleep 60
                """
            let words =
                try through.map { try Harness.program($0) } + [
                    Harness.apus, "funccount", "t:syscalls:sys_enter_getppid", "--", "sh", "-c", script,
                ]
            let child = try Child(namespace(mounted: false, words), Child.Streams(output: said.writer))
            said.closeWriter()
            while try said.line(by: child) != "ready" {}
            #expect(
                !(try String(contentsOfFile: folder.path("mounts"), encoding: .utf8)).contains(" tracefs "))
            #expect(try tracefsMounts() == before)
            // The root of a mount that is in no folder is called "/".
            let inherited = try String(contentsOfFile: folder.path("descriptors"), encoding: .utf8)
            #expect(!inherited.split(separator: "\n").contains { $0.hasSuffix("-> /") })
            child.send(SIGKILL)
            _ = child.wait()
            #expect(try tracefsMounts() == before)
        }

        @Test func toAPlainUserItSaysWhatToDo() throws {
            // Nobody else may enter the folder of the build.
            let folder = try TemporaryFolder()
            let copy = folder.path("apus")
            try #require(try Finished(["cp", Harness.apus, copy]).end == .exited(0))
            let user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", copy]
            for mounted in [false, true] {
                let found = try reach(namespace(mounted: mounted, user + ["check", "--json"]))
                #expect(found == ("no", "only root can read it: run it with sudo"))
                let result = try Finished(namespace(mounted: mounted, user + ["probes", "t:sched:*"]))
                #expect(result.end == .exited(1))
                #expect(result.output.isEmpty)
                #expect(result.errors.contains("tracefs: only root can read it: run it with sudo\n"))
            }
        }
    }
}
