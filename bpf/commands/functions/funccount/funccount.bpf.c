// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* How often functions and tracepoints are reached. */
#include "lib/kernel.h"
#include "lib/core_fixes.bpf.h"
#include "lib/events.bpf.h"
#include "lib/filter.bpf.h"
#include "lib/probe_number.bpf.h"
#include "lib/call_probes.bpf.h"
#include "lib/counting.bpf.h"
#include "lib/user_probe.bpf.h"

/* By the number of the probe; as many as there are probes. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

static __always_inline int count(__u32 probe)
{
	__u64 *known;

	if (!is_counting() || !current_task_wanted(current_ids()))
		return 0;
	known = bpf_map_lookup_elem(&counts, &probe);
	/* An interrupt may come in between. */
	if (known)
		__sync_fetch_and_add(known, 1);
	return 0;
}

SEC("raw_tp")
int count_raw_tracepoint(void *ctx)
{
	return count(COPIED_PROBE_NUMBER());
}

SEC("raw_tp")
int count_system_call(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 number;

	return find_call_probe(ctx, &number) ? count(number) : 0;
}

SEC("tracepoint")
int count_tracepoint(void *ctx)
{
	return count(COPIED_PROBE_NUMBER());
}

/* Functions, of the kernel and of users, one by one. */
SEC("kprobe")
int count_function(struct pt_regs *ctx)
{
	STAY_ON_KERNEL_STACK(ctx, one);
	return count(COPIED_PROBE_NUMBER());
}

SEC("uprobe")
int count_user_functions(struct pt_regs *ctx)
{
	STAY_ON_KERNEL_STACK(ctx, many);
	return count(bpf_get_attach_cookie(ctx));
}

SEC("kprobe")
int count_kernel_functions(struct pt_regs *ctx)
{
	return count(bpf_get_attach_cookie(ctx));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
