/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What moved between kernels, one entry a change, with the commit. A suffix
 * behind three underscores is a flavour: libbpf matches the type without it.
 */
#ifndef APUS_CORE_FIXES_BPF_H
#define APUS_CORE_FIXES_BPF_H

/*
 * Linux 7.0 ("allow incomplete imports of filenames"): io_uring keeps the name
 * in a struct delayed_filename, which wraps the pointer of before.
 */
struct delayed_filename {
	struct filename *__incomplete_filename;
} __attribute__((preserve_access_index));

struct io_open___delayed {
	struct delayed_filename filename;
} __attribute__((preserve_access_index));

/* The name that an io_uring open will look up: copied from the caller when the request is submitted. */
static __always_inline const void *io_open_name(struct io_open *open)
{
	struct io_open___delayed *delayed = (void *)open;

	if (bpf_core_field_exists(delayed->filename.__incomplete_filename))
		return BPF_CORE_READ(delayed, filename.__incomplete_filename, name);
	return BPF_CORE_READ(open, filename, name);
}

/* Linux 5.14, commit 2f064a59a11f ("sched: Change task_struct::state"). */
struct task_struct___pre_v5_14 {
	volatile long state;
} __attribute__((preserve_access_index));

static __always_inline __u32 task_state(struct task_struct *task)
{
	struct task_struct___pre_v5_14 *old = (void *)task;

	if (bpf_core_field_exists(task->__state))
		return BPF_CORE_READ(task, __state);
	return BPF_CORE_READ(old, state);
}

#endif
