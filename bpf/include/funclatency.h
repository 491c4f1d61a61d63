/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef APUS_FUNCLATENCY_H
#define APUS_FUNCLATENCY_H

#include <linux/types.h>

#include "funccount.h"
#include "histogram.h"

/* Calls of a thread that are under way: of user functions the kernel follows no more (MAX_URETPROBE_DEPTH). */
#define CALL_LEVELS 64

/* What histograms are kept of, added up. The key's id has the probe's number in its upper half. */
enum latency_key {
	LATENCY_OF_FUNCTION = 1 << 0,
	LATENCY_OF_PROCESS = 1 << 1,
	LATENCY_OF_THREAD = 1 << 2,
};

struct funclatency_config {
	__u32 by; /* enum latency_key */
	__u32 levels; /* at most CALL_LEVELS */
	__s32 cpu; /* the only one whose calls are timed; -1: all */
	__u32 of_kernel; /* the functions are the kernel's */
};

/* A call that is under way. */
struct call {
	__u64 sp; /* where its return address is */
	__u64 start_ns;
	__u32 probe;
	__u32 reserved;
};

struct thread_calls {
	__u32 depth;
	__u32 reserved;
	struct call calls[CALL_LEVELS];
};

#endif
