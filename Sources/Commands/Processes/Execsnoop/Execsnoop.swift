// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser
internal import CBPFPrograms
internal import Glibc
internal import Reporting
internal import Tracing

/// Which programs are started.
package struct Execsnoop: ProcessCommand {
    package static let configuration = CommandConfiguration(
        commandName: "execsnoop",
        abstract: "Show which programs are started, with their arguments, and by whom.",
        discussion: execsnoopDiscussion)

    @OptionGroup(title: "Which tasks") package var longTargets: LongTargetOptions
    @OptionGroup(title: "Which tasks") package var shortCgroup: ShortCgroupOption
    @OptionGroup(title: "Which tasks") package var userOption: UserOption
    @OptionGroup(title: "Which programs") package var selection: ExecSelection
    @OptionGroup(title: "What is shown") package var display: ExecDisplay
    @OptionGroup(title: "Common options") package var common: CommonOptions

    package init() {}

    package mutating func validate() throws { try longTargets.setCgroup(shortCgroup.take()) }

    package func trace(_ session: Session) throws {
        let object = try session.open("execsnoop")
        var config = execsnoop_config()
        config.cgroup = display.task.needsCgroup(common) ? 1 : 0
        config.twice = object.isWanted("exec_done_again") ? 1 : 0
        object.setConstant("execsnoop_config", to: config)
        if !selection.failedToo {
            for program in [
                "syscall_return", "syscall_return_raw", "syscall_return_event", "syscall_interrupted",
                "syscall_interrupted_event",
            ] { object.disable(program) }
        }
        let loaded = try session.load(object)
        let clock = RowClock()
        let columns = ExecColumns(display, clock: clock, start: WallClock.monotonicNow)
        let table = Table(columns.shown, fields: columns.fields, json: common.json)
        var cut = 0
        var hasBegun = session.launchedProcess == nil
        try session.run(
            loaded, of: "execs", ready: { try session.output.write { table.writeHeading(to: $0) } },
            record: { record in
                guard let event = ExecEvent(record) else { return }
                // Our own tries, one for each directory of PATH, to become the command that was asked for.
                let isOurs = event.head.process == session.launchedProcess.map { UInt32($0) }
                if !hasBegun && isOurs && event.head.result < 0 { return }
                if isOurs { hasBegun = true }
                guard selection.wants(event) else { return }
                if event.has(EXEC_NOTE_ARGUMENTS_CUT) { cut += 1 }
                try session.output.row(table, event)
            }, afterRound: { clock.wall.synchronize() },
            atEnd: {
                if cut > 0 {
                    session.say(
                        "\(cut) execs have more arguments than the \(EXEC_ARGUMENT_BYTES) bytes that are shown"
                    )
                }
            })
    }
}

/// Which execs are shown.
package struct ExecSelection: ParsableArguments {
    @Flag(name: [.customShort("x"), .customLong("fails")], help: "Also execs that failed.")
    package var failedToo = false

    @Option(
        name: [.customShort("n", allowingJoined: true), .customLong("name")],
        help: ArgumentHelp("Only where the new name matches this regular expression.", valueName: "regex"),
        transform: { try RegularExpression($0) })
    package var name: RegularExpression?

    @Option(
        name: [.customShort("l", allowingJoined: true), .customLong("line")],
        help: ArgumentHelp(
            "Only where path and arguments match this regular expression.", valueName: "regex"),
        transform: { try RegularExpression($0) })
    package var line: RegularExpression?

    @Option(
        name: [.customShort("P", allowingJoined: true), .customLong("ppid")],
        parsing: .unconditionalSingleValue,
        help: ArgumentHelp("Only children of these processes.", valueName: "pid,…"), transform: parseIDs)
    package var parentLists: [IDList] = []

    package var parents: IDList? { IDList(parentLists) }

    package func validate() throws { try IDList.requireFew(parentLists) }

    package init() {}

    func wants(_ event: ExecEvent) -> Bool {
        if let parents, !parents.ids.contains(Int32(bitPattern: event.head.parent)) { return false }
        if let name {
            let comm = withUnsafeBytes(of: event.head.comm) { Array($0.prefix { $0 != 0 }) }
            guard name.isFound(in: comm) else { return false }
        }
        return line?.isFound(in: Array(event.command.joined(separator: [UInt8(ascii: " ")]))) ?? true
    }
}

/// What is shown of each exec.
package struct ExecDisplay: ParsableArguments {
    @Flag(name: [.customShort("T"), .customLong("time")], help: "Show the time of day, HH:MM:SS.")
    package var time = false

    @Flag(name: [.customShort("t"), .customLong("timestamp")], help: "Show the seconds since the start.")
    package var timestamp = false

    @Flag(name: [.customShort("q"), .customLong("quote")], help: "Put each argument in quotation marks.")
    package var quote = false

    @Option(
        name: .customLong("max-args"), parsing: .unconditional,
        help: ArgumentHelp("Show at most this many arguments, the path among them.", valueName: "count"),
        transform: parseCount)
    package var maxArguments: Int?

    @OptionGroup package var task: TaskDisplay

    package init() {}
}

let execsnoopDiscussion = """
    Prints a line for each program that is started, when it is in place of the one before; with -x also for each \
    execve and execveat that fails, 64-bit and 32-bit. All arguments are shown, up to \(EXEC_ARGUMENT_BYTES) bytes.

    OUTPUT: PCOMM is the new name of the process (of a failed exec, the one it keeps), RET is 0 or minus an errno, \
    ARGS are the path as given to exec and the arguments behind the program's name. Control characters are shown as \
    escapes (\\n, \\x1b), a backslash as two; ... stands for what is cut. With --json each line is an object with \
    time_ns (Unix time), uid, ppid, parent_comm, pid, tid (that called exec), comm, age_ns (of the process), errno, \
    error, cgroup_id, path, script, args (all that the process has got, as in /proc/PID/cmdline: of a script, \
    the interpreter first), arg_count, arg_bytes, and incomplete where not all of it is known.

    EXAMPLES: What does this build start, and what does it fail to start?

        execsnoop -x --follow -- make

    Programs that are started in a container, with the time:

        execsnoop -T --container web

    OVERHEAD: One small program runs at each exec; with -x another one at the return of every system call. \
    docs/benchmarks.md has figures.

    LIMITS: Of failed execs, arguments are read when the call returns: another thread may have changed them. At most \
    1024 arguments of a failed exec are read. Programs that the kernel starts by itself are shown, but not those that \
    it fails to start. argv[0] is in the JSON only; for a script the kernel has thrown it away.

    COMPATIBILITY: The options of BCC's execsnoop and of libbpf-tools' are there with their short names. Select \
    threads with --tid. \
    Regular expressions are POSIX's extended ones.
    """
