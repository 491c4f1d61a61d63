// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* How long functions take, from entry to return. */
#include "lib/kernel.h"
#include "lib/arch.bpf.h"
#include "lib/core_fixes.bpf.h"
#include "lib/events.bpf.h"
#include "lib/filter.bpf.h"
#include "lib/histogram.bpf.h"
#include "lib/probe_number.bpf.h"
#include "lib/counting.bpf.h"
#include "lib/user_probe.bpf.h"
#include "lib/task.bpf.h"
#include "kernel_calls.bpf.h"
#include "user_calls.bpf.h"
#include "funclatency.h"

const volatile struct funclatency_config funclatency_config;

static __always_inline int call_begins(struct pt_regs *ctx, __u32 probe, bool of_kernel)
{
	__u64 sp = STACK_POINTER(ctx);
	__u32 levels = funclatency_config.levels;
	bool is_timed;

	if (!is_counting() || !current_task_wanted(current_ids()))
		return 0;
	if (funclatency_config.cpu >= 0 &&
	    bpf_get_smp_processor_id() != (__u32)funclatency_config.cpu)
		return 0;
	if (of_kernel)
		is_timed = kernel_call_begins(sp, probe, levels ? levels : CALL_LEVELS);
	else
		is_timed = user_call_begins(sp, probe, levels);
	if (!is_timed)
		__sync_fetch_and_add(&event_channel.lost_state, 1);
	return 0;
}

static __always_inline void count_call(__u32 probe, __u64 ns)
{
	struct histogram_key key = {.cpu = bpf_get_smp_processor_id()};
	__u64 ids = current_ids();
	struct histogram *histogram;

	if (funclatency_config.by & LATENCY_OF_FUNCTION)
		key.id = (__u64)probe << 32;
	if (funclatency_config.by & LATENCY_OF_PROCESS)
		key.id |= ids >> 32;
	else if (funclatency_config.by & LATENCY_OF_THREAD)
		key.id |= (__u32)ids;
	histogram = histogram_of(&key);
	if (!histogram)
		return;
	if (!histogram->count) {
		histogram->process = ids >> 32;
		histogram->thread = ids;
		bpf_get_current_comm(histogram->comm, sizeof(histogram->comm));
	}
	count_duration_among_others(histogram, ns);
}

static __always_inline int kernel_function_returns(__u32 probe)
{
	__u64 now = bpf_ktime_get_ns(), start;

	if (!is_counting())
		return 0;
	start = kernel_call_ends(probe);
	if (start)
		count_call(probe, now - start);
	return 0;
}

/* All calls that have their return address in one place return at once, the last one first. */
static __always_inline int user_calls_end(__u64 sp, bool at_instruction)
{
	__u64 now = bpf_ktime_get_ns(), start;
	struct user_call_key key = {};
	struct user_call *call;
	__u32 jumps, probe, ended = 0;

	if (!is_counting())
		return 0;
	call = calls_at(&key, sp);
	if (!call || (at_instruction && !do_return(&key, call)))
		return 0;
	jumps = call->jumps;
	if (funclatency_config.levels)
		set_innermost(call->outer_sp);
	for (__u32 i = 0; i <= JUMPS; i++) {
		if (i > jumps)
			break;
		key.jumps = i;
		call = bpf_map_lookup_elem(&user_calls, &key);
		if (!call)
			continue;
		start = call->start_ns;
		probe = call->probe & ~MAY_JUMP;
		bpf_map_delete_elem(&user_calls, &key);
		count_call(probe, now - start);
		ended++;
	}
	count_user_calls(USER_CALLS_ENDED, ended);
	return 0;
}

/* Functions, of the kernel and of users, one by one. */
SEC("kprobe")
int function_begins(struct pt_regs *ctx)
{
	STAY_ON_KERNEL_STACK(ctx, one);
	return call_begins(ctx, COPIED_PROBE_NUMBER(), funclatency_config.of_kernel);
}

SEC("kprobe")
int function_ends(struct pt_regs *ctx)
{
	STAY_ON_KERNEL_STACK(ctx, one);
	if (funclatency_config.of_kernel)
		return kernel_function_returns(COPIED_PROBE_NUMBER());
	return user_calls_end(STACK_POINTER(ctx) - RETURN_POPS, false);
}

/* At return instructions. */
SEC("kprobe")
int function_returns(struct pt_regs *ctx)
{
	STAY_ON_KERNEL_STACK(ctx, one);
	return user_calls_end(STACK_POINTER(ctx), true);
}

/* Many by one link. */
SEC("uprobe")
int user_function_begins(struct pt_regs *ctx)
{
	STAY_ON_KERNEL_STACK(ctx, many);
	return call_begins(ctx, bpf_get_attach_cookie(ctx), false);
}

SEC("uprobe")
int user_function_ends(struct pt_regs *ctx)
{
	STAY_ON_KERNEL_STACK(ctx, many);
	return user_calls_end(STACK_POINTER(ctx) - RETURN_POPS, false);
}

SEC("uprobe")
int user_function_returns(struct pt_regs *ctx)
{
	STAY_ON_KERNEL_STACK(ctx, many);
	return user_calls_end(STACK_POINTER(ctx), true);
}

SEC("kprobe")
int kernel_function_begins(struct pt_regs *ctx)
{
	return call_begins(ctx, bpf_get_attach_cookie(ctx), true);
}

SEC("kprobe")
int kernel_function_ends(struct pt_regs *ctx)
{
	return kernel_function_returns(bpf_get_attach_cookie(ctx));
}

/* When nothing of a thread can run any more: some functions of the kernel run after sched_process_exit. */
SEC("raw_tp/sched_process_free")
int thread_freed(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 thread = ctx->args[0];
	struct thread_calls *calls = bpf_map_lookup_elem(&threads, &thread);

	if (!calls)
		return 0;
	drop_calls(calls, 0);
	bpf_map_delete_elem(&threads, &thread);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
