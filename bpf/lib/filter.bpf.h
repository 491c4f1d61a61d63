/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The filters that every command offers, applied to the current task before
 * anything else is done, and the two programs behind --follow.
 */
#ifndef APUS_FILTER_BPF_H
#define APUS_FILTER_BPF_H

#include "../include/runtime.h"

const volatile struct task_filter task_filter;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u8);
} filter_processes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u8);
} filter_threads SEC(".maps");

/* A map that somebody else fills takes the place of these. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u32);
} filter_cgroups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u32);
} filter_mount_namespaces SEC(".maps");

#define PID_NAMESPACE_LEVELS 32 /* MAX_PID_NS_LEVEL */

/* A task's number in the PID namespace with this inode number; 0 if it has none there. */
static __always_inline __u32 number_in_namespace(struct task_struct *task, __u32 namespace)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	__u32 top = BPF_CORE_READ(pid, level);
	struct upid number;

	for (__u32 level = 0; level <= PID_NAMESPACE_LEVELS; level++) {
		if (level > top)
			break;
		bpf_core_read(&number, sizeof(number), &pid->numbers[level]);
		if (BPF_CORE_READ(number.ns, ns.inum) == namespace)
			return number.nr;
	}
	return 0;
}

/* A task's number in the PID namespace that it lives in itself, and the inode number of that. */
static __always_inline __u32 own_number(struct task_struct *task, __u32 *namespace)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	__u32 level = BPF_CORE_READ(pid, level);
	struct upid number = {};

	if (level <= PID_NAMESPACE_LEVELS)
		bpf_core_read(&number, sizeof(number), &pid->numbers[level]);
	*namespace = BPF_CORE_READ(number.ns, ns.inum);
	return number.nr;
}

static __always_inline __u32 process_number(struct task_struct *task)
{
	if (task_filter.pid_namespace)
		return number_in_namespace(BPF_CORE_READ(task, group_leader),
					   task_filter.pid_namespace);
	return BPF_CORE_READ(task, tgid);
}

/* bpf_get_current_pid_tgid() in the numbering of the namespace that we show. */
static __always_inline __u64 current_ids(void)
{
	struct task_struct *task;

	if (!task_filter.pid_namespace)
		return bpf_get_current_pid_tgid();
	task = (struct task_struct *)bpf_get_current_task();
	return (__u64)process_number(task) << 32 |
	       number_in_namespace(task, task_filter.pid_namespace);
}

/* thread_number() is to process_number() what gettid() is to getpid(). */
static __always_inline __u32 thread_number(struct task_struct *task)
{
	if (task_filter.pid_namespace)
		return number_in_namespace(task, task_filter.pid_namespace);
	return BPF_CORE_READ(task, pid);
}

static __always_inline bool comm_matches(struct task_struct *task)
{
	char comm[TASK_COMM_BYTES] = {};
	__u32 matched = 0, found = 0;

	BPF_CORE_READ_STR_INTO(&comm, task, comm);
	for (int i = 0; i < TASK_COMM_BYTES; i++) {
		matched = (matched << 1 | (!i || !task_filter.comm_prefix)) &
			  task_filter.comm_positions[(__u8)comm[i]];
		found |= matched & task_filter.comm_accept;
	}
	return found;
}

#define CGROUP_DEPTH 32 /* more levels than anybody nests */

/* The cgroup v2 that a task is in. */
static __always_inline __u64 cgroup_id(struct task_struct *task)
{
	return BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
}

static __always_inline bool in_cgroup(struct task_struct *task, __u64 wanted)
{
	struct cgroup *cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp);
	struct cgroup_subsys_state *parent;

	for (int level = 0; level < CGROUP_DEPTH; level++) {
		if (BPF_CORE_READ(cgroup, kn, id) == wanted)
			return true;
		parent = BPF_CORE_READ(cgroup, self.parent);
		if (!parent)
			return false;
		cgroup = BPF_CORE_READ(parent, cgroup);
	}
	return false;
}

