// SPDX-License-Identifier: Apache-2.0
import CBPFPrograms
import Testing

@testable import Commands

@Suite struct OpenEventTests {
    private func path(_ record: OpenRecord) -> String? {
        decode(record.bytes) { $0.withPath { String(decoding: $0, as: UTF8.self) } }
    }

    @Test func everyFieldIsReadFromItsPlace() {
        // Little-endian, in the order of bpf/include/opensnoop.h.
        let bytes: [UInt8] =
            [1, 0, 0, 0, 0, 0, 0, 0] + [2, 0, 0, 0, 0, 0, 0, 0] + [0x42, 0x80, 0, 0, 0, 0, 0, 0]
            + [0x92, 0x10, 0, 0] + [0x93, 0x10, 0, 0] + [17, 0, 0, 0] + [0xe8, 3, 0, 0]
            + [0xfe, 0xff, 0xff, 0xff] + [0x9c, 0xff, 0xff, 0xff] + [0xa4, 1] + [2, 0] + [0, 0] + [
                0x40, 0x30,
            ]
            + Array("worker/0".utf8) + Array(repeating: 0, count: 8) + Array("/x".utf8)
        let found = decode(bytes) { event in
            #expect(event.head.time_ns == 1)
            #expect(event.head.cgroup == 2)
            #expect(event.head.flags == 0x8042)
            #expect(event.head.process == 4242)
            #expect(event.head.thread == 4243)
            #expect(event.head.parent == 17)
            #expect(event.head.user == 1000)
            #expect(event.head.result == -2)
            #expect(event.head.directory == -100)
            #expect(event.head.mode == 0o644)
            #expect(event.callName.description == "openat2")
            #expect(event.has(OPEN_NOTE_MODE) == true)
            #expect(event.has(OPEN_NOTE_COMPAT) == false)
            #expect(event.failed == true)
            #expect(event.errno == 2)
            return (
                event.withComm { String(decoding: $0, as: UTF8.self) },
                event.withPath { String(decoding: $0, as: UTF8.self) }
            )
        }
        #expect(found?.0 == "worker/0")
        #expect(found?.1 == "/x")
    }

    @Test func anythingShorterThanItSaysIsRefused() {
        let record = OpenRecord("file", base: ["c", "b"])
        let bytes = record.bytes
        #expect(path(record) == "/b/c/file")
        for length in 0..<bytes.count {
            #expect(decode(Array(bytes.prefix(length))) { _ in true } == nil)
        }
    }

    @Test(
        arguments: [(5, 0), (0, 5), (3, 2), (4, 1), (.max, 0), (0, .max), (.max, .max)] as [(UInt16, UInt16)])
    func lengthsThatLieAreRefused(path: UInt16, base: UInt16) {
        var head = open_event()
        head.path_bytes = path
        head.base_bytes = base
        head.notes = UInt16(OPEN_NOTE_BASE.rawValue)
        let bytes = withUnsafeBytes(of: head) { Array($0) } + Array("file".utf8)
        #expect(decode(bytes) { _ in true } == nil)
    }

    @Test func whatFollowsTheTextIsNoPartOfIt() {
        // A ring's records are padded to eight bytes.
        let bytes = OpenRecord("/etc").bytes + [120, 120, 120]
        #expect(decode(bytes) { $0.withPath { String(decoding: $0, as: UTF8.self) } } == "/etc")
    }

    @Test func recordsNeedNoAlignment() {
        let bytes: [UInt8] = [0xff] + OpenRecord("/etc").bytes
        bytes.withUnsafeBytes { buffer in
            let event = OpenEvent(UnsafeRawBufferPointer(rebasing: buffer.dropFirst()).bytes)
            let process = event?.head.process
            let path = event?.withPath { String(decoding: $0, as: UTF8.self) }
            #expect(process == 4242)
            #expect(path == "/etc")
        }
    }

