/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Unwinding without frame pointers: what .eh_frame says, as rows that the
 * programs can search. Code is cut into pages of 64 KB by its link-time
 * address. A row is 32 bits: the low half is an offset in its page, the high
 * half the number of the rule that holds from there to the next row. The
 * first row of each page has the offset 0.
 */
#ifndef APUS_UNWIND_H
#define APUS_UNWIND_H

#include <linux/types.h>

#define UNWIND_PAGE_BITS 16
#define UNWIND_PAGE_ROWS 16384 /* most rows of a page; what a file has beyond that has no rule */
#define UNWIND_RULES 65536

/* Rows of several pages share one of the elements of an array, and many arrays make the table: it grows with need. */
#define UNWIND_ROW_ELEMENTS 16 /* of one array */
#define UNWIND_ROW_ARRAYS 1024
#define UNWIND_PAGES 131072 /* of all files: 8 GB of code */
#define UNWIND_MAPPINGS 262144 /* of all processes */
#define UNWIND_PROCESSES 32768

/* How the canonical frame address (CFA: the caller's stack pointer) is found. */
enum unwind_cfa {
	CFA_NO_RULE = 0, /* no FDE covers this code, or it says what cannot be said here */
	CFA_STACK = 1, /* rsp + cfa_offset */
	CFA_FRAME = 2, /* rbp + cfa_offset */
	CFA_STACK_DEREFERENCED = 3, /* *(rsp + cfa_offset) + cfa_addend */
	CFA_FRAME_DEREFERENCED = 4, /* *(rbp + cfa_offset) + cfa_addend */
	CFA_REGISTER = 5, /* cfa_register + cfa_offset: only where all registers are known */
	CFA_PLT =
		6, /* rsp + 8, and 8 more from byte cfa_offset of each 16-byte stub on; 4 of 32 bits */
	CFA_SIGNAL =
		7, /* the frame of a signal handler: its registers are saved at rsp + cfa_offset */
	CFA_ROOT = 8, /* the return address is undefined: nobody called this */
};

/* Where the caller's frame pointer (rbp) is. */
enum unwind_frame_pointer {
	FRAME_POINTER_SAME = 0,
	FRAME_POINTER_SAVED = 1, /* *(CFA + fp_offset) */
	FRAME_POINTER_AT_FRAME =
		2, /* *(rbp + fp_offset), as in functions that realign their stack */
	FRAME_POINTER_UNKNOWN = 3,
};

struct unwind_rule {
	__u8 cfa; /* enum unwind_cfa */
	__u8 fp; /* enum unwind_frame_pointer */
	__u8 cfa_register; /* number in DWARF */
	__u8 is_32_bit; /* of code of 32 bits: the words of its stack have 4 bytes */
	__s32 cfa_offset;
	__s32 fp_offset;
	__s16 cfa_addend;
	__s16 ra_offset; /* the return address is at *(CFA + ra_offset); -8 but for odd code */
};

struct unwind_rows {
	__u32 rows[UNWIND_PAGE_ROWS];
};

/* Where a page's rows are. */
struct unwind_page {
	__u32 element; /* array * UNWIND_ROW_ELEMENTS + element in it */
	__u16 first;
	__u16 count;
};

/* In the place of the first page: there is no file, as for code made at run time. */
#define UNWIND_NO_FILE 0xffffffff

/* A mapping of code in a process. */
struct unwind_mapping {
	__u64 start;
	__u64 end;
	__u64 bias; /* where the first of the pages lies in this process */
	__u32 first_page;
	__u32 pages; /* 0: there is no table */
};

/* The mappings of a process, in ascending order. */
struct unwind_process {
	__u32 first;
	__u32 count;
	__u32 serial; /* of what the list says: no other list has it, not even a later one in the same place */
	__u32 meaning; /* of the process's addresses: another one when what was at some of them is replaced */
	__s32 deferrals; /* how many more walks may be left to the reader before it tells of another list */
	__u32 reserved;
};

/* A process whose code is not found in its list however often the reader looks must not send it all its stacks. */
#define UNWIND_DEFERRALS 512

struct unwind_config {
	__u32 frames; /* most frames of a user stack */
	__u32 defers; /* walks that come to unknown code are left to the reader */
};

#endif
