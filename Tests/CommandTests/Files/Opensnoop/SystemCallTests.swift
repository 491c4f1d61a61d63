// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// A combination of flags and what it is called.
struct FlagCase: CustomStringConvertible, Sendable {
    let flags: UInt64
    let names: [String]
    var description: String { names.joined(separator: "|") }
}

extension EndToEnd {
    /// Each system call by itself, against what the caller was given.
    @Suite struct SystemCallTests {
        @Test(arguments: ["open", "openat", "openat2", "creat"])
        func aFileIsCreated(call: String) throws {
            let folder = try TemporaryFolder()
            let agent = try Agent()
            let path = folder.path("created")
            var given = 0
            let before = Date()
            let outcome = try trace {
                given = try agent.open(path, call: call, flags: 0o2302, mode: 0o640)
            }
            let row = try outcome.row(path)
            #expect(given >= 0)
            #expect(row.result == given)
            #expect(row.outcome == "\(given) 0 -")
            #expect(row.call == call)
            #expect(!row.compat)
            #expect(row.flags == (call == "creat" ? 0o1101 : 0o2302))
            #expect(
                row.flagNames
                    == (call == "creat"
                        ? ["O_WRONLY", "O_CREAT", "O_TRUNC"] : ["O_RDWR", "O_CREAT", "O_EXCL", "O_APPEND"]))
            #expect(row.mode == 0o640)
            #expect(row.dirfd == Agent.here)
            #expect((row.pid, row.tid, row.ppid) == (agent.pid, agent.pid, getpid()))
            #expect(row.uid == 0)
            #expect(row.comm == "agent" || row.comm.hasPrefix("agent"))
            #expect(row.incomplete == nil && row.pathHex == nil)
            let time = Double(row.timeNs) / 1e9
            #expect(time >= before.timeIntervalSince1970 - 0.1 && time <= Date().timeIntervalSince1970 + 0.1)
            #expect(outcome.end == .exited(0))
            #expect(outcome.errors.isEmpty)
        }

        @Test(arguments: ["open", "openat", "openat2"])
        func withoutCreationThereIsNoMode(call: String) throws {
            let folder = try TemporaryFolder()
            let path = try folder.file("there")
            let agent = try Agent()
            // openat2 refuses a mode that means nothing; the others ignore it.
            let mode: UInt32 = call == "openat2" ? 0 : 0o777
            var given = 0
            let outcome = try trace { given = try agent.open(path, call: call, flags: 0o2000000, mode: mode) }
            let row = try outcome.row(path)
            #expect(given >= 0)
            #expect(row.result == given)
            #expect(row.mode == nil)
            #expect(row.flags == 0o2000000)
            #expect(row.flagNames == ["O_RDONLY", "O_CLOEXEC"])
        }

        static let flagCases: [FlagCase] = [
            FlagCase(flags: 0, names: ["O_RDONLY"]),
            FlagCase(flags: 1, names: ["O_WRONLY"]),
            FlagCase(flags: 2, names: ["O_RDWR"]),
            FlagCase(flags: 3, names: ["O_ACCMODE"]),
            FlagCase(flags: 0o4010000, names: ["O_RDONLY", "O_SYNC"]),
            FlagCase(flags: 0o10000, names: ["O_RDONLY", "O_DSYNC"]),
            FlagCase(flags: 0o200000, names: ["O_RDONLY", "O_DIRECTORY"]),
            FlagCase(flags: 0o20200002, names: ["O_RDWR", "O_TMPFILE"]),
            FlagCase(flags: 0o10400000, names: ["O_RDONLY", "O_NOFOLLOW", "O_PATH"]),
            FlagCase(
                flags: 0o1144401,
                names: ["O_WRONLY", "O_NOCTTY", "O_NONBLOCK", "O_DIRECT", "O_LARGEFILE", "O_NOATIME"]),
            FlagCase(flags: 0o100000000, names: ["O_RDONLY", "0100000000"]),
        ]

