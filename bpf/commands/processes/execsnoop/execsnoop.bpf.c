// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Programs that are started. A successful exec is seen when the new image is in
 * place: its arguments then lie in one piece in memory that the kernel has just
 * written, so that they can be read at once, all of them and as they are. Of a
 * failed one the caller's memory is still there when the call returns.
 */
#include "lib/kernel.h"
#include "lib/arch.bpf.h"
#include "lib/core_fixes.bpf.h"
#include "lib/events.bpf.h"
#include "lib/filter.bpf.h"
#include "execsnoop.h"

#define ARGUMENT_CHUNK 4096
#define ARGUMENT_STEPS 1024 /* arguments, and chunks of long ones, of a failed exec */
#define TEXT_BYTES (EXEC_ARGUMENT_BYTES + EXEC_PATH_BYTES)

const volatile struct execsnoop_config execsnoop_config;

struct exec_scratch {
	struct exec_event event;
	char text[TEXT_BYTES + ARGUMENT_CHUNK];
	__u64 pointers; /* a failed exec: where the pointer to the next argument is */
	__u64 string; /* and the argument that is being read; 0 between two */
	__u32 narrow; /* pointers are of 32 bits */
	__u32 reserved;
};

/* One slot a program, so that a program that interrupts another one leaves its slot alone. */
enum { SLOT_DONE, SLOT_DONE_AGAIN, SLOT_FAILED, SLOTS };

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, struct exec_scratch);
} scratch SEC(".maps");

#define EXECS_REMEMBERED 4096
#define EEXIST 17

/* An exec, as the kernel's own numbers tell it from all others. */
struct told_exec {
	__u64 start_ns; /* of the process */
	__u32 thread;
	__u32 number; /* in its bits that are the same on all kernels: how many execs there were before */
};

/* Where two programs see each exec: the first one to get here tells of it. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, EXECS_REMEMBERED);
	__type(key, struct told_exec);
	__type(value, __u8);
} told_execs SEC(".maps");

static __always_inline bool is_told(struct task_struct *task)
{
	struct told_exec key = {
		.start_ns = BPF_CORE_READ(task, start_time),
		.thread = BPF_CORE_READ(task, pid),
		.number = BPF_CORE_READ(task, self_exec_id),
	};
	__u8 present = 1;

	return bpf_map_update_elem(&told_execs, &key, &present, BPF_NOEXIST) == -EEXIST;
}

static __always_inline void fill(struct exec_event *event, struct task_struct *task, __u64 ids)
{
	event->time_ns = bpf_ktime_get_ns();
	event->start_ns = BPF_CORE_READ(task, start_time);
	event->cgroup = execsnoop_config.cgroup ? bpf_get_current_cgroup_id() : 0;
	event->process = ids >> 32;
	event->thread = ids;
	event->parent = process_number(BPF_CORE_READ(task, real_parent));
	event->user = bpf_get_current_uid_gid();
	event->notes = 0;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	BPF_CORE_READ_INTO(&event->parent_comm, task, real_parent, group_leader, comm);
}

/* Adds the path behind the arguments and sends it all. */
static __always_inline void send(struct exec_scratch *at, const void *path, bool in_kernel)
{
	struct exec_event *event = &at->event;
	__u64 arguments = event->sent_bytes, bytes;
	long path_bytes;

	if (arguments > EXEC_ARGUMENT_BYTES)
		arguments = EXEC_ARGUMENT_BYTES;
	if (in_kernel)
		path_bytes = bpf_probe_read_kernel_str(at->text + arguments, EXEC_PATH_BYTES, path);
	else
		path_bytes = bpf_probe_read_user_str(at->text + arguments, EXEC_PATH_BYTES, path);
	if (path_bytes <= 0) {
		event->notes |= EXEC_NOTE_PATH_UNREADABLE;
		path_bytes = 1;
	}
	event->path_bytes = (path_bytes - 1) & (EXEC_PATH_BYTES - 1);
	bytes = arguments + event->path_bytes;
	if (bytes > TEXT_BYTES)
		bytes = TEXT_BYTES;
	send_record(at, sizeof(*event) + bytes);
}

static __always_inline int on_exec(struct bpf_raw_tracepoint_args *ctx, __u32 slot)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	struct linux_binprm *program = (struct linux_binprm *)ctx->args[2];
	__u64 ids = current_ids(), start, bytes;
	const char *filename, *interpreter;
	struct exec_scratch *at;

	if (!current_task_wanted(ids) || (execsnoop_config.twice && is_told(task)))
		return 0;
	at = bpf_map_lookup_elem(&scratch, &slot);
	if (!at)
		return 0;
	fill(&at->event, task, ids);
	if (!task_filter.pid_namespace)
		at->event.thread = ctx->args[1];
	at->event.result = 0;
	at->event.arguments = BPF_CORE_READ(program, argc);
	start = BPF_CORE_READ(task, mm, arg_start);
	bytes = BPF_CORE_READ(task, mm, arg_end) - start;
	at->event.argument_bytes = bytes;
	if (bytes > EXEC_ARGUMENT_BYTES) {
		bytes = EXEC_ARGUMENT_BYTES;
		at->event.notes |= EXEC_NOTE_ARGUMENTS_CUT;
	}
	if (bpf_probe_read_user(at->text, bytes, (void *)start)) {
		at->event.notes |= EXEC_NOTE_ARGUMENTS_UNREADABLE;
		bytes = 0;
	}
	at->event.sent_bytes = bytes;
	filename = BPF_CORE_READ(program, filename);
	interpreter = BPF_CORE_READ(program, interp);
	if (filename != interpreter)
		at->event.notes |= EXEC_NOTE_SCRIPT;
	send(at, filename, true);
	return 0;
}

