/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef APUS_SYSTEM_CALLS_H
#define APUS_SYSTEM_CALLS_H

/* Through which entry a call came: each has numbers of its own. */
enum syscall_abi {
	SYSCALL_ABI_NATIVE = 0,
	SYSCALL_ABI_COMPAT = 1, /* the 32-bit one */
	SYSCALL_ABI_X32 = 2,
};

#define SYSCALL_ABI_SHIFT 16
#define SYSCALL_NUMBERS \
	1024 /* more than there are; all higher ones count as SYSCALL_NUMBER_OTHER */
#define SYSCALL_NUMBER_OTHER 0xffff
#define SYSCALL_SETS 4 /* one for each ABI; a power of two */

#endif
