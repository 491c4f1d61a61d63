// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser
internal import CBPFPrograms
internal import Reporting
internal import Tracing

/// Which stacks lead to a function or a tracepoint.
package struct Stackcount: TracingCommand {
    package static let configuration = CommandConfiguration(
        commandName: "stackcount",
        abstract: "Count the stacks that lead to functions, tracepoints and USDT probes.",
        discussion: stackcountDiscussion)

    @Argument(
        help: ArgumentHelp(
            "What to count: t:CATEGORY:NAME, FILE:FUNCTION, u:FILE:PROBE or a kernel function; * for any text.",
            valueName: "pattern"))
    package var pattern: String?

    @Flag(
        name: [.customShort("r"), .customLong("regexp")],
        help: "The name is a regular expression, which is found anywhere in names.")
    package var regular = false

    @Option(
        name: .customShort("D", allowingJoined: true), parsing: .unconditional,
        help: ArgumentHelp("The same as --duration.", valueName: "seconds"), transform: parseSeconds)
    package var duration: Double?

    @Flag(
        name: [.customShort("P"), .customLong("perpid")],
        help: "Keep processes apart, also where only kernel stacks are shown.")
    package var byProcess = false

    @Flag(name: [.customShort("s"), .customLong("offset")], help: "Show offsets in functions, and modules.")
    package var offsets = false

    @Option(
        name: [.customShort("c", allowingJoined: true), .customLong("cpu")], parsing: .unconditional,
        help: ArgumentHelp("Only on this CPU.", valueName: "cpu"))
    package var cpu: UInt16?

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
        if let seconds = duration {
            guard common.duration == nil else { throw ValidationError("give the duration once.") }
            common.duration = seconds
            duration = nil
        }
        guard stackStorage > 0, stackStorage <= 1 << 22 else {
            throw ValidationError("--stack-storage-size must be 1 to \(1 << 22).")
        }
        _ = try probePattern()
    }

    private func probePattern() throws -> ProbePattern? {
        try pattern.map { try ProbePattern($0, regular: regular) }
    }

    package func run() throws {
        guard pattern != nil || common.dryRun else {
            throw ValidationError("give what to count, such as t:sched:sched_switch or c:malloc.")
        }
        try runTracing()
    }

    private static let kinds: Set<ProbeKind> = [.tracepoint, .rawtracepoint, .kprobe, .uprobe, .usdt]

    /// The programs that walk user stacks by tables, or those that leave that to frame pointers.
    private static func programs(byTables: Bool) -> ProbePrograms {
        let names =
            byTables
            ? [
                "stack_of_raw_tracepoint", "stack_of_tracepoint", "stack_of_function",
                "stack_of_user_functions", "stack_of_kernel_functions",
            ]
            : [
                "stack_of_raw_tracepoint_fp", "stack_of_tracepoint_fp", "stack_of_function_fp",
                "stack_of_user_functions_fp", "stack_of_kernel_functions_fp",
            ]
        return ProbePrograms(
            areNumbered: false, rawTracepoint: names[0], tracepoint: names[1], function: names[2],
            userFunctions: names[3], kernelFunctions: names[4])
    }

    private var config: stackcount_config {
        stackcount_config(
            sides: stacks.sides, by_process: byProcess ? 1 : 0, cpu: cpu.map { Int32($0) } ?? -1, reserved: 0)
    }

    package func trace(_ session: Session) throws {
        let probes = try probePattern().map {
            try ProbeTargets($0, process: session.onlyProcess, kinds: Self.kinds, session)
        }
        let (object, unwinder) = try session.loadStacks(
            "stackcount", stacks.pictures.walk, user: stacks.wantsUser
        ) {
            object, byTables in
            object.setConstant("stackcount_config", to: config)
            try object.resize("stacks", to: stackStorage)
            ProbeTargets.configure(object, Self.programs(byTables: byTables), probes)
        }
        guard let probes else { return }
        var style = StackReport.Style(
            valueTypes: [Profile.ValueType(name: "calls", unit: "count")], title: "Calls")
        style.offsets = offsets
        let report = StackReport(stacks, style)
        try report.serve([unwinder], session)
        var links = Links()
        let refused = try probes.attach(Self.programs(byTables: unwinder != nil), of: object, &links)
        if refused > 0 {
            session.say(
                "\(refused) of the \(probes.summary) are not counted: the kernel does not let them be traced")
        }
        try session.run(
            object, of: "calls",
            ready: { session.say("counting stacks of \(probes.summary); Ctrl-C to end") },
            record: { record in
                guard record.byteCount >= MemoryLayout<process_event>.size else { return }
                report.names.observe(
                    Int32(bitPattern: record.unsafeLoadUnaligned(as: process_event.self).process))
            },
            detach: { links.detach() },
            atEnd: {
                Self.read(object, into: report)
                report.explainEnds(to: session)
                try report.write(to: session.output, json: common.json)
                session.explain(report.names.effort)
            })
    }

    private static func read(_ object: LoadedObject, into report: StackReport) {
        let stacks = StackStore(object)
        let counted: HashMap<counted_stack, UInt64> = object.map("counted")
        counted.forEach { key, count in
            let user = stacks[key.user_stack]
            let comm = withUnsafeBytes(of: key.comm, WaitEvent.name)
            report.add(
                StackReport.Key(
                    process: Int32(bitPattern: key.process), thread: 0, comm: comm.isEmpty ? "all" : comm,
                    kernel: stacks[key.kernel_stack].addresses,
                    user: StackNames.withoutEnd(user.addresses[...]), userEnd: user.end),
                [count.pointee])
        }
    }
}

let stackcountDiscussion = """
    Counts how often functions, tracepoints and USDT probes are reached, by the stack on which they are: who calls \
    them. Patterns are those of funccount.

    OUTPUT: As BCC's stackcount: the frames, the kernel's first, the innermost first; then the process and the count. \
    The largest comes last. With -K stacks of all processes are one, unless -P keeps them apart. With --json each \
    stack is an object.

    EXAMPLES: Who allocates memory in this process?

        stackcount -p 1234 -D 10 c:malloc

    A flame graph of what wakes others up:

        stackcount --flamegraph wakeups.svg -D 10 t:sched:sched_waking

    OVERHEAD: A program that takes a stack runs each time: some microseconds. Choose what is not reached a million \
    times a second, and a process with -p.

    LIMITS: A stack whose outer frames could not be found ends with a line that begins with "[cut:" and says why. \
    What is reached while a process's mappings are not known yet has frames without names.

    COMPATIBILITY: The options of BCC's stackcount are there, but for -i, -T and --debug: the stacks of a run are \
    printed at its end.
    """
