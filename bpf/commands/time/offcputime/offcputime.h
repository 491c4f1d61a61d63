/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef APUS_OFFCPUTIME_H
#define APUS_OFFCPUTIME_H

#include "stacks.h"

struct offcputime_config {
	__u64 least_ns; /* shorter blocks do not count */
	__u64 most_ns; /* nor do longer ones */
	__u64 states; /* bits of task->__state that count; all if 0 */
	__u32 sides; /* enum stack_sides */
	__u8 preempted; /* state 0 counts: the task could have gone on */
	__u8 user_tasks_only;
	__u8 kernel_tasks_only;
	__u8 wakers; /* remember who woke it, and from where */
	__u8 histograms; /* count how long blocks take, not how much they are by stack */
	__u8 reserved[7];
};

/* One way of being off the CPU. Stacks are known by the hash of their addresses; 0 for none. */
struct block_key {
	__u64 kernel_stack;
	__u64 user_stack;
	__u64 waker_kernel_stack;
	__u64 waker_user_stack;
	__u64 program; /* see PROGRAM_EXECUTION_BITS; 0 if it was off the CPU when we came */
	__u32 process;
	__u32 thread;
	__u32 waker_process;
	__u32 waker_thread;
	__u32 state; /* of the task when it was switched out; 0: preempted */
	__u32 before; /* not 0: it was off the CPU when we came; a number that the reader knows it by */
	char comm[TASK_COMM_BYTES];
	char waker_comm[TASK_COMM_BYTES];
};

/* What blocks of one histogram have in common. */
struct block_histogram_key {
	__u64 kernel_stack; /* tells the reader what was waited for */
	__u32 thread;
	__u32 state;
};

struct block_total {
	__u64 total_ns;
	__u64 count;
	__u64 first_ns; /* when the first block began, CLOCK_MONOTONIC */
	__u64 first_until_ns; /* and ended */
};

/* A task that is off the CPU right now. */
struct blocked_task {
	__u64 since_ns; /* 0: it runs */
	struct block_key key;
};

#endif
