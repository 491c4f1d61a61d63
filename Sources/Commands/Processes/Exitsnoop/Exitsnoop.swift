// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser
internal import CBPFPrograms
internal import CSupport
internal import Reporting
internal import Tracing

/// Which processes end, and how.
package struct Exitsnoop: ProcessCommand {
    package static let configuration = CommandConfiguration(
        commandName: "exitsnoop",
        abstract: "Show which processes end, how old they were, and with which code or signal.",
        discussion: exitsnoopDiscussion)

    @OptionGroup(title: "Which tasks") package var longTargets: LongTargetOptions
    @OptionGroup(title: "Which tasks") package var shortCgroup: ShortCgroupOption
    @OptionGroup(title: "Which tasks") package var userOption: UserOption

    @Flag(
        name: [.customShort("x"), .customLong("failed")],
        help: "Only what ended with a signal or with another code than 0.")
    package var failedOnly = false

    @Flag(
        name: [.customShort("T"), .customLong("threaded"), .customLong("per-thread")],
        help: "A line for each thread, not for each process.")
    package var perThread = false

    @OptionGroup(title: "What is shown") package var display: ExitDisplay
    @OptionGroup(title: "Common options") package var common: CommonOptions

    package init() {}

    package mutating func validate() throws { try longTargets.setCgroup(shortCgroup.take()) }

    package func trace(_ session: Session) throws {
        let object = try session.open("exitsnoop")
        var config = exitsnoop_config()
        config.threads = perThread ? 1 : 0
        config.failed_only = failedOnly ? 1 : 0
        config.cgroup = display.task.needsCgroup(common) ? 1 : 0
        object.setConstant("exitsnoop_config", to: config)
        // It would run first and forget the process whose end is to be shown: task_ended does its work.
        object.disable("follow_exit")
        if !perThread { object.disable("task_freed") }
        let loaded = try session.load(object)
        let clock = RowClock(isUTC: display.utc)
        let columns = ExitColumns(display, perThread: perThread, clock: clock)
        let table = Table(columns.shown, fields: columns.fields, json: common.json)
        try session.run(
            loaded, of: "exits", ready: { try session.output.write { table.writeHeading(to: $0) } },
            record: { record in
                guard let event = ExitEvent(record) else { return }
                try session.output.row(table, event)
            }, afterRound: { clock.wall.synchronize() })
    }
}

/// What is shown of each end.
package struct ExitDisplay: ParsableArguments {
    @Flag(name: [.customShort("t"), .customLong("timestamp")], help: "Show the time of day, HH:MM:SS.mmm.")
    package var timestamp = false

    @Flag(name: .customLong("utc"), help: "Show it in UTC.")
    package var utc = false

    @Option(
        name: .customLong("label"),
        help: ArgumentHelp("Put this text in front of each line.", valueName: "text"))
    package var label: String?

    @OptionGroup package var task: TaskDisplay

    package init() {}
}

/// A record of exitsnoop's program.
struct ExitEvent: TaskRow {
    let head: exit_event

    /// nil if the record is too short.
    init?(_ record: RawSpan) {
        guard record.byteCount >= MemoryLayout<exit_event>.size else { return nil }
        head = record.unsafeLoadUnaligned(as: exit_event.self)
    }

    var timeNanoseconds: UInt64 { head.time_ns }
    var user: UInt32 { head.user }
    var process: UInt32 { head.process }
    var thread: UInt32 { head.thread }
    var parent: UInt32 { head.parent }
    var cgroup: UInt64 { head.cgroup }

    /// The signal that ended it; nil if it ended by itself.
    var signal: Int32? { head.status & 0x7f == 0 ? nil : Int32(head.status & 0x7f) }

    var dumpedCore: Bool { signal != nil && head.status & 0x80 != 0 }

    /// What it passed to exit; nil if a signal ended it.
    var code: UInt32? { signal == nil ? head.status >> 8 & 0xff : nil }

    var age: UInt64 { head.time_ns - min(head.start_ns, head.time_ns) }

    /// "0", "code 3", "signal 9 (KILL)", "signal 11 (SEGV), core dumped".
    var outcome: String {
        if let code { return code == 0 ? "0" : "code \(code)" }
        let number = signal ?? 0
        let name = apus_signal_name(number).map { " (" + String(cString: $0) + ")" } ?? ""
        return "signal \(number)\(name)" + (dumpedCore ? ", core dumped" : "")
    }
}

