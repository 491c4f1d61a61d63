// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

extension EndToEnd {
    /// Opens that fail, each for its reason.
    @Suite struct FailureTests {
        /// Opens a path by every call that can, and expects the same of all rows.
        private func expect(
            _ path: String, result: Int, flags: UInt64 = 0, by agent: Agent, shown: String? = nil,
            incomplete: [String]? = nil
        ) throws {
            var given: [Int] = []
            let outcome = try trace {
                for call in ["open", "openat", "openat2"] {
                    given.append(try agent.open(path, call: call, flags: flags))
                }
            }
            let expected = Array((shown ?? path).utf8)
            let rows = try outcome.rows(of: agent.pid).filter { $0.pathBytes == expected }
            #expect(given == [result, result, result])
            #expect(rows.map(\.call) == ["open", "openat", "openat2"])
            for row in rows {
                #expect(row.outcome == CommandTests.outcome(result))
                #expect(row.incomplete == incomplete)
                #expect(row.flags == flags)
            }
        }

        @Test func noSuchFile() throws {
            let folder = try TemporaryFolder()
            try expect(folder.path("missing"), result: -2, by: Agent())
        }

        @Test func notAllowed() throws {
            let folder = try TemporaryFolder()
            let path = try folder.file("secret", mode: 0o600)
            let agent = try Agent()
            try agent.must("setuid", "65534")
            try expect(path, result: -13, by: agent)
        }

        @Test func alreadyThere() throws {
            let folder = try TemporaryFolder()
            try expect(try folder.file("there"), result: -17, flags: 0o300, by: Agent())
        }

        @Test func aFileWhereADirectoryMustBe() throws {
            let folder = try TemporaryFolder()
            try expect(try folder.file("file") + "/below", result: -20, by: Agent())
        }

        @Test func aDirectoryWhereAFileMustBe() throws {
            let folder = try TemporaryFolder()
            try expect(try folder.folder("folder"), result: -21, flags: 1, by: Agent())
        }

        @Test func linksInACircle() throws {
            let folder = try TemporaryFolder()
            try #require(symlink("circle", folder.path("circle")) == 0)
            try expect(folder.path("circle"), result: -40, by: Agent())
        }

        @Test func aNameOf256Bytes() throws {
            let folder = try TemporaryFolder()
            try expect(folder.path(String(repeating: "n", count: 256)), result: -36, by: Agent())
        }

        @Test func aPathLongerThanTheKernelAccepts() throws {
            let folder = try TemporaryFolder()
            let path = folder.path + String(repeating: "/123456789", count: 500)
            try expect(
                String(path.prefix(5000)), result: -36, by: Agent(), shown: String(path.prefix(4095)),
                incomplete: ["path longer than the kernel accepts"])
        }

        /// The longest path that the kernel takes, refused for one of its names: it is all there.
        @Test func aWholePathOf4095BytesWithANameTooLong() throws {
            let folder = try TemporaryFolder()
            let path = folder.path("") + String(repeating: "n", count: 4095 - folder.path.utf8.count - 1)
            try #require(path.utf8.count == 4095)
            try expect(path, result: -36, by: Agent())
        }

        @Test func theEmptyPath() throws {
            try expect("", result: -2, by: Agent())
        }

        @Test(arguments: ["open", "openat", "openat2", "creat"])
        func aPointerThatLeadsNowhere(call: String) throws {
            let folder = try TemporaryFolder()
            let agent = try Agent()
            var given = 0
            let outcome = try trace {
                // A path before it, so that nothing of that can be left over.
                try agent.open(folder.path("before"))
                given = try agent.open(.bad, call: call, flags: call == "creat" ? 0 : 0o100, mode: 0o600)
                try agent.open(folder.path("behind"))
            }
            let rows = try outcome.rows(of: agent.pid)
            #expect(given == -14)
            try #require(rows.count == 3)
            #expect(rows[1].outcome == "-1 14 EFAULT")
            #expect(rows[1].path == "")
            #expect(rows[1].incomplete == ["path unreadable"])
            #expect(rows[1].mode == 0o600)
        }

        @Test func inATableAPathThatCannotBeReadSaysSo() throws {
            let agent = try Agent()
            let outcome = try trace(["-p", agent.process], sentinel: agent.sentinel, json: false) {
                try agent.open(.bad)
            }
            let words = outcome.lines.last.map {
                String(decoding: $0, as: UTF8.self).split(separator: " ").map(String.init)
            }
            #expect(words == [agent.process, words?[1] ?? "", "-1", "14", "[unreadable]"])
        }
    }
}
