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
#include "lib/unwind.bpf.h"
#include "lib/task.bpf.h"
#include "profile.h"

const volatile struct profile_config profile_config;

SHARED_TYPE(profile_event);

#define EVENT_WORDS (sizeof(struct profile_event) / sizeof(__u64))

static __always_inline int on_sample(void *ctx, bool by_tables)
{
	__u64 ids = current_ids();
	struct profile_event *event;
	struct stack_slot *slot;
	__u32 id = 0, frames;
	long got;

	if (!(__u32)bpf_get_current_pid_tgid()) {
		if (!profile_config.include_idle)
			return 0;
	} else if (!current_task_wanted(ids)) {
		return 0;
	}
	slot = hold_slot(&id);
	if (!slot) {
		__sync_fetch_and_add(&event_channel.lost_records, 1);
		return 0;
	}
	/* Sent in one piece with the addresses behind it. */
	event = (struct profile_event *)&slot->head[STACK_HEAD_WORDS - EVENT_WORDS];
	event->time_ns = bpf_ktime_get_ns();
	event->program = current_program();
	event->process = ids >> 32;
	event->thread = ids;
	event->cpu = bpf_get_smp_processor_id();
	event->kernel_error = event->user_error = 0;
	event->deferred = 0;
	bpf_get_current_comm(event->comm, sizeof(event->comm));

	slot->frames = 0;
	slot->end = 0;
	if (profile_config.sides & STACK_KERNEL) {
		got = add_frames(ctx, slot, 0);
		/* -EFAULT: the sample hit user mode, where there is no kernel stack */
		if (got < 0 && got != -EFAULT)
			event->kernel_error = got;
	}
	frames = slot->frames;
	event->kernel_frames = frames;
	if (profile_config.sides & STACK_USER) {
		if (by_tables) {
			walk_user_stack(slot, id, event->process, FROM_LEAF);
			if (is_to_be_deferred(slot)) {
				event->deferred = mix(event->time_ns, event->cpu);
				defer_walk(id, event->deferred, event->time_ns);
			}
		} else {
			got = add_frames(ctx, slot, BPF_F_USER_STACK);
			if (got < 0 && got != -EFAULT)
				event->user_error = got;
		}
	}
	event->user_frames = slot->frames - frames;
	event->user_end = slot->end;
	frames = slot->frames;
	if (frames <= SLOT_FRAMES)
		send_record(event, sizeof(*event) + frames * sizeof(__u64));
	release_slot(slot);
	return 0;
}

SEC("perf_event")
int take_sample(struct bpf_perf_event_data *ctx)
{
	return on_sample(ctx, BY_TABLES);
}

SEC("perf_event")
int take_sample_fp(struct bpf_perf_event_data *ctx)
{
	return on_sample(ctx, BY_FRAME_POINTERS);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
