/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef APUS_STACKS_H
#define APUS_STACKS_H

#include "runtime.h"

/* Frames of one stack: as many as kernel.perf_event_max_stack allows by default. */
#define STACK_FRAMES 127

enum stack_sides {
	STACK_KERNEL = 1 << 0,
	STACK_USER = 1 << 1,
};

struct stack_trace {
	__u64 hash;
	__u32 frames;
	__u32 reserved;
	__u64 addresses[STACK_FRAMES]; /* the leaf first */
};

#endif
