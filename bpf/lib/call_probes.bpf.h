/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The tracepoints of single system calls. They are made out of two raw ones,
 * which all calls pass; as perf events of their own, the kernel takes tens of
 * milliseconds to let go of each.
 */
#ifndef APUS_CALL_PROBES_BPF_H
#define APUS_CALL_PROBES_BPF_H

#include "arch.bpf.h"

#define SYSTEM_CALLS 1024 /* more than any architecture has */

/* By the number of the call, those of sys_exit behind those of sys_enter: its probe's number, and 1; 0 for none. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * SYSTEM_CALLS);
	__type(key, __u32);
	__type(value, __u32);
} system_calls SEC(".maps");

/*
 * Whether a system call whose entry or exit is passed has a probe, and which.
 * As in the kernel's own (kernel/trace/trace_syscalls.c), calls through the
 * 32-bit entry have none.
 */
static __always_inline bool find_call_probe(struct bpf_raw_tracepoint_args *ctx, __u64 *number)
{
	struct pt_regs *regs = (struct pt_regs *)ctx->args[0];
	__u64 call = BPF_CORE_READ(regs, orig_ax);
	__u32 slot = call, *probe;

	if (call >= SYSTEM_CALLS || in_compat_syscall((struct task_struct *)bpf_get_current_task()))
		return false;
	/* The result, which has no place yet when a call begins: then the other argument is the call's number. */
	if (ctx->args[1] == BPF_CORE_READ(regs, ax))
		slot += SYSTEM_CALLS;
	probe = bpf_map_lookup_elem(&system_calls, &slot);
	if (!probe || !*probe)
		return false;
	*number = *probe - 1;
	return true;
}

#endif
