// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser
internal import CBPFPrograms
internal import Glibc
internal import Processes
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

    @Flag(name: .customLong("wakers"), help: "Also who ended each wait, and on which stack.")
    package var wakers = false

    @OptionGroup(title: "Stacks") package var stacks: StackOptions
    @OptionGroup(title: "Which tasks") package var targets: TargetOptions
    @OptionGroup(title: "Which tasks") package var userOption: LongUserOption
    @OptionGroup(title: "Common options") package var common: CommonOptions

    package init() {}

    package var user: UInt32? { userOption.user }

    package mutating func validate() throws {
        if let seconds {
            guard common.duration == nil else { throw ValidationError("give the duration once.") }
            common.duration = seconds
            self.seconds = nil
        }
        if userTasksOnly && kernelTasksOnly {
            throw ValidationError("-u and -k exclude each other: give one of them.")
        }
        if let most, most <= least { throw ValidationError("-M must be more than -m.") }
        guard stackStorage > 0, stackStorage <= 1 << 22 else {
            throw ValidationError("--stack-storage-size must be 1 to \(1 << 22).")
        }
    }

    private var config: offcputime_config {
        var config = offcputime_config()
        config.least_ns = least * 1000
        config.most_ns = most.map { $0 * 1000 } ?? UInt64.max
        config.sides = stacks.sides
        config.preempted = state ?? 0 == 0 ? 1 : 0
        // No state has this bit: with 0, preempted tasks are all that counts.
        config.states = state == 0 ? 1 << 63 : state ?? 0
        config.user_tasks_only = userTasksOnly ? 1 : 0
        config.kernel_tasks_only = kernelTasksOnly ? 1 : 0
        config.wakers = wakers ? 1 : 0
        return config
    }

    /// Where only processes and threads are chosen, or nothing is: what else selects is for programs to test.
    private func findBlocked(_ object: LoadedObject, _ session: Session, _ report: StackReport)
        -> BlockedBefore?
    {
        guard let chosen = session.chosenTasks, targets.comm == nil, targets.cgroup == nil, user == nil,
            targets.container == nil, state != 0
        else { return nil }
        let everything = chosen.processes.isEmpty && chosen.threads.isEmpty
        let proc = ProcFS()
        return BlockedBefore(
            object, processes: everything ? nil : chosen.processes.filter { $0 != session.launchedProcess },
            threads: chosen.threads
        ) { process, taskState in
            // kthreadd, and all that it has started
            let isKernelTask = process == 2 || proc.parent(of: process) == 2
            if isKernelTask ? userTasksOnly : kernelTasksOnly { return false }
            return state.map { UInt64(taskState) & $0 != 0 } ?? true
        }
    }

    package func trace(_ session: Session) throws {
        let (loaded, unwinder) = try session.loadStacks("offcputime", stacks) { object in
            object.setConstant("offcputime_config", to: config)
            try object.resize("stacks", to: stackStorage)
            if !wakers { for program in ["waking", "waking_fp"] { object.disable(program) } }
        }
        var style = StackReport.Style(
            valueTypes: [
                Profile.ValueType(name: "off_cpu", unit: "nanoseconds"),
                Profile.ValueType(name: "blocks", unit: "count"),
            ], title: "Off-CPU time")
        style.showsThread = true
        style.offsets = offsets
        style.divisor = 1000
        style.palette = .offCPU
        let report = StackReport(stacks, style)
        try report.serve(unwinder, session)
        var before: BlockedBefore?
        try session.run(
            loaded, of: "blocks",
            ready: {
                session.say("tracing time off the CPU, in microseconds; Ctrl-C to end")
                before = findBlocked(loaded, session, report)
            },
            record: { record in
                guard record.byteCount >= MemoryLayout<process_event>.size else { return }
                report.observe(Int32(bitPattern: record.unsafeLoadUnaligned(as: process_event.self).process))
            },
            atEnd: {
                BlockReader(
                    loaded, least: config.least_ns, most: config.most_ns, before: before,
                    launched: session.launchedProcess
                ).read(into: report)
                report.explainEnds(to: session)
                try report.write(to: session.output, json: common.json)
            })
    }
}

