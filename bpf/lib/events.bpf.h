/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sending records. A wake-up for each record would cost more than all the rest
 * (an interrupt to another CPU, twice the price of an open), so records are
 * committed in silence, and the consumer is woken only if it says that it
 * sleeps: at once when it was idle, at a fill level while it collects a batch.
 */
#ifndef APUS_EVENTS_BPF_H
#define APUS_EVENTS_BPF_H

#include "../include/runtime.h"

#define EVENTS_DEFAULT_BYTES (2 << 20)

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, EVENTS_DEFAULT_BYTES);
} events SEC(".maps");

struct event_channel event_channel;

/*
 * Called after the commit, which is a full barrier (xchg in bpf_ringbuf_commit):
 * either we see that the consumer sleeps, or it sees our record before it does.
 */
static __always_inline void wake_consumer(void)
{
	__u32 consumer = READ_ONCE(event_channel.consumer);
	void *nudge;

	if (consumer == CONSUMER_AWAKE)
		return;
	if (consumer == CONSUMER_BATCHING &&
	    bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) < event_channel.wake_bytes)
		return;

	/* Only a record can carry a wake-up; readers skip discarded ones. */
	nudge = bpf_ringbuf_reserve(&events, sizeof(__u64), 0);
	if (!nudge)
		return; /* full: the consumer's own timer will find the ring */
	WRITE_ONCE(event_channel.consumer, CONSUMER_AWAKE);
	bpf_ringbuf_discard(nudge, BPF_RB_FORCE_WAKEUP);
}

static __always_inline void send_record(void *record, __u64 bytes)
{
	if (bpf_ringbuf_output(&events, record, bytes, BPF_RB_NO_WAKEUP))
		__sync_fetch_and_add(&event_channel.lost_records, 1);
	wake_consumer();
}

#endif
