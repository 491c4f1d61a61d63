// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import CSupport
internal import Glibc
internal import Processes
internal import Reporting
internal import Tracing

/// Threads that were off the CPU already when offcputime's probes were attached, and so were never seen to leave it.
///
/// They are told to the programs as if they had left it at that moment, with what /proc knows of them in place of a
/// stack; the time before is not known.
struct TasksBlockedAtStart {
    /// What /proc/PID/stack says of each, in the order in which the programs were told.
    private var stacks: [[String]] = []
    /// No machine that anybody waits for has more.
    private static let mostThreads = 32_768

    /// - Parameters:
    ///   - processes: nil for all.
    ///   - wanted: whether a thread in this state (task_struct.__state) counts.
    init(
        _ object: LoadedObject, processes: [Int32]?, threads: [Int32], proc: ProcFS = ProcFS(),
        wanted: (_ process: Int32, _ state: UInt32) -> Bool
    ) {
        let blocked: HashMap<UInt32, blocked_task> = object.map("blocked")
        let start = apus_kernel_time()
        var told = 0
        func tell(_ process: Int32, _ thread: Int32) {
            guard told < Self.mostThreads, let state = Self.state(proc, process, thread),
                wanted(process, state)
            else { return }
            told += 1
            stacks.append(Self.stack(proc, process, thread))
            var task = blocked_task()
            task.since_ns = start
            task.key.process = UInt32(process)
            task.key.thread = UInt32(thread)
            task.key.state = state
            task.key.before = UInt32(stacks.count)
            let name = Array(
                (readFile("\(proc.root)/\(process)/task/\(thread)/comm", limit: 64) ?? []).dropLast())
            withUnsafeMutableBytes(of: &task.key.comm) {
                $0.copyBytes(from: name.prefix(Int(TASK_COMM_BYTES) - 1))
            }
            // One that has been seen to leave the CPU meanwhile is known better.
            blocked.add(UInt32(thread), task)
        }
        for process in processes ?? proc.processIDs() where process != getpid() {
            for thread in proc.threadIDs(of: process) { tell(process, thread) }
        }
        for thread in threads {
            if case .thread(let process)? = proc.identity(of: thread) {
                tell(process, thread)
            } else {
                tell(thread, thread)
            }
        }
    }

    /// Kernel functions on which a thread was found, leaf first.
    ///
    /// - Parameter number: block_key.before, not 0.
    func stack(_ number: UInt32) -> [String] {
        number > 0 && Int(number) <= stacks.count ? stacks[Int(number) - 1] : []
    }

    /// TASK_INTERRUPTIBLE or TASK_UNINTERRUPTIBLE; nil for a thread that is not asleep.
    private static func state(_ proc: ProcFS, _ process: Int32, _ thread: Int32) -> UInt32? {
        guard let stat = readFile("\(proc.root)/\(process)/task/\(thread)/stat", limit: 4096),
            // The name, in parentheses, may hold anything; the state follows the last of them.
            let end = stat.lastIndex(of: UInt8(ascii: ")")), end + 2 < stat.count
        else { return nil }
        switch stat[end + 2] {
        case UInt8(ascii: "S"): return 1
        case UInt8(ascii: "D"): return 2
        default: return nil
        }
    }

    /// "[<0>] do_nanosleep+0x65/0x190" as "do_nanosleep".
    private static func stack(_ proc: ProcFS, _ process: Int32, _ thread: Int32) -> [String] {
        let bytes = readFile("\(proc.root)/\(process)/task/\(thread)/stack", limit: 16_384) ?? []
        return bytes.split(separator: UInt8(ascii: "\n")).prefix(64).compactMap { line in
            guard let name = line.split(separator: UInt8(ascii: " ")).last else { return nil }
            return String(decoding: name.prefix { $0 != UInt8(ascii: "+") }, as: UTF8.self)
        }
    }
}
