/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fields of a task, read through a pointer that the verifier trusts where
 * there is one (DIRECT), by a checked copy elsewhere.
 */
#ifndef APUS_TASK_BPF_H
#define APUS_TASK_BPF_H

#define DIRECT true
#define CHECKED false
#define TASK_FIELD(direct, task, field) \
	((direct) ? (task)->field : BPF_CORE_READ((struct task_struct *)(task), field))

#define TASK_RUNNING 0
#define TASK_DEAD 0x80 /* in prev->__state at its last switch (linux/sched.h) */

#endif
