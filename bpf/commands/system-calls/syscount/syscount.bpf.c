// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* System calls, counted when they return, by call or by process; how long they took, if that is asked for. */
#include "lib/kernel.h"
#include "lib/arch.bpf.h"
#include "lib/core_fixes.bpf.h"
#include "lib/events.bpf.h"
#include "lib/filter.bpf.h"
#include "lib/histogram.bpf.h"
#include "lib/task.bpf.h"
#include "syscount.h"

#define TOTALS 65536
#define CALLS_UNDER_WAY 65536
#define INTERRUPTED_CALLS 16384
#define MAX_ERRNO 4095

const volatile struct syscount_config syscount_config;

/* Whether the command that was launched has begun: what comes before is not its own. */
__u32 launched_has_begun;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TOTALS);
	__type(key, struct call_key);
	__type(value, struct call_total);
} totals SEC(".maps");

/* By the kernel's own thread ID. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CALLS_UNDER_WAY);
	__type(key, __u32);
	__type(value, struct call_start);
} starts SEC(".maps");

/* A call that a signal has interrupted, and that may be taken up again. */
struct interrupted_call {
	__u64 time_ns; /* when it began; 0 if that is not known */
	__u64 stack; /* with this stack pointer: a handler's own calls have another one */
	__u32 call;
	__u32 reserved;
};

/* By the kernel's own thread ID; and how many entries there are. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, INTERRUPTED_CALLS);
	__type(key, __u32);
	__type(value, struct interrupted_call);
} interrupted_calls SEC(".maps");

__u32 interrupted;

static __always_inline __u32 call_of(long number, bool compat, bool x32)
{
	__u32 abi = compat ? SYSCALL_ABI_COMPAT : x32 ? SYSCALL_ABI_X32 : SYSCALL_ABI_NATIVE;

	if (number < 0 || number >= SYSCALL_NUMBERS)
		number = SYSCALL_NUMBER_OTHER;
	return abi << SYSCALL_ABI_SHIFT | number;
}

static __always_inline bool call_wanted(__u32 call)
{
	__u32 number = call & 0xffff, place;

	if (!syscount_config.some_only)
		return true;
	if (number >= SYSCALL_NUMBERS)
		return false;
	place = (call >> SYSCALL_ABI_SHIFT) * SYSCALL_NUMBERS + number;
	return syscount_config.wanted[place / 64 & (SYSCALL_SETS * SYSCALL_NUMBERS / 64 - 1)] >>
		       place % 64 &
	       1;
}

static __always_inline bool is_exec(__u32 call)
{
	switch (call) {
	case NR_EXECVE:
	case NR_EXECVEAT:
	case SYSCALL_ABI_COMPAT << SYSCALL_ABI_SHIFT | NR_COMPAT_EXECVE:
	case SYSCALL_ABI_COMPAT << SYSCALL_ABI_SHIFT | NR_COMPAT_EXECVEAT:
	case SYSCALL_ABI_X32 << SYSCALL_ABI_SHIFT | NR_X32_EXECVE:
	case SYSCALL_ABI_X32 << SYSCALL_ABI_SHIFT | NR_X32_EXECVEAT:
		return true;
	}
	return false;
}

/* A new task returns from the call that has made it, too: the call is its creator's. */
static __always_inline bool is_new_task(__u32 call, long result)
{
	__u32 number = call & 0xffff;

	if (result)
		return false;
	if (call >> SYSCALL_ABI_SHIFT == SYSCALL_ABI_COMPAT)
		return number == NR_COMPAT_CLONE || number == NR_COMPAT_FORK ||
		       number == NR_COMPAT_VFORK || number == NR_CLONE3;
	return number == NR_CLONE || number == NR_FORK || number == NR_VFORK || number == NR_CLONE3;
}

static __always_inline bool is_restart(__u32 call)
{
	return call == NR_RESTART_SYSCALL ||
	       call == (SYSCALL_ABI_X32 << SYSCALL_ABI_SHIFT | NR_RESTART_SYSCALL) ||
	       call == (SYSCALL_ABI_COMPAT << SYSCALL_ABI_SHIFT | NR_COMPAT_RESTART_SYSCALL);
}

static __always_inline bool has_begun(__u64 ids, __u32 call, long result)
{
	if (!syscount_config.launched || ids >> 32 != syscount_config.launched ||
	    launched_has_begun)
		return true;
	if (result || !is_exec(call))
		return false;
	launched_has_begun = 1;
	return true;
}

