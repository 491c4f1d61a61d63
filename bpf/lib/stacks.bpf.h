/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stacks that are stored once, under the 64-bit hash of their addresses: a map
 * of the kernel's own kind (BPF_MAP_TYPE_STACK_TRACE) throws a stack away when
 * another one has its place.
 */
#ifndef APUS_STACKS_BPF_H
#define APUS_STACKS_BPF_H

#define REMEMBER_STACKS
#include "unwind.bpf.h"

SHARED_TYPE(stack_trace);

#define STACKS_DEFAULT 16384
#define TRACE_HEAD_WORDS 4 /* of struct stack_trace, in front of the addresses */

/* Values are struct stack_trace, with more addresses than it has if the reader has made them larger. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, STACKS_DEFAULT);
	__uint(key_size, sizeof(__u64));
	__uint(value_size, sizeof(struct stack_trace));
} stacks SEC(".maps");

/* Adds the frames of a slot to its hash. A function of its own: verified once. */
__attribute__((noinline)) int hash_frames(__u32 id)
{
	struct stack_slot *slot = bpf_map_lookup_elem(&stack_slots, &id);
	__u64 hash;

	if (!slot)
		return 0;
	hash = slot->hash;
	for (__u32 i = 0; i < STACK_FRAMES; i++) {
		if (i >= slot->frames)
			break;
		hash = mix(hash, slot->addresses[i]);
	}
	slot->hash = hash;
	return 1;
}

/* Stores the frames of a slot, or why there are none; their hash, 0 if there is nothing to say. */
static __always_inline __u64 store_stack(struct stack_slot *slot)
{
	__u64 *trace = &slot->head[STACK_HEAD_WORDS - TRACE_HEAD_WORDS];
	__u64 hash;

	if (!slot->frames && !slot->end)
		return 0;
	hash = mix(slot->hash, slot->end);
	if (!hash)
		hash = 1;
	trace[0] = hash;
	trace[1] = slot->frames | (__u64)slot->end << 32;
	if (bpf_map_lookup_elem(&stacks, &hash))
		return hash;
	trace[2] = bpf_ktime_get_ns();
	trace[3] = slot->process;
	if (bpf_map_update_elem(&stacks, &hash, trace, BPF_ANY)) {
		__sync_fetch_and_add(&event_channel.lost_stacks, 1);
		stop_recording(slot);
	}
	return hash;
}

static __always_inline __u64 take_kernel_stack(void *ctx, struct stack_slot *slot, __u32 id)
{
	slot->frames = slot->process = 0;
	slot->hash = 0;
	if (add_frames(ctx, slot, 0) <= 0)
		return 0;
	hash_frames(id);
	return store_stack(slot);
}

/* The user stack of the current task. FROM_RETURN is for programs of user probes. */
static __always_inline __u64 take_user_stack(void *ctx, struct stack_slot *slot, __u32 id,
					     __u32 process, bool by_tables, __u32 from)
{
	struct unwind_process *list;
	__u64 hash, time;
	int end;

	slot->frames = 0;
	slot->hash = 0;
	if (!by_tables) {
		/* The reader tells of meanings without lists then. */
		list = bpf_map_lookup_elem(&unwind_processes, &process);
		if (list)
			slot->hash = list->meaning;
		slot->recorded = slot->recalled = slot->process = 0;
		add_frames(ctx, slot, BPF_F_USER_STACK);
		if (from == FROM_RETURN && slot->frames)
			bpf_probe_read_user(slot->addresses, sizeof(__u64),
					    (void *)STACK_POINTER((struct pt_regs *)ctx));
		hash_frames(id);
		return store_stack(slot);
	}
	end = begin_walk(slot, id, process, from);
	if (!end && !id && recall_stack())
		return slot->hash;
	/* The same addresses can stand for something else later. */
	slot->hash = slot->list.meaning;
	walk(slot, id, end);
	if (is_to_be_deferred(slot)) {
		/* How it ends makes another stack of each. */
		time = bpf_ktime_get_ns();
		slot->hash = mix(mix(slot->hash, time), slot->sp);
		hash = store_stack(slot);
		defer_walk(id, hash, time);
		return hash;
	}
	hash = store_stack(slot);
	if (slot->recorded)
		finish_memo(slot, hash);
	return hash;
}

#endif
