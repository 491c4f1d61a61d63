/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef APUS_ARCH_BPF_H
#define APUS_ARCH_BPF_H

/* Two ways to reach a register: through a pointer that the verifier trusts, or by a checked copy. */
#define READ_DIRECT(regs, field) ((regs)->field)
#define READ_CHECKED(regs, field) BPF_CORE_READ(regs, field)

#if defined(__TARGET_ARCH_x86)
#include "arch_x86.bpf.h"
#else
#error "this architecture has no arch_*.bpf.h yet"
#endif

/* What the records of raw_syscalls:sys_enter and raw_syscalls:sys_exit hold, as their format files say. */
struct syscall_record {
	__u64 common;
	__s64 number;
	__s64 result; /* at the return; at the entry the first argument is here */
};

/*
 * The programs at the return of system calls: with trusted pointers, and through checked copies for kernels whose own
 * BTF is not to be had. `on_return(read, regs, result)` is a macro whose value they return.
 *
 * Since Linux 7.0 (commit a46023d5616e, "tracing: Guard __DECLARE_TRACE() use of __DO_TRACE_CALL() with SRCU-fast") raw
 * programs can be preempted, and until they go on the kernel leaves out the same program for all other tasks on that
 * CPU. Perf events of the tracepoint still run their programs with preemption off: the one named …_event, which costs
 * a little more, and is kept only where it is needed (OpenObject.chooseVariants). Those that need no types from the
 * kernel itself are named …_record.
 */
#define AT_SYSCALL_RETURN(on_return)                                      \
	SEC("tp/raw_syscalls/sys_exit")                                   \
	int syscall_return_event(struct syscall_record *record)           \
	{                                                                 \
		struct pt_regs *regs = current_registers();               \
                                                                          \
		return on_return(READ_DIRECT, regs, record->result);      \
	}                                                                 \
	SEC("tp_btf/sys_exit")                                            \
	int BPF_PROG(syscall_return, struct pt_regs *regs, long result)   \
	{                                                                 \
		return on_return(READ_DIRECT, regs, result);              \
	}                                                                 \
	SEC("raw_tp/sys_exit")                                            \
	int syscall_return_raw(struct bpf_raw_tracepoint_args *ctx)       \
	{                                                                 \
		struct pt_regs *regs = (struct pt_regs *)ctx->args[0];    \
                                                                          \
		return on_return(READ_CHECKED, regs, (long)ctx->args[1]); \
	}

/* linux/errno.h: what a call returns that a signal has interrupted; user space never sees it. */
#define ERESTARTSYS 512 /* restarted unless a handler without SA_RESTART runs */
#define ERESTARTNOINTR 513 /* always restarted */
#define ERESTARTNOHAND 514 /* restarted unless a handler runs */
#define ERESTART_RESTARTBLOCK 516 /* the same, as the call restart_syscall */
#define EINTR 4
#define ENOSYS 38
#define SIGNAL_HANDLER_LEAST 2 /* behind SIG_DFL and SIG_IGN */
#define SIGNAL_RESTARTS 0x10000000 /* SA_RESTART */

/* Whether a call is not over: what becomes of it is said by the signals that are delivered before it is restarted. */
static __always_inline bool is_interrupted(long result)
{
	return result <= -ERESTARTSYS && result >= -ERESTART_RESTARTBLOCK;
}

/* Whether a call fails with EINTR when a signal is delivered to this handler (arch_do_signal_or_restart). */
static __always_inline bool ends_interrupted_call(long result, __u64 handler, __u64 flags)
{
	if (!is_interrupted(result) || result == -ERESTARTNOINTR || handler < SIGNAL_HANDLER_LEAST)
		return false;
	return result != -ERESTARTSYS || !(flags & SIGNAL_RESTARTS);
}

/* What the records of signal:signal_deliver hold. */
struct signal_record {
	__u64 common;
	__s32 signal, error, code, padding;
	__u64 handler;
	__u64 flags;
};

#define ON_SIGNAL(on_return, handler, flags)                                                   \
	({                                                                                     \
		struct pt_regs *regs = current_registers();                                    \
		if (!SYSCALL_IS_NONE(READ_CHECKED, regs) &&                                    \
		    ends_interrupted_call(SYSCALL_RESULT(READ_CHECKED, regs), handler, flags)) \
			on_return(READ_CHECKED, regs, -EINTR);                                 \
		0;                                                                             \
	})

/* A call that was interrupted fails now: `on_return` as above, which is to leave out results that is_interrupted(). */
#define AT_INTERRUPTED_SYSCALL(on_return)                                                \
	SEC("tp/signal/signal_deliver")                                                  \
	int syscall_interrupted_event(struct signal_record *record)                      \
	{                                                                                \
		return ON_SIGNAL(on_return, record->handler, record->flags);             \
	}                                                                                \
	/* (signal, info, action) */                                                     \
	SEC("raw_tp/signal_deliver")                                                     \
	int syscall_interrupted(struct bpf_raw_tracepoint_args *ctx)                     \
	{                                                                                \
		struct k_sigaction *action = (struct k_sigaction *)ctx->args[2];         \
                                                                                         \
		return ON_SIGNAL(on_return, (__u64)BPF_CORE_READ(action, sa.sa_handler), \
				 BPF_CORE_READ(action, sa.sa_flags));                    \
	}

#endif
