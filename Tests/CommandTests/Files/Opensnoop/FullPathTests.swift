// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

extension EndToEnd {
    /// -F: relative paths are completed, as the caller itself would complete them.
    @Suite struct FullPathTests {
        /// A name that occurs nowhere else.
        private let name = "file-\(UUID().uuidString)"

        @Test func fromTheCurrentDirectory() throws {
            let folder = try TemporaryFolder()
            try folder.file(name)
            let agent = try Agent()
            var fd = 0
            let outcome = try trace(["-F"]) {
                try agent.must("chdir", path: folder.path)
                fd = try agent.open(name)
            }
            let row = try outcome.row(folder.path(name))
            #expect(fd >= 0 && row.result == fd)
            #expect(try row.pathBytes == agent.target(ofLink: "/proc/self/fd/\(fd)"))
            #expect(row.dirfd == Agent.here)
            #expect(row.incomplete == nil)
        }

        @Test func withoutItThePathIsWhatTheCallerPassed() throws {
            let folder = try TemporaryFolder()
            let agent = try Agent()
            let outcome = try trace {
                try agent.must("chdir", path: folder.path)
                try agent.open(name)
            }
            #expect(try outcome.rows(of: agent.pid).last?.path == name)
        }

        @Test func fromADirectoryDescriptor() throws {
            let folder = try TemporaryFolder()
            try folder.folder("sub")
            try folder.file("sub/" + name)
            let agent = try Agent()
            var given: [Int] = []
            let outcome = try trace(["-F"]) {
                let directory = Int32(try agent.open(folder.path("sub"), flags: 0o10000000))
                for call in ["openat", "openat2"] {
                    given.append(try agent.open(name, call: call, directory: directory))
                }
                given.append(try agent.open("../sub/" + name, directory: directory))
                given.append(try agent.open(folder.path("sub/" + name), directory: directory))
            }
            let rows = try outcome.rows(containing: name)
            #expect(given.allSatisfy { $0 >= 0 })
            #expect(rows.map(\.result) == given)
            let plain = folder.path("sub/" + name)
            #expect(rows.map(\.path) == [plain, plain, folder.path("sub/../sub/" + name), plain])
            #expect(try rows[0].pathBytes == agent.target(ofLink: "/proc/self/fd/\(given[0])"))
        }

        /// There is no directory to start from, and none is made up.
        @Test(arguments: [4000, -1] as [Int32])
        func fromADescriptorThatIsNone(directory: Int32) throws {
            let agent = try Agent()
            let outcome = try trace(["-F"]) { try agent.open(name, directory: directory) }
            let row = try #require(try outcome.rows(of: agent.pid).last)
            #expect(row.path == name)
            #expect(row.outcome == CommandTests.outcome(-9))
        }

        @Test func dotsAtTheBeginningAreLeftOut() throws {
            let folder = try TemporaryFolder()
            let agent = try Agent()
            let given = [".", "./", "./" + name, "././/" + name, ".hidden", "..", "../" + name, "a/./b"]
            let shown = ["", "", "/" + name, "/" + name, "/.hidden", "/..", "/../" + name, "/a/./b"]
            let outcome = try trace(["-F"]) {
                try agent.must("chdir", path: folder.path)
                for path in given { try agent.open(path) }
            }
            #expect(try outcome.rows(of: agent.pid).map(\.path) == shown.map { folder.path + $0 })
        }

        @Test func fromTheRoot() throws {
            let agent = try Agent()
            let outcome = try trace(["-F"]) {
                try agent.must("chdir", path: "/")
                for path in [name, ".", "./"] { try agent.open(path) }
            }
            #expect(try outcome.rows(of: agent.pid).map(\.path) == ["/" + name, "/", "/"])
        }

        @Test func inAChrootPathsAreThoseInside() throws {
            let folder = try TemporaryFolder()
            try folder.folder("inside")
            try folder.file("inside/" + name)
            let agent = try Agent()
            var directory: [UInt8] = []
            var fd = 0
            let outcome = try trace(["-F"]) {
                try agent.must("chroot", path: folder.path)
                try agent.must("chdir", path: "/inside")
                directory = try agent.currentDirectory()
                fd = try agent.open(name)
                try agent.must("chdir", path: "/")
                try agent.open("inside/" + name)
            }
            #expect(directory == Array("/inside".utf8))
            #expect(fd >= 0)
            let rows = try outcome.rows(of: agent.pid)
            #expect(rows.map(\.path) == ["/inside/" + name, "/inside/" + name])
            #expect(rows.allSatisfy { $0.incomplete == nil })
        }

