// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import CBPFPrograms
import Testing

@testable import Commands
@testable import Tracing

@Suite struct BlockingKindTests {
    /// Kernel stacks as kernels 5.10 to 7.x have them, leaf first.
    @Test(
        arguments: [
            (
                1, ["__schedule", "schedule", "futex_wait_queue_me", "futex_wait", "do_futex"],
                BlockingKind.lock
            ),
            (1, ["schedule", "do_nanosleep", "hrtimer_nanosleep", "__x64_sys_clock_nanosleep"], .sleep),
            (1, ["schedule", "pipe_read", "vfs_read", "ksys_read"], .pipe),
            (1, ["schedule", "anon_pipe_read", "vfs_read"], .pipe),
            (1, ["schedule_hrtimeout_range", "ep_poll", "do_epoll_wait"], .poll),
            (1, ["schedule_timeout", "wait_woken", "sk_wait_data", "tcp_recvmsg_locked"], .network),
            (2, ["io_schedule", "folio_wait_bit_common", "filemap_fault"], .disk),
            (2, ["io_schedule", "folio_wait_bit_common", "handle_mm_fault", "exc_page_fault"], .pageFault),
            (1, ["schedule", "do_wait", "kernel_wait4"], .child),
            (2, ["schedule", "some_driver_wait"], .uninterruptible),
            (0x402, ["schedule", "worker_thread", "kthread"], .kernelWork),
            (1, ["schedule", "something_new"], .other),
            (0, ["schedule", "exit_to_user_mode_loop"], .preempted),
            (0, [], .preempted),
        ] as [(UInt32, [String], BlockingKind)])
    func isReadFromStateAndStack(state: UInt32, kernel: [String], kind: BlockingKind) {
        #expect(BlockingKind(state: state, kernel: kernel) == kind)
    }
}

@Suite struct StackNamesTests {
    @Test func theTracersOwnFramesAreFound() {
        let names: [String?] = [
            "bpf_prog_0123456789abcdef_sched_switch", "bpf_trace_run4", "__traceiter_sched_switch",
            "__schedule",
            "schedule",
        ]
        #expect(StackNames.tracerFrames(names) == 3)
        // A program whose name the kernel hides stands before frames that it does not.
        #expect(StackNames.tracerFrames([nil, nil, "bpf_trace_run4", "__schedule"]) == 3)
        #expect(StackNames.tracerFrames(["__schedule", "schedule", nil]) == 0)
        // The kernel's own functions that deal with programs.
        #expect(StackNames.tracerFrames(["vzalloc", "bpf_prog_alloc", "bpf_prog_load", "__sys_bpf"]) == 0)
        #expect(StackNames.tracerFrames(["kfree", "__bpf_prog_free"]) == 0)
        #expect(StackNames.tracerFrames([]) == 0)
        let interrupted = [
            "bpf_prog_0123456789abcdef_waking", "bpf_trace_run1", "__traceiter_sched_waking",
            "try_to_wake_up",
            "hrtimer_wakeup", "asm_sysvec_apic_timer_interrupt", "bpf_prog_0123456789abcdef_other",
            "bpf_trace_run1", "__traceiter_sched_process_exit", "do_exit",
        ]
        #expect(StackNames.tracerFrames(interrupted) == 3)
    }

    @Test func samplesAreDecodedAndLyingOnesRefused() throws {
        var head = profile_event()
        head.process = 7
        head.kernel_frames = 1
        head.user_frames = 2
        let addresses: [UInt64] = [0xffff_ffff_8100_0000, 0x1000, 0x2000]
        let bytes = withUnsafeBytes(of: head) { Array($0) } + addresses.withUnsafeBytes { Array($0) }
        let sample = try #require(bytes.withUnsafeBytes { StackSample($0.bytes) })
        #expect(sample.key.kernel == [0xffff_ffff_8100_0000])
        #expect(sample.key.user == [0x1000, 0x2000])
        #expect(bytes.dropLast().withUnsafeBytes { StackSample($0.bytes) } == nil)
        #expect(bytes.prefix(10).withUnsafeBytes { StackSample($0.bytes) } == nil)
    }

    @Test(
        arguments: [
            ("0-3", [0, 1, 2, 3]), ("0,2-3\n", [0, 2, 3]), ("5\n", [5]), ("", []), ("3-1", []), ("-", []),
            ("0-99999999", []),
        ] as [(String, [Int32])])
    func listsOfCPUs(text: String, cpus: [Int32]) {
        #expect(CPUSampler.cpuList(text) == cpus)
    }
}
