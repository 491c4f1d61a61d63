// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

extension EndToEnd {
    /// The system calls of 32-bit programs.
    @Suite struct CompatTests {
        private static let compiler = Requirement(
            "this compiler makes no 32-bit programs (gcc-multilib)",
            isMet: (try? Harness.program("agent", options: ["-m32", "-static"])) != nil)

        @Test(
            .require(compiler),
            arguments: ["open", "openat", "openat2", "creat"], [false, true])
        func aProgramOf32Bits(call: String, int80: Bool) throws {
            try expectCompat(try Agent(narrow: true), call: call, int80: int80)
        }

        @Test(arguments: ["open", "openat", "openat2", "creat"])
        func int80FromAProgramOf64Bits(call: String) throws {
            try expectCompat(try Agent(), call: call, int80: true)
        }

        private func expectCompat(_ agent: Agent, call: String, int80: Bool) throws {
            let folder = try TemporaryFolder()
            let paths = ["created", "created/below", "missing"].map { folder.path($0) }
            let flags: [UInt64] = [0o102, 0, 0o2000000]
            var given: [Int] = []
            let outcome = try trace {
                for (path, flags) in zip(paths, flags) where call != "creat" || path != paths[2] {
                    let mode: UInt32 = flags & 0o100 != 0 || call == "creat" ? 0o604 : 0
                    given.append(try agent.open(path, call: call, flags: flags, mode: mode, int80: int80))
                }
            }
            let rows = try outcome.rows(of: agent.pid)
            #expect(given.prefix(2).map { $0 >= 0 ? 0 : $0 } == [0, -20])
            #expect(call == "creat" || given.last == -2)
            #expect(rows.map(\.outcome) == given.map(CommandTests.outcome))
            #expect(rows.map(\.path) == Array(paths.prefix(rows.count)))
            for row in rows {
                #expect(row.call == call)
                #expect(row.compat)
                #expect(row.dirfd == Agent.here)
                #expect(row.tid == agent.pid)
            }
            if call == "creat" {
                #expect(rows.allSatisfy { $0.flags == 0o1101 && $0.mode == 0o604 })
            } else {
                #expect(rows.map(\.flags) == flags)
                #expect(rows.map(\.mode) == [0o604, nil, nil])
            }
        }

        /// The same numbers mean other calls for a 64-bit program: 5 is fstat, 8 lseek, 295 preadv.
        @Test func a64BitOpenIsNotCompat() throws {
            let folder = try TemporaryFolder()
            let agent = try Agent()
            let outcome = try trace {
                try agent.open(folder.path("wide"))
                try agent.open(folder.path("narrow"), int80: true)
                try agent.open(folder.path("wide-again"))
            }
            #expect(try outcome.rows(of: agent.pid).map(\.compat) == [false, true, false])
        }

        @Test func aDirectoryAndABadPointer() throws {
            let folder = try TemporaryFolder()
            try folder.file("inside")
            let agent = try Agent()
            var directory = 0
            let outcome = try trace(["-F"]) {
                directory = try agent.open(folder.path)
                try agent.open("inside", directory: Int32(directory), int80: true)
                try agent.open(.bad, int80: true)
            }
            let rows = try outcome.rows(of: agent.pid)
            try #require(rows.count == 3)
            #expect(rows[1].dirfd == Int32(directory))
            #expect(rows[1].path == folder.path("inside"))
            #expect(rows[2].error == "EFAULT" && rows[2].compat)
            #expect(rows[2].incomplete?.contains("path unreadable") == true)
        }
    }
}
