// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

extension EndToEnd {
    /// All conditions must hold; and --follow adds children.
    @Suite struct FilterCombinationTests {
        private func names(_ outcome: Outcome, _ folder: TemporaryFolder) throws -> [String] {
            try outcome.rows(containing: folder.path + "/").map {
                String($0.path.dropFirst(folder.path.count + 1))
            }
        }

        @Test func allConditionsMustHold() throws {
            let folder = try TemporaryFolder()
            try folder.file("yes-there", mode: 0o666)
            let (agent, other) = (try Agent(), try Agent())
            let sentinel = Sentinel("yes-sentinel") { path in
                try agent.must("comm", path: "wanted")
                try agent.open(path, flags: 1)
            }
            try agent.must("setuid", "65534")
            try other.must("setuid", "65534")
            try other.must("comm", path: "wanted")
            let outcome = try trace(
                [
                    "-p", agent.process, "-u", "nobody", "-n", "want", "-x", "-f", "O_WRONLY", "--path",
                    "*/yes*",
                ],
                sentinel: sentinel
            ) {
                try other.open(folder.path("yes-other"), flags: 1)
                try agent.open(folder.path("yes-there"), flags: 1)
                try agent.open(folder.path("yes-read"), flags: 0)
                try agent.open(folder.path("no"), flags: 1)
                try agent.must("comm", path: "unknown")
                try agent.open(folder.path("yes-unknown"), flags: 1)
                try agent.must("comm", path: "wanted")
                try agent.open(folder.path("yes-all"), flags: 1)
            }
            let names = try names(outcome, folder)
            #expect(names == ["yes-all"])
        }

        @Test func aUserOfAProcessThatHasAnother() throws {
            let folder = try TemporaryFolder()
            let agent = try Agent()
            let run = try TracedRun(["-p", agent.process, "-u", "nobody"])
            try run.wait(for: "PATH\n")
            try agent.open(folder.path("root"))
            try agent.must("setuid", "65534")
            try agent.open(folder.path("nobody"))
            run.send(SIGINT)
            let outcome = try run.finish()
            #expect(outcome.lines.count == 2)
            #expect(outcome.lines.last?.range(of: Data(folder.path("nobody").utf8)) != nil)
        }

        @Test func childrenAreFollowed() throws {
            let folder = try TemporaryFolder()
            let (agent, other) = (try Agent(), try Agent())
            var children: [Int32] = []
            let outcome = try trace(["-p", agent.process, "--follow"], by: agent) {
                let answer = try agent.tell("descend", 4, hexadecimal(folder.path("fork").utf8))
                children = answer.split(separator: " ").compactMap { Int32($0) }
                _ = try other.tell("descend", 2, hexadecimal(folder.path("other").utf8))
                try agent.open(folder.path("own"))
            }
            let rows = try outcome.rows(containing: folder.path + "/")
            let names = try names(outcome, folder)
            #expect(names == ["fork.1", "fork.2", "fork.3", "fork.4", "own"])
            #expect(rows.map(\.pid) == children + [agent.pid])
            #expect(Array(rows.map(\.ppid).prefix(4)) == [agent.pid] + children.prefix(3))
            #expect(outcome.errors.isEmpty)
        }

        @Test func withoutFollowChildrenAreNotShown() throws {
            let folder = try TemporaryFolder()
            let agent = try Agent()
            let outcome = try trace(["-p", agent.process], by: agent) {
                _ = try agent.tell("descend", 2, hexadecimal(folder.path("fork").utf8))
                try agent.open(folder.path("own"))
            }
            let names = try names(outcome, folder)
            #expect(names == ["own"])
        }

        @Test func childrenAreFollowedThroughExec() throws {
            let folder = try TemporaryFolder()
            let path = try folder.file("read")
            let agent = try Agent()
            var child: Int32?
            let outcome = try trace(["-p", agent.process, "--follow"], by: agent) {
                child = Int32(try agent.tell("cat", hexadecimal(path.utf8)))
            }
            let row = try outcome.row(path)
            #expect(row.pid == child)
            #expect(row.comm == "cat")
            let all = try outcome.rows(of: row.pid)
            #expect(all.contains { $0.path == "/etc/ld.so.cache" })
        }

        /// Other conditions hold for children as for their parents.
        @Test func followAndOtherFilters() throws {
            let folder = try TemporaryFolder()
            try folder.file("fork.2")
            let agent = try Agent()
            let outcome = try trace(["-p", agent.process, "--follow", "-x"], by: agent) {
                _ = try agent.tell("descend", 3, hexadecimal(folder.path("fork").utf8))
            }
            let names = try names(outcome, folder)
            #expect(names == ["fork.1", "fork.3"])
        }

        @Test func aThousandChildrenInARow() throws {
            let folder = try TemporaryFolder()
            let agent = try Agent()
            var children: [Int32] = []
            let outcome = try trace(["-p", agent.process, "--follow"], by: agent) {
                for _ in 0..<100 {
                    let answer = try agent.tell("descend", 10, hexadecimal(folder.path("fork").utf8))
                    children += answer.split(separator: " ").compactMap { Int32($0) }
                }
            }
            let rows = try outcome.rows(containing: folder.path + "/")
            #expect(children.count == 1000)
            #expect(rows.map(\.pid) == children)
            #expect(outcome.errors.isEmpty)
        }
    }
}
