// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Distribution of the times for which tasks wait for a CPU. */
#include "lib/kernel.h"
#include "lib/core_fixes.bpf.h"
#include "lib/events.bpf.h"
#include "lib/filter.bpf.h"
#include "lib/histogram.bpf.h"
#include "lib/sched.bpf.h"

static __always_inline int on_switch(struct task_struct *previous, struct task_struct *next,
				     bool preempted, bool direct)
{
	__u32 thread = TASK_FIELD(direct, previous, pid);
	__u64 now = bpf_ktime_get_ns();
	struct wait *wait;

	switched_out(previous, thread, now, preempted, direct);
	thread = TASK_FIELD(direct, next, pid);
	wait = thread ? bpf_map_lookup_elem(&waits, &thread) : NULL;
	if (!wait || !wait->since_ns)
		return 0;
	if ((__s64)(now - wait->since_ns) >= 0)
		count_for(next, now - wait->since_ns, sched_config.by);
	wait->since_ns = 0;
	return 0;
}

SCHED_PROGRAMS(on_switch)

char LICENSE[] SEC("license") = "Dual BSD/GPL";