        /// chroot without chdir: getcwd says "(unreachable)", and so do we.
        @Test func aDirectoryOutsideTheCallersRoot() throws {
            let folder = try TemporaryFolder()
            try folder.folder("inside")
            let agent = try Agent()
            var directory: [UInt8] = []
            let outcome = try trace(["-F"]) {
                try agent.must("chdir", path: folder.path)
                try agent.must("chroot", path: folder.path("inside"))
                directory = try agent.currentDirectory()
                try agent.open(name)
            }
            let row = try #require(try outcome.rows(of: agent.pid).last)
            #expect(String(decoding: directory, as: UTF8.self) == "(unreachable)" + folder.path)
            #expect(row.pathBytes == directory + Array("/\(name)".utf8))
            #expect(row.incomplete == ["directory outside the caller's root"])
        }

        @Test func acrossABindMount() throws {
            let folder = try TemporaryFolder()
            for part in ["from", "from/sub", "to", "to/over"] { try folder.folder(part) }
            try folder.file("from/sub/" + name)
            let agent = try Agent()
            var directory: [UInt8] = []
            var given: [Int] = []
            let outcome = try trace(["-F"]) {
                try agent.must("newns")
                try agent.must(
                    "bind", hexadecimal(folder.path("from").utf8), hexadecimal(folder.path("to/over").utf8))
                try agent.must("chdir", path: folder.path("to/over/sub"))
                directory = try agent.currentDirectory()
                given.append(try agent.open(name))
                try agent.must("chdir", path: folder.path("to/over"))
                given.append(try agent.open("sub/" + name))
                let descriptor = try agent.open(folder.path("to"))
                given.append(try agent.open("over/sub/" + name, directory: Int32(descriptor)))
            }
            let rows = try outcome.rows(containing: name)
            let path = folder.path("to/over/sub/" + name)
            #expect(directory == Array(folder.path("to/over/sub").utf8))
            #expect(given.allSatisfy { $0 >= 0 })
            #expect(rows.map(\.path) == [path, path, path])
            #expect(try rows[0].pathBytes == agent.target(ofLink: "/proc/self/fd/\(given[0])"))
            #expect(rows.allSatisfy { $0.incomplete == nil })
        }

        /// umount -l: the mount leads nowhere any more.
        @Test func inAMountThatWasDetached() throws {
            let folder = try TemporaryFolder()
            for part in ["from", "from/sub", "to"] { try folder.folder(part) }
            let agent = try Agent()
            var directory: [UInt8] = []
            let outcome = try trace(["-F"]) {
                try agent.must("newns")
                try agent.must(
                    "bind", hexadecimal(folder.path("from").utf8), hexadecimal(folder.path("to").utf8))
                try agent.must("chdir", path: folder.path("to/sub"))
                try agent.must("detach", path: folder.path("to"))
                directory = try agent.currentDirectory()
                try agent.open(name)
            }
            let row = try #require(try outcome.rows(of: agent.pid).last)
            #expect(String(decoding: directory, as: UTF8.self).hasPrefix("(unreachable)"))
            #expect(row.pathBytes == directory + Array("/\(name)".utf8))
            #expect(row.incomplete == ["directory outside the caller's root"])
        }

        @Test func inADirectoryThatWasRemoved() throws {
            let folder = try TemporaryFolder()
            try folder.folder("gone")
            let agent = try Agent()
            var directory: [UInt8] = []
            let outcome = try trace(["-F"]) {
                try agent.must("chdir", path: folder.path("gone"))
                try agent.must("rmdir", path: folder.path("gone"))
                directory = try agent.target(ofLink: "/proc/self/cwd")
                try agent.open(name)
            }
            let row = try #require(try outcome.rows(of: agent.pid).last)
            #expect(String(decoding: directory, as: UTF8.self) == folder.path("gone (deleted)"))
            #expect(row.pathBytes == directory + Array("/\(name)".utf8))
            #expect(row.outcome == CommandTests.outcome(-2))
            #expect(row.incomplete == ["directory deleted"])
        }

        /// It would look as if the directory had been opened.
        @Test(arguments: [true, false])
        func aPathThatIsEmptyOrCannotBeReadIsNotCompleted(empty: Bool) throws {
            let folder = try TemporaryFolder()
            let agent = try Agent()
            let outcome = try trace(["-F"]) {
                try agent.must("chdir", path: folder.path)
                try agent.open(empty ? .text("") : .bad)
            }
            let row = try #require(try outcome.rows(of: agent.pid).last)
            #expect(row.path == "")
            #expect(row.incomplete == (empty ? nil : ["path unreadable"]))
        }
    }
}
