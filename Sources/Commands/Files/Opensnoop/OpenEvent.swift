// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms

/// A record of opensnoop's programs, valid as long as the record.
struct OpenEvent: ~Escapable {
    let head: open_event
    private let record: RawSpan

    /// The path as the caller gave it.
    private let path: Range<Int>
    /// Names of the directory that a relative path starts from, leaf first, each with a zero behind.
    private let base: Range<Int>

    private static let headBytes = MemoryLayout<open_event>.size

    /// nil if the record is too short for what it announces.
    @_lifetime(copy record)
    init?(_ record: RawSpan) {
        guard record.byteCount >= Self.headBytes else { return nil }
        head = record.unsafeLoadUnaligned(as: open_event.self)
        let pathEnd = Self.headBytes + Int(head.path_bytes)
        guard pathEnd + Int(head.base_bytes) <= record.byteCount else { return nil }
        path = Self.headBytes..<pathEnd
        base = pathEnd..<pathEnd + Int(head.base_bytes)
        self.record = record
    }

    func has(_ note: open_note) -> Bool { UInt32(head.notes) & note.rawValue != 0 }

    var failed: Bool { head.result < 0 }

    /// The errno of a failed open, 0 for another.
    var errno: Int32 { errnoCode(ofResult: head.result) }

    /// The path to show: joined with the directory it starts from where that was asked for and known.
    func withPath<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try record.withUnsafeBytes { bytes in
            let given = bytes[path]
            guard has(OPEN_NOTE_BASE) else { return try body(UnsafeRawBufferPointer(rebasing: given)) }
            let joined = Self.join(
                base: bytes[base], given: given,
                prefix: has(OPEN_NOTE_BASE_CUT)
                    ? "[...]" : has(OPEN_NOTE_BASE_UNREACHABLE) ? "(unreachable)" : "",
                deleted: has(OPEN_NOTE_BASE_DELETED))
            return try joined.withUnsafeBytes(body)
        }
    }

    private static func join(
        base: Slice<UnsafeRawBufferPointer>, given: Slice<UnsafeRawBufferPointer>, prefix: String,
        deleted: Bool
    ) -> [UInt8] {
        var path = joinedPath(base, prefix: prefix, deleted: deleted)
        var rest = given
        let dot = UInt8(ascii: ".")
        let slash = UInt8(ascii: "/")
        while rest.first == dot, rest.dropFirst().first ?? slash == slash {
            rest = rest.dropFirst(2).drop { $0 == slash }
        }
        if !rest.isEmpty || path.isEmpty { path.append(slash) }
        path.append(contentsOf: rest)
        return path
    }

    /// The thread's name.
    func withComm<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try withUnsafeBytes(of: head.comm) { bytes in
            try body(UnsafeRawBufferPointer(rebasing: bytes.prefix { $0 != 0 }))
        }
    }

    /// The system call, as in its man page.
    var callName: StaticString {
        switch UInt32(head.notes) >> UInt32(OPEN_CALL_SHIFT) {
        case OPEN_CALL_OPEN.rawValue: "open"
        case OPEN_CALL_CREAT.rawValue: "creat"
        case OPEN_CALL_OPENAT.rawValue: "openat"
        case OPEN_CALL_OPENAT2.rawValue: "openat2"
        default: "io_uring"
        }
    }
}