    @Test(arguments: [
        ("", ""), ("cat", "cat"), ("fifteen letters", "fifteen letters"),
        ("sixteen letters!", "sixteen letters!"),
    ])
    func namesEndAtTheirZeroOrTheirRoom(name: String, shown: String) {
        var record = OpenRecord("/x")
        record.setComm(Array(name.utf8))
        #expect(decode(record.bytes) { $0.withComm { String(decoding: $0, as: UTF8.self) } } == shown)
    }

    @Test(arguments: [
        (OPEN_CALL_OPEN, "open"), (OPEN_CALL_CREAT, "creat"), (OPEN_CALL_OPENAT, "openat"),
        (OPEN_CALL_OPENAT2, "openat2"), (OPEN_CALL_IO_URING, "io_uring"),
    ])
    func callsHaveTheNamesOfTheirManPages(call: open_call, name: String) {
        var record = OpenRecord("/x")
        record.setCall(call)
        #expect(decode(record.bytes) { $0.callName.description } == name)
    }

    @Test(arguments: ["/etc/passwd", "relative", "./relative", "", ".", "a\0b"])
    func withoutABaseThePathIsAsGiven(given: String) {
        #expect(path(OpenRecord(given)) == given)
    }

    @Test(arguments: [
        ("file", "/a/b/c/file"), ("d/file", "/a/b/c/d/file"), ("./file", "/a/b/c/file"),
        ("././file", "/a/b/c/file"), (".//file", "/a/b/c/file"), ("././/./file", "/a/b/c/file"),
        (".", "/a/b/c"), ("./", "/a/b/c"), ("./.", "/a/b/c"), ("", "/a/b/c"),
        (".hidden", "/a/b/c/.hidden"), ("./.hidden", "/a/b/c/.hidden"), ("..", "/a/b/c/.."),
        ("../x", "/a/b/c/../x"), ("./../x", "/a/b/c/../x"), ("d/", "/a/b/c/d/"), ("d/./x", "/a/b/c/d/./x"),
        ("...", "/a/b/c/..."),
    ])
    func relativePathsContinueTheirDirectory(given: String, joined: String) {
        #expect(path(OpenRecord(given, base: ["c", "b", "a"])) == joined)
    }

    @Test(arguments: [("etc", "/etc"), ("./etc", "/etc"), (".", "/"), ("", "/"), ("..", "/..")])
    func theRootIsADirectoryWithoutNames(given: String, joined: String) {
        #expect(path(OpenRecord(given, base: [])) == joined)
    }

    @Test func whatIsNotAllThereSaysSo() {
        func joined(_ notes: [open_note], base: [String] = ["c", "b"], _ given: String = "x") -> String? {
            path(OpenRecord(given, base: base, notes: notes))
        }
        #expect(joined([OPEN_NOTE_BASE_CUT]) == "[...]/b/c/x")
        #expect(joined([OPEN_NOTE_BASE_CUT], ".") == "[...]/b/c")
        #expect(joined([OPEN_NOTE_BASE_CUT], base: []) == "[...]/x")
        #expect(joined([OPEN_NOTE_BASE_UNREACHABLE]) == "(unreachable)/b/c/x")
        #expect(joined([OPEN_NOTE_BASE_DELETED]) == "/b/c (deleted)/x")
        #expect(joined([OPEN_NOTE_BASE_DELETED], ".") == "/b/c (deleted)")
        #expect(joined([OPEN_NOTE_BASE_CUT, OPEN_NOTE_BASE_DELETED]) == "[...]/b/c (deleted)/x")
    }

    @Test func bytesOfNamesAreKept() {
        var record = OpenRecord(path: [0xff, 0x0a])
        record.base = [0xfe, 0, 0x1b, 0]
        record.note(OPEN_NOTE_BASE)
        let bytes = decode(record.bytes) { $0.withPath { Array($0) } }
        #expect(bytes == [0x2f, 0x1b, 0x2f, 0xfe, 0x2f, 0xff, 0x0a])
    }
}
