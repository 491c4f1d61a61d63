// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Reporting

/// The columns of execsnoop, each declared once.
struct ExecColumns {
    private let task: TaskColumns<ExecEvent>
    private let display: ExecDisplay
    private let start: UInt64

    /// - Parameter start: when tracing began (CLOCK_MONOTONIC).
    init(_ display: ExecDisplay, clock: RowClock, start: UInt64) {
        self.display = display
        self.start = start
        task = TaskColumns(clock: clock)
    }

    var shown: [Column<ExecEvent>] {
        var columns: [Column<ExecEvent>] = []
        if display.time { columns.append(task.time) }
        if display.timestamp { columns.append(task.elapsed(since: start)) }
        if display.task.user { columns.append(task.user) }
        columns += [comm, task.process, task.parent, result]
        return columns + task.places(display.task) + [commandLine]
    }

    var fields: [Column<ExecEvent>] {
        let columns = [
            task.time, task.user, task.parent, parentComm, task.process, task.thread, comm, age, error,
            errorName,
            task.cgroupID,
        ]
        return columns + task.places(display.task) + [path, script, arguments]
    }

    private var comm: Column<ExecEvent> {
        Column("PCOMM", width: 16, key: "comm") { cell, row in
            withUnsafeBytes(of: row.head.comm) { cell.name($0) }
        }
    }

    private var parentComm: Column<ExecEvent> {
        Column("PARENT", key: "parent_comm") { cell, row in
            withUnsafeBytes(of: row.head.parent_comm) { cell.name($0) }
        }
    }

    private var result: Column<ExecEvent> {
        Column("RET", width: 3, .right, key: nil) { $0.integer(Int64($1.head.result)) }
    }

    private var error: Column<ExecEvent> { Column("ERR", key: "errno") { $0.integer(Int64($1.errno)) } }

    private var errorName: Column<ExecEvent> {
        Column("ERROR", key: "error") { cell, row in
            guard let name = errnoName(row.errno) else { return cell.missing() }
            cell.text(name)
        }
    }

    private var age: Column<ExecEvent> {
        Column("AGE", key: "age_ns") { $0.unsigned($1.head.time_ns - min($1.head.start_ns, $1.head.time_ns)) }
    }

    private var path: Column<ExecEvent> {
        Column("PATH", key: "path") { cell, row in row.path.withUnsafeBytes { _ = cell.text($0) } }
    }

    private var script: Column<ExecEvent> {
        Column("SCRIPT", key: "script") { cell, row in
            let isScript = row.has(EXEC_NOTE_SCRIPT)
            cell.plain { $0.append(isScript ? "true" : "false") }
        }
    }

    /// What JSON says of the arguments: all that the process has got.
    private var arguments: Column<ExecEvent> {
        Column("ARGS", key: "args") { cell, row in
            cell.plain { writer in
                writer.append("[")
                for (index, argument) in row.arguments.enumerated() {
                    if index > 0 { writer.append(",") }
                    argument.withUnsafeBytes { _ = writer.appendJSONString($0) }
                }
                writer.append("]")
            }
            cell.alsoField("arg_count") { $0.unsigned(UInt64(row.head.arguments)) }
            cell.alsoField("arg_bytes") { $0.unsigned(row.head.argument_bytes) }
            let reasons = row.incompleteReasons
            if !reasons.isEmpty { cell.alsoField("incomplete") { $0.array(reasons) } }
        }
    }

    private var commandLine: Column<ExecEvent> {
        Column("ARGS", key: nil) { [display] cell, row in
            let command = row.command
            let most = min(command.count, display.maxArguments ?? Int.max)
            for (index, argument) in command.prefix(most).enumerated() {
                if index > 0 { cell.plain { $0.append(" ") } }
                if display.quote {
                    cell.quoted(argument)
                } else {
                    argument.withUnsafeBytes { _ = cell.text($0) }
                }
            }
            if row.has(EXEC_NOTE_ARGUMENTS_UNREADABLE) { cell.plain { $0.append(" [unreadable]") } }
            if most < command.count || row.has(EXEC_NOTE_ARGUMENTS_CUT) { cell.plain { $0.append(" ...") } }
        }
    }
}

extension Cell {
    /// The name of a task, from a field of fixed size.
    mutating func name(_ field: UnsafeRawBufferPointer) {
        text(UnsafeRawBufferPointer(rebasing: field.prefix { $0 != 0 }))
    }

    /// In quotation marks, with those inside behind a backslash.
    fileprivate mutating func quoted(_ argument: [UInt8]) {
        let mark = UInt8(ascii: "\"")
        plain { $0.append("\"") }
        for (index, piece) in argument.split(separator: mark, omittingEmptySubsequences: false).enumerated() {
            if index > 0 { plain { $0.append("\\\"") } }
            piece.withUnsafeBytes { _ = text($0) }
        }
        plain { $0.append("\"") }
    }
}
