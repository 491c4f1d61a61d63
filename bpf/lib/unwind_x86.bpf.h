/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What unwinding has to know of x86-64: where the user's registers are, what
 * a rule means, the frame of a signal handler, the kernel's trampoline for
 * return probes. Another architecture is another file with the same names.
 */
#ifndef APUS_UNWIND_X86_BPF_H
#define APUS_UNWIND_X86_BPF_H

#define USER_CODE_64 0x33 /* __USER_CS (asm/segment.h) */
#define USER_CODE_32 0x23 /* __USER32_CS */
#define KERNEL_STACK_BYTES 16384 /* THREAD_SIZE, where the helper for it is not there yet */
#define PF_KTHREAD_TASK 0x00200000 /* PF_KTHREAD */

/*
 * The registers with which the current task left user mode: on top of its kernel stack, whatever has
 * interrupted it. 0, or an enum stack_end.
 */
static __always_inline int read_user_registers(struct stack_slot *slot)
{
	struct task_struct *task;
	void *registers;

	/* A kernel thread has none, and the memory of a task that exits is gone: that of another one is still there. */
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs)) { /* Linux 5.15 */
		task = bpf_get_current_task_btf();
		if (task->flags & PF_KTHREAD_TASK || !task->mm)
			return STACK_END_UNREADABLE;
		registers = (void *)bpf_task_pt_regs(task);
	} else {
		task = (struct task_struct *)bpf_get_current_task();
		if (BPF_CORE_READ(task, flags) & PF_KTHREAD_TASK || !BPF_CORE_READ(task, mm))
			return STACK_END_UNREADABLE;
		registers = BPF_CORE_READ(task, stack) + KERNEL_STACK_BYTES -
			    sizeof(struct user_registers);
	}
	if (bpf_probe_read_kernel(&slot->registers, sizeof(slot->registers), registers))
		return STACK_END_UNREADABLE;
	slot->pc = slot->registers.ip;
	slot->sp = slot->registers.sp;
	slot->fp = slot->registers.bp;
	if ((slot->registers.cs & 0xffff) == USER_CODE_32)
		slot->is_32_bit = 1;
	else if ((slot->registers.cs & 0xffff) != USER_CODE_64)
		return STACK_END_UNREADABLE;
	return 0;
}

/* By its number in DWARF (System V ABI, AMD64 supplement, figure 3.36). */
static __always_inline __u64 user_register(struct user_registers *registers, __u8 number)
{
	switch (number) {
	case 0:
		return registers->ax;
	case 1:
		return registers->dx;
	case 2:
		return registers->cx;
	case 3:
		return registers->bx;
	case 4:
		return registers->si;
	case 5:
		return registers->di;
	case 6:
		return registers->bp;
	case 7:
		return registers->sp;
	case 8:
		return registers->r8;
	case 9:
		return registers->r9;
	case 10:
		return registers->r10;
	case 11:
		return registers->r11;
	case 12:
		return registers->r12;
	case 13:
		return registers->r13;
	case 14:
		return registers->r14;
	case 15:
		return registers->r15;
	}
	return 0;
}

/*
 * The kernel has put its own trampoline in the place of return addresses where a return probe is pending; it keeps
 * the true ones. The trampoline begins the page of [uprobes] (arch_uprobe_trampoline).
 */
#define TRAMPOLINE_BYTES 64
#define PENDING_RETURNS 64 /* more than a probed function nests in itself and others */

/* Bytes that the trampoline has pushed when it is at an offset (it saves rax, rcx and r11 around a call; Linux 6.11). */
static __always_inline __u64 trampoline_pushed(__u64 offset)
{
	switch (offset) {
	case 0:
		return 0;
	case 1:
		return 8;
	case 2:
		return 16;
	case 3 ... 0xd:
		return 24;
	case 0xe ... 0xf:
		return 16;
	}
	return 8;
}

/* The frame in hand is the trampoline: puts the function that is to be returned to in its place. */
__attribute__((noinline)) int read_hidden_return(__u32 id)
{
	struct stack_slot *slot = bpf_map_lookup_elem(&stack_slots, &id);
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct return_instance *pending;
	__u64 page, offset, sp, ra;

	if (!slot)
		return -1;
	page = BPF_CORE_READ(task, mm, uprobes_state.xol_area, vaddr);
	offset = slot->pc - page;
	if (!page || offset >= TRAMPOLINE_BYTES)
		return -1;
	sp = slot->sp + trampoline_pushed(offset);
	pending = BPF_CORE_READ(task, utask, return_instances);
	for (int i = 0; i < PENDING_RETURNS && pending; i++) {
		ra = BPF_CORE_READ(pending, orig_ret_vaddr);
		/* Equal: before the kernel has noted this frame, an outer one would give a false stack. Several probes of
		 * one function are chained, the last of them with the true address. */
		if (BPF_CORE_READ(pending, stack) + 8 == sp && ra - page >= WINDOW_BYTES)
			goto found;
		pending = BPF_CORE_READ(pending, next);
	}
	/* The handler is done: the kernel has put the address on the stack. */
	if (offset < 0xd || bpf_probe_read_user(&ra, sizeof(ra), (void *)(sp - 8)))
		return -1;
found:
	stop_recording(slot);
	slot->pc = ra;
	slot->sp = sp;
	slot->is_exact = slot->has_registers = 0;
	return 0;
}

