/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef APUS_SYSCOUNT_H
#define APUS_SYSCOUNT_H

#include "histogram.h"
#include "runtime.h"
#include "system_calls.h"

struct syscount_config {
	/* One bit for each number, those of an ABI behind those of the one before: calls that are wanted. */
	__u64 wanted[SYSCALL_SETS * SYSCALL_NUMBERS / 64];
	__u32 launched; /* a process that counts from its first successful exec on; 0: none */
	__s32 error; /* only calls that fail with this errno; 0: any */
	__u8 failed_only;
	__u8 some_only; /* look at .wanted */
	__u8 by_process;
	__u8 latency;
	__u8 histogram;
	__u8 reserved[7];
};

struct call_key {
	__u32 call; /* number, and enum syscall_abi from bit SYSCALL_ABI_SHIFT on; 0 if by process */
	__u32 process; /* 0 if by call */
	__u32 cpu; /* by call: each CPU counts for itself */
	__u32 reserved;
	__u64 started_ns; /* the process, CLOCK_MONOTONIC: numbers are used again */
};

struct call_total {
	__u64 count;
	__u64 errors;
	__u64 timed; /* calls whose beginning was seen, too */
	__u64 total_ns; /* that those have taken */
	__u64 max_ns;
	char comm[TASK_COMM_BYTES]; /* of the process, if by process */
};

struct call_start {
	__u64 time_ns;
	__u32 call;
	__u32 reserved;
};

#endif
