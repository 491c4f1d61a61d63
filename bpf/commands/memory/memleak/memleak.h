/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef APUS_MEMLEAK_H
#define APUS_MEMLEAK_H

#include "stacks.h"

/* What a probed function does, by where its arguments are. The cookie of its probe. */
enum allocator_call {
	CALL_ALLOCATE = 0, /* size */
	CALL_ALLOCATE_ARRAY = 1, /* count, size */
	CALL_RESIZE = 2, /* block, size */
	CALL_RESIZE_ARRAY = 3, /* block, count, size */
	CALL_ALIGNED = 4, /* alignment, size */
	CALL_ALIGNED_INTO = 5, /* where to put the block, alignment, size; returns an error */
	CALL_FREE = 6, /* block */
	CALL_UNWIND = 7, /* takes frames off the stack: an exception begins */
	CALL_NEW = 8, /* size; may end with an exception, and so has no return probe */
	CALL_LEAVE = 9, /* a return instruction that ends a CALL_NEW */
	CALL_MASK = 0x0f,
	CALL_NESTS = 0x80, /* or'ed into it: it may call another one of these */
};

#define SAMPLE_DISTANCES 1024

/* Poisson sampling: distances between samples, in 1/65536 of their mean, each as probable as any other. */
struct sample_distances {
	__u32 values[SAMPLE_DISTANCES];
};

/* Of live_block.born: microseconds, about, and below them the number of the program that the process executed. */
#define BORN_TIME_SHIFT 10
#define BORN_GENERATION_BITS 16

struct memleak_config {
	__u64 began_ns; /* what live_block.born counts from */
	__u64 least_bytes; /* smaller blocks are not looked at */
	__u64 most_bytes; /* nor are larger ones */
	__u64 sample_bytes; /* mean distance of samples in bytes; 0: no such sampling */
	__u32 sample_below; /* of 2^32 calls so many are looked at; 0: all */
	__u32 process; /* the one that is traced; 0: the kernel */
	__u8 totals; /* also add up what was allocated and freed, by stack */
	__u8 trace; /* a record for each call */
	__u8 cache_objects_have_cache; /* kmem_cache_alloc names the cache (Linux 6.1) */
	__u8 kmalloc_names_cache; /* kmalloc has it between address and size (5.19, 6.0) */
	__u8 stop_at_exec; /* the process stops when it executes a program: it is ours */
	__u8 by_tables; /* user stacks are walked by tables, not by frame pointers */
	__u8 follow; /* the children of the process as well, each in a space of its own */
	__u8 reserved;
};

/*
 * A memory of user code: that of the process is number 0, and with --follow each child and each program that one executes
 * has another. Tasks that share their memory are in one space.
 */
#define SPACE_SHIFT 48 /* of the number in the key of a block, above the address */
#define SPACE_ADDRESSES ((1ull << SPACE_SHIFT) - 1)
#define SPACES 4096 /* beside number 0, at once */

/* A block that is allocated and not freed. There may be millions. */
struct live_block {
	__u64 bytes;
	__u64 stack;
	__u64 born; /* 2^BORN_TIME_SHIFT nanoseconds, and a generation in the low bits */
};

/* What was allocated from one stack since the start. */
struct stack_total {
	__u64 stack;
	__u64 space;
	__u64 allocated_bytes;
	__u64 allocated;
	__u64 freed_bytes;
	__u64 freed;
	__u64 temporary; /* freed by the thread that allocated it, which allocated nothing in between */
	__u64 temporary_bytes;
};

/* A thread that has called the allocator. */
struct allocator_thread {
	__u64 sp; /* at the entry of the outermost call that is under way; 0: none */
	__u64 bytes;
	__u64 into; /* where the address of the block will be */
	__u64 return_address; /* of a CALL_NEW */
	__u64 released; /* the block that is being resized, if it was live */
	struct live_block released_block;
	__u64 last; /* the block that it allocated last */
	__u64 space; /* of the call that is under way */
	__u32 call; /* enum allocator_call */
	__u32 unwanted; /* only there to recognize nested calls */
};

/* Shared with the program while it runs. */
struct memleak_state {
	__u64 lost_blocks; /* not remembered: the map was full */
	__u64 lost_threads;
	__u32 generation; /* counts the programs that the process has executed */
	__u32 reserved;
};

enum memleak_event_kind {
	MEMLEAK_ALLOCATED = 1,
	MEMLEAK_FREED = 2,
	MEMLEAK_EXECUTED = 3,
	/*
	 * Mappings, in the order in which they must be applied. Memory is let go at the beginning of a call, since
	 * another thread may be given it before the call returns; FAILED says that it was not.
	 */
	MEMLEAK_MAPPED = 4, /* what was there before is gone */
	MEMLEAK_UNMAPS =
		5, /* the first half of a mremap as well; its bytes are what had been mapped */
	MEMLEAK_REMAPPED = 6, /* where the thread's last UNMAPS has gone, with its new size */
	MEMLEAK_FAILED = 7, /* the thread's last UNMAPS has done nothing */
	MEMLEAK_BREAK = 8, /* address: the end of the data segment before a call of brk */
	MEMLEAK_BROKEN = 9, /* address: the same after it */
	/* What becomes of spaces. */
	MEMLEAK_FORKED = 10, /* a child has a copy of its parent's memory, in a space that is new */
	MEMLEAK_SHARES =
		11, /* a child shares its parent's memory; address: not 0 if the parent waits */
	MEMLEAK_LEFT =
		12, /* the process has ended, or executed a program and has no space any more */
	MEMLEAK_MOVED =
		13, /* the process has executed a program and has a new space; address: the old one */
};

struct memleak_event {
	__u64 time_ns;
	__u64 address;
	__u64 bytes;
	__u64 stack;
	__u32 kind; /* enum memleak_event_kind */
	__u32 thread;
	__u32 process;
	__u32 space;
	char comm[TASK_COMM_BYTES];
};

#endif
