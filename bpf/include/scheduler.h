/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the commands that watch the scheduler share with their programs. */
#ifndef APUS_SCHEDULER_H
#define APUS_SCHEDULER_H

#include "histogram.h"
#include "runtime.h"

/* Why a task was runnable without running. */
enum wait_kind {
	WAIT_NONE = 0,
	WAIT_WOKEN = 1, /* it had been woken */
	WAIT_PREEMPTED = 2, /* it had been put off its CPU while it could have gone on */
	WAIT_NEW = 3, /* it had just been created */
};

/* What runqlat and cpudist measure. */
enum measured_time {
	MEASURE_RUN_QUEUE = 0, /* runnable, until it runs */
	MEASURE_ON_CPU = 1, /* running, until it is switched out */
	MEASURE_OFF_CPU = 2, /* switched out, until it runs again */
};

struct sched_config {
	__u64 threshold_ns; /* report waits longer than this */
	__u8 wakeups_only; /* a preempted task does not count as waiting */
	__u8 report; /* send an event for each long wait */
	__u8 runners; /* remember who ran, and send it with the event */
	__u8 count; /* keep histograms */
	__u8 by; /* enum histogram_by */
	__u8 measure; /* enum measured_time */
	__u8 include_idle; /* cpudist: the idle task is a task too */
	__u8 reserved;
};

/* The last runs of a CPU. Waits in which more tasks ran are reported with what is remembered. */
#define RUNS_REMEMBERED 128

struct wait_run {
	__u64 held_ns; /* how much of the wait it had the CPU */
	__u32 thread; /* 0 for the idle task */
	__s32 priority; /* the kernel's: 0 to 99 real time, 100 to 139 others */
	__u32 policy;
	__u32 reserved;
	char comm[TASK_COMM_BYTES];
};

/* Followed by run_count struct wait_run, the last one first. */
struct wait_event {
	__u64 time_ns; /* CLOCK_MONOTONIC when the task got to run */
	__u64 wait_ns;
	__u64 throttled_ns; /* by which the throttled time of its cgroups grew meanwhile */
	__u64 interrupt_ns; /* for which interrupts and softirqs had the CPU meanwhile */
	__u32 process;
	__u32 thread;
	__u32 own_thread; /* its number in its own PID namespace */
	__u32 previous; /* the thread that was switched out */
	__u32 cpu;
	__u32 from_cpu; /* where it was preempted, or woken from */
	__s32 priority;
	__u32 policy;
	__s32 previous_priority;
	__u32 previous_policy;
	__u16 run_count;
	__u8 kind; /* enum wait_kind */
	__u8 runs_cut; /* earlier runs of the wait are no longer remembered */
	__u32 reserved;
	char comm[TASK_COMM_BYTES];
	char previous_comm[TASK_COMM_BYTES];
};

#endif
