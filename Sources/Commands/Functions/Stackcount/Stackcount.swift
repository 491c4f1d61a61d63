// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser
internal import CBPFPrograms
internal import Reporting
internal import Tracing

/// Which stacks lead to a function or a tracepoint.
package struct Stackcount: TracingCommand {
    package static let place = 2
    package static let configuration = CommandConfiguration(
        commandName: "stackcount",
        abstract: "Count the stacks that lead to functions, tracepoints and USDT probes.",
        discussion: stackcountDiscussion)

    @OptionGroup(title: "What and when") package var pattern: PatternOptions
    @OptionGroup(title: "What and when") package var reports: ReportOptions

    @Option(
        name: .customShort("D", allowingJoined: true), parsing: .unconditional,
        help: ArgumentHelp("The same as --duration.", valueName: "seconds"), transform: parseSeconds)
    package var duration: Double?

    @Flag(
        name: [.customShort("P"), .customLong("perpid")],
        help: "Keep processes apart, also where only kernel stacks are shown.")
    package var byProcess = false

    @Flag(name: .customLong("debug"), help: "The same as --verbose.")
    package var debug = false

    @Flag(name: [.customShort("s"), .customLong("offset")], help: "Show offsets in functions, and modules.")
    package var offsets = false

    @Option(
        name: [.customShort("c", allowingJoined: true), .customLong("cpu")], parsing: .unconditional,
        help: ArgumentHelp("Only on this CPU.", valueName: "cpu"), transform: parseCPU)
    package var cpu: Int32?

    @Option(
        name: .customLong("stack-storage-size"), parsing: .unconditional,
        help: ArgumentHelp("How many stacks can be stored (16384).", valueName: "count"))
    package var stackStorage: UInt32 = 16_384

    @OptionGroup(title: "Stacks") package var stacks: StackOptions
    @OptionGroup(title: "Which tasks") package var targets: TargetOptions
    @OptionGroup(title: "Which tasks") package var userOption: LongUserOption
    @OptionGroup(title: "Common options") package var common: CommonOptions

    package init() {}

    package var user: UInt32? { userOption.user }

    package mutating func validate() throws {
        try common.setDuration(duration)
        duration = nil
        if debug { common.verbose = true }
        try stacks.requireOneForm(json: common.json)
        guard stackStorage > 0, stackStorage <= 1 << 22 else {
            throw ValidationError("--stack-storage-size must be 1 to \(1 << 22).")
        }
    }

    package func run() throws {
        try pattern.require(common, example: "t:sched:sched_switch or c:malloc")
        try runTracing()
    }

    private static let kinds: Set<ProbeKind> = [.tracepoint, .rawtracepoint, .kprobe, .uprobe, .usdt]

    /// The programs that walk user stacks by tables, or those that leave that to frame pointers.
    private static func programs(byTables: Bool) -> ProbePrograms {
        let names = [
            "stack_of_raw_tracepoint", "stack_of_system_call", "stack_of_tracepoint", "stack_of_function",
            "stack_of_user_functions", "stack_of_kernel_functions",
        ].map { byTables ? $0 : $0 + "_fp" }
        return ProbePrograms(
            areNumbered: false,
            tracepoints: ProbePrograms.ForTracepoints(
                raw: names[0], systemCalls: names[1], perfEvent: names[2]),
            function: names[3], userFunctions: names[4], kernelFunctions: names[5])
    }

    private var config: stackcount_config {
        stackcount_config(
            sides: stacks.sides, by_process: byProcess ? 1 : 0, cpu: cpu ?? -1, reserved: 0)
    }

    package func trace(_ session: Session) throws {
        try requireCPU(cpu)
        let targets = try pattern.targets(Self.kinds, session)
        var style = StackReport.Style(
            valueTypes: [Profile.ValueType(name: "calls", unit: "count")], title: "Calls")
        style.offsets = offsets
        let report = StackReport(stacks, style, json: common.json)
        try report.watch(session)
        let (object, unwinder) = try session.loadStacks(
            "stackcount", stacks.pictures.walk, user: stacks.wantsUser, names: report.names
        ) {
            object, byTables in
            object.setConstant("stackcount_config", to: config)
            try object.resize("stacks", to: stackStorage)
            try object.resize("counted", to: StackStore.totals(for: stackStorage))
            ProbeTargets.configure(object, Self.programs(byTables: byTables), targets)
        }
        guard let targets else { return }
        try report.serve([unwinder], session)
        let probes = try AttachedProbes(
            targets, [Self.programs(byTables: unwinder != nil)], of: object, session)
        let counts = StackCounts(object, report, session, reports)
        try session.run(
            object, of: "calls", lostTotals: StackStore.lostTotals(of: "calls"),
            ready: {
                session.say("counting stacks of \(targets.summary); Ctrl-C to end")
                probes.begin()
            },
            interval: reports.interval.map { seconds in (seconds, { try counts.print() }) },
            record: { record in
                guard record.byteCount >= MemoryLayout<process_event>.size else { return }
                report.names.observe(
                    Int32(bitPattern: record.unsafeLoadUnaligned(as: process_event.self).process))
            },
            detach: { probes.end() },
            atEnd: {
                try counts.finish()
                report.explainEnds(to: session)
                session.explain(report.names.effort)
            })
    }
}

