// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Reporting

/// A record of execsnoop's programs: a program was started, or could not be.
struct ExecEvent: TaskRow {
    let head: exec_event
    /// As the process has got them; not all of them if they are cut.
    let arguments: [[UInt8]]
    /// As given to exec.
    let path: [UInt8]

    /// nil if the record is too short for what it announces.
    init?(_ record: RawSpan) {
        let headBytes = MemoryLayout<exec_event>.size
        guard record.byteCount >= headBytes else { return nil }
        let head = record.unsafeLoadUnaligned(as: exec_event.self)
        let sent = Int(head.sent_bytes)
        guard record.byteCount >= headBytes + sent + Int(head.path_bytes) else { return nil }
        self.head = head
        (arguments, path) = record.withUnsafeBytes { bytes in
            let text = bytes[headBytes..<headBytes + sent]
            let path = bytes[(headBytes + sent)...].prefix(Int(head.path_bytes))
            return (Self.split(text, most: Int(head.arguments)), Array(path))
        }
    }

    /// Each argument has a zero behind; a last one without it is cut.
    private static func split(_ text: Slice<UnsafeRawBufferPointer>, most: Int) -> [[UInt8]] {
        var arguments: [[UInt8]] = []
        var rest = text
        while !rest.isEmpty && arguments.count < most {
            let argument = rest.prefix { $0 != 0 }
            arguments.append(Array(argument))
            rest = rest.dropFirst(argument.count + 1)
        }
        return arguments
    }

    var timeNanoseconds: UInt64 { head.time_ns }
    var user: UInt32 { head.user }
    var process: UInt32 { head.process }
    var thread: UInt32 { head.thread }
    var parent: UInt32 { head.parent }
    var cgroup: UInt64 { head.cgroup }

    func has(_ note: exec_note) -> Bool { UInt32(head.notes) & note.rawValue != 0 }

    /// The errno of a failed exec, 0 for another.
    var errno: Int32 { errnoCode(ofResult: head.result) }

    /// What the caller has asked for: the path, and the arguments behind the program's name.
    ///
    /// Of a script, the kernel has put its interpreter, perhaps an argument of that, and the path in the place of
    /// the name (fs/binfmt_script.c).
    var command: [[UInt8]] {
        let own = has(EXEC_NOTE_SCRIPT) ? arguments.firstIndex(of: path) ?? 0 : 0
        return [path] + arguments.dropFirst(own + 1)
    }

    /// Arguments that are not there, or not whole.
    var missingArguments: Int { max(0, Int(head.arguments) - arguments.count) }

    var incompleteReasons: [String] {
        let reasons: [(exec_note, String)] = [
            (EXEC_NOTE_ARGUMENTS_CUT, "arguments cut"),
            (EXEC_NOTE_ARGUMENTS_UNREADABLE, "arguments unreadable"),
            (EXEC_NOTE_PATH_UNREADABLE, "path unreadable"),
        ]
        return reasons.filter { has($0.0) }.map(\.1)
    }
}
