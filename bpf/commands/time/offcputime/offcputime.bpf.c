// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Time that tasks spend off the CPU, by the stack on which they left it. The
 * stack is taken when a task is switched out; it counts when the task is back.
 */
#include "lib/kernel.h"
#include "lib/core_fixes.bpf.h"
#include "lib/events.bpf.h"
#include "lib/filter.bpf.h"
#include "lib/process_events.bpf.h"
#include "lib/stacks.bpf.h"
#include "lib/task.bpf.h"
#include "offcputime.h"

#define HISTOGRAM_KEY struct block_histogram_key
#include "lib/histogram.bpf.h"

#define PF_KTHREAD 0x00200000
#define TASKS 65536
#define TOTALS_DEFAULT 40960

const volatile struct offcputime_config offcputime_config;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TASKS);
	__type(key, __u32);
	__type(value, struct blocked_task);
} blocked SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TOTALS_DEFAULT);
	__type(key, struct block_key);
	__type(value, struct block_total);
} totals SEC(".maps");

/* An empty one to start from: too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct blocked_task);
} empty_entry SEC(".maps");

static __always_inline bool block_wanted(struct task_struct *task, __u32 state, bool kernel_task,
					 __u32 process, __u32 thread)
{
	if (state == 0 ? !offcputime_config.preempted
		       : (offcputime_config.states && !(state & offcputime_config.states)))
		return false;
	if (kernel_task ? offcputime_config.user_tasks_only : offcputime_config.kernel_tasks_only)
		return false;
	return task_wanted(task, process, thread);
}

/* The entry of a thread that has none, made from an empty one. */
static __always_inline struct blocked_task *new_entry(__u32 thread)
{
	struct blocked_task *entry, *empty;
	__u32 zero = 0;

	empty = bpf_map_lookup_elem(&empty_entry, &zero);
	if (empty)
		bpf_map_update_elem(&blocked, &thread, empty, BPF_NOEXIST);
	entry = bpf_map_lookup_elem(&blocked, &thread);
	if (!entry)
		__sync_fetch_and_add(&event_channel.lost_state, 1);
	return entry;
}

static __always_inline void add_block(struct block_key *key, __u64 since, __u64 ns)
{
	struct block_total *total = bpf_map_lookup_elem(&totals, key), first = {};

	if (!total) {
		first.first_ns = since;
		first.first_until_ns = since + ns;
		bpf_map_update_elem(&totals, key, &first, BPF_NOEXIST);
		total = bpf_map_lookup_elem(&totals, key);
	}
	if (!total) {
		__sync_fetch_and_add(&event_channel.lost_totals, 1);
		return;
	}
	/* A key belongs to a thread, which is switched in on one CPU at a time: no atomics. */
	total->total_ns += ns;
	total->count++;
}

static __always_inline void add_to_histogram(const struct block_key *block, __u64 ns)
{
	struct block_histogram_key key = {
		.kernel_stack = block->kernel_stack,
		.thread = block->thread,
		.state = block->state,
	};
	struct histogram *histogram = histogram_of(&key);

	if (!histogram)
		return;
	if (!histogram->count) {
		histogram->process = block->process;
		histogram->thread = block->thread;
		__builtin_memcpy(histogram->comm, block->comm, sizeof(histogram->comm));
	}
	count_duration(histogram, ns);
}

static __always_inline void count_block(struct blocked_task *entry, __u64 until)
{
	__u64 since = entry->since_ns, ns = until - since;

	entry->since_ns = 0;
	if ((__s64)ns < 0 || ns < offcputime_config.least_ns || ns > offcputime_config.most_ns)
		return;
	if (offcputime_config.histograms)
		add_to_histogram(&entry->key, ns);
	else
		add_block(&entry->key, since, ns);
}

/*
 * Some kernels do not report every switch (seen on a virtual machine's 6.18, one in a thousand, by ftrace as
 * well). A task that is switched out but was never seen to come back has run for as long as the scheduler has
 * charged it since it was picked. Only the fair class notes that; of others the whole time counts as blocked.
 */
static __always_inline void count_unfinished(struct blocked_task *entry, struct task_struct *task,
					     __u64 now)
{
	__u64 charged = BPF_CORE_READ(task, se.sum_exec_runtime);
	__u64 before = BPF_CORE_READ(task, se.prev_sum_exec_runtime), ran = charged - before;

	if (ran > now - entry->since_ns)
		ran = 0;
	count_block(entry, now - ran);
}

/* The stacks of the current task, which is switched out. */
static __always_inline void take_stacks(void *ctx, struct blocked_task *entry, __u32 process,
					bool kernel_task, bool by_tables)
{
	struct stack_slot *slot;
	__u32 id = 0;

	entry->key.kernel_stack = entry->key.user_stack = 0;
	slot = hold_slot(&id);
	if (!slot) {
		__sync_fetch_and_add(&event_channel.lost_stacks, 1);
		return;
	}
	if (offcputime_config.sides & STACK_KERNEL)
		entry->key.kernel_stack = take_kernel_stack(ctx, slot, id);
	if (offcputime_config.sides & STACK_USER && !kernel_task) {
		entry->key.user_stack =
			take_user_stack(ctx, slot, id, process, by_tables, FROM_LEAF);
		if (!slot->recalled)
			tell_reader(process, slot->end);
	}
	release_slot(slot);
}

