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

/*
 * The programs at the return of system calls: with trusted pointers, and through checked copies for kernels whose own
 * BTF is not to be had. `on_return(read, regs, result)` is a macro whose value they return.
 */
#define AT_SYSCALL_RETURN(on_return)                                      \
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

#endif
