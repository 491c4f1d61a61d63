// SPDX-License-Identifier: Apache-2.0

/// What a task that is off the CPU waits for, as far as its state and its kernel stack tell.
enum BlockingKind: String, CaseIterable {
    case preempted, sleep, lock
    case pageFault = "page fault"
    case disk, pipe, network, poll, child, signal
    case kernelWork = "kernel work"
    case uninterruptible, other

    /// Functions of the kernel that give a kind away, the more telling first. A part of a name is enough: compilers
    /// add suffixes, and kernels prefixes.
    private static let signs: [(BlockingKind, [String])] = [
        (.lock, ["futex_", "do_futex", "rwsem_down", "__mutex_lock", "mutex_lock", "__down_", "rt_mutex"]),
        (.sleep, ["hrtimer_nanosleep", "do_nanosleep", "clock_nanosleep", "common_nsleep", "msleep"]),
        (.child, ["do_wait", "kernel_wait4", "kernel_waitid"]),
        (
            .poll,
            [
                "ep_poll", "do_epoll_wait", "do_sys_poll", "do_poll", "do_select", "poll_schedule",
                "io_cqring_wait",
            ]
        ),
        (.pipe, ["pipe_read", "pipe_write", "anon_pipe", "wait_for_partner", "pipe_wait", "fifo_open"]),
        (
            .network,
            [
                "tcp_", "udp_", "unix_stream", "unix_dgram", "inet_", "sk_wait", "skb_wait", "sock_",
                "__sys_accept",
                "vsock_",
            ]
        ),
        (
            .disk,
            [
                "io_schedule", "folio_wait", "wait_on_page", "wait_on_buffer", "blk_", "submit_bio_wait",
                "rq_qos",
                "jbd2_", "ext4_", "xfs_", "btrfs_", "filemap_", "nfs_",
            ]
        ),
        (.signal, ["do_sigtimedwait", "sigsuspend", "sys_pause", "signalfd"]),
        (.kernelWork, ["kthread", "worker_thread", "rcu_gp", "smpboot_thread"]),
    ]

    private static let faults = [
        "handle_mm_fault", "do_user_addr_fault", "exc_page_fault", "asm_exc_page_fault",
    ]

    /// - Parameters:
    ///   - state: task_struct.__state at the switch; 0 if the task could have gone on.
    ///   - kernel: names of the kernel stack's functions, leaf first.
    init(state: UInt32, kernel: [String]) {
        if state & 0xff == 0 {
            self = .preempted
            return
        }
        // A fault that waits for a lock or for the disk is still a fault: that is what the program did.
        if kernel.contains(where: { name in Self.faults.contains(where: name.hasPrefix) }) {
            self = .pageFault
            return
        }
        for (kind, parts) in Self.signs
        where kernel.contains(where: { name in parts.contains(where: name.contains) }) {
            self = kind
            return
        }
        // TASK_UNINTERRUPTIBLE without TASK_NOLOAD (linux/sched.h)
        self = state & 2 != 0 && state & 0x400 == 0 ? .uninterruptible : .other
    }
}
