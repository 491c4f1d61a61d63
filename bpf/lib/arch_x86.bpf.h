/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What system calls look like on x86: numbers and argument registers of the
 * 64-bit, the x32 and the 32-bit entry. Another architecture is another file
 * with the same names.
 */
#ifndef APUS_ARCH_X86_BPF_H
#define APUS_ARCH_X86_BPF_H

/* The kernel's struct pt_regs on x86-64, whose layout is part of its ABI (ptrace). */
struct user_registers {
	__u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di;
	__u64 orig_ax, ip, cs, flags, sp, ss;
};

/* set in thread_info.status while a 32-bit system call is served (asm/thread_info.h) */
#define TS_COMPAT 0x0002
/* or'ed into the number by x32 callers (asm/unistd.h) */
#define X32_SYSCALL_BIT 0x40000000

#define NR_OPEN 2
#define NR_CREAT 85
#define NR_MMAP 9
#define NR_MUNMAP 11
#define NR_BRK 12
#define NR_MREMAP 25
#define NR_OPENAT 257
#define NR_OPENAT2 437
#define NR_EXECVE 59
#define NR_EXECVEAT 322
#define NR_X32_EXECVE 520
#define NR_X32_EXECVEAT 545
#define NR_RT_SIGRETURN 15
#define NR_CLONE 56
#define NR_FORK 57
#define NR_VFORK 58
#define NR_CLONE3 435
#define NR_RESTART_SYSCALL 219
#define NR_COMPAT_RESTART_SYSCALL 0
#define NR_COMPAT_FORK 2
#define NR_COMPAT_CLONE 120
#define NR_COMPAT_VFORK 190
#define NR_COMPAT_EXECVE 11
#define NR_COMPAT_EXECVEAT 358
#define NR_COMPAT_RT_SIGRETURN 173
#define NR_COMPAT_OPEN 5
#define NR_COMPAT_CREAT 8
#define NR_COMPAT_OPENAT 295

#define SYSCALL_NUMBER(read, regs) ((long)read(regs, orig_ax) & ~X32_SYSCALL_BIT)

/* No call is served, or none any more: after a sigreturn, or because a tracer has put this number in place. */
#define SYSCALL_IS_NONE(read, regs) ((long)read(regs, orig_ax) == -1)
#define SYSCALL_RESULT(read, regs) ((long)read(regs, ax))

/* Whether an x32 caller made the call: its pointers in memory are of 32 bits. */
#define SYSCALL_IS_X32(read, regs) \
	((long)read(regs, orig_ax) > 0 && read(regs, orig_ax) & X32_SYSCALL_BIT)

/* The arguments. At the call's return they are still what the caller passed. */
#define SYSCALL_ARGUMENT_1(read, regs, compat) \
	((compat) ? (__u64)(__u32)read(regs, bx) : (__u64)read(regs, di))
#define SYSCALL_ARGUMENT_2(read, regs, compat) \
	((compat) ? (__u64)(__u32)read(regs, cx) : (__u64)read(regs, si))
#define SYSCALL_ARGUMENT_3(read, regs, compat) \
	((compat) ? (__u64)(__u32)read(regs, dx) : (__u64)read(regs, dx))
#define SYSCALL_ARGUMENT_4(read, regs, compat) \
	((compat) ? (__u64)(__u32)read(regs, si) : (__u64)read(regs, r10))

/* A function's arguments at its entry, and its result at its return (System V ABI, 3.2.3). */
#define CALL_ARGUMENT_1(regs) ((__u64)(regs)->di)
#define CALL_ARGUMENT_2(regs) ((__u64)(regs)->si)
#define CALL_ARGUMENT_3(regs) ((__u64)(regs)->dx)
#define CALL_RESULT(regs) ((__u64)(regs)->ax)
#define STACK_POINTER(regs) ((__u64)(regs)->sp)
/* Of the stack pointer: set at entries, where the return address is on the stack, clear after returns (3.2.2). */
#define STACK_POINTER_AT_ENTRY 8
/* By how much it is higher after a return than at the entry. */
#define RETURN_POPS 8

#define KERNEL_STACK_BYTES 16384 /* THREAD_SIZE, where the helper for it is not there yet */

/* The registers with which the current task, which is no kernel thread, has entered the kernel. */
static __always_inline struct pt_regs *current_registers(void)
{
	struct task_struct *task;

	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs)) /* Linux 5.15 */
		return (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
	task = (struct task_struct *)bpf_get_current_task();
	return BPF_CORE_READ(task, stack) + KERNEL_STACK_BYTES - sizeof(struct user_registers);
}

static __always_inline bool in_compat_syscall(struct task_struct *task)
{
	return BPF_CORE_READ(task, thread_info.status) & TS_COMPAT;
}

#endif