/* (task, old_pid, bprm) */
SEC("raw_tp/sched_process_exec")
int exec_done(struct bpf_raw_tracepoint_args *ctx)
{
	return on_exec(ctx, SLOT_DONE);
}

/* As follow_fork_again. */
SEC("raw_tp/sched_process_exec")
int exec_done_again(struct bpf_raw_tracepoint_args *ctx)
{
	return on_exec(ctx, SLOT_DONE_AGAIN);
}

/* The next pointer of argv, and up to a chunk of what it points to. 0: that was all. */
__attribute__((noinline)) int argument_step(__u32 slot)
{
	struct exec_scratch *at = bpf_map_lookup_elem(&scratch, &slot);
	__u64 wide = 0;
	__u32 place, narrow = 0;
	long bytes, failed;

	if (!at)
		return 0;
	if (!at->string) {
		if (at->narrow) {
			failed = bpf_probe_read_user(&narrow, sizeof(narrow), (void *)at->pointers);
			wide = narrow;
			at->pointers += sizeof(narrow);
		} else {
			failed = bpf_probe_read_user(&wide, sizeof(wide), (void *)at->pointers);
			at->pointers += sizeof(wide);
		}
		if (failed)
			at->event.notes |= EXEC_NOTE_ARGUMENTS_UNREADABLE;
		if (!wide)
			return 0;
		at->string = wide;
		at->event.arguments++;
	}
	place = at->event.sent_bytes;
	if (place >= EXEC_ARGUMENT_BYTES) {
		at->event.notes |= EXEC_NOTE_ARGUMENTS_CUT;
		return 0;
	}
	bytes = bpf_probe_read_user_str(at->text + place, ARGUMENT_CHUNK, (void *)at->string);
	if (bytes <= 0) {
		at->event.notes |= EXEC_NOTE_ARGUMENTS_UNREADABLE;
		return 0;
	}
	if (bytes == ARGUMENT_CHUNK) {
		/* The rest of it, or just its zero, comes with the next step. */
		at->string += ARGUMENT_CHUNK - 1;
		at->event.sent_bytes = place + ARGUMENT_CHUNK - 1;
	} else {
		at->string = 0;
		at->event.sent_bytes = place + bytes;
	}
	return 1;
}

static __always_inline void read_arguments(struct exec_scratch *at, __u32 slot)
{
	int step;

	for (step = 0; step < ARGUMENT_STEPS; step++)
		if (!argument_step(slot))
			break;
	if (step == ARGUMENT_STEPS)
		at->event.notes |= EXEC_NOTE_ARGUMENTS_CUT;
	at->event.argument_bytes = at->event.sent_bytes;
	if (at->event.sent_bytes > EXEC_ARGUMENT_BYTES) {
		at->event.sent_bytes = EXEC_ARGUMENT_BYTES;
		at->event.notes |= EXEC_NOTE_ARGUMENTS_CUT;
	}
}

static __always_inline void on_failure(long result, bool compat, bool narrow, __u64 path,
				       __u64 arguments)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__u64 ids = current_ids();
	__u32 slot = SLOT_FAILED;
	struct exec_scratch *at;

	if (!current_task_wanted(ids))
		return;
	at = bpf_map_lookup_elem(&scratch, &slot);
	if (!at)
		return;
	fill(&at->event, task, ids);
	at->event.result = result;
	at->event.arguments = 0;
	at->event.sent_bytes = 0;
	if (compat)
		at->event.notes |= EXEC_NOTE_COMPAT;
	at->pointers = arguments;
	at->string = 0;
	at->narrow = narrow;
	if (arguments)
		read_arguments(at, slot);
	send(at, (void *)path, false);
}

/* 1: execve, 2: execveat, 0: another call. */
static __always_inline int call_of(long number, bool compat)
{
	if (compat)
		return number == NR_COMPAT_EXECVE ? 1 : number == NR_COMPAT_EXECVEAT ? 2 : 0;
	if (number == NR_EXECVE || number == NR_X32_EXECVE)
		return 1;
	return number == NR_EXECVEAT || number == NR_X32_EXECVEAT ? 2 : 0;
}

#define ON_RETURN(read, regs, result)                                                             \
	({                                                                                        \
		bool compat, narrow;                                                              \
		int call;                                                                         \
		if (result < 0 && !is_interrupted(result)) {                                      \
			compat = in_compat_syscall((struct task_struct *)bpf_get_current_task()); \
			narrow = compat || SYSCALL_IS_X32(read, regs);                            \
			call = call_of(SYSCALL_NUMBER(read, regs), compat);                       \
			if (call == 1)                                                            \
				on_failure(result, compat, narrow,                                \
					   SYSCALL_ARGUMENT_1(read, regs, compat),                \
					   SYSCALL_ARGUMENT_2(read, regs, compat));               \
			else if (call == 2)                                                       \
				on_failure(result, compat, narrow,                                \
					   SYSCALL_ARGUMENT_2(read, regs, compat),                \
					   SYSCALL_ARGUMENT_3(read, regs, compat));               \
		}                                                                                 \
		0;                                                                                \
	})

AT_SYSCALL_RETURN(ON_RETURN)
AT_INTERRUPTED_SYSCALL(ON_RETURN)

char LICENSE[] SEC("license") = "Dual BSD/GPL";
