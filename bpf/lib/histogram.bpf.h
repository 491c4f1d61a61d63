/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef APUS_HISTOGRAM_BPF_H
#define APUS_HISTOGRAM_BPF_H

#include "../include/histogram.h"

#define HISTOGRAM_KEYS 1024

/* What histograms are kept by; an object with keys of its own says so before. */
#ifndef HISTOGRAM_KEY
#define HISTOGRAM_KEY struct histogram_key
#endif

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, HISTOGRAM_KEYS);
	__type(key, HISTOGRAM_KEY);
	__type(value, struct histogram);
} histograms SEC(".maps");

/* An empty one to start from: too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct histogram);
} empty_histogram SEC(".maps");

/* The place of the highest bit that is set; 0 for 0. */
static __always_inline __u32 log2_of(__u64 value)
{
	__u32 place = 0, step;

	step = (value > 0xffffffff) << 5;
	value >>= step;
	place |= step;
	step = (value > 0xffff) << 4;
	value >>= step;
	place |= step;
	step = (value > 0xff) << 3;
	value >>= step;
	place |= step;
	step = (value > 0xf) << 2;
	value >>= step;
	place |= step;
	step = (value > 0x3) << 1;
	value >>= step;
	place |= step;
	place |= value >> 1;
	return place;
}

/* What a duration is counted in: an eighth of the unit shown, so that powers of two of the two coincide. */
const volatile __u64 histogram_unit_ns = 125;
/* Not 0: buckets of this width instead of eight to a power of two. */
const volatile __u64 histogram_step_ns;

static __always_inline __u32 bucket_of(__u64 ns)
{
	__u64 linear;
	__u32 power, bucket;

	if (histogram_step_ns) {
		linear = ns / histogram_step_ns;
		return linear < HISTOGRAM_BUCKETS ? linear : HISTOGRAM_BUCKETS - 1;
	}
	ns /= histogram_unit_ns;
	if (ns < HISTOGRAM_SUB)
		return ns;
	power = log2_of(ns);
	bucket = (power - HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUB +
		 ((ns >> (power - HISTOGRAM_SUB_BITS)) & (HISTOGRAM_SUB - 1));
	return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* The histogram of a key, made if it is new; NULL if there is no room, which is counted. */
static __always_inline struct histogram *histogram_of(HISTOGRAM_KEY *key)
{
	struct histogram *histogram = bpf_map_lookup_elem(&histograms, key), *empty;
	__u32 zero = 0;

	if (histogram)
		return histogram;
	empty = bpf_map_lookup_elem(&empty_histogram, &zero);
	if (!empty)
		return NULL;
	bpf_map_update_elem(&histograms, key, empty, BPF_NOEXIST);
	histogram = bpf_map_lookup_elem(&histograms, key);
	if (!histogram)
		__sync_fetch_and_add(&event_channel.lost_keys, 1);
	return histogram;
}

/* For programs that another run of theirs may interrupt between any two lines. */
static __always_inline void count_duration_among_others(struct histogram *histogram, __u64 ns)
{
	__u32 bucket = bucket_of(ns);

	__sync_fetch_and_add(&histogram->count, 1);
	__sync_fetch_and_add(&histogram->total_ns, ns);
	/* The reader knows from the buckets what may be missed here. */
	if (ns > histogram->max_ns)
		histogram->max_ns = ns;
	if (bucket < HISTOGRAM_BUCKETS)
		__sync_fetch_and_add(&histogram->buckets[bucket], 1);
}

/* No atomics: a key is counted by one CPU, or is a thread, which is on one CPU at a time. */
static __always_inline void count_duration(struct histogram *histogram, __u64 ns)
{
	__u32 bucket = bucket_of(ns);

	histogram->count++;
	histogram->total_ns += ns;
	if (ns > histogram->max_ns)
		histogram->max_ns = ns;
	if (bucket < HISTOGRAM_BUCKETS)
		histogram->buckets[bucket]++;
}

#endif
