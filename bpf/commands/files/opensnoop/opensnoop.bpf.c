// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Opens of files, seen at the return of the system call: there the arguments
 * are still in the registers, the path is in memory for certain (the kernel
 * has just read it), and nothing has to be remembered from the entry.
 */
#include "lib/kernel.h"
#include "lib/arch.bpf.h"
#include "lib/core_fixes.bpf.h"
#include "lib/events.bpf.h"
#include "lib/filter.bpf.h"
#include "lib/path.bpf.h"
#include "lib/requests.bpf.h"
#include "opensnoop.h"

#define AT_FDCWD (-100)
#define O_ACCMODE 3
#define O_RDONLY 0
#define O_WRONLY 1
#define O_CREAT 0100
#define O_TRUNC 01000
#define O_TMPFILE_BIT 020000000 /* __O_TMPFILE; O_TMPFILE has O_DIRECTORY in addition */

#define IO_URING_PENDING 128

#define TEXT_BYTES (OPEN_PATH_BYTES + OPEN_BASE_BYTES)

const volatile struct opensnoop_config opensnoop_config;

struct open_scratch {
	struct open_event event;
	char text[TEXT_BYTES + PATH_NAME_BYTES];
	struct path_walk walk;
};

/* One slot a program, so that a program that interrupts another one leaves its slot alone. */
enum { SLOT_SYSCALL, SLOT_IO_URING, SLOTS };

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, struct open_scratch);
} scratch SEC(".maps");

/* io_uring: what was submitted and has not completed, by the address of the request. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, IO_URING_PENDING);
	__type(key, __u64);
	__type(value, struct open_scratch);
} io_uring_pending SEC(".maps");

PATH_WALK_STEP(struct open_scratch, TEXT_BYTES - 1)

static __always_inline void add_base(struct open_scratch *at, __u32 slot, struct task_struct *task)
{
	struct open_event *event = &at->event;
	struct path *from = NULL;
	struct fdtable *table;
	struct file *file, **files;

	if (event->directory == AT_FDCWD) {
		from = &BPF_CORE_READ(task, fs)->pwd;
	} else {
		table = BPF_CORE_READ(task, files, fdt);
		files = BPF_CORE_READ(table, fd);
		if (event->directory < 0 ||
		    (__u32)event->directory >= BPF_CORE_READ(table, max_fds) ||
		    bpf_probe_read_kernel(&file, sizeof(file), files + event->directory) || !file)
			return;
		from = &file->f_path;
	}
	path_walk_start(&at->walk, from, task, event->path_bytes,
			event->path_bytes + OPEN_BASE_BYTES);
	for (int i = 0; i < OPEN_BASE_DEPTH; i++)
		if (walk_step(slot) != PATH_WALKING)
			break;
	event->base_bytes = at->walk.at - event->path_bytes;
	event->notes |= OPEN_NOTE_BASE;
	if (at->walk.state == PATH_CUT || at->walk.state == PATH_WALKING)
		event->notes |= OPEN_NOTE_BASE_CUT;
	if (at->walk.state == PATH_UNREACHABLE)
		event->notes |= OPEN_NOTE_BASE_UNREACHABLE;
	if (at->walk.deleted)
		event->notes |= OPEN_NOTE_BASE_DELETED;
}

static __always_inline bool flags_wanted(__u64 flags)
{
	__u32 mask = opensnoop_config.flag_mask;

	if (!mask && !opensnoop_config.read_only)
		return true;
	return flags & mask || (opensnoop_config.read_only && (flags & O_ACCMODE) == O_RDONLY);
}

/* A path that fills the room may end there, or be longer than the kernel accepts. */
static __always_inline bool path_goes_on(const void *path, bool in_kernel)
{
	char last = 0;

	if (in_kernel)
		return false; /* the kernel has refused longer ones */
	return !bpf_probe_read_user(&last, 1, path + OPEN_PATH_BYTES - 1) && last;
}

