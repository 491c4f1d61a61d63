// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import CSupport
internal import Glibc
internal import Processes
internal import Reporting
internal import Tracing

/// Time off the CPU as offcputime's programs add it up: for that command and for `profile --off-cpu`.
final class OffCPUTrace {
    /// Which blocks count, beside those of the tasks that the session selects, and what is kept of them.
    struct Choice {
        /// Shorter and longer blocks do not count.
        var nanoseconds: ClosedRange<UInt64> = 0...UInt64.max
        /// Bits of the task's state; 0: preempted; nil for all.
        var state: UInt64?
        var userTasksOnly = false
        var kernelTasksOnly = false
        var wakers = false
        /// Histograms of blocks in place of their sums.
        var histograms: HistogramOptions?
        /// The stacks to take, of stack_sides.
        var sides: UInt32

        var config: offcputime_config {
            var config = offcputime_config()
            config.least_ns = nanoseconds.lowerBound
            config.most_ns = nanoseconds.upperBound
            config.sides = sides
            config.preempted = state ?? 0 == 0 ? 1 : 0
            // No state has this bit: with 0, preempted tasks are all that counts.
            config.states = state == 0 ? 1 << 63 : state ?? 0
            config.user_tasks_only = userTasksOnly ? 1 : 0
            config.kernel_tasks_only = kernelTasksOnly ? 1 : 0
            config.wakers = wakers ? 1 : 0
            config.histograms = histograms == nil ? 0 : 1
            return config
        }
    }

    private static let still = "still"
    private static let since = "since"
    static let wait = "wait"

    let object: LoadedObject
    let choice: Choice
    /// nil where user stacks follow frame pointers.
    let unwinder: StackUnwinder?
    private var stacks: StackStore
    private let launched: Int32?
    /// TASK_TRACED (linux/sched.h).
    private static let traced: UInt32 = 8
    private var before: TasksBlockedAtStart?

    init(
        _ session: Session, _ choice: Choice, _ options: StackOptions, _ names: StackNames,
        stackStorage: UInt32
    ) throws {
        self.choice = choice
        launched = session.launchedProcess
        (object, unwinder) = try session.loadStacks(
            "offcputime", options.pictures.walk, user: options.wantsUser, names: names
        ) {
            object, _ in
            object.setConstant("offcputime_config", to: choice.config)
            try object.resize("stacks", to: stackStorage)
            try object.resize("histograms", to: choice.histograms?.maxKeys ?? 1)
            if let histograms = choice.histograms {
                histograms.scale(.microseconds).configure(object)
                try object.resize("totals", to: 1)
            } else {
                try object.resize("totals", to: StackStore.totals(for: stackStorage))
            }
            if !choice.wakers { for program in ["waking", "waking_fp"] { object.disable(program) } }
        }
        stacks = StackStore(object)
    }

    /// Looks for threads that are off the CPU already; to be called once probes are attached.
    ///
    /// Where only processes and threads are chosen, or nothing is: what else selects is for programs to test.
    func findBlocked(_ session: Session, _ targets: TargetOptions, user: UInt32?) {
        guard let chosen = session.chosenTasks, targets.comm == nil, targets.cgroup == nil, user == nil,
            targets.container == nil, choice.state != 0
        else { return }
        let everything = chosen.processes.isEmpty && chosen.threads.isEmpty
        let proc = ProcFS()
        before = TasksBlockedAtStart(
            object, processes: everything ? nil : chosen.processes.filter { $0 != session.launchedProcess },
            threads: chosen.threads
        ) { [choice] process, taskState in
            // kthreadd, and all that it has started
            let isKernelTask = process == 2 || proc.parent(of: process) == 2
            if isKernelTask ? choice.userTasksOnly : choice.kernelTasksOnly { return false }
            return choice.state.map { UInt64(taskState) & $0 != 0 } ?? true
        }
    }

