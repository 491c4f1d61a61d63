// SPDX-License-Identifier: Apache-2.0
import CBPFPrograms
import Foundation
import Reporting
import Testing

@testable import Commands

/// UTC+5:45 as POSIX writes it. Set once and never back: other tests run meanwhile.
private let fixedZone: Void = {
    setenv("TZ", "APUS-05:45", 1)
    tzset()
}()

@Suite struct OpenPrinterTests {
    /// The monotonic time of 2100-01-01 00:00:00.5 UTC: half a second, for the clocks of two moments differ a little.
    private func newCentury() throws -> UInt64 {
        let unix: Int64 = 4_102_444_800_500_000_000
        return try #require(UInt64(exactly: unix - WallClock().unixNanoseconds(0)))
    }

    private func rows(_ record: OpenRecord, _ options: String...) throws -> String {
        try printed([record], options).rows
    }

    private func object(_ record: OpenRecord, _ options: String...) throws -> [String: Any] {
        let line = try printed([record], ["--json"] + options).rows
        #expect(line.utf8.filter { $0 == 10 }.count == 1)
        return try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
    }

    private var failure: OpenRecord {
        var record = OpenRecord("/nope")
        record.head.result = -2
        record.setComm(Array("fifteen letters".utf8))
        return record
    }

    /// As libbpf-tools prints them; but the column of process IDs, there of six places, is as wide as this machine's.
    @Test func theTableIsThatOfLibbpfTools() throws {
        let theirs = """
            PID    COMM              FD ERR PATH
            4242   cat                3   0 /etc/passwd
            4242   fifteen letters   -1   2 /nope

            """
        let lines = theirs.split(separator: "\n", omittingEmptySubsequences: false).map {
            $0.isEmpty ? "" : padded(String($0.prefix(6))) + $0.dropFirst(6)
        }
        let result = try printed([OpenRecord("/etc/passwd"), failure], [])
        #expect(result.heading + result.rows == lines.joined(separator: "\n"))
    }

    @Test func anyTaskIDOfThisMachineFits() throws {
        let text = try String(contentsOfFile: "/proc/sys/kernel/pid_max", encoding: .utf8)
        let most = try #require(Int(text.trimmingCharacters(in: .whitespacesAndNewlines)))
        #expect(taskIDWidth == max(6, String(most - 1).count))
        var record = OpenRecord("/x")
        record.head.process = UInt32(most - 1)
        #expect(try rows(record).hasPrefix(padded(String(most - 1)) + " cat "))
    }

