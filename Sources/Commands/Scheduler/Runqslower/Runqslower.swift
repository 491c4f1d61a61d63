// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser
internal import CBPFPrograms
internal import Reporting
internal import Tracing

/// Which thread waited for the CPU, how long, and who ran instead.
package struct Runqslower: TracingCommand {
    package static let place = 1
    package static let configuration = CommandConfiguration(
        commandName: "runqslower",
        abstract: "Show which thread waited for the CPU, how long, and who ran instead.",
        discussion: runqslowerDiscussion)

    @Argument(
        help: ArgumentHelp("Show waits longer than this many microseconds.", valueName: "min-us"),
        transform: parseMicroseconds)
    package var threshold: UInt64 = 10_000

    @Flag(
        name: [.customShort("P"), .customLong("previous")],
        help: "Show the task that was switched out when the wait ended.")
    package var previous = false

    @Flag(
        name: .customLong("who"),
        help:
            "Show CPU, priority, the task that had the CPU the longest during the wait, for how long, and why."
    )
    package var who = false

    @Option(
        name: .customShort("c", allowingJoined: true),
        help: ArgumentHelp("Only tasks whose name begins with this.", valueName: "comm"), transform: parseComm
    )
    package var commPrefix: String?

    @Flag(name: .customLong("wakeups-only"), help: "Leave out waits after being preempted.")
    package var wakeupsOnly = false

    @Flag(name: .customLong("pidns"), help: "Show thread IDs as in the threads' own PID namespaces.")
    package var ownIDs = false

    @Flag(
        name: .customLong("summary"),
        help: "At the end, sum up the waits of each thread, and who ran instead.")
    package var summary = false

    @Flag(name: .customLong("histogram"), help: "At the end, print a histogram of all waits.")
    package var histogram = false

    @OptionGroup(title: "Histograms") package var histograms: HistogramOptions
    @OptionGroup(title: "Which tasks") package var targets: TargetOptions
    @OptionGroup(title: "Which tasks") package var userOption: UserOption
    @OptionGroup(title: "Common options") package var common: CommonOptions

    package init() {}

    package var user: UInt32? { userOption.user }

    package mutating func validate() throws {
        if let prefix = commPrefix {
            guard targets.comm == nil else { throw ValidationError("give either -c or --comm.") }
            targets.comm = prefix
            targets.commIsPrefix = true
            commPrefix = nil
        }
        if !histograms.compare.isEmpty { summary = true }
    }

    package func run() throws {
        if try !histograms.compareRecordings(json: common.json) { try runTracing() }
    }

    package func trace(_ session: Session) throws {
        let object = try session.open("runqslower")
        let scale = histograms.scale(.microseconds)
        let counting = summary || histogram
        var config = sched_config()
        config.threshold_ns = threshold * 1000
        config.report = 1
        config.runners = who || summary || common.json ? 1 : 0
        config.count = counting ? 1 : 0
        config.by = UInt8(BY_THREAD.rawValue)
        config.wakeups_only = wakeupsOnly ? 1 : 0
        object.setConstant("sched_config", to: config)
        scale.configure(object)
        try object.resize("histograms", to: counting ? histograms.maxKeys : 1)
        if config.runners == 0 {
            for program in ["interrupt_entry", "interrupt_exit", "softirq_entry", "softirq_exit"] {
                object.disable(program)
            }
        }
        let baseline = try histograms.compare.first.map(DistributionRecord.read)
        let loaded = try session.load(object)
        let columns = RunQueueWaitColumns(ownIDs: ownIDs)
        let table = Table(
            columns.shown(previous: previous, who: who), fields: columns.fields, json: common.json)
        var sums = RunQueueWaitSummary()
        try session.run(
            loaded, of: "waits",
            ready: {
                session.say("tracing waits for the CPU of more than \(threshold) us; Ctrl-C to end")
                try session.output.write { table.writeHeading(to: $0) }
            },
            record: { record in
                guard let event = RunQueueWaitEvent(record) else { return }
                if summary { sums.add(event) }
                try session.output.row(table, event)
            },
            afterRound: { columns.clock.wall.synchronize() },
            atEnd: {
                let entries = counting ? KernelHistograms(scale).all(loaded) : []
                try finish(session, entries: entries, sums: sums, baseline: baseline)
            })
    }

    private func finish(
        _ session: Session, entries: [KernelHistograms.Entry], sums: RunQueueWaitSummary,
        baseline: [DistributionRecord]?
    ) throws {
        if let baseline {
            let records = sums.records(entries)
            return try DistributionComparison(before: baseline, after: records).write(
                to: session.output, json: common.json)
        }
        if summary { try sums.write(entries, to: session.output, json: common.json) }
        guard histogram else { return }
        var all = Distribution()
        for entry in entries { all.add(entry.distribution) }
        try session.output.write { writer in
            if common.json {
                DistributionRecord(command: "runqslower", by: "all", id: 0, name: "all", distribution: all)
                    .writeJSON(to: writer)
            } else {
                writer.append("\n")
                histograms.write(all, unit: .microseconds, to: writer)
            }
        }
    }
}

let runqslowerDiscussion = """
    Prints a line for each time that a thread has waited for a CPU for more than min-us microseconds: after being \
    woken, after being preempted, or after its creation. The wait ends when the thread runs.

    OUTPUT: TIME is when the thread got to run. --who adds who had that CPU for most of the wait, for how long, and \
    the cause: contention (another task ran), throttled (its cgroup had used up its CPU bandwidth), interrupts \
    (interrupts and softirqs took half of it or more), wakeup (the CPU was idle and took its time to wake). With \
    --json each wait is an object of type "wait" with all tasks that ran instead, longest first; priorities are \
    the kernel's, 0 to 99 real time, 100 to 139 others.

    EXAMPLES: Which threads are late by more than a millisecond, and who is to blame?

        runqslower 1000 --who

    A summary of one process after ten seconds, recorded to compare with later:

        runqslower 1000 -p 1234 --summary --json --duration 10 > before.json
        runqslower 1000 -p 5678 --duration 10 --compare before.json

    OVERHEAD: Small programs run at each wake-up and each context switch. --who, --summary and --json remember who \
    ran, which costs a little more. docs/benchmarks.md has figures.

    LIMITS: A wait that has not ended when the command ends is not shown. Of a wait with more than 128 switches on \
    the CPU, the last 128 are known (ran_instead_complete is then false). Interrupts are those with handlers and \
    softirqs, not the timer's own entry. Runs before the command was started are not known. The kernels of some \
    sandboxes do not report every switch: a wait that such a switch ends is not shown.

    COMPATIBILITY: The options of BCC's runqslower and of libbpf-tools' are all there, and their table is the \
    default. Waits after preemption count, as in theirs; --wakeups-only leaves them out. Waits begin at the waking \
    (sched_waking), so that wake-ups from other CPUs are not under-counted.
    """
