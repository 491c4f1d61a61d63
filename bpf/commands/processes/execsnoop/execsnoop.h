/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef APUS_EXECSNOOP_H
#define APUS_EXECSNOOP_H

#include "runtime.h"

#define EXEC_ARGUMENT_BYTES \
	16384 /* of the arguments, with their terminating zeros; what is behind is cut */
#define EXEC_PATH_BYTES 4096 /* PATH_MAX: the terminating zero is included */

/* exec_event.notes */
enum exec_note {
	EXEC_NOTE_ARGUMENTS_CUT = 1 << 0, /* there are more than have been sent */
	EXEC_NOTE_ARGUMENTS_UNREADABLE = 1 << 1,
	EXEC_NOTE_PATH_UNREADABLE = 1 << 2,
	EXEC_NOTE_SCRIPT =
		1 << 3, /* the file names an interpreter: the arguments are the interpreter's */
	EXEC_NOTE_COMPAT = 1 << 4, /* failed ones only: the caller used the 32-bit system call */
};

struct execsnoop_config {
	__u8 cgroup; /* fill exec_event.cgroup */
	__u8 twice; /* two programs see each exec */
	__u8 reserved[2];
};

/* Followed by sent_bytes of arguments, each with a zero behind, then by path_bytes of the path. */
struct exec_event {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u64 start_ns; /* CLOCK_MONOTONIC when the process began */
	__u64 cgroup; /* cgroup v2 ID */
	__u64 argument_bytes; /* of all arguments; of a failed exec: of those that were read */
	__u32 process;
	__u32 thread; /* that called exec: in a process with several, it takes over the process's ID */
	__u32 parent;
	__u32 user;
	__s32 result; /* 0, or minus an errno */
	__u32 arguments; /* how many there are; of a failed exec that is cut: at least */
	__u32 sent_bytes;
	__u16 path_bytes;
	__u16 notes; /* enum exec_note */
	char comm[TASK_COMM_BYTES];
	char parent_comm[TASK_COMM_BYTES];
};

#endif
