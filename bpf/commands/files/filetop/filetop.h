/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef APUS_FILETOP_H
#define APUS_FILETOP_H

#include "runtime.h"

#define FILE_PATH_BYTES 4096
#define FILE_PATH_DEPTH 2048 /* directories in a path: all that fit into PATH_MAX */
#define FILE_CALL_NUMBERS 1024 /* system calls of an ABI; see enum syscall_abi */
#define FILE_CALL_SETS 4 /* one for each ABI; a power of two */

/* What a system call moves, and in which of its arguments the descriptors are. */
enum file_call {
	FILE_CALL_OTHER = 0,
	FILE_CALL_READ = 1, /* (in) */
	FILE_CALL_WRITE = 2, /* (out) */
	FILE_CALL_READ_MESSAGES = 3, /* (in, messages): returns how many */
	FILE_CALL_WRITE_MESSAGES = 4, /* (out, messages): returns how many */
	FILE_CALL_SEND_FILE = 5, /* (out, in) */
	FILE_CALL_COPY = 6, /* (in, offset, out) */
	FILE_CALL_TEE = 7, /* (in, out) */
	FILE_CALL_MAP_PIPE = 8, /* vmsplice: (pipe), either way */
	FILE_CALL_SOCKET = 9, /* socketcall: (which, arguments) */
	FILE_CALL_SUBMIT = 10, /* io_submit: (context, count, requests): returns how many */
};

struct file_calls {
	__u8 kinds[FILE_CALL_SETS * FILE_CALL_NUMBERS]; /* enum file_call of each number */
};

struct filetop_config {
	__u32 launched; /* a process that counts from its first exec on; 0: none */
	__u8 all; /* not only regular files */
	__u8 reserved[3];
};

/* A file as one process uses it. */
struct file_key {
	__u64 inode; /* its number; 0 for a descriptor that was closed before the call returned */
	__u64 started_ns; /* the process, CLOCK_MONOTONIC: numbers are used again */
	__u64 kind; /* tells anonymous files apart, which share an inode: where their functions are */
	__u32 process;
	__u32 device; /* as the kernel numbers them: the minor number in the lower 20 bits */
	__u32 generation; /* of the inode number, which is used again */
	__u32 reserved;
};

struct file_total {
	__u64 reads;
	__u64 writes;
	__u64 read_bytes;
	__u64 written_bytes;
	__u32 mode; /* stat's st_mode; no type for an anonymous file */
	__u32 reserved;
	char comm[TASK_COMM_BYTES];
};

/* file_event.notes */
enum file_note {
	FILE_NOTE_CUT = 1 << 0, /* the path is longer than what is sent */
	FILE_NOTE_UNREACHABLE = 1 << 1, /* it does not lead to the process's root */
	FILE_NOTE_DELETED = 1 << 2,
	FILE_NOTE_PSEUDO = 1 << 3, /* in no directory: only its own name is sent */
};

/* Sent once for each key; followed by the names of the path, the last one first, each with a zero behind. */
struct file_event {
	struct file_key key;
	__u32 mode;
	__u16 path_bytes;
	__u16 notes; /* enum file_note */
};

#endif
