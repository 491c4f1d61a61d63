// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms

/// A record of runqslower's programs: a task has waited for a CPU.
struct RunQueueWaitEvent {
    /// A task that had the CPU during a wait.
    struct Runner: Equatable {
        let thread: UInt32
        let comm: String
        let priority: Int32
        let policy: UInt32
        /// For how much of the wait, in nanoseconds.
        var held: UInt64

        var isIdle: Bool { thread == 0 }
    }

    /// What kept the task from running.
    enum Cause: String {
        case contention, throttled, interrupts, wakeup
    }

    let head: wait_event
    let comm: String
    let previousComm: String
    /// Who had the CPU, the longest first.
    let runners: [Runner]

    /// nil if the record is too short for what it announces.
    init?(_ record: RawSpan) {
        let headBytes = MemoryLayout<wait_event>.size
        let runBytes = MemoryLayout<wait_run>.size
        guard record.byteCount >= headBytes else { return nil }
        head = record.unsafeLoadUnaligned(as: wait_event.self)
        guard record.byteCount >= headBytes + Int(head.run_count) * runBytes else { return nil }
        comm = withUnsafeBytes(of: head.comm, taskName)
        previousComm = withUnsafeBytes(of: head.previous_comm, taskName)
        let runs = (0..<Int(head.run_count)).map { index in
            record.unsafeLoadUnaligned(fromByteOffset: headBytes + index * runBytes, as: wait_run.self)
        }
        runners = Self.sum(runs)
    }

    /// Adds up the runs of each thread.
    private static func sum(_ runs: [wait_run]) -> [Runner] {
        var runners: [Runner] = []
        for run in runs {
            if let known = runners.firstIndex(where: { $0.thread == run.thread }) {
                runners[known].held += run.held_ns
            } else {
                runners.append(
                    Runner(
                        thread: run.thread, comm: withUnsafeBytes(of: run.comm, taskName),
                        priority: run.priority,
                        policy: run.policy, held: run.held_ns))
            }
        }
        return runners.sorted { $0.held > $1.held }
    }

    /// Half of the wait or more decides.
    var cause: Cause {
        let half = head.wait_ns / 2
        if head.throttled_ns > half { return .throttled }
        if head.interrupt_ns > half { return .interrupts }
        if let first = runners.first, first.isIdle { return .wakeup }
        return .contention
    }

    var kindName: StaticString {
        switch UInt32(head.kind) {
        case WAIT_WOKEN.rawValue: "woken"
        case WAIT_PREEMPTED.rawValue: "preempted"
        case WAIT_NEW.rawValue: "new"
        default: "unknown"
        }
    }

    /// The name of a scheduling policy (linux/sched.h, without its SCHED_).
    static func policyName(_ policy: UInt32) -> String {
        switch policy {
        case 0: "OTHER"
        case 1: "FIFO"
        case 2: "RR"
        case 3: "BATCH"
        case 5: "IDLE"
        case 6: "DEADLINE"
        case 7: "EXT"
        default: String(policy)
        }
    }
}