/* Where the call before a return address leads; 0 if that is not written there. */
static __always_inline __u64 called_address(__u64 ra)
{
	__u64 bytes = 0;

	if (bpf_probe_read_user(&bytes, sizeof(bytes), (void *)(ra - sizeof(bytes))) ||
	    (bytes >> 24 & 0xff) != 0xe8)
		return 0;
	return ra + (__s64)(__s32)(bytes >> 32);
}

/*
 * Where a stub of the procedure linkage table leads (System V ABI, 5.2); 0 if this is none, STUB_NOT_USED if that has to
 * be looked for yet: then it leads to what pushes its number.
 */
static __always_inline __u64 behind_stub(__u64 address)
{
	__u64 bytes = 0, target = 0;

	if (bpf_probe_read_user(&bytes, sizeof(bytes), (void *)address))
		return 0;
	if ((__u32)bytes == 0xfa1e0ff3) { /* endbr64 */
		address += 4;
		if (bpf_probe_read_user(&bytes, sizeof(bytes), (void *)address))
			return 0;
	}
	if ((bytes & 0xff) == 0xf2) { /* bnd */
		bytes >>= 8;
		address++;
	}
	if ((bytes & 0xffff) != 0x25ff) /* jmp *(%rip + ...) */
		return 0;
	address += 6 + (__s64)(__s32)(bytes >> 16);
	if (bpf_probe_read_user(&target, sizeof(target), (void *)address) ||
	    bpf_probe_read_user(&bytes, sizeof(bytes), (void *)target))
		return 0;
	if ((__u32)bytes == 0xfa1e0ff3)
		bytes >>= 32;
	return (bytes & 0xff) == 0x68 ? STUB_NOT_USED : target;
}

/*
 * How far from the stack pointer the return address is, where an instruction tells: those with which functions begin,
 * and those that return. Else minus 1.
 */
static __always_inline int return_address_offset(__u64 pc)
{
	__u64 bytes = 0;

	if (bpf_probe_read_user(&bytes, sizeof(bytes), (void *)pc))
		return -1;
	switch (bytes & 0xff) {
	case 0x55: /* push %rbp */
	case 0xc3: /* ret */
	case 0xc2:
		return 0;
	}
	if ((__u32)bytes == 0xfa1e0ff3 || (bytes & 0xffff) == 0xc3f3) /* endbr64; rep ret */
		return 0;
	switch (bytes & 0xffffff) {
	case 0xe58948: /* mov %rsp, %rbp, behind push %rbp */
	case 0xec8b48:
		return 8;
	}
	return -1;
}

/* The caller of code of 32 bits without rules, by the frame pointer. */
__attribute__((noinline)) int step_32_bit(__u32 id)
{
	struct stack_slot *slot = bpf_map_lookup_elem(&stack_slots, &id);
	__u64 pair = 0, fp, sp;
	__u32 ra, next, offset;

	if (!slot)
		return STACK_END_BUSY;
	sp = slot->sp;
	fp = slot->fp;
	if (slot->is_exact) {
		/* Before push %ebp and mov %esp, %ebp, and behind the end of the function. */
		__u32 bytes = 0;

		bpf_probe_read_user(&bytes, sizeof(bytes), (void *)slot->pc);
		offset = (bytes & 0xffff) == 0xe589 || (bytes & 0xffff) == 0xec8b ? 4 : 0;
		if (offset || (bytes & 0xff) == 0x55 || (bytes & 0xff) == 0xc3 ||
		    bytes == 0xfb1e0ff3) {
			if (read_stack(slot, id, sp + offset, &pair))
				return STACK_END_UNREADABLE;
			ra = pair;
			slot->by_frame_pointer = 2;
			if (is_code(id, (__u64)ra - 1))
				return go_to_caller(slot, ra, sp + offset + 4, fp);
		}
	}
	/* The first frame of a chain has none before it. Elsewhere a 0 in that register means nothing. */
	if (!fp && slot->by_frame_pointer == 2)
		return STACK_END_ROOT;
	if (fp & 3 || fp - sp >= FRAME_POINTER_REACH || read_stack(slot, id, fp, &pair))
		return STACK_END_32_BIT;
	next = pair;
	ra = pair >> 32;
	if (!ra && slot->by_frame_pointer == 2)
		return STACK_END_ROOT;
	if (!is_code(id, (__u64)ra - 1))
		return STACK_END_32_BIT;
	slot->by_frame_pointer = 2;
	return go_to_caller(slot, ra, fp + 8, next);
}