static __always_inline void forget_interrupted(__u32 thread)
{
	if (!bpf_map_delete_elem(&interrupted_calls, &thread))
		__sync_fetch_and_add(&interrupted, -1);
}

static __always_inline void on_interruption(__u32 thread, __u32 call, __u64 start, __u64 stack)
{
	struct interrupted_call now = {.time_ns = start, .stack = stack, .call = call};
	struct interrupted_call *known = bpf_map_lookup_elem(&interrupted_calls, &thread);

	if (known) {
		/* A restart that is interrupted again is still the call that it restarts. */
		if (is_restart(call))
			now.call = known->call;
		*known = now;
	} else if (bpf_map_update_elem(&interrupted_calls, &thread, &now, BPF_NOEXIST)) {
		__sync_fetch_and_add(&event_channel.lost_state, 1);
	} else {
		__sync_fetch_and_add(&interrupted, 1);
	}
}

/* The interrupted call that goes on as this one; NULL if there is none. */
static __always_inline struct interrupted_call *interrupted_before(__u32 thread, __u32 call,
								   __u64 stack)
{
	struct interrupted_call *known = bpf_map_lookup_elem(&interrupted_calls, &thread);

	if (!known || known->stack != stack || (known->call != call && !is_restart(call)))
		return NULL;
	return known;
}

static __always_inline void on_enter(__u32 call, __u64 stack)
{
	__u32 thread = bpf_get_current_pid_tgid();
	struct call_start start = {.time_ns = bpf_ktime_get_ns(), .call = call};
	struct interrupted_call *known;

	if (!current_task_wanted(current_ids()))
		return;
	if (interrupted) {
		known = interrupted_before(thread, call, stack);
		if (known) {
			start.call = known->call;
			if (known->time_ns)
				start.time_ns = known->time_ns;
			forget_interrupted(thread);
		}
	}
	if (bpf_map_update_elem(&starts, &thread, &start, BPF_ANY))
		__sync_fetch_and_add(&event_channel.lost_state, 1);
}

static __always_inline struct call_total *total_of(struct call_key *key)
{
	struct call_total *total = bpf_map_lookup_elem(&totals, key), empty = {};
	struct task_struct *task;

	if (total)
		return total;
	if (key->process) {
		task = (struct task_struct *)bpf_get_current_task();
		BPF_CORE_READ_INTO(&empty.comm, task, group_leader, comm);
	}
	bpf_map_update_elem(&totals, key, &empty, BPF_NOEXIST);
	total = bpf_map_lookup_elem(&totals, key);
	if (!total)
		__sync_fetch_and_add(&event_channel.lost_totals, 1);
	return total;
}

static __always_inline void count_time(struct call_total *total, __u32 call, __u64 start)
{
	__u64 now = bpf_ktime_get_ns(), ns = now - start;
	struct histogram_key key = {.id = call, .cpu = bpf_get_smp_processor_id()};
	struct histogram *histogram;

	if (now < start)
		ns = 0;
	__sync_fetch_and_add(&total->timed, 1);
	__sync_fetch_and_add(&total->total_ns, ns);
	if (ns > total->max_ns)
		total->max_ns = ns;
	if (!syscount_config.histogram)
		return;
	histogram = histogram_of(&key);
	if (histogram)
		count_duration(histogram, ns);
}

/*
 * Whether a call that began as one number may return as another. It may not have begun at all: seccomp and ptrace can
 * refuse a call before the tracepoint at the entry, which then belongs to an earlier one whose return we missed.
 */
static __always_inline bool is_same_call(__u32 began, __u32 ended, bool sigreturn)
{
	if (began == ended || is_restart(ended) || (is_exec(began) && is_exec(ended)))
		return true;
	/* What a sigreturn has returned to may be of the other width. */
	return sigreturn && (began == NR_RT_SIGRETURN || began >> SYSCALL_ABI_SHIFT);
}