    @Test func columnsCanBeAdded() throws {
        let record = OpenRecord("/x")
        func both(_ options: String...) throws -> String {
            let result = try printed([record], options)
            return result.heading + result.rows
        }
        let (pid, id) = (padded("PID"), padded("4242"))
        #expect(try both() == "\(pid) COMM              FD ERR PATH\n\(id) cat                3   0 /x\n")
        #expect(
            try both("-U")
                == "UID     \(pid) COMM              FD ERR PATH\n1000    \(id) cat                3   0 /x\n"
        )
        #expect(
            try both("-P")
                == "\(padded("PPID")) \(pid) COMM              FD ERR PATH\n"
                + "\(padded("17")) \(id) cat                3   0 /x\n")
        #expect(
            try both("--print-tid")
                == "\(pid) \(padded("TID")) COMM              FD ERR PATH\n"
                + "\(id) \(padded("4243")) cat                3   0 /x\n")
        #expect(
            try both("-e")
                == "\(pid) COMM              FD ERR FLAGS    MODE PATH\n"
                + "\(id) cat                3   0 00000000 n/a  /x\n")
    }

    @Test func timesAreLocal() throws {
        _ = fixedZone
        var record = OpenRecord("/x")
        record.head.time_ns = try newCentury()
        let result = try printed([record], ["-T", "-U"])
        #expect(result.heading.hasPrefix("TIME     UID     PID "))
        #expect(result.rows.hasPrefix("05:45:00 1000    4242 "))
    }

    @Test(
        arguments: [
            (0, false, 0, "00000000 n/a "), (0o2000000, false, 0, "02000000 n/a "),
            (0o1101, true, 0o644, "00001101 0644"), (0o100, true, 0, "00000100 0000"),
            (0o20200002, true, 0o1777, "20200002 1777"), (1 << 63, false, 0, "1000000000000000000000 n/a "),
        ] as [(UInt64, Bool, UInt16, String)])
    func flagsAndModesAreOctal(flags: UInt64, hasMode: Bool, mode: UInt16, cells: String) throws {
        var record = OpenRecord("/x")
        record.head.flags = flags
        record.head.mode = mode
        if hasMode { record.note(OPEN_NOTE_MODE) }
        #expect(try rows(record, "-e") == "\(padded("4242")) cat                3   0 \(cells) /x\n")
    }

    @Test(arguments: [
        ("/tmp/a\nb", "/tmp/a\\nb"), ("\u{1b}[2Jx", "\\x1b[2Jx"), ("a\\b", "a\\\\b"),
        ("\u{202e}cod", "\\u202ecod"),
        ("/é/日本", "/é/日本"), ("", ""),
    ])
    func hostilePathsStayOneLine(path: String, cell: String) throws {
        #expect(try rows(OpenRecord(path)) == "\(padded("4242")) cat                3   0 \(cell)\n")
    }

    @Test func hostileNamesStayInTheirColumn() throws {
        var record = OpenRecord("/x")
        record.setComm(Array("a\n\u{1b}[m".utf8) + [0xff])
        #expect(try rows(record) == "\(padded("4242")) a\\n\\x1b[m\\xff      3   0 /x\n")
    }

    @Test func aPathThatCouldNotBeReadSaysSo() throws {
        var record = OpenRecord("")
        record.note(OPEN_NOTE_PATH_UNREADABLE)
        record.head.result = -14
        #expect(try rows(record) == "\(padded("4242")) cat               -1  14 [unreadable]\n")
        #expect(try object(record)["incomplete"] as? [String] == ["path unreadable"])
    }

    @Test func onlyPathsThatMatchAreShown() throws {
        let records = [OpenRecord("/etc/passwd"), OpenRecord("/tmp/x"), OpenRecord("etc/group")]
        let shown = try printed(records, ["--path", "/etc/*"]).rows
        #expect(shown.split(separator: "\n").count == 1)
        #expect(shown.hasSuffix(" /etc/passwd\n"))
        // What is matched is what is shown.
        let joined = try rows(OpenRecord("passwd", base: ["etc"]), "--path", "/etc/*")
        #expect(joined.hasSuffix(" /etc/passwd\n"))
    }

    @Test func bytesThatAreNoRecordAreNoRow() throws {
        let printer = OpenPrinter(try opensnoop([]).display, json: false, path: nil)
        let output = Output(descriptor: -1)
        let bytes = Array(OpenRecord("/etc/passwd").bytes.dropLast())
        try bytes.withUnsafeBytes { try printer.print($0.bytes, to: output) }
        // A row would be written to a descriptor that is none.
        try output.flush()
    }

    @Test func jsonHasEveryFieldInOrderAndNoHeading() throws {
        var record = OpenRecord("/etc/passwd")
        record.head.cgroup = 77
        record.head.flags = 0o2000101
        record.head.mode = 0o600
        record.note(OPEN_NOTE_MODE)
        let result = try printed([record], ["--json"])
        #expect(result.heading == "")
        let line = result.rows.replacing(/"time_ns":-?[0-9]+/, with: "\"time_ns\":T")
        let expected = """
            {"time_ns":T,"uid":1000,"ppid":17,"pid":4242,"tid":4243,"comm":"cat","fd":3,"errno":0,"error":null,\
            "flags":524353,"flag_names":["O_WRONLY","O_CREAT","O_CLOEXEC"],"mode":384,"call":"openat",\
            "compat":false,"dirfd":-100,"cgroup_id":77,"path":"/etc/passwd"}

            """
        #expect(line == expected)
    }

    @Test func jsonTimeIsUnixTime() throws {
        var record = OpenRecord("/x")
        record.head.time_ns = try newCentury()
        let time = try #require(try object(record)["time_ns"] as? Int)
        #expect(time / 1_000_000_000 == 4_102_444_800)
    }

    @Test func jsonOfAFailureNamesIt() throws {
        var record = failure
        record.head.directory = 5
        record.setCall(OPEN_CALL_OPENAT2)
        record.note(OPEN_NOTE_COMPAT)
        let object = try object(record)
        #expect(object["fd"] as? Int == -1)
        #expect(object["errno"] as? Int == 2)
        #expect(object["error"] as? String == "ENOENT")
        #expect(object["mode"] is NSNull)
        #expect(object["dirfd"] as? Int == 5)
        #expect(object["call"] as? String == "openat2")
        #expect(object["compat"] as? Bool == true)
        #expect(object["path_hex"] == nil)
        #expect(object["incomplete"] == nil)
    }

    @Test func jsonOfHostileNamesCanBeReadBack() throws {
        let path = "/a\"b\\c\n\u{1b}\u{202e}é😀"
        var record = OpenRecord(path)
        record.setComm(Array("\"}{,".utf8))
        let object = try object(record)
        #expect((object["path"] as? String).map { Array($0.utf8) } == Array(path.utf8))
        #expect(object["comm"] as? String == "\"}{,")
        #expect(object["path_hex"] == nil)
    }

    @Test func jsonOfAPathThatIsNotUTF8HasItsBytes() throws {
        let object = try object(OpenRecord(path: [0x2f, 0xff, 0x0a, 0xc3]))
        #expect(object["path"] as? String == "/\u{fffd}\n\u{fffd}")
        #expect(object["path_hex"] as? String == "2fff0ac3")
    }

    @Test(arguments: [
        (OPEN_NOTE_BASE_CUT, "directory too long"),
        (OPEN_NOTE_BASE_UNREACHABLE, "directory outside the caller's root"),
        (OPEN_NOTE_BASE_DELETED, "directory deleted"), (OPEN_NOTE_HOW_UNREADABLE, "flags unreadable"),
    ])
    func jsonSaysWhatIsMissing(note: open_note, reason: String) throws {
        let record = OpenRecord("x", base: ["a"], notes: [note])
        #expect(try object(record)["incomplete"] as? [String] == [reason])
    }

    @Test func aPathLongerThanTheKernelAcceptsIsSaidToBe() throws {
        var record = OpenRecord(path: Array(repeating: 97, count: 4095))
        record.head.result = -36
        #expect(try object(record)["incomplete"] == nil)
        record.note(OPEN_NOTE_PATH_CUT)
        #expect(try object(record)["incomplete"] as? [String] == ["path longer than the kernel accepts"])
    }

    /// A supervisor of seccomp may have a system call return any 64 bits, and needs no privilege for that.
    @Test(arguments: [Int32.min, Int32.min + 1, -4096, .max])
    func aResultThatNoKernelGivesIsNoTrap(result: Int32) async {
        await #expect(processExitsWith: .success) { [result] in
            var record = OpenRecord("/x")
            record.head.result = result
            let rows = try printed([record], []).rows + printed([record], ["--json"]).rows
            try #require(rows.split(separator: "\n").count == 2)
        }
    }
}
