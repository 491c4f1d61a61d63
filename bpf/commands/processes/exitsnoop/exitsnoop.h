/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef APUS_EXITSNOOP_H
#define APUS_EXITSNOOP_H

#include "runtime.h"

struct exitsnoop_config {
	__u8 threads; /* an event for each thread, not for each process */
	__u8 failed_only; /* only what ended with another status than 0 */
	__u8 cgroup; /* fill exit_event.cgroup */
	__u8 reserved;
};

struct exit_event {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u64 start_ns; /* CLOCK_MONOTONIC when the process, or thread, began */
	__u64 cgroup; /* cgroup v2 ID */
	__u32 process;
	__u32 thread; /* that ended last */
	__u32 parent;
	__u32 user;
	__u32 status; /* as wait(2) returns it: a signal, 0x80 for a core dump, the exit code from bit 8 on */
	__u32 reserved;
	char comm[TASK_COMM_BYTES];
	char parent_comm[TASK_COMM_BYTES];
};

#endif
