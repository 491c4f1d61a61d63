// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

extension EndToEnd {
    /// Paths at the limits of what the kernel takes: whole, byte for byte.
    @Suite struct LongPathTests {
        private let name = "file-\(UUID().uuidString)"

        /// Makes directories inside one another, and goes there; each name is new to the next one only.
        private func descend(_ agent: Agent, from start: String, _ names: [String]) throws {
            try agent.must("chdir", path: start)
            for name in names {
                try agent.must("mkdir", path: name)
                try agent.must("chdir", path: name)
            }
        }

        /// Names of one byte, the first longer, that make a path below `start` of exactly so many bytes.
        private func names(below start: String, total: Int) -> [String] {
            let room = total - start.utf8.count
            let even = room.isMultiple(of: 2)
            return [even ? "a" : "bb"] + Array(repeating: "d", count: (room - (even ? 2 : 3)) / 2)
        }

        private func expectWhole(_ directories: [String], in folder: TemporaryFolder) throws {
            let agent = try Agent()
            var directory: [UInt8] = []
            let outcome = try trace(["-F"]) {
                try descend(agent, from: folder.path, directories)
                directory = try agent.currentDirectory()
                try agent.open(name)
            }
            let row = try #require(try outcome.rows(of: agent.pid).last)
            #expect(directory == Array(([folder.path] + directories).joined(separator: "/").utf8))
            #expect(row.pathBytes == directory + Array("/\(name)".utf8))
            #expect(row.incomplete == nil)
        }

        @Test func in300Directories() throws {
            try expectWhole((0..<300).map { "d\($0)" }, in: TemporaryFolder())
        }

        @Test(arguments: [4000, 4094, 4095])
        func inADirectoryAsDeepAsAPathCanBe(total: Int) throws {
            let folder = try TemporaryFolder()
            try expectWhole(names(below: folder.path, total: total), in: folder)
        }

        @Test func withNamesOf255Bytes() throws {
            let long = String(repeating: "n", count: 255)
            try expectWhole(Array(repeating: long, count: 15), in: TemporaryFolder())
        }

        @Test func aNameOf255BytesInThePath() throws {
            let folder = try TemporaryFolder()
            let path = try folder.file(String(repeating: "n", count: 255))
            let agent = try Agent()
            var given = 0
            let outcome = try trace { given = try agent.open(path) }
            #expect(given >= 0)
            #expect(try outcome.row(path).result == given)
        }

        /// Deeper than a path can be: what is known is shown, and the row says that it is not all.
        @Test func aDirectoryTooDeepForAPath() throws {
            let folder = try TemporaryFolder()
            let long = String(repeating: "n", count: 250)
            let agent = try Agent()
            let outcome = try trace(["-F"]) {
                try descend(agent, from: folder.path, Array(repeating: long, count: 20))
                try agent.open(name)
            }
            let row = try #require(try outcome.rows(of: agent.pid).last)
            #expect(row.path.hasPrefix("[...]/" + long + "/" + long))
            #expect(row.path.hasSuffix("/" + long + "/" + name))
            #expect(row.incomplete == ["directory too long"])
        }

        /// The longest path that can be passed: 4095 bytes and the zero.
        @Test(arguments: ["open", "openat", "openat2", "creat"])
        func aPathOf4095Bytes(call: String) throws {
            let folder = try TemporaryFolder()
            try folder.file("xy")
            let start = folder.path + String(repeating: "/.", count: 2046 - folder.path.utf8.count / 2)
            let path = start + String(repeating: "/", count: 4095 - start.utf8.count - 2) + "xy"
            try #require(path.utf8.count == 4095)
            let agent = try Agent()
            var given = 0
            let outcome = try trace(["-F"]) { given = try agent.open(path, call: call) }
            let row = try #require(try outcome.rows(of: agent.pid).last)
            #expect(given >= 0 && row.result == given)
            #expect(row.pathBytes == Array(path.utf8))
            #expect(row.incomplete == nil)
        }

        @Test func aRelativePathOf4095BytesInADirectoryOf4095() throws {
            let folder = try TemporaryFolder()
            let agent = try Agent()
            let path = "z" + String(repeating: "/.", count: 2046) + "/z"
            try #require(path.utf8.count == 4095)
            var directory: [UInt8] = []
            let outcome = try trace(["-F"]) {
                try descend(agent, from: folder.path, names(below: folder.path, total: 4095))
                directory = try agent.currentDirectory()
                try agent.open(path)
            }
            let row = try #require(try outcome.rows(of: agent.pid).last)
            #expect(directory.count == 4095)
            #expect(row.pathBytes == directory + Array("/\(path)".utf8))
            #expect(row.incomplete == nil)
        }

        @Test func inATableItIsWholeToo() throws {
            let folder = try TemporaryFolder()
            let path = folder.path + String(repeating: "/\u{e4}\u{4e2d}", count: 600) + "/" + name
            let agent = try Agent()
            let outcome = try trace(["-p", agent.process], sentinel: agent.sentinel, json: false) {
                try agent.open(path)
            }
            let line = outcome.lines.last.map { String(decoding: $0, as: UTF8.self) }
            #expect(line?.hasSuffix(" " + path) == true)
        }
    }
}
