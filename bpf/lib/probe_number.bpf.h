/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which probe a program runs for: the cookie of a link of many, or a number
 * that the loader has put into a copy of the program. Links of one probe have
 * cookies since 5.15 only, raw tracepoints since 6.10.
 */
#ifndef APUS_PROBE_NUMBER_BPF_H
#define APUS_PROBE_NUMBER_BPF_H

#include "../include/probe_number.h"

/* One 64-bit load that the compiler can neither fold nor move. */
#define COPIED_PROBE_NUMBER()                                                  \
	({                                                                     \
		__u64 number;                                                  \
		asm volatile("%0 = %1 ll" : "=r"(number) : "i"(PROBE_NUMBER)); \
		number;                                                        \
	})

#endif
