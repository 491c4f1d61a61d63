// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Processes, or threads, that end: with which status, and how old. */
#include "lib/kernel.h"
#include "lib/core_fixes.bpf.h"
#include "lib/events.bpf.h"
#include "lib/filter.bpf.h"
#include "exitsnoop.h"

#define SIGNAL_GROUP_EXIT 4 /* linux/sched/signal.h: group_exit_code is what counts */
#define ENDED_REMEMBERED 4096

const volatile struct exitsnoop_config exitsnoop_config;

/* Puts the type into the object, where a test compares it with Swift's. */
const struct exit_event *exit_event_type;

struct ended_process {
	__u64 start_ns;
	__u32 process;
	__u32 reserved;
};

/*
 * Two threads that end at the same moment can both find that no other is alive:
 * the first one to get here speaks for the process.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, ENDED_REMEMBERED);
	__type(key, struct ended_process);
	__type(value, __u8);
} ended SEC(".maps");

#define EEXIST 17

/* What wait(2) will tell of the process (wait_task_zombie in kernel/exit.c). */
static __always_inline __u32 process_status(struct task_struct *leader)
{
	struct signal_struct *signal = BPF_CORE_READ(leader, signal);

	if (BPF_CORE_READ(signal, flags) & SIGNAL_GROUP_EXIT)
		return BPF_CORE_READ(signal, group_exit_code);
	return BPF_CORE_READ(leader, exit_code);
}

static __always_inline bool first_to_speak(struct task_struct *leader, __u32 process)
{
	struct ended_process key = {
		.start_ns = BPF_CORE_READ(leader, start_time),
		.process = process,
	};
	__u8 present = 1;

	return bpf_map_update_elem(&ended, &key, &present, BPF_NOEXIST) != -EEXIST;
}

static __always_inline void on_exit(struct task_struct *task, __u64 ids, bool last)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	struct exit_event event = {};

	if (!exitsnoop_config.threads && (!last || !first_to_speak(leader, ids >> 32)))
		return;
	if (!exitsnoop_config.threads)
		task = leader;
	event.status =
		exitsnoop_config.threads ? BPF_CORE_READ(task, exit_code) : process_status(leader);
	if (exitsnoop_config.failed_only && !event.status)
		return;
	event.time_ns = bpf_ktime_get_ns();
	event.start_ns = BPF_CORE_READ(task, start_time);
	event.cgroup = exitsnoop_config.cgroup ? bpf_get_current_cgroup_id() : 0;
	event.process = ids >> 32;
	event.thread = ids;
	event.parent = process_number(BPF_CORE_READ(task, real_parent));
	event.user = bpf_get_current_uid_gid();
	BPF_CORE_READ_INTO(&event.comm, task, comm);
	BPF_CORE_READ_INTO(&event.parent_comm, task, real_parent, group_leader, comm);
	send_record(&event, sizeof(event));
}

static __always_inline int ended_task(struct task_struct *task)
{
	__u64 ids = current_ids();
	__u32 process = ids >> 32;
	/* live has been counted down by now: zero says that this was the last thread */
	bool last = BPF_CORE_READ(task, signal, live.counter) == 0;

	if (current_task_wanted(ids))
		on_exit(task, ids, last);
	/* The part of follow_exit, which would come too early. */
	if (last && !exitsnoop_config.threads)
		bpf_map_delete_elem(&filter_processes, &process);
	return 0;
}

SEC("raw_tp/sched_process_exit")
int task_ended(struct bpf_raw_tracepoint_args *ctx)
{
	return ended_task((struct task_struct *)ctx->args[0]);
}

/* Where others can be preempted: see AT_SYSCALL_RETURN. */
SEC("tp/sched/sched_process_exit")
int task_ended_record(void *record)
{
	return ended_task((struct task_struct *)bpf_get_current_task());
}

/*
 * By thread, even that is too early: another one, counted down before, may be on its way to the tracepoint. The first
 * thread of a process is freed after all others.
 */
SEC("raw_tp/sched_process_free")
int task_freed(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	__u32 process = BPF_CORE_READ(task, tgid);

	/* It has no number in a PID namespace any more: there, numbers stay until the map is full, which is counted. */
	if (!task_filter.pid_namespace && process == (__u32)BPF_CORE_READ(task, pid))
		bpf_map_delete_elem(&filter_processes, &process);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
