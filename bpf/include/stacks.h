/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef APUS_STACKS_H
#define APUS_STACKS_H

#include "runtime.h"

/* Frames of one stack: as many as kernel.perf_event_max_stack allows by default. */
#define STACK_FRAMES 127
/* Most frames of a user stack that can be asked for. */
#define STACK_FRAMES_MOST 512

enum stack_sides {
	STACK_KERNEL = 1 << 0,
	STACK_USER = 1 << 1,
};

/* Why a stack has no more frames. */
enum stack_end {
	STACK_END_UNKNOWN = 0, /* the kernel's own walk does not tell */
	STACK_END_ROOT = 1, /* nobody called the last frame */
	STACK_END_DEPTH = 2, /* as many frames as are kept */
	STACK_END_UNMAPPED = 3, /* an address in no mapping that is known */
	STACK_END_NO_RULE =
		4, /* code without call frame information, and without a frame pointer */
	STACK_END_UNREADABLE = 5, /* the stack could not be read, as when it is paged out */
	STACK_END_NONSENSE = 6, /* a stack pointer that does not move up */
	STACK_END_UNKNOWN_PROCESS = 7, /* a process that is not known yet */
	STACK_END_32_BIT = 8, /* code of 32 bits without a frame pointer */
	STACK_END_BUSY = 9, /* no memory to work in: too many programs interrupted each other */
	STACK_END_REMAPPED =
		10, /* code was mapped anew while the rules of what was there before were still used */
};

/* In an end, beside it: at least one frame was found by the frame pointer, for want of something better. */
#define STACK_END_BY_FRAME_POINTER 0x80

struct stack_trace {
	__u64 hash;
	__u32 frames;
	__u8 end; /* enum stack_end */
	__u8 reserved[3];
	__u64 first_ns; /* when it was stored, CLOCK_MONOTONIC */
	__u64 process; /* whose it was then; 0: it was surely walked by what held at that time */
	__u64 addresses[STACK_FRAMES]; /* the leaf first */
};

/*
 * What a task executes: when its process was started (task->start_time), and in the low bits the number of programs
 * that it has executed since. Process numbers are used again, and programs have other code at the same addresses.
 */
#define PROGRAM_EXECUTION_BITS 8

/*
 * A walk that came to code which the reader had not told of yet, and what it takes to go on: the reader does so, once it
 * knows what was mapped at that time. The stack's bytes follow.
 */
struct deferred_stack {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u64 stack; /* what the frames so far are stored under, or the number of the event that has them */
	__u64 pc; /* of the last frame so far; the registers are those in it */
	__u64 sp;
	__u64 fp;
	__u64 leaf_pc; /* and where the walk began */
	__u64 leaf_sp;
	__u64 leaf_fp;
	__u64 start; /* the address of the bytes */
	__u32 process;
	__u32 bytes; /* how many could be read */
	__u32 most_frames; /* that there may be more */
	__u8 is_exact; /* pc is no return address */
	__u8 is_32_bit;
	__u8 by_frame_pointer; /* some frame was found so */
	__u8 leaf_is_exact;
	__u32 frames; /* of the user so far */
	__u32 reserved;
};

/* Sent when a process is first seen, and when it runs another program: the reader looks at its mappings. */
struct process_event {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u32 process;
	__u32 reserved;
};

#endif
