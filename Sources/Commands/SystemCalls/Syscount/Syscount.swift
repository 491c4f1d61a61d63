// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser
internal import CBPFPrograms
internal import Reporting
internal import Tracing

/// How many system calls there are.
package struct Syscount: TracingCommand {
    package static let configuration = CommandConfiguration(
        commandName: "syscount",
        abstract: "Count system calls by name or by process, with errors and latency.",
        discussion: syscountDiscussion)

    @OptionGroup(title: "Which calls") package var selection: SyscountSelection
    @OptionGroup(title: "What is counted and shown") package var display: SyscountDisplay
    @OptionGroup(title: "Histograms") package var histograms: HistogramOptions
    @OptionGroup(title: "Which tasks") package var targets: TargetOptions
    @OptionGroup(title: "Which tasks") package var shortCgroup: ShortCgroupOption
    @OptionGroup(title: "Which tasks") package var userOption: UserOption
    @OptionGroup(title: "Common options") package var common: CommonOptions

    package init() {}

    package var user: UInt32? { userOption.user }

    package mutating func validate() throws {
        try common.setDuration(display.duration)
        display.duration = nil
        try targets.setCgroup(shortCgroup.take())
        if display.byProcess && display.histogram {
            throw ValidationError("-P and --histogram exclude each other: give one of them.")
        }
        if !histograms.compare.isEmpty { display.histogram = true }
    }

    package func run() throws {
        if display.list {
            try writeOutput(
                Set(SystemCall.ABI.allCases.flatMap { SystemCall.all($0).map(\.name) }).sorted())
        } else if try !histograms.compareRecordings(json: common.json) {
            try runTracing()
        }
    }

    private var latency: Bool { display.latency || display.histogram }

    private func config(_ session: Session) -> syscount_config {
        var config = syscount_config()
        config.launched = session.launchedProcess.map { UInt32($0) } ?? 0
        config.error = selection.error ?? 0
        config.failed_only = selection.failedOnly ? 1 : 0
        config.by_process = display.byProcess ? 1 : 0
        config.latency = latency ? 1 : 0
        config.histogram = display.histogram ? 1 : 0
        if let calls = selection.calls?.calls {
            config.some_only = 1
            withUnsafeMutableBytes(of: &config.wanted) { bytes in
                let words = bytes.assumingMemoryBound(to: UInt64.self)
                let perABI = Int(SYSCALL_NUMBERS) / 64
                for call in calls where call.number < UInt32(SYSCALL_NUMBERS) {
                    words[Int(call.abi.rawValue) * perABI + Int(call.number) / 64] |=
                        1 << UInt64(call.number % 64)
                }
            }
        }
        return config
    }

    package func trace(_ session: Session) throws {
        let object = try session.open("syscount")
        object.setConstant("syscount_config", to: config(session))
        histograms.scale(display.unit).configure(object)
        try object.resize("histograms", to: display.histogram ? histograms.maxKeys : 1)
        if !latency {
            try object.resize("starts", to: 1)
            for program in ["syscall_entry", "syscall_entry_raw", "syscall_entry_event"] {
                object.disable(program)
            }
        }
        if !display.byProcess { object.disable("task_renamed") }
        let loaded = try session.load(object)
        let baseline = try histograms.compare.first.map(DistributionRecord.read)
        let report = SyscountReport(self, session)
        try session.run(
            loaded, of: "system calls",
            ready: { session.say("counting system calls; Ctrl-C to end") },
            interval: display.interval.map { seconds in (seconds, { try report.print(loaded) }) },
            atEnd: {
                if let baseline {
                    try report.compare(loaded, with: baseline)
                } else {
                    try report.print(loaded)
                }
            })
    }
}

