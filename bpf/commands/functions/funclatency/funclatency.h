/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef APUS_FUNCLATENCY_H
#define APUS_FUNCLATENCY_H

#include <linux/types.h>

#include "probe_number.h"
#include "histogram.h"

/* Calls of kernel functions of a thread that are under way. */
#define CALL_LEVELS 64

/* Functions that have jumped to each other in the end, and return at once. */
#define JUMPS 16

/* What histograms are kept of, added up. The key's id has the probe's number in its upper half. */
enum latency_key {
	LATENCY_OF_FUNCTION = 1 << 0,
	LATENCY_OF_PROCESS = 1 << 1,
	LATENCY_OF_THREAD = 1 << 2,
};

struct funclatency_config {
	__u32 by; /* enum latency_key */
	__u32 levels; /* at most CALL_LEVELS; 0: as many as there are of user functions */
	__s32 cpu; /* the only one whose calls are timed; -1: all */
	__u32 of_kernel; /* the functions are the kernel's */
};

/* In the number of a probe at an entry: the function may end by a jump to another one. */
#define MAY_JUMP (1U << 31)

/* A call of a kernel function that is under way. */
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

/* Which call of a user function is under way. Any thread of the process may end it: some move stacks to others. */
struct user_call_key {
	__u64 program; /* what the process executes: program_of() */
	__u64 sp; /* where its return address is */
	__u32 jumps; /* how many functions have jumped on until this one was reached */
	__u32 reserved;
};

struct user_call {
	__u64 start_ns;
	__u64 return_address;
	__u64 outer_sp; /* of the call around it in the same thread; 0 if there is none, or no limit of levels */
	__u32 probe; /* with MAY_JUMP */
	__u16 level; /* 1 for the outermost, if there is a limit */
	__u16 jumps; /* of the first with this return address: how many functions have jumped on since */
};

/* Calls of user functions that are kept in mind. */
#define USER_CALLS 65536

/* What is counted of calls of user functions, on each CPU. */
enum user_call_count {
	USER_CALLS_BEGUN,
	USER_CALLS_ENDED,
	/* by a jump or an exception: another call has their place */
	USER_CALLS_LEFT,
	USER_CALL_COUNTS,
};

#endif
