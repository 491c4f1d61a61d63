/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Histograms of tasks, or of what they are parts of. */
#ifndef APUS_TASK_HISTOGRAM_BPF_H
#define APUS_TASK_HISTOGRAM_BPF_H

#include "histogram.bpf.h"

/* The key of the histogram that an event of this task counts in. */
static __always_inline struct histogram_key histogram_key_of(struct task_struct *task, __u32 by)
{
	struct histogram_key key = {.cpu = bpf_get_smp_processor_id()};
	__u32 namespace;

	switch (by) {
	case BY_PROCESS:
		key.id = BPF_CORE_READ(task, tgid);
		break;
	case BY_THREAD:
		key.id = BPF_CORE_READ(task, pid);
		key.cpu = 0;
		break;
	case BY_PID_NAMESPACE:
		own_number(task, &namespace);
		key.id = namespace;
		break;
	case BY_CGROUP:
		key.id = cgroup_id(task);
		break;
	case BY_CPU:
		key.id = key.cpu;
		break;
	}
	return key;
}

static __always_inline void count_for(struct task_struct *task, __u64 ns, __u32 by)
{
	struct histogram_key key = histogram_key_of(task, by);
	struct histogram *histogram = histogram_of(&key);

	if (!histogram)
		return;
	if (!histogram->count) {
		histogram->process = process_number(task);
		histogram->thread = thread_number(task);
	}
	/* A thread may take a name after its first event: the last one is the best. */
	if (by == BY_PROCESS)
		BPF_CORE_READ_INTO(&histogram->comm, task, group_leader, comm);
	else if (by == BY_THREAD)
		BPF_CORE_READ_INTO(&histogram->comm, task, comm);
	count_duration(histogram, ns);
}

#endif
