/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Following tasks through the scheduler: since when each is runnable, and who
 * had each CPU.
 */
#ifndef APUS_SCHED_BPF_H
#define APUS_SCHED_BPF_H

#include "../include/scheduler.h"
#include "task.bpf.h"
#include "task_histogram.bpf.h"

#define TASKS_REMEMBERED 65536
#define THROTTLE_DEPTH 4 /* levels of cgroups whose bandwidth limits are looked at */

const volatile struct sched_config sched_config;

struct wait {
	__u64 since_ns; /* 0: it does not wait */
	__u64 throttled_ns; /* of its cgroups when the wait began */
	__u32 cpu;
	__u32 kind; /* enum wait_kind */
};

/*
 * An entry stays as long as its thread lives, to be used again, and goes when
 * the thread is switched out for the last time: however many threads come and
 * go, there are no more entries than threads alive.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TASKS_REMEMBERED);
	__type(key, __u32);
	__type(value, struct wait);
} waits SEC(".maps");

/* The kernel's own IDs, whatever namespace is shown: keys must be unique. */
static __always_inline bool scheduled_task_wanted(struct task_struct *task, __u32 process,
						  __u32 thread)
{
	if (!task_filter.pid_namespace)
		return task_wanted(task, process, thread);
	return task_wanted(task, process_number(task), thread_number(task));
}

/* The sum of the times for which a bandwidth limit has held up the task's cgroups. */
static __always_inline __u64 throttled_time(struct task_struct *task, bool direct)
{
	struct task_group *group;
	__u64 sum = 0;

	if (!bpf_core_field_exists(struct task_group, cfs_bandwidth))
		return 0;
	group = TASK_FIELD(direct, task, sched_task_group);
	for (int level = 0; level < THROTTLE_DEPTH && group; level++) {
		struct task_group *parent = BPF_CORE_READ(group, parent);

		if (!parent)
			break; /* the root has no limit */
		sum += BPF_CORE_READ(group, cfs_bandwidth.throttled_time);
		group = parent;
	}
	return sum;
}

static __always_inline void begin_wait(struct task_struct *task, __u32 thread, __u64 now,
				       __u32 kind, bool direct)
{
	struct wait *known = bpf_map_lookup_elem(&waits, &thread);
	struct wait wait = {
		.since_ns = now,
		.cpu = bpf_get_smp_processor_id(),
		.kind = kind,
	};

	if (sched_config.runners)
		wait.throttled_ns = throttled_time(task, direct);
	if (known)
		*known = wait;
	else if (bpf_map_update_elem(&waits, &thread, &wait, BPF_ANY))
		__sync_fetch_and_add(&event_channel.lost_state, 1);
}

/*
 * A task may be woken before it is off its CPU: the waking is then traced before the switch. So a switch to
 * sleep leaves the entry alone. If that waking was for nothing (the task had not slept), the next one, without
 * which it cannot run again, sets the time anew.
 */
static __always_inline void on_waking(struct task_struct *task, __u32 kind, bool direct)
{
	__u32 thread = TASK_FIELD(direct, task, pid), process = TASK_FIELD(direct, task, tgid);

	if (scheduled_task_wanted(task, process, thread))
		begin_wait(task, thread, bpf_ktime_get_ns(), kind, direct);
}

static __always_inline void forget_task(__u32 thread)
{
	bpf_map_delete_elem(&waits, &thread);
}

/* A task leaves the CPU: for good, or to wait for it again, or to sleep, which is not our business. */
static __always_inline void switched_out(struct task_struct *task, __u32 thread, __u64 now,
					 bool preempted, bool direct)
{
	__u32 state;

	if (!thread)
		return;
	state = task_state(task);
	if (state & TASK_DEAD)
		forget_task(thread);
	else if (!sched_config.wakeups_only && (preempted || state == TASK_RUNNING) &&
		 scheduled_task_wanted(task, TASK_FIELD(direct, task, tgid), thread))
		begin_wait(task, thread, now, WAIT_PREEMPTED, direct);
}

/*
 * The hooks, once for kernels with types and once for others, around one body:
 * on_switch(previous, next, preempted, direct).
 */
#define SCHED_PROGRAMS(on_switch)                                                   \
	SEC("tp_btf/sched_waking")                                                  \
	int BPF_PROG(waking, struct task_struct *task)                              \
	{                                                                           \
		on_waking(task, WAIT_WOKEN, DIRECT);                                \
		return 0;                                                           \
	}                                                                           \
	SEC("tp_btf/sched_wakeup_new")                                              \
	int BPF_PROG(wakeup_new, struct task_struct *task)                          \
	{                                                                           \
		on_waking(task, WAIT_NEW, DIRECT);                                  \
		return 0;                                                           \
	}                                                                           \
	SEC("raw_tp/sched_waking")                                                  \
	int waking_raw(struct bpf_raw_tracepoint_args *ctx)                         \
	{                                                                           \
		on_waking((struct task_struct *)ctx->args[0], WAIT_WOKEN, CHECKED); \
		return 0;                                                           \
	}                                                                           \
	SEC("raw_tp/sched_wakeup_new")                                              \
	int wakeup_new_raw(struct bpf_raw_tracepoint_args *ctx)                     \
	{                                                                           \
		on_waking((struct task_struct *)ctx->args[0], WAIT_NEW, CHECKED);   \
		return 0;                                                           \
	}                                                                           \
	SWITCH_PROGRAMS(on_switch)

#define SWITCH_PROGRAMS(on_switch)                                                           \
	SEC("tp_btf/sched_switch")                                                           \
	int BPF_PROG(sched_switch, bool preempted, struct task_struct *previous,             \
		     struct task_struct *next)                                               \
	{                                                                                    \
		return on_switch(previous, next, preempted, DIRECT);                         \
	}                                                                                    \
	SEC("raw_tp/sched_switch")                                                           \
	int sched_switch_raw(struct bpf_raw_tracepoint_args *ctx)                            \
	{                                                                                    \
		return on_switch((struct task_struct *)ctx->args[1],                         \
				 (struct task_struct *)ctx->args[2], ctx->args[0], CHECKED); \
	}

#endif