static __always_inline void on_return(__u32 call, bool sigreturn, long result, __u64 stack,
				      bool by_signal)
{
	__u64 ids = current_ids(), start = 0;
	__u32 thread = bpf_get_current_pid_tgid();
	bool failed = !sigreturn && result < 0 && result >= -MAX_ERRNO;
	struct interrupted_call *before = NULL;
	struct call_key key = {};
	struct call_start *known;
	struct call_total *total;

	if (!current_task_wanted(ids))
		return;
	if (by_signal || (is_restart(call) && !syscount_config.latency))
		before = interrupted_before(thread, call, stack);
	if (before) {
		call = before->call;
		start = before->time_ns;
		if (!is_interrupted(result))
			forget_interrupted(thread);
	} else if (syscount_config.latency) {
		known = bpf_map_lookup_elem(&starts, &thread);
		if (known) {
			if (is_same_call(known->call, call, sigreturn)) {
				start = known->time_ns;
				call = known->call;
			}
			bpf_map_delete_elem(&starts, &thread);
		}
	}
	if (is_interrupted(result) && !sigreturn) {
		/* Without times, only those that come back under another number have to be known. */
		if (syscount_config.latency || result == -ERESTART_RESTARTBLOCK)
			on_interruption(thread, call, start, stack);
		return;
	}
	if (!has_begun(ids, call, result) || !call_wanted(call) || is_new_task(call, result))
		return;
	if (syscount_config.failed_only && !failed)
		return;
	if (syscount_config.error && (!failed || result != -(long)syscount_config.error))
		return;

	if (syscount_config.by_process) {
		key.process = ids >> 32;
		key.started_ns = process_start((struct task_struct *)bpf_get_current_task());
	} else {
		key.call = call;
		key.cpu = bpf_get_smp_processor_id();
	}
	total = total_of(&key);
	if (!total)
		return;
	__sync_fetch_and_add(&total->count, 1);
	if (failed)
		__sync_fetch_and_add(&total->errors, 1);
	if (start)
		count_time(total, call, start);
}

#define CALL(read, regs, compat)                                                          \
	({                                                                                \
		compat = in_compat_syscall((struct task_struct *)bpf_get_current_task()); \
		call_of(SYSCALL_NUMBER(read, regs), compat,                               \
			!compat && SYSCALL_IS_X32(read, regs));                           \
	})

/*
 * The return from a signal handler has put the registers of before in place, and says so with the number -1. So does
 * a tracer that keeps the kernel from making a call (strace --inject, sandboxes), which then has the result of none.
 */
#define RETURN(read, regs, result, by_signal)                                                     \
	({                                                                                        \
		bool compat, sigreturn = SYSCALL_IS_NONE(read, regs);                             \
		__u32 call = CALL(read, regs, compat);                                            \
		if (sigreturn)                                                                    \
			call = call_of(compat ? NR_COMPAT_RT_SIGRETURN : NR_RT_SIGRETURN, compat, \
				       false);                                                    \
		if (!sigreturn || result != -ENOSYS)                                              \
			on_return(call, sigreturn, result, read(regs, sp), by_signal);            \
		0;                                                                                \
	})
#define ON_RETURN(read, regs, result) RETURN(read, regs, result, false)
#define ON_SIGNAL_RETURN(read, regs, result) RETURN(read, regs, result, true)

AT_SYSCALL_RETURN(ON_RETURN)
AT_INTERRUPTED_SYSCALL(ON_SIGNAL_RETURN)

SEC("tp_btf/sys_enter")
int BPF_PROG(syscall_entry, struct pt_regs *regs, long number)
{
	bool compat;

	on_enter(CALL(READ_DIRECT, regs, compat), regs->sp);
	return 0;
}

/* Where others can be preempted: see AT_SYSCALL_RETURN. */
SEC("tp/raw_syscalls/sys_enter")
int syscall_entry_event(struct syscall_record *record)
{
	struct pt_regs *regs = current_registers();
	bool compat;

	on_enter(CALL(READ_DIRECT, regs, compat), regs->sp);
	return 0;
}

/* For kernels whose own BTF is not to be had: the same through checked copies. */
SEC("raw_tp/sys_enter")
int syscall_entry_raw(struct bpf_raw_tracepoint_args *ctx)
{
	struct pt_regs *regs = (struct pt_regs *)ctx->args[0];
	bool compat;

	on_enter(CALL(READ_CHECKED, regs, compat), READ_CHECKED(regs, sp));
	return 0;
}

/* Its last call does not return. */
SEC("raw_tp/sched_process_exit")
int task_ended(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 thread = bpf_get_current_pid_tgid();

	if (syscount_config.latency)
		bpf_map_delete_elem(&starts, &thread);
	if (interrupted)
		forget_interrupted(thread);
	return 0;
}

/* (task, comm): a process is shown under the last name that it has had. */
SEC("raw_tp/task_rename")
int task_renamed(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	struct call_key key = {.process = process_number(task), .started_ns = process_start(task)};
	struct call_total *total;

	if (BPF_CORE_READ(task, group_leader) != task)
		return 0;
	total = bpf_map_lookup_elem(&totals, &key);
	if (total)
		bpf_probe_read_kernel_str(total->comm, sizeof(total->comm), (void *)ctx->args[1]);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
