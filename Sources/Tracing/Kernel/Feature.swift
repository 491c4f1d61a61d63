// SPDX-License-Identifier: Apache-2.0
internal import CLibbpf
internal import CSupport
internal import Glibc

/// Something that kernels have or lack. Found out by trying, never from the version: distributions carry features
/// back and configure others out.
package enum Feature: String, CaseIterable, Sendable {
    case kernelTypes, ringBuffer, rawTracepoints, typedTracepoints, functionEntry, kprobes, kprobesInOne,
        uprobes
    case userProbeCookies, userProbesInOne, userProbeSessions
    case softwareClock, hardwareCycles, memoryCgroupAccounting

    /// What a person calls it.
    package var title: String {
        switch self {
        case .kernelTypes: "the kernel's types (BTF) in \(KernelTypes.nativePath)"
        case .ringBuffer: "BPF ring buffers"
        case .rawTracepoints: "raw tracepoints"
        case .typedTracepoints: "typed tracepoints (tp_btf)"
        case .functionEntry: "kernel functions through fentry and fexit"
        case .kprobes: "kernel functions through kprobes"
        case .kprobesInOne: "many kprobes in one link (kprobe_multi)"
        case .uprobes: "user functions (uprobes)"
        case .userProbeCookies: "uprobes that say which one they are (cookies)"
        case .userProbesInOne: "many uprobes in one link (uprobe_multi)"
        case .userProbeSessions: "uprobes for entry and return in one (sessions)"
        case .softwareClock: "perf events on the CPU clock"
        case .hardwareCycles: "perf events on hardware cycles"
        case .memoryCgroupAccounting: "BPF memory outside RLIMIT_MEMLOCK"
        }
    }

    /// The first kernel of the main line that has it, and the setting without which it has not.
    package var requirement: String {
        switch self {
        case .kernelTypes: "CONFIG_DEBUG_INFO_BTF=y, or --btf PATH"
        case .ringBuffer: "Linux 5.8"
        case .rawTracepoints: "CONFIG_BPF_EVENTS=y"
        case .typedTracepoints: "Linux 5.5 and CONFIG_DEBUG_INFO_BTF=y"
        case .functionEntry: "Linux 5.5 and CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS=y"
        case .kprobes: "CONFIG_KPROBE_EVENTS=y"
        case .kprobesInOne: "Linux 5.18 and CONFIG_FPROBE=y"
        case .uprobes: "CONFIG_UPROBE_EVENTS=y"
        case .userProbeCookies: "Linux 5.15 and CONFIG_UPROBE_EVENTS=y"
        case .userProbesInOne: "Linux 6.6 and CONFIG_UPROBE_EVENTS=y"
        case .userProbeSessions: "Linux 6.13 and CONFIG_UPROBE_EVENTS=y"
        case .softwareClock: "CONFIG_PERF_EVENTS=y"
        case .hardwareCycles: "a CPU, or a virtual machine, with performance counters"
        case .memoryCgroupAccounting: "Linux 5.11; before it, CAP_SYS_RESOURCE raises the limit"
        }
    }

    /// Whether finding out takes CAP_BPF and CAP_PERFMON: without them "no" may only mean "not for you".
    package var needsPrivilege: Bool {
        switch self {
        case .ringBuffer, .rawTracepoints, .typedTracepoints, .functionEntry, .memoryCgroupAccounting,
            .kprobesInOne, .userProbeCookies, .userProbesInOne, .userProbeSessions:
            true
        case .kernelTypes, .kprobes, .uprobes, .softwareClock, .hardwareCycles: false
        }
    }

    // One thread runs all of the program.
    nonisolated(unsafe) private static var answers: [Feature: Bool] = [:]

    /// The answer, found out once.
    package var isThere: Bool {
        if let known = Self.answers[self] { return known }
        let answer = probe()
        Self.answers[self] = answer
        return answer
    }

    private func probe() -> Bool {
        switch self {
        case .kernelTypes: access(KernelTypes.nativePath, R_OK) == 0
        case .ringBuffer: Self.asked(libbpf_probe_bpf_map_type(BPF_MAP_TYPE_RINGBUF, nil))
        case .rawTracepoints: Self.asked(libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_RAW_TRACEPOINT, nil))
        case .typedTracepoints: Self.tracing("btf_trace_sys_exit", apus_btf_kind_typedef, BPF_TRACE_RAW_TP)
        // There to be traced: the kernel's own test of BPF (net/bpf/test_run.c).
        case .functionEntry: Self.tracing("bpf_fentry_test1", apus_btf_kind_func, BPF_TRACE_FENTRY)
        case .kprobes: Self.exists("/sys/bus/event_source/devices/kprobe")
        case .kprobesInOne: ProgramCopies.canLinkKernelFunctions()
        case .uprobes: Self.exists("/sys/bus/event_source/devices/uprobe")
        case .userProbeCookies:
            Self.asked(libbpf_probe_bpf_helper(BPF_PROG_TYPE_KPROBE, BPF_FUNC_get_attach_cookie, nil))
        case .userProbesInOne: UserProbes.canLink(.many)
        case .userProbeSessions: UserProbes.canLink(.session)
        case .softwareClock:
            Self.counts(PERF_TYPE_SOFTWARE.rawValue, UInt64(PERF_COUNT_SW_CPU_CLOCK.rawValue))
        case .hardwareCycles:
            Self.counts(PERF_TYPE_HARDWARE.rawValue, UInt64(PERF_COUNT_HW_CPU_CYCLES.rawValue))
        case .memoryCgroupAccounting:
            // libbpf decides by the same helper, which came with the accounting.
            Self.asked(
                libbpf_probe_bpf_helper(BPF_PROG_TYPE_SOCKET_FILTER, BPF_FUNC_ktime_get_coarse_ns, nil))
        }
    }

    /// libbpf's probes answer 1, 0, or a negative errno.
    private static func asked(_ result: Int32) -> Bool { result == 1 }

    private static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    private static func counts(_ type: UInt32, _ config: UInt64) -> Bool {
        let descriptor = apus_perf_event_open(type, config)
        guard descriptor >= 0 else { return false }
        close(descriptor)
        return true
    }

    /// Loads a program of type "tracing" that does nothing, and attaches it.
    private static func tracing(_ target: String, _ kind: UInt32, _ attach: bpf_attach_type) -> Bool {
        guard let btf = btf__load_vmlinux_btf() else { return false }
        defer { btf__free(btf) }
        let id = btf__find_by_name_kind(btf, target, kind)
        guard id > 0 else { return false }
        var options = bpf_prog_load_opts()
        options.sz = MemoryLayout<bpf_prog_load_opts>.size
        options.expected_attach_type = attach
        options.attach_btf_id = UInt32(id)
        // r0 = 0; exit
        var instructions = [bpf_insn(), bpf_insn()]
        instructions[0].code = 0xb7
        instructions[1].code = 0x95
        let program = bpf_prog_load(BPF_PROG_TYPE_TRACING, nil, "GPL", &instructions, 2, &options)
        guard program >= 0 else { return false }
        defer { close(program) }
        let link = bpf_raw_tracepoint_open(nil, program)
        guard link >= 0 else { return false }
        close(link)
        return true
    }
}