/// The columns of exitsnoop, each declared once.
struct ExitColumns {
    private let task: TaskColumns<ExitEvent>
    private let display: ExitDisplay
    private let perThread: Bool

    init(_ display: ExitDisplay, perThread: Bool, clock: RowClock) {
        self.display = display
        self.perThread = perThread
        task = TaskColumns(clock: clock)
    }

    var shown: [Column<ExitEvent>] {
        var columns: [Column<ExitEvent>] = []
        if display.timestamp || display.utc { columns.append(time) }
        if let label { columns.append(label) }
        if display.task.user { columns.append(task.user) }
        columns += [comm, task.process, task.parent, task.thread, age]
        return columns + task.places(display.task) + [outcome]
    }

    var fields: [Column<ExitEvent>] {
        var columns = [
            task.time, task.user, task.parent, parentComm, task.process, task.thread, comm, age, code, signal,
            task.cgroupID,
        ]
        if let label { columns.insert(label, at: 0) }
        return columns + task.places(display.task)
    }

    private var time: Column<ExitEvent> {
        Column(display.utc ? "TIME-UTC" : "TIME-LOCAL", width: 12, key: nil) {
            [clock = task.clock] cell, row in
            let text = clock.wall.timeOfDay(row.head.time_ns)
            let milliseconds = clock.wall.unixNanoseconds(row.head.time_ns) / 1_000_000 % 1000
            cell.plain { writer in
                writer.append(text)
                writer.append(".")
                writer.appendNumber(UInt64(max(0, milliseconds)), minimumDigits: 3)
            }
        }
    }

    private var label: Column<ExitEvent>? {
        display.label.map { label in Column("LABEL", width: 6, key: "label") { cell, _ in cell.text(label) } }
    }

    private var comm: Column<ExitEvent> {
        Column("PCOMM", width: 16, key: "comm") { cell, row in
            withUnsafeBytes(of: row.head.comm) { cell.name($0) }
        }
    }

    private var parentComm: Column<ExitEvent> {
        Column("PARENT", key: "parent_comm") { cell, row in
            withUnsafeBytes(of: row.head.parent_comm) { cell.name($0) }
        }
    }

    private var age: Column<ExitEvent> {
        Column("AGE(s)", width: 7, key: "age_ns") { cell, row in
            let age = row.age
            if cell.form == .json {
                cell.unsigned(age)
            } else {
                cell.plain { $0.appendSeconds(age, decimals: 2) }
            }
        }
    }

    private var code: Column<ExitEvent> {
        Column("CODE", key: "code") { cell, row in
            guard let code = row.code else { return cell.missing() }
            cell.unsigned(UInt64(code))
        }
    }

    private var signal: Column<ExitEvent> {
        Column("SIGNAL", key: "signal") { cell, row in
            guard let number = row.signal else { return cell.missing() }
            cell.integer(Int64(number))
            let dumped = row.dumpedCore
            if let name = apus_signal_name(number) {
                cell.alsoField("signal_name") { $0.text("SIG" + String(cString: name)) }
            }
            cell.alsoField("core_dumped") { json in json.plain { $0.append(dumped ? "true" : "false") } }
        }
    }

    private var outcome: Column<ExitEvent> { Column("EXIT_CODE", key: nil) { $0.text($1.outcome) } }
}

let exitsnoopDiscussion = """
    Prints a line for each process that ends, when its last thread does, with the status that wait(2) gives to its \
    parent: the code it has passed to exit, or the signal that has ended it, and whether the core was dumped.

    OUTPUT: As BCC's exitsnoop. AGE is the time since the process began (fork, not exec). With --json each line is an \
    object with time_ns (Unix time), uid, ppid, parent_comm, pid, tid (that ended last), comm, age_ns, code (null \
    after a signal), signal (null without one; with signal_name and core_dumped) and cgroup_id.

    EXAMPLES: What crashes on this machine?

        exitsnoop -x -t

    How do the processes of a build end?

        exitsnoop --follow -- make

    OVERHEAD: One small program runs at the end of each thread. docs/benchmarks.md has figures.

    LIMITS: A parent is named as it is when the child ends: 1 or a subreaper, if the one that has started it has ended \
    before. A status that a process has but nobody waits for is shown all the same. When all threads have ended \
    at the same moment, each by itself, tid is one of them.

    COMPATIBILITY: The options of BCC's exitsnoop and of libbpf-tools' are there with their short names. Select \
    threads with --tid.
    """
