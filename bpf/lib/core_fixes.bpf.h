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

/* Linux 6.13, commit 6af82f7614a2 ("io_uring: move struct io_kiocb from task_struct to io_uring_task"). */
struct io_kiocb___pre_v6_13 {
	struct task_struct *task;
} __attribute__((preserve_access_index));

/* The task that has submitted a request. */
static __always_inline struct task_struct *io_request_task(struct io_kiocb *request)
{
	struct io_kiocb___pre_v6_13 *old = (void *)request;

	if (bpf_core_field_exists(request->tctx))
		return BPF_CORE_READ(request, tctx, task);
	return BPF_CORE_READ(old, task);
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
