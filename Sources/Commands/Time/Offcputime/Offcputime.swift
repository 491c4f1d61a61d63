// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser
internal import CBPFPrograms
internal import Reporting
internal import Tracing

/// Where time goes that tasks spend off the CPU.
package struct Offcputime: TracingCommand {
    package static let configuration = CommandConfiguration(
        commandName: "offcputime",
        abstract: "Show where threads block and wait: time off the CPU, by stack.",
        discussion: offcputimeDiscussion)

    @Argument(help: "The same as --duration.", transform: parseSeconds)
    package var seconds: Double?

    @Flag(name: [.customShort("u"), .customLong("user-threads-only")], help: "No kernel threads.")
    package var userTasksOnly = false

    @Flag(name: [.customShort("k"), .customLong("kernel-threads-only")], help: "Kernel threads only.")
    package var kernelTasksOnly = false

    @Flag(name: [.customShort("s"), .customLong("offsets")], help: "Show offsets in functions, and modules.")
    package var offsets = false

    @Option(
        name: [.customShort("m", allowingJoined: true), .customLong("min-block-time")],
        parsing: .unconditional,
        help: ArgumentHelp("Leave out blocks shorter than this (1).", valueName: "us"),
        transform: parseMicroseconds)
    package var least: UInt64 = 1

    @Option(
        name: [.customShort("M", allowingJoined: true), .customLong("max-block-time")],
        parsing: .unconditional,
        help: ArgumentHelp("Leave out blocks longer than this.", valueName: "us"),
        transform: parseMicroseconds)
    package var most: UInt64?

    @Option(
        name: .customLong("state"), parsing: .unconditional,
        help: ArgumentHelp(
            "Only tasks in one of these states, a bit mask: 1 interruptible, 2 uninterruptible; 0: preempted.",
            valueName: "mask"))
    package var state: UInt64?

    @Option(
        name: .customLong("stack-storage-size"), parsing: .unconditional,
        help: ArgumentHelp("How many stacks can be stored (16384).", valueName: "count"))
    package var stackStorage: UInt32 = 16_384

    @Flag(
        name: .customLong("wakers"),
        help: "Also who ended each wait, and the stack on which it did, as BCC's offwaketime.")
    package var wakers = false

    @Flag(
        name: .customLong("histogram"),
        help: "Print a histogram of wait times per thread and reason instead of stacks.")
    package var histogram = false

    @OptionGroup(title: "Histograms") package var histograms: HistogramOptions
    @OptionGroup(title: "Stacks") package var stacks: StackOptions
    @OptionGroup(title: "Which tasks") package var targets: TargetOptions
    @OptionGroup(title: "Which tasks") package var userOption: LongUserOption
    @OptionGroup(title: "Common options") package var common: CommonOptions

    package init() {}

    package var user: UInt32? { userOption.user }

    package mutating func validate() throws {
        try common.setDuration(seconds)
        seconds = nil
        try stacks.requireOneForm(json: common.json)
        if userTasksOnly && kernelTasksOnly {
            throw ValidationError("-u and -k exclude each other: give one of them.")
        }
        if let most, most <= least { throw ValidationError("-M must be more than -m.") }
        guard stackStorage > 0, stackStorage <= 1 << 22 else {
            throw ValidationError("--stack-storage-size must be 1 to \(1 << 22).")
        }
        if histograms.percentiles || histograms.linear != nil || !histograms.compare.isEmpty {
            histogram = true
        }
        if histogram, let option = unfitForHistograms {
            throw ValidationError("--histogram shows no stacks: leave out \(option).")
        }
    }

    private var unfitForHistograms: String? {
        let options = [
            ("--wakers", wakers), ("-U", stacks.userOnly), ("-K", stacks.kernelOnly), ("-f", stacks.folded),
            ("-d", stacks.delimited), ("--flamegraph", stacks.pictures.flameGraph != nil),
            ("--pprof", stacks.pictures.pprof != nil),
        ]
        return options.first { $0.1 }?.0
    }

    package func run() throws {
        if try !histograms.compareRecordings(json: common.json) { try runTracing() }
    }

    private var choice: OffCPUTrace.Choice {
        var choice = OffCPUTrace.Choice(sides: histogram ? STACK_KERNEL.rawValue : stacks.sides)
        choice.histograms = histogram ? histograms : nil
        choice.nanoseconds = least * 1000...(most.map { $0 * 1000 } ?? UInt64.max)
        choice.state = state
        choice.userTasksOnly = userTasksOnly
        choice.kernelTasksOnly = kernelTasksOnly
        choice.wakers = wakers
        return choice
    }

    package func trace(_ session: Session) throws {
        let baseline = try histograms.compare.first.map(DistributionRecord.read)
        var style = StackReport.Style(
            valueTypes: [
                Profile.ValueType(name: "off_cpu", unit: "nanoseconds"),
                Profile.ValueType(name: "blocks", unit: "count"),
            ], title: "Off-CPU time")
        style.showsThread = true
        style.offsets = offsets
        style.divisor = 1000
        style.palette = .offCPU
        let report = StackReport(stacks, style, json: common.json)
        try report.watch(session)
        let blocks = try OffCPUTrace(session, choice, stacks, report.names, stackStorage: stackStorage)
        try report.serve([blocks.unwinder], session)
        try session.run(
            blocks.object, of: "blocks", lostTotals: StackStore.lostTotals(of: "blocks"),
            ready: {
                session.say("tracing time off the CPU, in microseconds; Ctrl-C to end")
                if !histogram { blocks.findBlocked(session, targets, user: user) }
            },
            record: { record in
                guard record.byteCount >= MemoryLayout<process_event>.size else { return }
                report.names.observe(
                    Int32(bitPattern: record.unsafeLoadUnaligned(as: process_event.self).process))
            },
            atEnd: {
                if histogram {
                    return try WaitHistograms(blocks, histograms, kernelNames: report.kernelNames).write(
                        to: session.output, json: common.json, comparedTo: baseline)
                }
                blocks.read(into: report)
                report.explainEnds(to: session)
                try report.write(to: session.output, json: common.json)
                session.explain(report.names.effort)
            })
    }
}

