// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Distribution of the times for which tasks run, or are off the CPU, between two switches. */
#include "lib/kernel.h"
#include "lib/core_fixes.bpf.h"
#include "lib/events.bpf.h"
#include "lib/filter.bpf.h"
#include "lib/histogram.bpf.h"
#include "lib/sched.bpf.h"

/* Threads with number 0 are the idle tasks, one a CPU: keyed apart from every thread. */
#define IDLE_KEY(cpu) (0x80000000 | (cpu))

static __always_inline void end_time(struct task_struct *task, __u32 key, __u64 now)
{
	struct wait *wait = bpf_map_lookup_elem(&waits, &key);

	if (!wait || !wait->since_ns)
		return;
	if ((__s64)(now - wait->since_ns) >= 0)
		count_for(task, now - wait->since_ns, sched_config.by);
	wait->since_ns = 0;
}

static __always_inline void begin_time(struct task_struct *task, __u32 key, __u64 now, bool direct)
{
	if (scheduled_task_wanted(task, TASK_FIELD(direct, task, tgid),
				  TASK_FIELD(direct, task, pid)) ||
	    (key & IDLE_KEY(0) && sched_config.include_idle))
		begin_wait(task, key, now, WAIT_NONE, direct);
}

static __always_inline int on_switch(struct task_struct *previous, struct task_struct *next,
				     bool preempted, bool direct)
{
	__u32 out = TASK_FIELD(direct, previous, pid), in = TASK_FIELD(direct, next, pid);
	bool off_cpu = sched_config.measure == MEASURE_OFF_CPU;
	__u64 now = bpf_ktime_get_ns();

	if (!out)
		out = IDLE_KEY(bpf_get_smp_processor_id());
	if (!in)
		in = IDLE_KEY(bpf_get_smp_processor_id());
	if (off_cpu) {
		end_time(next, in, now);
		begin_time(previous, out, now, direct);
	} else {
		end_time(previous, out, now);
		begin_time(next, in, now, direct);
	}
	if (task_state(previous) & TASK_DEAD)
		forget_task(out);
	return 0;
}

SWITCH_PROGRAMS(on_switch)

char LICENSE[] SEC("license") = "Dual BSD/GPL";
