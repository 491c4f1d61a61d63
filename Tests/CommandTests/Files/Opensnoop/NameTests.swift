// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// A file name that means harm, or is only unusual, and what a table shows for it.
struct NameCase: CustomStringConvertible, Sendable {
    let description: String
    let bytes: [UInt8]
    let shown: String
    var isText: Bool { String(validating: bytes, as: UTF8.self) != nil }

    init(_ description: String, _ bytes: [UInt8], shown: String) {
        self.description = description
        self.bytes = bytes
        self.shown = shown
    }
}

extension EndToEnd {
    /// File names are chosen by others: none may forge a row or reach the terminal.
    @Suite struct NameTests {
        static let cases: [NameCase] = [
            NameCase("newline", Array("a\n1 2 3".utf8), shown: "a\\n1 2 3"),
            NameCase("carriage return and tab", Array("a\rb\tc".utf8), shown: "a\\rb\\tc"),
            NameCase("clear the screen", Array("a\u{1b}[2Jb".utf8), shown: "a\\x1b[2Jb"),
            NameCase("quotes", Array("a\"b'c`d".utf8), shown: "a\"b'c`d"),
            NameCase("backslash", Array("a\\nb".utf8), shown: "a\\\\nb"),
            NameCase("delete", Array("a\u{7f}b".utf8), shown: "a\\x7fb"),
            NameCase("C1 as text", Array("a\u{9b}2Jb".utf8), shown: "a\\u009b2Jb"),
            NameCase("C1 as a byte", [0x61, 0x9b, 0x32, 0x4a], shown: "a\\x9b2J"),
            NameCase("not UTF-8", [0x61, 0xff, 0xfe, 0x62], shown: "a\\xff\\xfeb"),
            NameCase("the end of a character missing", [0x61, 0xe2, 0x82], shown: "a\\xe2\\x82"),
            NameCase("too long a form", [0x61, 0xc0, 0xae], shown: "a\\xc0\\xae"),
            NameCase("a surrogate", [0x61, 0xed, 0xa0, 0x80], shown: "a\\xed\\xa0\\x80"),
            NameCase("right to left", Array("a\u{202e}txt.exe".utf8), shown: "a\\u202etxt.exe"),
            NameCase("invisible", Array("a\u{200b}b".utf8), shown: "a\\u200bb"),
            NameCase("line separator", Array("a\u{2028}b".utf8), shown: "a\\u2028b"),
            NameCase(
                "letters and an emoji", Array("\u{e4}\u{4e2d}\u{1f41d}".utf8),
                shown: "\u{e4}\u{4e2d}\u{1f41d}"),
            NameCase("a combining mark", Array("e\u{301}".utf8), shown: "e\u{301}"),
        ]

        @Test(arguments: cases)
        func inJSON(name: NameCase) throws {
            let folder = try TemporaryFolder()
            let path = Array(folder.path("").utf8) + name.bytes
            let agent = try Agent()
            var given: [Int] = []
            let outcome = try trace {
                given.append(try agent.open(.bytes(path), flags: 0o100, mode: 0o600))
                given.append(try agent.open(.bytes(path)))
            }
            let rows = try outcome.rows(of: agent.pid)
            #expect(given.allSatisfy { $0 >= 0 })
            #expect(rows.map(\.result) == given)
            #expect(rows.map(\.pathBytes) == [path, path])
            #expect(rows.allSatisfy { ($0.pathHex == nil) == name.isText })
            // Nothing but printable text on the way there.
            #expect(outcome.lines.allSatisfy { line in line.allSatisfy { $0 >= 0x20 && $0 != 0x7f } })
        }

        @Test(arguments: cases)
        func inATable(name: NameCase) throws {
            let folder = try TemporaryFolder()
            let path = Array(folder.path("").utf8) + name.bytes
            let agent = try Agent()
            var given = 0
            let outcome = try trace(["-p", agent.process], sentinel: agent.sentinel, json: false) {
                given = try agent.open(.bytes(path), flags: 0o100, mode: 0o600)
            }
            let lines = outcome.lines.filter { $0.range(of: Data(folder.path.utf8)) != nil }
            #expect(lines.count == 1)
            let line = try #require(lines.first)
            let text = try #require(String(validating: line, as: UTF8.self))
            #expect(line.allSatisfy { $0 >= 0x20 && $0 != 0x7f })
            #expect(Data(text.utf8).suffix(name.shown.utf8.count) == Data(name.shown.utf8))
            let words = text.split(separator: " ", maxSplits: 4).map(String.init)
            #expect(
                words.prefix(1) + words.dropFirst(2) == [
                    agent.process, "\(given)", "0", folder.path(name.shown),
                ])
            // Every other line is a row of the sentinel: none was forged.
            #expect(outcome.lines.dropFirst().allSatisfy { $0.range(of: Data("/".utf8)) != nil })
        }

        @Test func aTasksNameIsForeignTextToo() throws {
            let folder = try TemporaryFolder()
            let agent = try Agent()
            let name = "a\n\u{1b}[2J\"\\\u{202e}"
            let opens = {
                try agent.must("comm", path: name)
                try agent.open(folder.path("x"))
            }
            let json = try trace(body: opens)
            #expect(try json.row(folder.path("x")).comm == name)
            let table = try trace(["-p", agent.process], sentinel: agent.sentinel, json: false, body: opens)
            let line = try #require(table.lines.last { $0.range(of: Data(folder.path.utf8)) != nil })
            let words = String(decoding: line, as: UTF8.self).split(separator: " ").map(String.init)
            #expect(words.first == agent.process)
            #expect(words.dropFirst().first == "a\\n\\x1b[2J\"\\\\\\u202e")
        }

        /// What a program that reads the output may rely on.
        @Test func aRowHasTheseFieldsAndNoOther() throws {
            let folder = try TemporaryFolder()
            let agent = try Agent()
            let outcome = try trace(["-p", agent.process], by: agent) { try agent.open(folder.path("x")) }
            let fields: Set<String> = [
                "time_ns", "uid", "ppid", "pid", "tid", "comm", "fd", "errno", "error", "flags", "flag_names",
                "mode", "call", "compat", "dirfd", "cgroup_id", "path",
            ]
            for line in outcome.lines {
                let object = try JSONSerialization.jsonObject(with: line) as? [String: Any]
                #expect(object.map { Set($0.keys) } == fields)
            }
        }

        @Test func theColumnsOfTheTable() throws {
            let agent = try Agent()
            let options = ["-T", "-U", "-P", "--print-tid", "-e"]
            let missing = "/apus-\(UUID().uuidString)/missing"
            let outcome = try trace(options + ["-p", agent.process], sentinel: agent.sentinel, json: false) {
                try agent.open(missing, flags: 0o2101, mode: 0o4755)
                try agent.must("comm", path: "x")
                try agent.open(missing, flags: 2)
            }
            let rows = outcome.lines.map {
                String(decoding: $0, as: UTF8.self).split(separator: " ").map(String.init)
            }
            #expect(
                rows.first == [
                    "TIME", "UID", "PPID", "PID", "TID", "COMM", "FD", "ERR", "FLAGS", "MODE", "PATH",
                ])
            let last = try #require(rows.last)
            #expect(last.first?.split(separator: ":").count == 3)
            #expect(
                last.dropFirst() == [
                    "0", "\(getpid())", agent.process, agent.process, "x", "-1", "2", "00000002", "n/a",
                    missing,
                ])
            let creates = try #require(rows.first { $0.contains("00002101") })
            #expect(creates.contains("4755"))
        }
    }
}
