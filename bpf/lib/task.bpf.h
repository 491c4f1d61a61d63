/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fields of a task, read through a pointer that the verifier trusts where
 * there is one (DIRECT), by a checked copy elsewhere.
 */
#ifndef APUS_TASK_BPF_H
#define APUS_TASK_BPF_H

#include "../include/stacks.h"

#define DIRECT true
#define CHECKED false
#define TASK_FIELD(direct, task, field) \
	((direct) ? (task)->field : BPF_CORE_READ((struct task_struct *)(task), field))

/* When the task's process was started, CLOCK_MONOTONIC: tells it from others that have its number later. */
static __always_inline __u64 process_start(struct task_struct *task)
{
	return BPF_CORE_READ(task, group_leader, start_time);
}

/* What the task executes: see PROGRAM_EXECUTION_BITS. */
static __always_inline __u64 program_of(struct task_struct *task, bool direct)
{
	struct task_struct *leader = TASK_FIELD(direct, task, group_leader);
	__u64 started = TASK_FIELD(direct, leader, start_time);
	__u64 executed = TASK_FIELD(direct, task, self_exec_id);

	return started >> PROGRAM_EXECUTION_BITS << PROGRAM_EXECUTION_BITS |
	       (executed & ((1 << PROGRAM_EXECUTION_BITS) - 1));
}

static __always_inline __u64 current_program(void)
{
	return program_of((struct task_struct *)bpf_get_current_task(), CHECKED);
}

#define TASK_RUNNING 0
#define TASK_DEAD 0x80 /* in prev->__state at its last switch (linux/sched.h) */

#endif