        @Test(arguments: flagCases)
        func flagsAreShownAsPassed(flags: FlagCase) throws {
            let folder = try TemporaryFolder()
            let path = try folder.file("flags")
            let agent = try Agent()
            var given = 0
            let outcome = try trace { given = try agent.open(path, flags: flags.flags) }
            let row = try outcome.row(path)
            #expect(row.result == given)
            #expect(row.flags == flags.flags)
            #expect(row.flagNames == flags.names)
            // O_TMPFILE creates too.
            #expect((row.mode != nil) == (flags.flags & 0o20000000 != 0))
        }

        @Test func flagsHave64BitsInOpenat2Only() throws {
            let folder = try TemporaryFolder()
            let agent = try Agent()
            let (wide, narrow) = (try folder.file("wide"), try folder.file("narrow"))
            let flags: UInt64 = 1 << 40 | 0o2000000
            var given = (0, 0)
            let outcome = try trace {
                given.0 = try agent.open(wide, call: "openat2", flags: flags)
                given.1 = try agent.open(narrow, call: "openat", flags: flags)
            }
            let (first, second) = (try outcome.row(wide), try outcome.row(narrow))
            #expect(given.0 == -22 && given.1 >= 0)
            #expect((first.result, second.result) == given)
            #expect(first.flags == flags)
            #expect(first.flagNames == ["O_RDONLY", "O_CLOEXEC", "020000000000000"])
            #expect(second.flags == 0o2000000)
        }

        @Test func openat2WithoutFlagsThatCanBeRead() throws {
            let folder = try TemporaryFolder()
            let agent = try Agent()
            let path = folder.path("how")
            var given = 0
            let outcome = try trace { given = try agent.open(path, call: "openat2-bad") }
            let row = try outcome.row(path)
            #expect(given == -14)
            #expect(row.result == given && row.error == "EFAULT")
            #expect(row.incomplete == ["flags unreadable"])
        }

        @Test func aDirectoryDescriptorIsShown() throws {
            let folder = try TemporaryFolder()
            let name = try folder.file("relative-\(UUID().uuidString)").split(separator: "/").last.map(
                String.init)
            let file = try #require(name)
            let agent = try Agent()
            var directory = 0
            var given: [Int] = []
            let outcome = try trace {
                directory = try agent.open(folder.path)
                for call in ["openat", "openat2"] {
                    given.append(try agent.open(file, call: call, directory: Int32(directory)))
                    given.append(try agent.open(file, call: call, directory: 4000))
                    given.append(try agent.open(file, call: call, directory: -7))
                }
            }
            let rows = try outcome.rows(containing: file)
            #expect(directory >= 0)
            #expect(given[0] > directory)
            #expect(Array(given[1...2]) == [-9, -9])
            #expect(rows.map(\.result) == given)
            #expect(rows.map(\.dirfd) == [Int32(directory), 4000, -7, Int32(directory), 4000, -7])
            #expect(rows.allSatisfy { $0.path == file })
        }

        @Test func theCallersNameUserAndParentAreThoseOfTheMoment() throws {
            let folder = try TemporaryFolder()
            let agent = try Agent()
            let paths = ["first", "second"].map { folder.path($0) }
            let outcome = try trace {
                try agent.open(paths[0])
                try agent.must("comm", path: "fifteen-letters")
                try agent.must("setuid", "65534")
                try agent.open(paths[1])
            }
            let rows = try paths.map { try outcome.row($0) }
            #expect(rows.map(\.uid) == [0, 65534])
            #expect(rows[0].comm.hasPrefix("agent"))
            #expect(rows[1].comm == "fifteen-letters")
            #expect(rows.map(\.ppid) == [getpid(), getpid()])
        }

        @Test func aCgroupsIDIsItsInode() throws {
            let mount = try #require(Harness.cgroupMount)
            let folder = try TemporaryFolder()
            let agent = try Agent()
            let lines = try String(contentsOfFile: "/proc/\(agent.pid)/cgroup", encoding: .utf8)
            let own = try #require(lines.split(separator: "\n").first { $0.hasPrefix("0::") })
            var status = stat()
            try #require(stat(mount + own.dropFirst(3), &status) == 0)
            let outcome = try trace { try agent.open(folder.path("x")) }
            #expect(try outcome.row(folder.path("x")).cgroupId == UInt64(status.st_ino))
        }
    }
}
