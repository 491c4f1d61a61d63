// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* System calls, counted when they return, by call or by process; how long they took, if that is asked for. */
#include "lib/kernel.h"
#include "lib/arch.bpf.h"
#include "lib/core_fixes.bpf.h"
#include "lib/events.bpf.h"
#include "lib/filter.bpf.h"
#include "lib/histogram.bpf.h"
#include "include/syscount.h"

#define TOTALS 65536
#define CALLS_UNDER_WAY 65536
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

static __always_inline void on_enter(__u32 call)
{
	__u32 thread = bpf_get_current_pid_tgid();
	struct call_start start = {.time_ns = bpf_ktime_get_ns(), .call = call};

	if (!current_task_wanted(current_ids()))
		return;
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

static __always_inline void on_return(__u32 call, bool sigreturn, long result)
{
	__u64 ids = current_ids(), start = 0;
	__u32 thread = bpf_get_current_pid_tgid();
	bool failed = !sigreturn && result < 0 && result >= -MAX_ERRNO;
	struct call_key key = {};
	struct call_start *known;
	struct call_total *total;

	if (!current_task_wanted(ids))
		return;
	if (syscount_config.latency) {
		known = bpf_map_lookup_elem(&starts, &thread);
		if (known) {
			start = known->time_ns;
			call = known->call;
			bpf_map_delete_elem(&starts, &thread);
		}
	}
	if (!has_begun(ids, call, result) || !call_wanted(call) || is_new_task(call, result))
		return;
	if (syscount_config.failed_only && !failed)
		return;
	if (syscount_config.error && (!failed || result != -(long)syscount_config.error))
		return;

	if (syscount_config.by_process) {
		key.process = ids >> 32;
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
	if (syscount_config.by_process && is_exec(call) && !result)
		bpf_get_current_comm(total->comm, sizeof(total->comm));
	if (start)
		count_time(total, call, start);
}

#define CALL(read, regs, compat)                                                          \
	({                                                                                \
		compat = in_compat_syscall((struct task_struct *)bpf_get_current_task()); \
		call_of(SYSCALL_NUMBER(read, regs), compat,                               \
			!compat && SYSCALL_IS_X32(read, regs));                           \
	})

/* The return from a signal handler has put the registers of before in place, and says so with the number -1. */
#define ON_RETURN(read, regs, result)                                                             \
	({                                                                                        \
		bool compat, sigreturn = (long)read(regs, orig_ax) == -1;                         \
		__u32 call = CALL(read, regs, compat);                                            \
		if (sigreturn)                                                                    \
			call = call_of(compat ? NR_COMPAT_RT_SIGRETURN : NR_RT_SIGRETURN, compat, \
				       false);                                                    \
		on_return(call, sigreturn, result);                                               \
		0;                                                                                \
	})

AT_SYSCALL_RETURN(ON_RETURN)

SEC("tp_btf/sys_enter")
int BPF_PROG(syscall_entry, struct pt_regs *regs, long number)
{
	bool compat;

	on_enter(CALL(READ_DIRECT, regs, compat));
	return 0;
}

/* For kernels whose own BTF is not to be had: the same through checked copies. */
SEC("raw_tp/sys_enter")
int syscall_entry_raw(struct bpf_raw_tracepoint_args *ctx)
{
	struct pt_regs *regs = (struct pt_regs *)ctx->args[0];
	bool compat;

	on_enter(CALL(READ_CHECKED, regs, compat));
	return 0;
}

/* Its last call does not return. */
SEC("raw_tp/sched_process_exit")
int task_ended(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 thread = bpf_get_current_pid_tgid();

	bpf_map_delete_elem(&starts, &thread);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