static __always_inline void block_begins(void *ctx, struct task_struct *task, bool preempted,
					 bool direct, bool by_tables)
{
	__u32 thread = TASK_FIELD(direct, task, pid), process, number, state;
	struct blocked_task *entry;
	bool kernel_task;

	if (!thread)
		return;
	entry = bpf_map_lookup_elem(&blocked, &thread);
	if (entry && entry->since_ns)
		count_unfinished(entry, task, bpf_ktime_get_ns());
	state = preempted ? 0 : task_state(task);
	if (state & TASK_DEAD) {
		bpf_map_delete_elem(&blocked, &thread);
		return;
	}
	number = task_filter.pid_namespace ? thread_number(task) : thread;
	process = task_filter.pid_namespace ? process_number(task)
					    : (__u32)TASK_FIELD(direct, task, tgid);
	kernel_task = TASK_FIELD(direct, task, flags) & PF_KTHREAD;
	if (!block_wanted(task, state, kernel_task, process, number))
		return;
	if (!entry)
		entry = new_entry(thread);
	if (!entry)
		return;
	entry->key.program = program_of(task, direct);
	entry->key.process = process;
	entry->key.thread = number;
	entry->key.state = state;
	entry->key.before = 0;
	bpf_probe_read_kernel(entry->key.comm, sizeof(entry->key.comm), &task->comm);
	if (offcputime_config.wakers) {
		entry->key.waker_process = entry->key.waker_thread = 0;
		entry->key.waker_kernel_stack = entry->key.waker_user_stack = 0;
		__builtin_memset(entry->key.waker_comm, 0, sizeof(entry->key.waker_comm));
	}
	take_stacks(ctx, entry, process, kernel_task, by_tables);
	entry->since_ns = bpf_ktime_get_ns();
}

static __always_inline void block_ends(struct task_struct *task, bool direct)
{
	__u32 thread = TASK_FIELD(direct, task, pid);
	struct blocked_task *entry;

	entry = thread ? bpf_map_lookup_elem(&blocked, &thread) : NULL;
	if (entry && entry->since_ns)
		count_block(entry, bpf_ktime_get_ns());
}

SEC("tp_btf/sched_switch")
int BPF_PROG(sched_switch, bool preempted, struct task_struct *previous, struct task_struct *next)
{
	block_ends(next, DIRECT);
	block_begins(ctx, previous, preempted, DIRECT, BY_TABLES);
	return 0;
}

static __always_inline int on_switch_raw(struct bpf_raw_tracepoint_args *ctx, bool by_tables)
{
	block_ends((struct task_struct *)ctx->args[2], CHECKED);
	block_begins(ctx, (struct task_struct *)ctx->args[1], ctx->args[0], CHECKED, by_tables);
	return 0;
}

SEC("raw_tp/sched_switch")
int sched_switch_raw(struct bpf_raw_tracepoint_args *ctx)
{
	return on_switch_raw(ctx, BY_TABLES);
}

SEC("raw_tp/sched_switch")
int sched_switch_fp(struct bpf_raw_tracepoint_args *ctx)
{
	return on_switch_raw(ctx, BY_FRAME_POINTERS);
}

/* --wakers: the last waking before the task runs is the one that counts. */
static __always_inline void on_waking(void *ctx, struct task_struct *task, bool by_tables)
{
	__u32 thread = BPF_CORE_READ(task, pid), id = 0;
	struct blocked_task *entry = bpf_map_lookup_elem(&blocked, &thread);
	struct stack_slot *slot;
	__u64 ids;

	if (!entry || !entry->since_ns)
		return;
	ids = current_ids();
	entry->key.waker_process = ids >> 32;
	entry->key.waker_thread = ids;
	bpf_get_current_comm(entry->key.waker_comm, sizeof(entry->key.waker_comm));
	slot = hold_slot(&id);
	if (!slot) {
		__sync_fetch_and_add(&event_channel.lost_stacks, 1);
		return;
	}
	if (offcputime_config.sides & STACK_KERNEL)
		entry->key.waker_kernel_stack = take_kernel_stack(ctx, slot, id);
	if (offcputime_config.sides & STACK_USER && entry->key.waker_process) {
		entry->key.waker_user_stack =
			take_user_stack(ctx, slot, id, ids >> 32, by_tables, FROM_LEAF);
		if (!slot->recalled)
			tell_reader(ids >> 32, slot->end);
	}
	release_slot(slot);
}

SEC("raw_tp/sched_waking")
int waking(struct bpf_raw_tracepoint_args *ctx)
{
	on_waking(ctx, (struct task_struct *)ctx->args[0], BY_TABLES);
	return 0;
}

SEC("raw_tp/sched_waking")
int waking_fp(struct bpf_raw_tracepoint_args *ctx)
{
	on_waking(ctx, (struct task_struct *)ctx->args[0], BY_FRAME_POINTERS);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
