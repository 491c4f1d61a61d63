// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Processes
internal import Reporting

/// Turns records of opensnoop into rows.
final class OpenPrinter {
    private let table: Table<OpenRow>
    private let path: Glob?
    private let clock = RowClock()
    private let cgroups = CgroupNames()

    /// - Parameter path: only opens whose path, as shown, matches.
    init(_ display: OpenDisplay, json: Bool, path: Glob?) {
        self.path = path
        let columns = OpenColumns(clock: clock, cgroups: cgroups)
        table = Table(columns.shown(display), fields: columns.fields(display), json: json)
    }

    /// Call once a round of rows: somebody may have set the clock.
    func synchronizeClock() { clock.wall.synchronize() }

    func heading(_ output: Output) throws {
        try output.write { table.writeHeading(to: $0) }
    }

    func print(_ record: RawSpan, to output: Output) throws {
        guard let event = OpenEvent(record) else { return }
        try event.withPath { shownPath in
            if let path, !path.matches(shownPath) { return }
            try event.withComm { comm in
                try output.row(
                    table, OpenRow(event.head, comm: comm, path: shownPath, callName: event.callName))
            }
        }
    }
}

/// What the columns of an open are made from, valid while its record is.
struct OpenRow {
    let head: open_event
    let comm: UnsafeRawBufferPointer
    let path: UnsafeRawBufferPointer
    let callName: StaticString

    init(
        _ head: open_event, comm: UnsafeRawBufferPointer, path: UnsafeRawBufferPointer, callName: StaticString
    ) {
        self.head = head
        self.comm = comm
        self.path = path
        self.callName = callName
    }
}

/// The columns of opensnoop, each declared once.
struct OpenColumns {
    /// The JSON of the names of a combination of flags: programs use few, again and again.
    private final class FlagNameCache {
        private var known: [UInt64: String] = [:]
        /// Callers choose the flags: they must not be able to fill our memory.
        private static let most = 1024

        func json(_ flags: UInt64) -> String {
            if let text = known[flags] { return text }
            let text = "[" + OpenFlags.names(flags).map { "\"\($0)\"" }.joined(separator: ",") + "]"
            if known.count < Self.most { known[flags] = text }
            return text
        }
    }

    private let flagNameCache = FlagNameCache()
    private let clock: RowClock
    private let cgroups: CgroupNames

    init(clock: RowClock, cgroups: CgroupNames) {
        self.clock = clock
        self.cgroups = cgroups
    }

    func shown(_ display: OpenDisplay) -> [Column<OpenRow>] {
        var columns: [Column<OpenRow>] = []
        if display.timestamp { columns.append(time) }
        if display.userColumn { columns.append(user) }
        if display.parent { columns.append(parent) }
        columns.append(process)
        if display.threadColumn { columns.append(thread) }
        columns += [comm, descriptor, errorNumber]
        if display.extended { columns += [flags, mode] }
        if display.cgroup { columns.append(cgroup) }
        if display.container { columns.append(container) }
        return columns + [path]
    }

    func fields(_ display: OpenDisplay) -> [Column<OpenRow>] {
        var columns = [
            time, user, parent, process, thread, comm, descriptor, errorNumber, errorName, flags, flagNames,
            mode, call, directory, cgroupID,
        ]
        if display.cgroup { columns.append(cgroup) }
        if display.container { columns.append(container) }
        return columns + [path]
    }

    private var time: Column<OpenRow> {
        Column("TIME", width: 8, key: "time_ns") { [clock] cell, row in
            switch cell.form {
            case .json: cell.integer(clock.wall.unixNanoseconds(row.head.time_ns))
            case .text:
                let text = clock.wall.timeOfDay(row.head.time_ns)
                cell.plain { $0.append(text) }
            }
        }
    }

    private var user: Column<OpenRow> {
        Column("UID", width: 7, key: "uid") { $0.integer(Int64($1.head.user)) }
    }

    private var parent: Column<OpenRow> {
        Column("PPID", width: taskIDWidth, key: "ppid") { $0.integer(Int64($1.head.parent)) }
    }

    private var process: Column<OpenRow> {
        Column("PID", width: taskIDWidth, key: "pid") { $0.integer(Int64($1.head.process)) }
    }

    private var thread: Column<OpenRow> {
        Column("TID", width: taskIDWidth, key: "tid") { $0.integer(Int64($1.head.thread)) }
    }

    private var comm: Column<OpenRow> {
        Column("COMM", width: 16, key: "comm") { $0.text($1.comm) }
    }

    private var descriptor: Column<OpenRow> {
        Column("FD", width: 3, .right, key: "fd") { $0.integer(Int64(max(-1, $1.head.result))) }
    }

