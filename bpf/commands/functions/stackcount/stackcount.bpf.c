// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* How often functions and tracepoints are reached, by the stack on which they are. */
#include "lib/kernel.h"
#include "lib/core_fixes.bpf.h"
#include "lib/events.bpf.h"
#include "lib/filter.bpf.h"
#include "lib/process_events.bpf.h"
#include "lib/stacks.bpf.h"
#include "lib/task.bpf.h"
#include "lib/call_probes.bpf.h"
#include "lib/counting.bpf.h"
#include "lib/user_probe.bpf.h"
#include "stackcount.h"

#define TOTALS 40960

const volatile struct stackcount_config stackcount_config;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TOTALS);
	__type(key, struct counted_stack);
	__type(value, struct stack_count);
} counted SEC(".maps");

static __always_inline void add_one(struct counted_stack *key)
{
	struct stack_count *total = bpf_map_lookup_elem(&counted, key), first = {};

	if (!total) {
		first.first_ns = bpf_ktime_get_ns();
		bpf_map_update_elem(&counted, key, &first, BPF_NOEXIST);
		total = bpf_map_lookup_elem(&counted, key);
	}
	if (total)
		__sync_fetch_and_add(&total->count, 1);
	else
		__sync_fetch_and_add(&event_channel.lost_totals, 1);
}

static __always_inline int count_stack(void *ctx, bool by_tables)
{
	struct counted_stack key = {.cpu = bpf_get_smp_processor_id()};
	__u64 ids = current_ids();
	__u32 process = ids >> 32, id = 0;
	struct stack_slot *slot;

	if (!is_counting())
		return 0;
	if (stackcount_config.cpu >= 0 && key.cpu != (__u32)stackcount_config.cpu)
		return 0;
	if (!current_task_wanted(ids))
		return 0;
	if (stackcount_config.sides & STACK_USER || stackcount_config.by_process) {
		key.process = process;
		key.program = current_program();
		bpf_get_current_comm(key.comm, sizeof(key.comm));
	}
	slot = hold_slot(&id);
	if (!slot) {
		__sync_fetch_and_add(&event_channel.lost_stacks, 1);
		add_one(&key);
		return 0;
	}
	if (stackcount_config.sides & STACK_KERNEL)
		key.kernel_stack = take_kernel_stack(ctx, slot, id);
	if (stackcount_config.sides & STACK_USER) {
		key.user_stack = take_user_stack(ctx, slot, id, process, by_tables, FROM_LEAF);
		if (!slot->recalled)
			tell_reader(process, slot->end);
	}
	release_slot(slot);
	add_one(&key);
	return 0;
}

/* One program for each way to attach it, with and without tables. None has to know which place it is at. */
#define PROGRAMS(section, name, first)                      \
	SEC(section)                                        \
	int name(void *ctx)                                 \
	{                                                   \
		first(ctx);                                 \
		return count_stack(ctx, BY_TABLES);         \
	}                                                   \
	SEC(section)                                        \
	int name##_fp(void *ctx)                            \
	{                                                   \
		first(ctx);                                 \
		return count_stack(ctx, BY_FRAME_POINTERS); \
	}
#define NOTHING(ctx)
#define ONLY_WITH_PROBE(ctx)                \
	__u64 number;                       \
	if (!find_call_probe(ctx, &number)) \
		return 0;
#define STAY_ONE(ctx) STAY_ON_KERNEL_STACK(ctx, one)
#define STAY_MANY(ctx) STAY_ON_KERNEL_STACK(ctx, many)

PROGRAMS("raw_tp", stack_of_raw_tracepoint, NOTHING)
PROGRAMS("raw_tp", stack_of_system_call, ONLY_WITH_PROBE)
PROGRAMS("tracepoint", stack_of_tracepoint, NOTHING)
PROGRAMS("kprobe", stack_of_function, STAY_ONE)
PROGRAMS("uprobe", stack_of_user_functions, STAY_MANY)
PROGRAMS("kprobe", stack_of_kernel_functions, NOTHING)

char LICENSE[] SEC("license") = "Dual BSD/GPL";