/* A word of the stack of code with a rule. */
static __always_inline int read_by_rule(struct stack_slot *slot, __u32 id, struct unwind_rule *rule,
					__u64 address, __u64 *value)
{
	int failed = read_stack(slot, id, address, value);

	if (rule->is_32_bit)
		*value = (__u32)*value;
	return failed;
}

/* Where the kernel saves registers of an interrupted function (asm/sigcontext.h). */
#define SIGNAL_BP (10 * 8) /* behind r8 to r15, di, si */
#define SIGNAL_SP (15 * 8) /* behind bx, dx, ax, cx */
#define SIGNAL_IP (16 * 8)
#define SIGNAL_BP_32 (6 * 4) /* behind gs, fs, es, ds, di, si */
#define SIGNAL_SP_32 (7 * 4)
#define SIGNAL_IP_32 (14 * 4) /* behind bx, dx, cx, ax, trapno, err */

static __always_inline int leave_signal_frame(struct stack_slot *slot, __u32 id,
					      struct unwind_rule *rule)
{
	__u64 ip = 0, sp = 0, bp = 0, saved = slot->sp + rule->cfa_offset;
	bool is_short = rule->is_32_bit;

	if (read_by_rule(slot, id, rule, saved + (is_short ? SIGNAL_IP_32 : SIGNAL_IP), &ip) ||
	    read_by_rule(slot, id, rule, saved + (is_short ? SIGNAL_BP_32 : SIGNAL_BP), &bp) ||
	    read_by_rule(slot, id, rule, saved + (is_short ? SIGNAL_SP_32 : SIGNAL_SP), &sp))
		return STACK_END_UNREADABLE;
	slot->pc = ip;
	slot->fp = bp;
	/* Not necessarily upwards: handlers can have a stack of their own. */
	slot->sp = sp;
	slot->is_exact = 1;
	slot->has_registers = 0;
	return 0;
}

/* The caller's registers by a rule: 0, or an enum stack_end. */
static __always_inline int apply_rule(struct stack_slot *slot, __u32 id, struct unwind_rule *rule)
{
	__u64 cfa = 0, ra = 0, fp = 0;
	__u32 word = rule->is_32_bit ? 4 : 8;

	switch (rule->cfa) {
	case CFA_STACK:
		cfa = slot->sp + rule->cfa_offset;
		break;
	case CFA_FRAME:
		cfa = slot->fp + rule->cfa_offset;
		break;
	case CFA_STACK_DEREFERENCED:
	case CFA_FRAME_DEREFERENCED:
		cfa = rule->cfa == CFA_STACK_DEREFERENCED ? slot->sp : slot->fp;
		if (read_by_rule(slot, id, rule, cfa + rule->cfa_offset, &cfa))
			return STACK_END_UNREADABLE;
		cfa += rule->cfa_addend;
		break;
	case CFA_REGISTER:
		stop_recording(slot);
		cfa = user_register(&slot->registers, rule->cfa_register) + rule->cfa_offset;
		break;
	case CFA_PLT:
		cfa = slot->sp + word + ((slot->pc & 15) >= (__u32)rule->cfa_offset ? word : 0);
		break;
	case CFA_SIGNAL:
		return leave_signal_frame(slot, id, rule);
	case CFA_ROOT:
		return STACK_END_ROOT;
	default:
		return STACK_END_NO_RULE;
	}
	if (read_by_rule(slot, id, rule, cfa + rule->ra_offset, &ra))
		return STACK_END_UNREADABLE;
	/* A distance that the rule itself gives is that of the code. */
	if (cfa - slot->sp - 1 >= FRAME_MOST_BYTES &&
	    (rule->cfa != CFA_STACK || (__s64)(cfa - slot->sp) <= 0) && !is_good_jump(id, ra))
		return STACK_END_NONSENSE;
	if (rule->fp == FRAME_POINTER_SAVED || rule->fp == FRAME_POINTER_AT_FRAME) {
		fp = rule->fp == FRAME_POINTER_SAVED ? cfa : slot->fp;
		if (read_by_rule(slot, id, rule, fp + rule->fp_offset, &fp))
			return STACK_END_UNREADABLE;
		slot->fp = fp;
	} else if (rule->fp == FRAME_POINTER_UNKNOWN) {
		slot->fp = 0;
	}
	slot->sp = cfa;
	slot->pc = ra;
	slot->is_exact = slot->has_registers = 0;
	/* What starts threads leaves a 0 where nobody is to be returned to. */
	return ra ? 0 : STACK_END_ROOT;
}

#endif