    private var errorNumber: Column<OpenRow> {
        Column("ERR", width: 3, .right, key: "errno") {
            $0.integer(Int64(errnoCode(ofResult: $1.head.result)))
        }
    }

    private var errorName: Column<OpenRow> {
        Column("ERROR", key: "error") { cell, row in
            let code = errnoCode(ofResult: row.head.result)
            guard code != 0, let name = errnoName(code) else { return cell.missing() }
            cell.text(name)
        }
    }

    private var flags: Column<OpenRow> {
        Column("FLAGS", width: 8, key: "flags") { $0.octal($1.head.flags, digits: 8) }
    }

    private var flagNames: Column<OpenRow> {
        Column("FLAG NAMES", key: "flag_names") { [flagNameCache] cell, row in
            let text = flagNameCache.json(row.head.flags)
            cell.plain { $0.append(text) }
        }
    }

    private var mode: Column<OpenRow> {
        Column("MODE", width: 4, key: "mode") { cell, row in
            if UInt32(row.head.notes) & OPEN_NOTE_MODE.rawValue == 0 { return cell.missing("n/a ") }
            cell.octal(UInt64(row.head.mode), digits: 4)
        }
    }

    private var call: Column<OpenRow> {
        Column("CALL", key: "call") { cell, row in
            cell.word(row.callName)
            cell.alsoField("compat") { json in
                json.plain {
                    $0.append(
                        UInt32(row.head.notes) & OPEN_NOTE_COMPAT.rawValue != 0
                            ? "true" : "false" as StaticString)
                }
            }
        }
    }

    private var directory: Column<OpenRow> {
        Column("DIRFD", key: "dirfd") { $0.integer(Int64($1.head.directory)) }
    }

    private var cgroupID: Column<OpenRow> {
        Column("CGROUP ID", key: "cgroup_id") { $0.unsigned($1.head.cgroup) }
    }

    private var cgroup: Column<OpenRow> {
        Column("CGROUP", width: 24, key: "cgroup") { [cgroups] cell, row in
            guard let path = cgroups.path(row.head.cgroup) else { return cell.missing() }
            cell.text(path)
        }
    }

    private var container: Column<OpenRow> {
        Column("CONTAINER", width: 16, key: "container") { [cgroups] cell, row in
            guard let name = cgroups.container(row.head.cgroup, process: Int32(row.head.process)) else {
                return cell.missing()
            }
            cell.text(name)
        }
    }

    private var path: Column<OpenRow> {
        Column("PATH", key: "path") { cell, row in
            let faithful = cell.text(row.path)
            // Few rows have anything to add, and there are many rows.
            if !faithful || UInt32(row.head.notes) & Self.pathNotes != 0 {
                writePathNotes(&cell, row, faithful: faithful)
            }
        }
    }

    private static let pathNotes = pathNoteReasons.reduce(0) { $0 | $1.note.rawValue }

    private func writePathNotes(_ cell: inout Cell, _ row: borrowing OpenRow, faithful: Bool) {
        let notes = UInt32(row.head.notes)
        if notes & OPEN_NOTE_PATH_UNREADABLE.rawValue != 0, cell.form == .text { cell.text("[unreadable]") }
        guard cell.form == .json else { return }
        let path = row.path
        if !faithful {
            cell.alsoField("path_hex") { json in
                json.plain { writer in
                    writer.append(UInt8(ascii: "\""))
                    for byte in path { writer.appendNumber(UInt64(byte), radix: 16, minimumDigits: 2) }
                    writer.append(UInt8(ascii: "\""))
                }
            }
        }
        let reasons = incompleteReasons(row)
        if !reasons.isEmpty { cell.alsoField("incomplete") { $0.array(reasons) } }
    }

    private static let pathNoteReasons: [(note: open_note, reason: String)] = [
        (OPEN_NOTE_PATH_UNREADABLE, "path unreadable"), (OPEN_NOTE_BASE_CUT, "directory too long"),
        (OPEN_NOTE_BASE_UNREACHABLE, "directory outside the caller's root"),
        (OPEN_NOTE_BASE_DELETED, "directory deleted"), (OPEN_NOTE_HOW_UNREADABLE, "flags unreadable"),
        (OPEN_NOTE_PATH_CUT, "path longer than the kernel accepts"),
    ]

    private func incompleteReasons(_ row: borrowing OpenRow) -> [String] {
        let notes = UInt32(row.head.notes)
        return Self.pathNoteReasons.filter { notes & $0.note.rawValue != 0 }.map(\.reason)
    }
}