static __always_inline __u32 mount_namespace(struct task_struct *task)
{
	return BPF_CORE_READ(task, nsproxy, mnt_ns, ns.inum);
}

/* Whether the maps of others have the task's cgroup and mount namespace. */
static __always_inline bool in_foreign_maps(struct task_struct *task)
{
	__u64 cgroup, namespace;

	if (task_filter.flags & FILTER_CGROUP_MAP) {
		cgroup = cgroup_id(task);
		if (!bpf_map_lookup_elem(&filter_cgroups, &cgroup))
			return false;
	}
	if (task_filter.flags & FILTER_MOUNT_NAMESPACE_MAP) {
		namespace = mount_namespace(task);
		if (!bpf_map_lookup_elem(&filter_mount_namespaces, &namespace))
			return false;
	}
	return true;
}

/* Whether a task with these IDs is one to report. Cheap tests first. */
static __always_inline bool task_wanted(struct task_struct *task, __u32 process, __u32 thread)
{
	__u32 flags = task_filter.flags;
	bool wanted = !(flags & (FILTER_PROCESS | FILTER_THREAD));

	if (process == task_filter.self || !process)
		return false;
	if (flags & FILTER_PROCESS && bpf_map_lookup_elem(&filter_processes, &process))
		wanted = true;
	if (flags & FILTER_THREAD && !wanted && bpf_map_lookup_elem(&filter_threads, &thread))
		wanted = true;
	if (!wanted)
		return false;
	if (flags & FILTER_USER && BPF_CORE_READ(task, cred, uid.val) != task_filter.user)
		return false;
	if (flags & FILTER_COMM && !comm_matches(task))
		return false;
	if (flags & FILTER_CGROUP && !in_cgroup(task, task_filter.cgroup))
		return false;
	if (flags & FILTER_MOUNT_NAMESPACE && mount_namespace(task) != task_filter.mount_namespace)
		return false;
	return !(flags & (FILTER_CGROUP_MAP | FILTER_MOUNT_NAMESPACE_MAP)) || in_foreign_maps(task);
}

static __always_inline bool current_task_wanted(__u64 ids)
{
	struct task_struct *task = NULL;

	if (task_filter.flags & ~(__u32)(FILTER_PROCESS | FILTER_THREAD))
		task = (struct task_struct *)bpf_get_current_task();
	return task_wanted(task, ids >> 32, ids);
}

/* In sched_process_exit: whether the process ends with this thread. `live` has been counted down by then. */
static __always_inline bool is_last_thread(struct task_struct *task)
{
	return BPF_CORE_READ(task, signal, live.counter) == 0;
}

extern struct event_channel event_channel;

static __always_inline int on_fork(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *parent = (struct task_struct *)ctx->args[0];
	struct task_struct *child = (struct task_struct *)ctx->args[1];
	__u32 from = process_number(parent), to = process_number(child);
	__u8 present = 1;

	if (from == to || !to || !bpf_map_lookup_elem(&filter_processes, &from))
		return 0;
	if (bpf_map_update_elem(&filter_processes, &to, &present, BPF_ANY))
		__sync_fetch_and_add(&event_channel.lost_targets, 1);
	return 0;
}

/* --follow: a wanted process's children are wanted too. */
SEC("raw_tp/sched_process_fork")
int follow_fork(struct bpf_raw_tracepoint_args *ctx)
{
	return on_fork(ctx);
}

/*
 * The same once more, where programs can be preempted (see AT_SYSCALL_RETURN) and no record of an event holds what is
 * needed here: while one of the two is left out, the other one runs.
 */
SEC("raw_tp/sched_process_fork")
int follow_fork_again(struct bpf_raw_tracepoint_args *ctx)
{
	return on_fork(ctx);
}

SEC("raw_tp/sched_process_exit")
int follow_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	__u32 process = process_number(task);

	if (is_last_thread(task))
		bpf_map_delete_elem(&filter_processes, &process);
	return 0;
}

#endif
