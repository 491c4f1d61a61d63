/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Distributions of durations, counted in the kernel: eight buckets to each
 * power of two, so that a percentile is right to an eighth, and powers of two
 * are sums of buckets.
 */
#ifndef APUS_HISTOGRAM_H
#define APUS_HISTOGRAM_H

#include <linux/types.h>

#define HISTOGRAM_SUB_BITS 3
#define HISTOGRAM_SUB (1 << HISTOGRAM_SUB_BITS)
#define HISTOGRAM_BUCKETS 320 /* up to 2^42 units */

/* What a histogram is of. */
enum histogram_by {
	BY_NOTHING = 0,
	BY_PROCESS = 1,
	BY_THREAD = 2,
	BY_PID_NAMESPACE = 3,
	BY_CGROUP = 4,
	BY_CPU = 5,
};

struct histogram_key {
	__u64 id; /* what the histogram is of: a thread, a process, …; 0 for all */
	__u32 cpu; /* the CPU that counts, where several could: each has its own */
	__u32 reserved;
};

struct histogram {
	__u64 count;
	__u64 total_ns;
	__u64 max_ns;
	__u32 process; /* of the first event, to name the key by */
	__u32 thread;
	char comm[16];
	__u32 buckets[HISTOGRAM_BUCKETS];
};

#endif
