/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef APUS_OPENSNOOP_H
#define APUS_OPENSNOOP_H

#include "runtime.h"

#define OPEN_PATH_BYTES 4096 /* PATH_MAX: the terminating zero is included */
#define OPEN_BASE_BYTES 4096 /* names of the directory that a relative path starts from */
#define OPEN_BASE_DEPTH 2048 /* directories in such a path: all that fit into PATH_MAX */

enum open_call {
	OPEN_CALL_OPEN = 0,
	OPEN_CALL_CREAT = 1,
	OPEN_CALL_OPENAT = 2,
	OPEN_CALL_OPENAT2 = 3,
	OPEN_CALL_IO_URING = 4,
};

#define OPEN_CALL_SHIFT 12

/* open_event.notes */
enum open_note {
	OPEN_NOTE_COMPAT = 1 << 0, /* the caller used the 32-bit system call */
	OPEN_NOTE_PATH_UNREADABLE = 1 << 1, /* the path could not be read */
	OPEN_NOTE_BASE = 1 << 2, /* names of the base directory follow the path */
	OPEN_NOTE_BASE_CUT = 1 << 3, /* they are not all there */
	OPEN_NOTE_BASE_UNREACHABLE = 1 << 4, /* they do not lead to the caller's root */
	OPEN_NOTE_BASE_DELETED = 1 << 5, /* the directory has been removed */
	OPEN_NOTE_MODE = 1 << 6, /* the call carries a mode (O_CREAT or O_TMPFILE) */
	OPEN_NOTE_PATH_CUT = 1 << 8, /* the path goes on behind what is sent */
	OPEN_NOTE_HOW_UNREADABLE = 1 << 7, /* openat2: flags and mode are unknown */
};

struct opensnoop_config {
	__u32 flag_mask; /* report only opens with one of these flags; 0: all */
	__u8 read_only; /* O_RDONLY, which has no bit, is one of the flags asked for */
	__u8 failed_only;
	__u8 full_path; /* send the directory that a relative path starts from */
	__u8 parent; /* fill open_event.parent */
	__u8 cgroup; /* fill open_event.cgroup */
	__u8 reserved[3];
};

/*
 * Followed by path_bytes of the path as the caller gave it, then by base_bytes
 * of the base directory's names, the last name first, each with a zero behind.
 */
struct open_event {
	__u64 time_ns; /* CLOCK_MONOTONIC at the call's return */
	__u64 cgroup; /* cgroup v2 ID */
	__u64 flags;
	__u32 process;
	__u32 thread;
	__u32 parent;
	__u32 user;
	__s32 result; /* a file descriptor, or minus an errno */
	__s32 directory; /* the dirfd argument; AT_FDCWD where the call has none */
	__u16 mode;
	__u16 path_bytes;
	__u16 base_bytes;
	__u16 notes; /* enum open_note, and enum open_call from bit OPEN_CALL_SHIFT on */
	char comm[TASK_COMM_BYTES];
};

#endif