    /// Adds all blocks to a report, those that have not ended too.
    ///
    /// - Parameters:
    ///   - labels: what to say of each of them.
    ///   - values: what to add for so many blocks with so many nanoseconds.
    func read(
        into report: StackReport, labels: [String: String] = [:],
        values: (_ nanoseconds: UInt64, _ blocks: UInt64) -> [UInt64] = { [$0, $1] }
    ) {
        report.names.settle()
        stacks = StackStore(object, report.names)
        let totals: HashMap<block_key, block_total> = object.map("totals")
        totals.forEach { key, total in
            // Where we have stopped it ourselves, to see its libraries.
            if let launched, key.process == UInt32(launched), key.state & Self.traced != 0 { return }
            let entry = entry(
                key, report, labels, at: total.pointee.first_ns, until: total.pointee.first_until_ns)
            report.add(entry, values(total.pointee.total_ns, total.pointee.count))
        }
        let nanoseconds = apus_kernel_time()
        let blocked: HashMap<UInt32, blocked_task> = object.map("blocked")
        blocked.forEach { _, task in
            let since = task.pointee.since_ns
            guard since > 0, nanoseconds > since, choice.nanoseconds.contains(nanoseconds - since) else {
                return
            }
            var labels = labels
            labels[Self.still] = "blocked"
            let entry = entry(task.pointee.key, report, labels, at: since, until: nanoseconds)
            report.add(entry, values(nanoseconds - since, 1))
        }
    }

    /// - Parameters:
    ///   - since: when the first block began, in nanoseconds of the monotonic clock.
    ///   - until: when it ended.
    private func entry(
        _ key: block_key, _ report: StackReport, _ more: [String: String], at since: UInt64, until: UInt64
    ) -> StackReport.Key {
        let kernel = addresses(key.kernel_stack)
        let user = stacks[key.user_stack]
        let found = before?.stack(key.before) ?? []
        let names = key.before == 0 ? report.kernelNames(kernel) : found
        var labels = more
        labels[Self.wait] = BlockingKind(state: key.state, kernel: names).rawValue
        if key.before != 0 { labels[Self.since] = "before the start" }
        return StackReport.Key(
            process: Int32(bitPattern: key.process), thread: Int32(bitPattern: key.thread),
            comm: withUnsafeBytes(of: key.comm, taskName), kernel: kernel,
            user: StackNames.withoutEnd(user.addresses[...]), userEnd: user.end,
            moment: report.names.moment(of: Int32(bitPattern: key.process), at: since),
            started: StackReport.start(of: key.program), labels: labels, notes: found,
            waker: waker(key, report, at: until))
    }

    /// Who ended the wait. An interrupt hits a task that has nothing to do with it, which is left out.
    private func waker(_ key: block_key, _ report: StackReport, at time: UInt64) -> StackReport.Waker? {
        let comm = withUnsafeBytes(of: key.waker_comm, taskName)
        guard !comm.isEmpty else { return nil }
        let kernel = addresses(key.waker_kernel_stack)
        let names = report.kernelNames(kernel)
        if let entry = names.firstIndex(where: Self.isInterrupt) {
            return StackReport.Waker(
                process: 0, thread: 0, comm: "(interrupt)", kernel: kernel.dropLast(names.count - 1 - entry),
                user: [])
        }
        let user = stacks[key.waker_user_stack]
        return StackReport.Waker(
            process: Int32(bitPattern: key.waker_process), thread: Int32(bitPattern: key.waker_thread),
            comm: comm, kernel: kernel, user: StackNames.withoutEnd(user.addresses[...]), userEnd: user.end,
            moment: report.names.moment(of: Int32(bitPattern: key.waker_process), at: time))
    }

    /// Whether the kernel was entered there by an interrupt: on x86 (asm/idtentry.h) or arm64 (entry.S).
    private static func isInterrupt(_ name: String) -> Bool {
        switch name {
        case "asm_common_interrupt", "el1_irq", "el0_irq", "el1h_64_irq", "el0t_64_irq", "el0t_32_irq": true
        default: name.hasPrefix("asm_sysvec_")
        }
    }

    /// Leaf first.
    func addresses(_ stack: UInt64) -> [UInt64] { stacks[stack].addresses }
}
