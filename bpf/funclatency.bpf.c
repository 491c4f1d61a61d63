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
#include "include/funclatency.h"

#define THREADS 8192

const volatile struct funclatency_config funclatency_config;

/* Calls that have gone without a return: left by longjmp or an exception, or ended with their thread. */
__u64 unreturned_calls;

/* By the address of the thread's task_struct, which no other has before this one is freed. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, THREADS);
	__type(key, __u64);
	__type(value, struct thread_calls);
} threads SEC(".maps");

/* A thread's calls to start from: too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct thread_calls);
} no_calls SEC(".maps");

static __always_inline struct thread_calls *calls_of(__u64 thread)
{
	struct thread_calls *calls = bpf_map_lookup_elem(&threads, &thread), *none;
	__u32 zero = 0;

	if (calls)
		return calls;
	none = bpf_map_lookup_elem(&no_calls, &zero);
	if (!none)
		return NULL;
	bpf_map_update_elem(&threads, &thread, none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&threads, &thread);
}

static __always_inline struct call *call_at(struct thread_calls *calls, __u32 depth)
{
	return &calls->calls[(depth - 1) % CALL_LEVELS];
}

static __always_inline void drop_calls(struct thread_calls *calls, __u32 depth)
{
	if (calls->depth > depth)
		__sync_fetch_and_add(&unreturned_calls, calls->depth - depth);
	calls->depth = depth;
}

/* Whether the function at whose entry we are has been jumped to by one whose return is awaited. */
static __always_inline bool is_tail_call(__u64 sp)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__u64 page = BPF_CORE_READ(task, mm, uprobes_state.xol_area, vaddr), target = 0;

	/* The kernel has put the address of its trampoline in place of the true one. */
	bpf_probe_read_user(&target, sizeof(target), (void *)sp);
	return page && target == page;
}

#define KERNEL_STACK_BITS 14 /* of a thread's and an interrupt's stack: 16 KB, aligned */

/* Whether a call can still return now that another begins. Stacks grow downwards. */
static __always_inline bool can_return(struct call *call, __u64 sp, __u32 probe)
{
	if (!funclatency_config.of_kernel)
		return call->sp > sp || (call->sp == sp && is_tail_call(sp));
	/* Interrupts have stacks of their own. The kernel does not jump out of functions, but we may miss a return. */
	if (call->sp >> KERNEL_STACK_BITS != sp >> KERNEL_STACK_BITS)
		return true;
	return call->sp > sp || (call->sp == sp && call->probe != probe);
}

static __always_inline int call_begins(struct pt_regs *ctx, __u32 probe)
{
	__u64 thread = bpf_get_current_task(), sp = STACK_POINTER(ctx);
	struct thread_calls *calls;
	struct call *call;
	__u32 depth;

	if (!is_counting() || !current_task_wanted(current_ids()))
		return 0;
	if (funclatency_config.cpu >= 0 &&
	    bpf_get_smp_processor_id() != (__u32)funclatency_config.cpu)
		return 0;
	calls = calls_of(thread);
	if (!calls)
		goto lost;
	depth = calls->depth;
	for (int i = 0; i < CALL_LEVELS; i++) {
		if (!depth || can_return(call_at(calls, depth), sp, probe))
			break;
		depth--;
	}
	drop_calls(calls, depth);
	if (depth >= funclatency_config.levels)
		goto lost;
	calls->depth = ++depth;
	call = call_at(calls, depth);
	call->sp = sp;
	call->probe = probe;
	call->start_ns = bpf_ktime_get_ns();
	return 0;
lost:
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

/* The call that returns, and how many are under way with it; NULL if its beginning was not seen. */
static __always_inline struct call *returning(struct thread_calls *calls, struct pt_regs *ctx,
					      __u32 probe, __u32 *depth)
{
	__u64 sp = STACK_POINTER(ctx) - RETURN_POPS;
	struct call *call;

	*depth = calls->depth;
	for (int i = 0; i < CALL_LEVELS; i++) {
		if (!*depth)
			return NULL;
		call = call_at(calls, *depth);
		/* What kernels show of the stack pointer at a return of theirs differs. */
		if (funclatency_config.of_kernel) {
			if (call->probe == probe)
				return call;
		} else if (call->sp >= sp) {
			return call->sp == sp && call->probe == probe ? call : NULL;
		}
		--*depth;
	}
	return NULL;
}

static __always_inline int call_ends(struct pt_regs *ctx, __u32 probe)
{
	__u64 now = bpf_ktime_get_ns(), thread = bpf_get_current_task();
	struct thread_calls *calls = bpf_map_lookup_elem(&threads, &thread);
	struct call *call;
	__u32 depth;

	if (!calls || !is_counting())
		return 0;
	call = returning(calls, ctx, probe, &depth);
	if (!call)
		return 0;
	drop_calls(calls, depth);
	calls->depth = depth - 1;
	count_call(probe, now - call->start_ns);
	return 0;
}

/* Functions, of the kernel and of users, one by one. */
SEC("kprobe")
int function_begins(struct pt_regs *ctx)
{
	STAY_ON_KERNEL_STACK(ctx, one);
	return call_begins(ctx, COPIED_PROBE_NUMBER());
}

SEC("kprobe")
int function_ends(struct pt_regs *ctx)
{
	STAY_ON_KERNEL_STACK(ctx, one);
	return call_ends(ctx, COPIED_PROBE_NUMBER());
}

/* Many by one link. */
SEC("uprobe")
int user_function_begins(struct pt_regs *ctx)
{
	STAY_ON_KERNEL_STACK(ctx, many);
	return call_begins(ctx, bpf_get_attach_cookie(ctx));
}

SEC("uprobe")
int user_function_ends(struct pt_regs *ctx)
{
	STAY_ON_KERNEL_STACK(ctx, many);
	return call_ends(ctx, bpf_get_attach_cookie(ctx));
}

SEC("kprobe")
int kernel_function_begins(struct pt_regs *ctx)
{
	return call_begins(ctx, bpf_get_attach_cookie(ctx));
}

SEC("kprobe")
int kernel_function_ends(struct pt_regs *ctx)
{
	return call_ends(ctx, bpf_get_attach_cookie(ctx));
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

/* User functions that called exec have gone with their stack. */
SEC("raw_tp/sched_process_exec")
int program_replaced(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 thread = ctx->args[0];
	struct thread_calls *calls = bpf_map_lookup_elem(&threads, &thread);

	if (calls)
		drop_calls(calls, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
