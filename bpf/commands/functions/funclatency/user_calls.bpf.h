/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Calls of user functions that are under way, by the place of their return
 * address: at a return instruction the stack pointer is what it was at the
 * entry. No order is assumed. A thread may have many stacks, and leave them
 * for each other; a stack may go on in another thread; calls may be left by a
 * jump, an exception or the end of their thread, of which nothing tells.
 *
 * What ends: all calls with that place, if the return address there is still
 * the one that was there when they began.
 *
 * What was left: calls whose place another one takes, unless that one has been
 * jumped to. It has if the return address is the same and the function may end
 * by jumps to others, but not if the same function is entered again: that is
 * far more often a loop around something that throws than functions that jump
 * to each other in turn.
 */
#ifndef APUS_USER_CALLS_BPF_H
#define APUS_USER_CALLS_BPF_H

#include "funclatency.h"

/*
 * What is left behind is known only when another call takes its place, and for
 * a process that has ended that is never: what has not been looked at for long
 * makes room. The reader says it if that can have been a call that was missed.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, USER_CALLS);
	__type(key, struct user_call_key);
	__type(value, struct user_call);
} user_calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, USER_CALL_COUNTS);
	__type(key, __u32);
	__type(value, __u64);
} user_call_counts SEC(".maps");

/* Where the return address of a thread's innermost call is: only for a limit of levels. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, __u64);
} innermost SEC(".maps");

/* Atomic, since programs of user probes can be preempted. */
static __always_inline void count_user_calls(__u32 what, __u32 number)
{
	__u64 *count = bpf_map_lookup_elem(&user_call_counts, &what);

	if (count)
		__sync_fetch_and_add(count, number);
}

/* Whether the kernel has put the address of its own code there: a return probe, ours or of another tracer. */
static __always_inline bool is_return_probe(__u64 return_address)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__u64 page = BPF_CORE_READ(task, mm, uprobes_state.xol_area, vaddr);

	return page && return_address == page;
}

static __always_inline __u64 return_address_at(__u64 sp)
{
	__u64 address = 0;

	bpf_probe_read_user(&address, sizeof(address), (void *)sp);
	return address;
}

/* Whether the function at whose entry we are was jumped to by one whose return is awaited. */
static __always_inline bool is_jumped_to(struct user_call_key *key, struct user_call *first,
					 __u32 probe, __u64 return_address)
{
	struct user_call *call = first;
	__u32 jumps = first->jumps;

	/* A call would have put there where it comes from. */
	if (return_address != first->return_address)
		return is_return_probe(return_address);
	for (__u32 i = 0; i < JUMPS; i++) {
		if (call->probe == probe)
			return false;
		if (i >= jumps)
			break;
		key->jumps = i + 1;
		call = bpf_map_lookup_elem(&user_calls, key);
		if (!call)
			return false;
	}
	return call->probe & MAY_JUMP;
}

static __always_inline void leave_behind(struct user_call_key *key, __u32 jumps)
{
	count_user_calls(USER_CALLS_LEFT, jumps + 1);
	for (__u32 i = 0; i <= JUMPS; i++) {
		if (i > jumps)
			break;
		key->jumps = i;
		bpf_map_delete_elem(&user_calls, key);
	}
	key->jumps = 0;
}

/* Finds the call around the one that begins, and so at which level that is. */
static __always_inline void find_level(struct user_call_key *key, struct user_call *begun)
{
	struct user_call_key around = {.program = key->program};
	__u64 thread = bpf_get_current_task(), *found = bpf_map_lookup_elem(&innermost, &thread);
	struct user_call *call;

	begun->level = 1;
	around.sp = found ? *found : 0;
	for (int i = 0; i < CALL_LEVELS; i++) {
		call = around.sp ? bpf_map_lookup_elem(&user_calls, &around) : NULL;
		if (!call)
			return;
		if (around.sp >= key->sp && (around.sp > key->sp || key->jumps)) {
			begun->level =
				call->level + 1 + (around.sp == key->sp ? key->jumps - 1 : 0);
			begun->outer_sp = around.sp;
			return;
		}
		around.sp = call->outer_sp;
	}
}

static __always_inline void set_innermost(__u64 sp)
{
	__u64 thread = bpf_get_current_task();

	bpf_map_update_elem(&innermost, &thread, &sp, BPF_ANY);
}

/*
 * Returns false if it is not timed, which is a loss.
 *
 * levels: how many calls inside each other are timed; 0 for all.
 */
static __always_inline bool user_call_begins(__u64 sp, __u32 probe, __u32 levels)
{
	struct user_call_key key = {.program = current_program(), .sp = sp};
	struct user_call begun = {.probe = probe, .return_address = return_address_at(sp)};
	struct user_call *first = bpf_map_lookup_elem(&user_calls, &key);

	if (first) {
		if (!is_jumped_to(&key, first, probe, begun.return_address)) {
			leave_behind(&key, first->jumps);
		} else if (first->jumps >= JUMPS) {
			return false;
		} else {
			key.jumps = first->jumps + 1;
		}
	}
	if (levels) {
		find_level(&key, &begun);
		if (begun.level > levels)
			return false;
		if (!key.jumps)
			set_innermost(sp);
	}
	if (first && key.jumps)
		first->jumps = key.jumps;
	begun.start_ns = bpf_ktime_get_ns();
	if (bpf_map_update_elem(&user_calls, &key, &begun, BPF_ANY))
		return false;
	count_user_calls(USER_CALLS_BEGUN, 1);
	return true;
}

/* The key of the calls that end where the return address is at `sp`; NULL if none is known. */
static __always_inline struct user_call *calls_at(struct user_call_key *key, __u64 sp)
{
	key->program = current_program();
	key->sp = sp;
	return bpf_map_lookup_elem(&user_calls, key);
}

/* Whether they return now, at one of their return instructions. If not, they were left before. */
static __always_inline bool do_return(struct user_call_key *key, struct user_call *first)
{
	__u64 address = return_address_at(key->sp);

	if (address == first->return_address || is_return_probe(address))
		return true;
	leave_behind(key, first->jumps);
	return false;
}

#endif
