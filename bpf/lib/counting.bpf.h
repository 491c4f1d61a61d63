/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * When calls count. Putting probes on many places takes seconds, and so does
 * taking them away: what is reached meanwhile would count for some and not for
 * others.
 */
#ifndef APUS_COUNTING_BPF_H
#define APUS_COUNTING_BPF_H

/* Set by the reader when all probes are in place, cleared before the first is taken away. */
__u32 counting;

static __always_inline bool is_counting(void)
{
	return READ_ONCE(counting);
}

#endif