/* Fills what does not depend on the kind of call. The caller has set flags, mode, directory and notes. */
static __always_inline void fill(struct open_scratch *at, __u32 slot, __u64 ids, const void *path,
				 bool in_kernel)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct open_event *event = &at->event;
	long bytes;

	event->process = ids >> 32;
	event->thread = ids;
	event->user = bpf_get_current_uid_gid();
	event->parent =
		opensnoop_config.parent ? process_number(BPF_CORE_READ(task, real_parent)) : 0;
	event->cgroup = opensnoop_config.cgroup ? bpf_get_current_cgroup_id() : 0;
	event->base_bytes = 0;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	if (event->flags & (O_CREAT | O_TMPFILE_BIT))
		event->notes |= OPEN_NOTE_MODE;
	else
		event->mode = 0;

	if (in_kernel)
		bytes = bpf_probe_read_kernel_str(at->text, OPEN_PATH_BYTES, path);
	else
		bytes = bpf_probe_read_user_str(at->text, OPEN_PATH_BYTES, path);
	if (bytes <= 0) {
		event->notes |= OPEN_NOTE_PATH_UNREADABLE;
		bytes = 1;
	}
	if (bytes == OPEN_PATH_BYTES && path_goes_on(path, in_kernel))
		event->notes |= OPEN_NOTE_PATH_CUT;
	event->path_bytes = (bytes - 1) & (OPEN_PATH_BYTES - 1);
	if (opensnoop_config.full_path && event->path_bytes && at->text[0] != '/')
		add_base(at, slot, task);
}

static __always_inline void send(struct open_scratch *at, long result)
{
	struct open_event *event = &at->event;
	__u64 bytes = (__u64)event->path_bytes + event->base_bytes;

	event->time_ns = bpf_ktime_get_ns();
	event->result = result;
	if (bytes > TEXT_BYTES)
		bytes = TEXT_BYTES;
	send_record(at, sizeof(*event) + bytes);
}

/* enum open_call, or -1: most system calls are something else and leave here. */
static __always_inline int call_of(long number, bool *compat)
{
	int call = -1, compat_call = -1;

	switch (number) {
	case NR_OPEN:
		call = OPEN_CALL_OPEN;
		break;
	case NR_CREAT:
		call = OPEN_CALL_CREAT;
		break;
	case NR_OPENAT:
		call = OPEN_CALL_OPENAT;
		break;
	case NR_OPENAT2:
		call = compat_call = OPEN_CALL_OPENAT2;
		break;
	case NR_COMPAT_OPEN:
		compat_call = OPEN_CALL_OPEN;
		break;
	case NR_COMPAT_CREAT:
		compat_call = OPEN_CALL_CREAT;
		break;
	case NR_COMPAT_OPENAT:
		compat_call = OPEN_CALL_OPENAT;
		break;
	default:
		return -1;
	}
	*compat = in_compat_syscall((struct task_struct *)bpf_get_current_task());
	return *compat ? compat_call : call;
}

static __always_inline void on_return(int call, bool compat, long result, __u64 first, __u64 second,
				      __u64 third, __u64 fourth)
{
	__u64 ids = current_ids(), path = first, flags = second, mode = third;
	__u32 slot = SLOT_SYSCALL, notes = compat ? OPEN_NOTE_COMPAT : 0;
	__s32 directory = AT_FDCWD;
	struct open_scratch *at;
	struct open_how how = {};

	if ((opensnoop_config.failed_only && result >= 0) || !current_task_wanted(ids))
		return;
	if (call == OPEN_CALL_CREAT) {
		flags = O_CREAT | O_WRONLY | O_TRUNC;
		mode = second;
	} else if (call != OPEN_CALL_OPEN) {
		directory = first;
		path = second;
		flags = third;
		mode = fourth;
	}
	if (call == OPEN_CALL_OPENAT2) {
		if (bpf_probe_read_user(&how, sizeof(how), (void *)third))
			notes |= OPEN_NOTE_HOW_UNREADABLE;
		flags = how.flags;
		mode = how.mode;
	}
	if (call != OPEN_CALL_OPENAT2)
		flags = (__u32)flags;
	if (!flags_wanted(flags))
		return;

	at = bpf_map_lookup_elem(&scratch, &slot);
	if (!at)
		return;
	at->event.notes = notes | call << OPEN_CALL_SHIFT;
	at->event.flags = flags;
	at->event.mode = mode;
	at->event.directory = directory;
	fill(at, slot, ids, (void *)path, false);
	send(at, result);
}