let offcputimeDiscussion = """
    Adds up, by thread and stack, the time from when a thread is switched out to when it runs again: asleep, waiting \
    for a lock, for the disk or for the CPU. Threads that are still off the CPU at the end count too, marked \
    still=blocked, and so do those that were off it at the start, from then on, marked since=before the start, with \
    the kernel functions that /proc knows.

    OUTPUT: As BCC's offcputime: the frames, the kernel's first, the innermost first; then the thread and the \
    microseconds. wait= says what kind of waiting it was, as far as the state and the kernel's functions tell: \
    sleep, lock, disk, pipe, network, poll, child, page fault, preempted and others. The largest comes last. \
    With --wakers, as in BCC's offwaketime, the waker stands above each stack, its root first; folded it follows \
    the blocked stack and "--", its root last, so that it is on top in a flame graph. pprof gets it as a tag. Waking by a timer or a \
    device is by (interrupt). With --json each stack is an object; start_ns is Unix time of the start of its \
    process. \
    --histogram prints one histogram for each thread and kind of wait instead.

    EXAMPLES: A flame graph of the waiting of one thread:

        offcputime -p 1234 --flamegraph wait.svg 10

    Folded stacks:

        offcputime -f -p 1234 10

    How long do the waits take, and what was it like before?

        offcputime --histogram -p 1234 --json 10 > before.json
        offcputime --histogram -p 5678 --compare before.json 10

    OVERHEAD: A program that takes a stack runs at each context switch of the chosen threads. docs/benchmarks.md \
    has figures.

    LIMITS: A stack whose outer frames could not be found ends with a line that begins with "[cut:" and says why. \
    Code made at run time is walked by its frame pointers. The time for which a thread was blocked before the \
    command was started is not known. Histograms hold waits that both began and ended while the command ran.

    COMPATIBILITY: The options of BCC's offcputime and of libbpf-tools' are there. --state is BCC's bit mask.
    """
