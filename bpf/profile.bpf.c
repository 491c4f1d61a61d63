// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Samples of what runs on each CPU. Every sample is sent, and added up by the
 * reader: so none is lost to a full table, and a process is known to the
 * reader while it still lives.
 */
#include "lib/kernel.h"
#include "lib/core_fixes.bpf.h"
#include "lib/events.bpf.h"
#include "lib/filter.bpf.h"
#include "include/profile.h"

#define STACK_BYTES (STACK_FRAMES * sizeof(__u64))

const volatile struct profile_config profile_config;

struct sample {
	struct profile_event event;
	__u64 addresses[2 * STACK_FRAMES];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sample);
} samples SEC(".maps");

SEC("perf_event")
int take_sample(struct bpf_perf_event_data *ctx)
{
	__u64 ids = current_ids();
	struct sample *sample;
	__u32 zero = 0, bytes;
	long got;

	if (!(__u32)bpf_get_current_pid_tgid()) {
		if (!profile_config.include_idle)
			return 0;
	} else if (!current_task_wanted(ids)) {
		return 0;
	}
	sample = bpf_map_lookup_elem(&samples, &zero);
	if (!sample)
		return 0;
	sample->event.time_ns = bpf_ktime_get_ns();
	sample->event.process = ids >> 32;
	sample->event.thread = ids;
	sample->event.cpu = bpf_get_smp_processor_id();
	sample->event.kernel_error = sample->event.user_error = 0;
	sample->event.kernel_frames = sample->event.user_frames = 0;
	bpf_get_current_comm(sample->event.comm, sizeof(sample->event.comm));

	bytes = 0;
	if (profile_config.sides & STACK_KERNEL) {
		got = bpf_get_stack(ctx, sample->addresses, STACK_BYTES, 0);
		if (got >= 0)
			bytes = got;
		/* -EFAULT: the sample hit user mode, where there is no kernel stack */
		else if (got != -14)
			sample->event.kernel_error = got;
	}
	if (bytes > STACK_BYTES)
		bytes = STACK_BYTES;
	sample->event.kernel_frames = bytes / sizeof(__u64);
	if (profile_config.sides & STACK_USER) {
		got = bpf_get_stack(ctx, (void *)sample->addresses + bytes, STACK_BYTES,
				    BPF_F_USER_STACK);
		if (got >= 0) {
			sample->event.user_frames = got / sizeof(__u64);
			bytes += got;
		} else if (got != -14) {
			sample->event.user_error = got;
		}
	}
	if (bytes > 2 * STACK_BYTES)
		bytes = 2 * STACK_BYTES;
	send_record(sample, sizeof(sample->event) + bytes);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