#define ON_RETURN(read, regs, result)                                                           \
	({                                                                                      \
		bool compat = false;                                                            \
		int call = call_of(SYSCALL_NUMBER(read, regs), &compat);                        \
		if (call >= 0 && !is_interrupted(result))                                       \
			on_return(call, compat, result, SYSCALL_ARGUMENT_1(read, regs, compat), \
				  SYSCALL_ARGUMENT_2(read, regs, compat),                       \
				  SYSCALL_ARGUMENT_3(read, regs, compat),                       \
				  SYSCALL_ARGUMENT_4(read, regs, compat));                      \
		0;                                                                              \
	})

AT_SYSCALL_RETURN(ON_RETURN)
AT_INTERRUPTED_SYSCALL(ON_RETURN)

static __always_inline int io_uring_begun(__u64 request)
{
	struct io_open *open = (struct io_open *)request;
	__u8 opcode = BPF_CORE_READ((struct io_kiocb *)request, opcode);
	__u32 slot = SLOT_IO_URING;
	struct open_scratch *at;
	__u64 ids;

	if (opcode != IO_URING_OPENAT && opcode != IO_URING_OPENAT2)
		return 0;
	ids = current_ids();
	if (!current_task_wanted(ids))
		return 0;
	at = bpf_map_lookup_elem(&scratch, &slot);
	if (!at)
		return 0;
	at->event.notes = OPEN_CALL_IO_URING << OPEN_CALL_SHIFT;
	at->event.flags = BPF_CORE_READ(open, how.flags);
	at->event.mode = BPF_CORE_READ(open, how.mode);
	at->event.directory = BPF_CORE_READ(open, dfd);
	if (!flags_wanted(at->event.flags))
		return 0;
	fill(at, slot, ids, io_open_name(open), true);
	if (bpf_map_update_elem(&io_uring_pending, &request, at, BPF_ANY))
		__sync_fetch_and_add(&event_channel.lost_state, 1);
	return 0;
}

/* (req): since Linux 6.4. */
SEC("raw_tp/io_uring_submit_req")
int io_uring_submitted(struct bpf_raw_tracepoint_args *ctx)
{
	return io_uring_begun(ctx->args[0]);
}

/* Where others can be preempted: see AT_SYSCALL_RETURN. */
SEC("tp/io_uring/io_uring_submit_req")
int io_uring_submitted_record(struct io_uring_record *record)
{
	return io_uring_begun(record->request);
}

/* (req, force_nonblock): since Linux 6.0. Before that, the tracepoint did not say which request. */
SEC("raw_tp/io_uring_submit_sqe")
int io_uring_submitted_sqe(struct bpf_raw_tracepoint_args *ctx)
{
	return io_uring_begun(ctx->args[0]);
}

static __always_inline int io_uring_done(__u64 request, __s32 result)
{
	struct open_scratch *at = bpf_map_lookup_elem(&io_uring_pending, &request);

	if (!at)
		return 0;
	if (!opensnoop_config.failed_only || result < 0)
		send(at, result);
	bpf_map_delete_elem(&io_uring_pending, &request);
	return 0;
}

/* (ctx, req, cqe): since Linux 6.12. An argument too many would keep the program from being attached. */
SEC("raw_tp/io_uring_complete")
int io_uring_completed(struct bpf_raw_tracepoint_args *ctx)
{
	struct io_uring_cqe *completion = (struct io_uring_cqe *)ctx->args[2];

	return io_uring_done(ctx->args[1], BPF_CORE_READ(completion, res));
}

SEC("tp/io_uring/io_uring_complete")
int io_uring_completed_record(struct io_uring_record *record)
{
	return io_uring_done(record->request, record->result);
}

/* (ctx, req, user_data, res, …): before. */
SEC("raw_tp/io_uring_complete")
int io_uring_completed_result(struct bpf_raw_tracepoint_args *ctx)
{
	return io_uring_done(ctx->args[1], ctx->args[3]);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
