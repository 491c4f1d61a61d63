/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stacks that are stored once, under the 64-bit hash of their addresses: a map
 * of the kernel's own kind (BPF_MAP_TYPE_STACK_TRACE) throws a stack away when
 * another one has its place.
 */
#ifndef APUS_STACKS_BPF_H
#define APUS_STACKS_BPF_H

#include "../include/stacks.h"

#define STACKS_DEFAULT 16384
#define EFAULT 14

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, STACKS_DEFAULT);
	__type(key, __u64);
	__type(value, struct stack_trace);
} stacks SEC(".maps");

/* Where a stack is taken, by who takes it: one program may interrupt another. */
enum { STACK_SLOT_SWITCH, STACK_SLOT_WAKER, STACK_SLOTS };

/* For programs that are not alone on their CPU while they run: they choose among several. */
#ifndef EXTRA_STACK_SLOTS
#define EXTRA_STACK_SLOTS 0
#endif

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, STACK_SLOTS + EXTRA_STACK_SLOTS);
	__type(key, __u32);
	__type(value, struct stack_trace);
} stack_scratch SEC(".maps");

/* The finalizer of splitmix64 (Steele, Lea, Flood), applied to a running state. */
static __always_inline __u64 mix(__u64 state, __u64 value)
{
	state ^= value;
	state *= 0xbf58476d1ce4e5b9;
	state ^= state >> 27;
	state *= 0x94d049bb133111eb;
	return state ^ state >> 31;
}

/* Hash of the stack in a slot. A function of its own: verified once. */
__attribute__((noinline)) int hash_stack(__u32 slot)
{
	struct stack_trace *stack = bpf_map_lookup_elem(&stack_scratch, &slot);
	__u64 hash = 0x9e3779b97f4a7c15;

	if (!stack)
		return 0;
	for (__u32 i = 0; i < STACK_FRAMES; i++) {
		if (i >= stack->frames)
			break;
		hash = mix(hash, stack->addresses[i]);
	}
	stack->hash = hash ? hash : 1;
	return 1;
}

/* Takes a stack of the current task and stores it; its hash, 0 if there is none. */
static __always_inline __u64 take_stack(void *ctx, __u32 slot, __u64 flags)
{
	struct stack_trace *stack = bpf_map_lookup_elem(&stack_scratch, &slot);
	long bytes;

	if (!stack)
		return 0;
	bytes = bpf_get_stack(ctx, stack->addresses, sizeof(stack->addresses), flags);
	if (bytes <= 0)
		return 0;
	stack->frames = bytes / sizeof(__u64);
	hash_stack(slot);
	if (!bpf_map_lookup_elem(&stacks, &stack->hash) &&
	    bpf_map_update_elem(&stacks, &stack->hash, stack, BPF_ANY))
		__sync_fetch_and_add(&event_channel.lost_stacks, 1);
	return stack->hash;
}

#endif
