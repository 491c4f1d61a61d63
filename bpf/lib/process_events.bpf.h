/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Has the reader look at processes whose stacks are taken, while they live. */
#ifndef APUS_PROCESS_EVENTS_BPF_H
#define APUS_PROCESS_EVENTS_BPF_H

#include "../include/stacks.h"
#include "events.bpf.h"
#include "filter.bpf.h"

#define PROCESSES_TOLD 32768
#define LOOK_AGAIN_NS 20000000 /* no process is worth more looks than that */

/* Processes that the reader has been told of, and when. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PROCESSES_TOLD);
	__type(key, __u32);
	__type(value, struct process_event);
} told_processes SEC(".maps");

/*
 * Tells of a process that is new, or whose code has a place that is not known. `end`: enum stack_end of its user stack.
 */
static __always_inline void tell_reader(__u32 process, __u8 end)
{
	struct process_event *told = bpf_map_lookup_elem(&told_processes, &process), event = {};

	if (told && end != STACK_END_UNMAPPED && end != STACK_END_UNKNOWN_PROCESS)
		return;
	event.time_ns = bpf_ktime_get_ns();
	if (told && event.time_ns - told->time_ns < LOOK_AGAIN_NS)
		return;
	event.process = process;
	bpf_map_update_elem(&told_processes, &process, &event, BPF_ANY);
	send_record(&event, sizeof(event));
}

/* The mappings of a process are others after it has executed a program. */
SEC("raw_tp/sched_process_exec")
int process_executed(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	__u32 process = process_number(task);
	struct process_event event = {.process = process};

	if (bpf_map_lookup_elem(&told_processes, &process))
		send_record(&event, sizeof(event));
	return 0;
}

#endif
