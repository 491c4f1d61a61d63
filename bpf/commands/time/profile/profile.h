/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef APUS_PROFILE_H
#define APUS_PROFILE_H

#include "stacks.h"

struct profile_config {
	__u32 sides; /* enum stack_sides */
	__u32 include_idle;
};

/* Followed by the addresses: kernel_frames of the kernel's stack, then user_frames of the user's, leaf first. */
struct profile_event {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u64 program; /* see PROGRAM_EXECUTION_BITS */
	__u32 process;
	__u32 thread;
	__u32 cpu;
	__s32 kernel_error; /* why there is no kernel stack: minus an errno; 0 if there is one or none is wanted */
	__s32 user_error;
	__u16 kernel_frames;
	__u16 user_frames;
	__u64 deferred; /* the user's stack goes on where a deferred_stack with this number says; 0: it does not */
	__u8 user_end; /* enum stack_end */
	__u8 reserved[7];
	char comm[TASK_COMM_BYTES];
};

#endif
