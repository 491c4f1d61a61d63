/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef APUS_STACKCOUNT_H
#define APUS_STACKCOUNT_H

#include "stacks.h"

struct stackcount_config {
	__u32 sides; /* enum stack_sides */
	__u32 by_process; /* keep processes apart where only kernel stacks are taken */
	__s32 cpu; /* the only one that counts; -1: all */
	__u32 reserved;
};

/* Stacks are known by the hash of their addresses; 0 for none. */
struct counted_stack {
	__u64 kernel_stack;
	__u64 user_stack;
	__u64 program; /* see PROGRAM_EXECUTION_BITS; 0: whichever */
	__u32 process; /* 0: whichever */
	__u32 cpu; /* each counts for itself */
	char comm[TASK_COMM_BYTES];
};

struct stack_count {
	__u64 count;
	__u64 first_ns; /* when the first was counted, CLOCK_MONOTONIC */
};

#endif
