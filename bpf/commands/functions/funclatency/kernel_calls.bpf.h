/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Calls of kernel functions that are under way. A thread's are inside each
 * other: their returns come in the opposite order of their entries.
 */
#ifndef APUS_KERNEL_CALLS_BPF_H
#define APUS_KERNEL_CALLS_BPF_H

#include "funclatency.h"

#define THREADS 8192

/* Calls that have gone without a return: missed, or ended with their thread. */
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

#define KERNEL_STACK_BITS 14 /* of a thread's and an interrupt's stack: 16 KB, aligned */

/* Whether a call can still return now that another begins. Stacks grow downwards. */
static __always_inline bool can_return(struct call *call, __u64 sp, __u32 probe)
{
	/* Interrupts have stacks of their own. The kernel does not jump out of functions, but we may miss a return. */
	if (call->sp >> KERNEL_STACK_BITS != sp >> KERNEL_STACK_BITS)
		return true;
	return call->sp > sp || (call->sp == sp && call->probe != probe);
}

/* Returns false if there is no room, which is a loss. */
static __always_inline bool kernel_call_begins(__u64 sp, __u32 probe, __u32 levels)
{
	struct thread_calls *calls = calls_of(bpf_get_current_task());
	struct call *call;
	__u32 depth;

	if (!calls)
		return false;
	depth = calls->depth;
	for (int i = 0; i < CALL_LEVELS; i++) {
		if (!depth || can_return(call_at(calls, depth), sp, probe))
			break;
		depth--;
	}
	drop_calls(calls, depth);
	if (depth >= levels)
		return false;
	calls->depth = ++depth;
	call = call_at(calls, depth);
	call->sp = sp;
	call->probe = probe;
	call->start_ns = bpf_ktime_get_ns();
	return true;
}

/* When the call that returns has begun; 0 if that was not seen. */
static __always_inline __u64 kernel_call_ends(__u32 probe)
{
	__u64 thread = bpf_get_current_task();
	struct thread_calls *calls = bpf_map_lookup_elem(&threads, &thread);
	struct call *call;
	__u32 depth;

	if (!calls)
		return 0;
	depth = calls->depth;
	for (int i = 0; i < CALL_LEVELS; i++) {
		if (!depth)
			return 0;
		call = call_at(calls, depth);
		/* What kernels show of the stack pointer at a return of theirs differs. */
		if (call->probe == probe) {
			drop_calls(calls, depth);
			calls->depth = depth - 1;
			return call->start_ns;
		}
		depth--;
	}
	return 0;
}

#endif