/// Reads and prints what has been counted.
private final class StackCounts {
    private let object: LoadedObject
    private let report: StackReport
    private let session: Session
    private let options: ReportOptions
    private let clock = RowClock()
    private var earlier: [[UInt8]: UInt64] = [:]
    private var printed = 0

    init(_ object: LoadedObject, _ report: StackReport, _ session: Session, _ options: ReportOptions) {
        self.object = object
        self.report = report
        self.session = session
        self.options = options
    }

    /// What was counted since the last time.
    func print() throws {
        report.clear()
        read { bytes, count in
            let new = count - (earlier[bytes] ?? 0)
            earlier[bytes] = count
            return new
        }
        clock.wall.synchronize()
        if options.interval != nil { report.time = clock.wall.nowUnixNanoseconds }
        try session.output.write { writer in
            guard !session.common.json else { return }
            if printed > 0 { writer.append("\n") }
            guard options.timestamp else { return }
            writer.append(clock.wall.nowTimeOfDay())
            writer.append("\n")
        }
        try report.writeRows(to: session.output, json: session.common.json)
        printed += 1
    }

    /// What is left to print at the end, and the files, which are of the whole run.
    func finish() throws {
        try print()
        if options.interval != nil {
            report.clear()
            read { _, count in count }
        }
        try report.write(to: session.output, json: session.common.json, rows: false)
    }

    private func read(_ wanted: (_ key: [UInt8], _ count: UInt64) -> UInt64) {
        report.names.settle()
        let stacks = StackStore(object, report.names)
        let counted: HashMap<counted_stack, stack_count> = object.map("counted")
        counted.forEach { key, count in
            let calls = wanted(withUnsafeBytes(of: key) { [UInt8]($0) }, count.pointee.count)
            guard calls > 0 else { return }
            let user = stacks[key.user_stack]
            let comm = withUnsafeBytes(of: key.comm, taskName)
            report.add(
                StackReport.Key(
                    process: Int32(bitPattern: key.process), thread: 0, comm: comm.isEmpty ? "all" : comm,
                    kernel: stacks[key.kernel_stack].addresses,
                    user: StackNames.withoutEnd(user.addresses[...]), userEnd: user.end,
                    moment: report.names.moment(
                        of: Int32(bitPattern: key.process), at: count.pointee.first_ns),
                    started: StackReport.start(of: key.program)),
                [calls])
        }
    }
}

let stackcountDiscussion = """
    Counts how often functions, tracepoints and USDT probes are reached, by the stack on which they are: who calls \
    them. Patterns are those of funccount.

    OUTPUT: As BCC's stackcount: the frames, the kernel's first, the innermost first; then the process and the count. \
    The largest comes last. With -i what is new is printed for each interval; pictures and profiles are of the whole \
    run. With -K stacks of all processes are one, unless -P keeps them apart. With --json each \
    stack is an object; start_ns is Unix time of the start of its process, or null for all processes.

    EXAMPLES: Who allocates memory in this process?

        stackcount -p 1234 -D 10 c:malloc

    A flame graph of what wakes others up:

        stackcount --flamegraph wakeups.svg -D 10 t:sched:sched_waking

    OVERHEAD: A program that takes a stack runs each time: some microseconds. Avoid very frequent functions, \
    and limit the run to one process with -p.

    LIMITS: A stack whose outer frames could not be found ends with a line that begins with "[cut:" and says why. \
    What is reached while a process's mappings are not known yet has frames without names. A function of Go that \
    makes its stack grow begins anew, and counts twice.

    COMPATIBILITY: The options of BCC's stackcount are all there.
    """