/// Which calls are counted.
package struct SyscountSelection: ParsableArguments {
    @Option(
        name: [.customShort("s", allowingJoined: true), .customLong("syscall")],
        help: ArgumentHelp("Only these system calls.", valueName: "name,…"), transform: parseSystemCalls)
    package var callLists: [SystemCallList] = []

    package var calls: SystemCallList? { SystemCallList(callLists) }

    @Flag(name: [.customShort("x"), .customLong("failures")], help: "Only calls that fail.")
    package var failedOnly = false

    @Option(
        name: [.customShort("e", allowingJoined: true), .customLong("errno")],
        help: ArgumentHelp("Only calls that fail with this error: a name or a number.", valueName: "errno"),
        transform: parseErrno)
    package var error: Int32?

    package init() {}
}

/// How calls are counted and shown.
package struct SyscountDisplay: ParsableArguments {
    @Flag(name: [.customShort("P"), .customLong("process")], help: "Count by process, not by system call.")
    package var byProcess = false

    @Flag(name: [.customShort("L"), .customLong("latency")], help: "Also measure how long calls take.")
    package var latency = false

    @Flag(
        name: [.customShort("m"), .customLong("milliseconds")],
        help: "Show times in milliseconds, not microseconds.")
    package var milliseconds = false

    @Flag(
        name: .customLong("histogram"), help: "Show how long calls take as a histogram for each system call.")
    package var histogram = false

    @Option(
        name: [.customShort("T", allowingJoined: true), .customLong("top")], parsing: .unconditional,
        help: ArgumentHelp("Show so many rows (10; with --json all).", valueName: "count"),
        transform: parseCount)
    package var top: Int?

    @Option(
        name: [.customShort("i", allowingJoined: true), .customLong("interval")], parsing: .unconditional,
        help: ArgumentHelp("Print every so many seconds; without it, at the end.", valueName: "seconds"),
        transform: parseSeconds)
    package var interval: Double?

    @Option(
        name: .customShort("d", allowingJoined: true), parsing: .unconditional,
        help: ArgumentHelp("The same as --duration.", valueName: "seconds"), transform: parseSeconds)
    package var duration: Double?

    @Flag(
        name: [.customShort("l"), .customLong("list")], help: "Print the names of all system calls, and end.")
    package var list = false

    package init() {}

    var unit: TimeUnit { milliseconds ? .milliseconds : .microseconds }
}

let syscountDiscussion = """
    Counts system calls when they return, with those that fail, by name or, with -P, by process, of all processes, \
    64-bit and 32-bit. Prints the counts at the end, or those of each interval.

    OUTPUT: The largest come first: by count, with -L by time. 32-bit calls and those of x32 are told apart and have \
    (32-bit) and (x32) behind their names. TIME is the sum of all calls. With --json each row is an object with \
    time_ns (Unix time of the report), then syscall, abi (native, 32-bit, x32) and number, or pid, start_ns (Unix \
    time of its start: numbers are used again) and comm, then count and errors; with -L timed (calls whose beginning \
    was seen, too), total_ns, average_ns and max_ns. Histograms are as those of runqlat.

    EXAMPLES: What does this process ask of the kernel, each second?

        syscount -i 1 -p 1234

    Which calls fail with EAGAIN, and where does time go in a command?

        syscount -e EAGAIN -d 10
        syscount -L -- ls -lR /usr

    How long do its reads take?

        syscount -s read,pread64 --histogram --percentiles -p 1234 -d 10

    OVERHEAD: A small program runs at the return of every system call, with -L a second one at its beginning. \
    docs/benchmarks.md has figures.

    A call that a signal interrupts and the kernel restarts counts once, when it is over. A process is shown under \
    the last name that it has had.

    LIMITS: A call is counted when it returns: exit_group and calls still in progress are missing. What a tracer (ptrace) \
    cancels is no call, and what it changes counts as what the kernel has made of it. Without -L a successful \
    execveat counts as execve, for the kernel makes it one before it returns, and a sigreturn of 32 bits as \
    rt_sigreturn. The names are those of the kernel headers that apus was built with: a newer call shows as \
    syscall_NUMBER. The longest call of an interval is known only if it is the longest of the whole run.

    COMPATIBILITY: The options of BCC's syscount and of libbpf-tools' are there, but for --ppid. Calls that fail are \
    a column of their own.
    """
