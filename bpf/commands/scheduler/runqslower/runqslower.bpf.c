// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Waits for the CPU: from the moment a task becomes runnable to the moment it
 * runs, and who had the CPU meanwhile.
 */
#include "lib/kernel.h"
#include "lib/core_fixes.bpf.h"
#include "lib/events.bpf.h"
#include "lib/filter.bpf.h"
#include "lib/histogram.bpf.h"
#include "lib/sched.bpf.h"

struct run {
	__u64 begin_ns;
	__u64 end_ns;
	__u64 interrupt_ns; /* what interrupts took of it */
	struct wait_run who;
};

struct cpu_runs {
	__u64 since_ns; /* when the current task got the CPU */
	__u64 interrupt_ns; /* what interrupts have taken in all */
	__u64 interrupt_before_ns; /* the same when the current task got the CPU */
	__u64 interrupt_since_ns; /* when the outermost interrupt began */
	__u32 interrupt_depth;
	__u32 next; /* place of the next run in the ring */
	struct run ring[RUNS_REMEMBERED];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cpu_runs);
} cpu_runs SEC(".maps");

struct wait_report {
	struct wait_event event;
	struct wait_run runs[RUNS_REMEMBERED];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct wait_report);
} reports SEC(".maps");

static __always_inline struct cpu_runs *this_cpu_runs(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&cpu_runs, &zero);
}

static __always_inline void remember_run(struct cpu_runs *cpu, struct task_struct *task, __u64 now,
					 bool direct)
{
	struct run *run = &cpu->ring[cpu->next & (RUNS_REMEMBERED - 1)];

	run->begin_ns = cpu->since_ns;
	run->end_ns = now;
	run->interrupt_ns = cpu->interrupt_ns - cpu->interrupt_before_ns;
	run->who.thread = TASK_FIELD(direct, task, pid);
	run->who.priority = TASK_FIELD(direct, task, prio);
	run->who.policy = TASK_FIELD(direct, task, policy);
	bpf_probe_read_kernel(run->who.comm, sizeof(run->who.comm), &task->comm);
	cpu->next++;
	cpu->since_ns = now;
	cpu->interrupt_before_ns = cpu->interrupt_ns;
}

/* Copies the runs that lie in the wait, the last one first, cut to it. */
static __always_inline void add_runs(struct wait_report *report, struct cpu_runs *cpu, __u64 since)
{
	__u32 count = 0, at = cpu->next;

	report->event.interrupt_ns = 0;
	report->event.runs_cut = 1;
	for (int i = 0; i < RUNS_REMEMBERED; i++) {
		struct run *run = &cpu->ring[--at & (RUNS_REMEMBERED - 1)];

		/* the second: a place that was never written, or a run that began before we did */
		if (run->end_ns <= since || !run->end_ns) {
			report->event.runs_cut = 0;
			break;
		}
		report->event.interrupt_ns += run->interrupt_ns;
		report->runs[i] = run->who;
		report->runs[i].held_ns =
			run->end_ns - (run->begin_ns > since ? run->begin_ns : since);
		count = i + 1;
	}
	report->event.run_count = count;
}

static __always_inline void report_wait(struct task_struct *task, struct task_struct *previous,
					struct wait *wait, __u64 now, bool direct)
{
	struct cpu_runs *cpu = this_cpu_runs();
	struct wait_report *report;
	struct wait_event *event;
	__u32 zero = 0, runs, namespace;

	report = bpf_map_lookup_elem(&reports, &zero);
	if (!report || !cpu)
		return;
	event = &report->event;
	event->time_ns = now;
	event->wait_ns = now - wait->since_ns;
	event->kind = wait->kind;
	event->from_cpu = wait->cpu;
	event->cpu = bpf_get_smp_processor_id();
	event->process = process_number(task);
	event->thread = thread_number(task);
	event->own_thread = own_number(task, &namespace);
	event->priority = TASK_FIELD(direct, task, prio);
	event->policy = TASK_FIELD(direct, task, policy);
	bpf_probe_read_kernel(event->comm, sizeof(event->comm), &task->comm);
	event->previous = thread_number(previous);
	event->previous_priority = TASK_FIELD(direct, previous, prio);
	event->previous_policy = TASK_FIELD(direct, previous, policy);
	bpf_probe_read_kernel(event->previous_comm, sizeof(event->previous_comm), &previous->comm);
	event->throttled_ns = 0;
	event->run_count = 0;
	if (sched_config.runners) {
		event->throttled_ns = throttled_time(task, direct) - wait->throttled_ns;
		add_runs(report, cpu, wait->since_ns);
	}
	runs = event->run_count;
	if (runs > RUNS_REMEMBERED)
		runs = RUNS_REMEMBERED;
	send_record(report, sizeof(*event) + runs * sizeof(struct wait_run));
}

static __always_inline int on_switch(struct task_struct *previous, struct task_struct *next,
				     bool preempted, bool direct)
{
	__u32 thread = TASK_FIELD(direct, previous, pid);
	__u64 now = bpf_ktime_get_ns(), ns;
	struct cpu_runs *cpu;
	struct wait *wait;

	if (sched_config.runners) {
		cpu = this_cpu_runs();
		if (cpu)
			remember_run(cpu, previous, now, direct);
	}
	switched_out(previous, thread, now, preempted, direct);
	thread = TASK_FIELD(direct, next, pid);
	if (!thread)
		return 0;
	wait = bpf_map_lookup_elem(&waits, &thread);
	if (!wait || !wait->since_ns)
		return 0;
	ns = now - wait->since_ns;
	if ((__s64)ns >= 0) {
		if (sched_config.count)
			count_for(next, ns, sched_config.by);
		if (sched_config.report && ns > sched_config.threshold_ns)
			report_wait(next, previous, wait, now, direct);
	}
	wait->since_ns = 0;
	return 0;
}

static __always_inline int interrupt_begins(void)
{
	struct cpu_runs *cpu = this_cpu_runs();

	if (cpu && cpu->interrupt_depth++ == 0)
		cpu->interrupt_since_ns = bpf_ktime_get_ns();
	return 0;
}

static __always_inline int interrupt_ends(void)
{
	struct cpu_runs *cpu = this_cpu_runs();

	/* We may have been attached inside one. */
	if (cpu && cpu->interrupt_depth && --cpu->interrupt_depth == 0)
		cpu->interrupt_ns += bpf_ktime_get_ns() - cpu->interrupt_since_ns;
	return 0;
}

SCHED_PROGRAMS(on_switch)

SEC("raw_tp/irq_handler_entry")
int interrupt_entry(void *ctx)
{
	return interrupt_begins();
}

SEC("raw_tp/irq_handler_exit")
int interrupt_exit(void *ctx)
{
	return interrupt_ends();
}

SEC("raw_tp/softirq_entry")
int softirq_entry(void *ctx)
{
	return interrupt_begins();
}

SEC("raw_tp/softirq_exit")
int softirq_exit(void *ctx)
{
	return interrupt_ends();
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
