/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * For every program of a user probe. Since Linux 6.13 the x86 compiler gives
 * programs that need more than 64 bytes a stack for each CPU in place of the
 * kernel's. Programs of user probes can be preempted: another thread's run of
 * the same program then writes to the same stack, and the first goes on with
 * the other's pointers (seen on 7.3, where the kernel died of it). A program
 * with a tail call is left on the kernel's stack.
 */
#ifndef APUS_USER_PROBE_BPF_H
#define APUS_USER_PROBE_BPF_H

/* Two, since one takes only programs that are attached in the same way: one by one, or many by one link. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} no_programs_one SEC(".maps"), no_programs_many SEC(".maps");

/* Never set: the verifier removes the call, but has counted it. */
const volatile bool calls_no_programs;

#define STAY_ON_KERNEL_STACK(ctx, how)                             \
	do {                                                       \
		if (calls_no_programs)                             \
			bpf_tail_call(ctx, &no_programs_##how, 0); \
	} while (0)

#endif