/// Reads what offcputime's programs have gathered.
struct BlockReader {
    private static let still = "still"
    private static let since = "since"
    private static let waker = "waker"

    private let object: LoadedObject
    private let range: ClosedRange<UInt64>
    private let stacks: StackStore
    private let before: BlockedBefore?
    private let launched: Int32?
    /// TASK_TRACED (linux/sched.h).
    private static let traced: UInt32 = 8

    /// - Parameter launched: a process that we have stopped ourselves, to see its libraries.
    init(_ object: LoadedObject, least: UInt64, most: UInt64, before: BlockedBefore?, launched: Int32?) {
        self.launched = launched
        self.object = object
        self.before = before
        range = least...most
        stacks = StackStore(object)
    }

    func read(into report: StackReport) {
        let totals: HashMap<block_key, block_total> = object.map("totals")
        totals.forEach { key, total in
            if let launched, key.process == UInt32(launched), key.state & Self.traced != 0 { return }
            report.add(entry(key, report), [total.pointee.total_ns, total.pointee.count])
        }
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        let nanoseconds = UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
        let blocked: HashMap<UInt32, blocked_task> = object.map("blocked")
        blocked.forEach { _, task in
            let since = task.pointee.since_ns
            guard since > 0, nanoseconds > since, range.contains(nanoseconds - since) else { return }
            report.add(entry(task.pointee.key, report, isOver: false), [nanoseconds - since, 1])
        }
    }

    private func entry(_ key: block_key, _ report: StackReport, isOver: Bool = true) -> StackReport.Key {
        let kernel = stacks[key.kernel_stack].addresses
        let user = stacks[key.user_stack]
        let found = before?.stack(key.before) ?? []
        let names = key.before == 0 ? report.kernelNames(kernel) : found
        var labels = ["wait": WaitKind(state: key.state, kernel: names).rawValue]
        if key.before != 0 { labels[Self.since] = "before the start" }
        if !isOver { labels[Self.still] = "blocked" }
        if key.waker_thread != 0 {
            labels[Self.waker] =
                withUnsafeBytes(of: key.waker_comm, WaitEvent.name) + " (\(key.waker_thread))"
        }
        let reported = StackReport.Key(
            process: Int32(bitPattern: key.process), thread: Int32(bitPattern: key.thread),
            comm: withUnsafeBytes(of: key.comm, WaitEvent.name), kernel: kernel,
            user: StackReport.withoutEnd(user.addresses[...]), userEnd: user.end, labels: labels)
        if !found.isEmpty { report.notes[reported] = found }
        return reported
    }
}

let offcputimeDiscussion = """
    Adds up, by thread and stack, the time from when a thread is switched out to when it runs again: asleep, waiting \
    for a lock, for the disk or for the CPU. Threads that are still off the CPU at the end count too, marked \
    still=blocked, and so do those that were off it at the start, from then on, marked since=before the start, with \
    the kernel functions that /proc knows.

    OUTPUT: As BCC's offcputime: the frames, the kernel's first, the innermost first; then the thread and the \
    microseconds. wait= says what kind of waiting it was, as far as the state and the kernel's functions tell: \
    sleep, lock, disk, pipe, network, poll, child, page fault, preempted and others. The largest comes last.

    EXAMPLES: A flame graph of the waiting of one thread:

        offcputime -p 1234 --flamegraph wait.svg 10

    Folded stacks:

        offcputime -f -p 1234 10

    OVERHEAD: A program that takes a stack runs at each context switch of the chosen threads. docs/benchmarks.md \
    has figures.

    LIMITS: A stack whose outer frames could not be found ends with a line that begins with "[cut:" and says why. \
    Code made at run time is walked by its frame pointers. The time for which a thread was blocked before the command was started is not known.

    COMPATIBILITY: The options of BCC's offcputime and of libbpf-tools' are there. --state is BCC's bit mask.
    """
