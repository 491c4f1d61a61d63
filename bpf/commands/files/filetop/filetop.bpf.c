// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Reads and writes by process and file, seen where the system calls return:
 * the descriptor is still in its register, and the file behind it in the table.
 */
#include "lib/kernel.h"
#include "lib/arch.bpf.h"
#include "lib/core_fixes.bpf.h"
#include "lib/events.bpf.h"
#include "lib/filter.bpf.h"
#include "lib/path.bpf.h"
#include "lib/requests.bpf.h"
#include "lib/task.bpf.h"
#include "filetop.h"
#include "system_calls.h"

#define FILES 65536
#define MESSAGES 1024 /* UIO_MAXIOV: more are not sent by one call */

#define REQUESTS 4096 /* of one io_submit that are looked at */
#define OVERLAY_MAGIC 0x794c7630 /* OVERLAYFS_SUPER_MAGIC (linux/magic.h) */

#define S_IFMT 0170000
#define S_IFREG 0100000
#define FMODE_WRITE 2

/* linux/net.h: the calls that socketcall stands for */
#define SYS_SEND 9
#define SYS_RECV 10
#define SYS_SENDTO 11
#define SYS_RECVFROM 12
#define SYS_SENDMSG 16
#define SYS_RECVMSG 17
#define SYS_RECVMMSG 19
#define SYS_SENDMMSG 20

const volatile struct filetop_config filetop_config;
const volatile struct file_calls file_calls;

/* Whether the command that was launched has begun: what comes before is not its own. */
__u32 launched_has_begun;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FILES);
	__type(key, struct file_key);
	__type(value, struct file_total);
} totals SEC(".maps");

struct file_scratch {
	struct file_event event;
	char text[FILE_PATH_BYTES + PATH_NAME_BYTES];
	struct path_walk walk;
};

/* One slot a program, so that a program that interrupts another one leaves its slot alone. */
enum { SLOT_SYSCALL, SLOT_IO_URING, SLOTS };

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, struct file_scratch);
} scratch SEC(".maps");

PATH_WALK_STEP(struct file_scratch, FILE_PATH_BYTES - 1)

/* The bytes of the first `count` messages of recvmmsg or sendmmsg (struct mmsghdr, and that of 32 bits). */
__attribute__((noinline)) __u64 message_bytes(__u64 messages, __u32 count, __u32 narrow)
{
	__u64 sum = 0, size = narrow ? 32 : 64, length_at = narrow ? 28 : 56;
	__u32 bytes;

	for (__u32 i = 0; i < MESSAGES; i++) {
		if (i >= count)
			break;
		bytes = 0;
		bpf_probe_read_user(&bytes, sizeof(bytes),
				    (void *)(messages + i * size + length_at));
		sum += bytes;
	}
	return sum;
}

/* Says once what the file is called. */
static __always_inline void send_file(struct file_key *key, __u32 mode, struct file *file,
				      struct task_struct *task, __u32 slot)
{
	struct file_scratch *at = bpf_map_lookup_elem(&scratch, &slot);
	struct vfsmount *mount;
	struct dentry *dentry;
	long bytes;

	if (!at)
		return;
	at->event.key = *key;
	at->event.mode = mode;
	at->event.notes = 0;
	path_walk_start(&at->walk, &file->f_path, task, 0, FILE_PATH_BYTES);
	dentry = at->walk.dentry;
	mount = at->walk.mount;
	if (BPF_CORE_READ(dentry, d_parent) == dentry && BPF_CORE_READ(mount, mnt_root) != dentry) {
		at->event.notes = FILE_NOTE_PSEUDO;
		bytes = bpf_probe_read_kernel_str(at->text, PATH_NAME_BYTES,
						  BPF_CORE_READ(dentry, d_name.name));
		at->walk.at = bytes > 0 ? bytes & (PATH_NAME_BYTES * 2 - 1) : 0;
	} else {
		for (int i = 0; i < FILE_PATH_DEPTH; i++)
			if (walk_step(slot) != PATH_WALKING)
				break;
		if (at->walk.state == PATH_CUT || at->walk.state == PATH_WALKING)
			at->event.notes |= FILE_NOTE_CUT;
		if (at->walk.state == PATH_UNREACHABLE)
			at->event.notes |= FILE_NOTE_UNREACHABLE;
		if (at->walk.deleted)
			at->event.notes |= FILE_NOTE_DELETED;
	}
	bytes = at->walk.at & (FILE_PATH_BYTES * 2 - 1);
	if (bytes > FILE_PATH_BYTES)
		bytes = FILE_PATH_BYTES;
	at->event.path_bytes = bytes;
	send_record(at, sizeof(at->event) + bytes);
}

static __always_inline struct file_total *
total_of(struct file_key *key, __u32 mode, struct file *file, struct task_struct *task, __u32 slot)
{
	struct file_total *total = bpf_map_lookup_elem(&totals, key);
	struct file_total empty = {.mode = mode};
	long failed;

	if (total)
		return total;
	failed = bpf_map_update_elem(&totals, key, &empty, BPF_NOEXIST);
	total = bpf_map_lookup_elem(&totals, key);
	if (!total)
		__sync_fetch_and_add(&event_channel.lost_totals, 1);
	else if (!failed && file)
		send_file(key, mode, file, task, slot);
	return total;
}

/*
 * Tells files apart that have had the same inode number, one after the other. An overlay gives its files the numbers
 * of those below it, but not their generations.
 */
static __always_inline __u32 generation_of(struct inode *inode)
{
	__u32 generation = BPF_CORE_READ(inode, i_generation);
	struct ovl_inode *overlay;

	if (generation || !bpf_core_type_exists(struct ovl_inode) ||
	    BPF_CORE_READ(inode, i_sb, s_magic) != OVERLAY_MAGIC)
		return generation;
	overlay = (void *)inode - bpf_core_field_offset(struct ovl_inode, vfs_inode);
	return BPF_CORE_READ(overlay, __upperdentry, d_inode, i_generation);
}

/* Counts one call, or part of one, for an open file; NULL for one that is no longer open. */
static __always_inline void count(struct task_struct *task, __u32 process, struct file *file,
				  bool write, __u64 bytes, __u32 slot)
{
	struct inode *inode = file ? BPF_CORE_READ(file, f_inode) : NULL;
	struct file_key key = {.process = process, .started_ns = process_start(task)};
	struct file_total *total;
	__u32 mode = 0;

	if (inode) {
		mode = BPF_CORE_READ(inode, i_mode);
		key.inode = BPF_CORE_READ(inode, i_ino);
		key.device = BPF_CORE_READ(inode, i_sb, s_dev);
		key.generation = generation_of(inode);
		if (!(mode & S_IFMT))
			key.kind = (__u64)BPF_CORE_READ(file, f_op);
		if (!filetop_config.all && (mode & S_IFMT) != S_IFREG)
			return;
	}
	total = total_of(&key, mode, file, task, slot);
	if (!total)
		return;
	/* A process may take a name after its first call: the last one is the best. */
	BPF_CORE_READ_INTO(&total->comm, task, group_leader, comm);
	if (write) {
		__sync_fetch_and_add(&total->writes, 1);
		__sync_fetch_and_add(&total->written_bytes, bytes);
	} else {
		__sync_fetch_and_add(&total->reads, 1);
		__sync_fetch_and_add(&total->read_bytes, bytes);
	}
}

static __always_inline struct file *file_of(struct task_struct *task, __s32 descriptor)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file *file = NULL, **files = BPF_CORE_READ(table, fd);

	if (descriptor < 0 || (__u32)descriptor >= BPF_CORE_READ(table, max_fds))
		return NULL;
	if (bpf_probe_read_kernel(&file, sizeof(file), files + descriptor))
		return NULL;
	return file;
}

/* The bytes of the parts of a buffer (struct iovec, and that of 32 bits). */
__attribute__((noinline)) __u64 part_bytes(__u64 parts, __u32 count, __u32 narrow)
{
	__u64 sum = 0, wide;
	__u32 bytes;

	for (__u32 i = 0; i < MESSAGES; i++) {
		if (i >= count)
			break;
		wide = bytes = 0;
		if (narrow)
			bpf_probe_read_user(&bytes, sizeof(bytes), (void *)(parts + i * 8 + 4));
		else
			bpf_probe_read_user(&wide, sizeof(wide), (void *)(parts + i * 16 + 8));
		sum += wide + bytes;
	}
	return sum;
}

/* Counts one request of io_submit, which the pointer at `place` leads to: as many bytes as it asks for. */
__attribute__((noinline)) int count_submitted(__u64 place, __u32 narrow)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct aio_request request;
	__u64 wide = 0, bytes;
	__u32 address = 0;

	if (narrow) {
		bpf_probe_read_user(&address, sizeof(address), (void *)place);
		wide = address;
	} else {
		bpf_probe_read_user(&wide, sizeof(wide), (void *)place);
	}
	if (bpf_probe_read_user(&request, sizeof(request), (void *)wide))
		return 0;
	switch (request.call) {
	case AIO_PREAD:
	case AIO_PWRITE:
		bytes = request.bytes;
		break;
	case AIO_PREADV:
	case AIO_PWRITEV:
		bytes = part_bytes(request.buffer, request.bytes, narrow);
		break;
	default:
		return 0;
	}
	count(task, current_ids() >> 32, file_of(task, request.descriptor),
	      request.call == AIO_PWRITE || request.call == AIO_PWRITEV, bytes, SLOT_SYSCALL);
	return 1;
}

static __always_inline void count_all_submitted(__u64 places, __u32 requests, __u32 narrow)
{
	for (__u32 i = 0; i < REQUESTS; i++) {
		if (i >= requests)
			return;
		count_submitted(places + i * (narrow ? 4 : 8), narrow);
	}
	__sync_fetch_and_add(&event_channel.lost_state, requests - REQUESTS);
}

/* One or two descriptors: what is read and what is written by a call; -1 for none. */
struct moved {
	__s32 in;
	__s32 out;
	__u64 bytes;
};

static __always_inline void read_socketcall(struct moved *moved, __u64 which, __u64 arguments,
					    long result)
{
	__u32 words[2] = {};

	bpf_probe_read_user(words, sizeof(words), (void *)arguments);
	switch (which) {
	case SYS_SEND:
	case SYS_SENDTO:
	case SYS_SENDMSG:
		moved->out = words[0];
		break;
	case SYS_RECV:
	case SYS_RECVFROM:
	case SYS_RECVMSG:
		moved->in = words[0];
		break;
	case SYS_SENDMMSG:
		moved->out = words[0];
		moved->bytes = message_bytes(words[1], result, 1);
		break;
	case SYS_RECVMMSG:
		moved->in = words[0];
		moved->bytes = message_bytes(words[1], result, 1);
		break;
	}
}

static __always_inline bool has_begun(__u32 process)
{
	return process != filetop_config.launched || launched_has_begun;
}

static __always_inline void on_return(__u32 kind, __u32 narrow, long result, __u64 first,
				      __u64 second, __u64 third)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct moved moved = {.in = -1, .out = -1, .bytes = result};
	__u64 ids = current_ids();
	struct file *file;

	if (!current_task_wanted(ids) || !has_begun(ids >> 32))
		return;
	switch (kind) {
	case FILE_CALL_SUBMIT:
		count_all_submitted(third, result, narrow);
		break;
	case FILE_CALL_READ_MESSAGES:
		moved.bytes = message_bytes(second, result, narrow);
		moved.in = first;
		break;
	case FILE_CALL_READ:
		moved.in = first;
		break;
	case FILE_CALL_WRITE_MESSAGES:
		moved.bytes = message_bytes(second, result, narrow);
		moved.out = first;
		break;
	case FILE_CALL_WRITE:
		moved.out = first;
		break;
	case FILE_CALL_SEND_FILE:
		moved.out = first;
		moved.in = second;
		break;
	case FILE_CALL_COPY:
		moved.in = first;
		moved.out = third;
		break;
	case FILE_CALL_TEE:
		moved.in = first;
		moved.out = second;
		break;
	case FILE_CALL_MAP_PIPE:
		file = file_of(task, first);
		if (file && BPF_CORE_READ(file, f_mode) & FMODE_WRITE)
			moved.out = first;
		else
			moved.in = first;
		break;
	case FILE_CALL_SOCKET:
		read_socketcall(&moved, first, second, result);
		break;
	}
	if (moved.in >= 0)
		count(task, ids >> 32, file_of(task, moved.in), false, moved.bytes, SLOT_SYSCALL);
	if (moved.out >= 0)
		count(task, ids >> 32, file_of(task, moved.out), true, moved.bytes, SLOT_SYSCALL);
}

/* Most system calls are something else, or have failed, and leave here. */
static __always_inline __u32 kind_of(long number, bool compat, bool x32)
{
	__u32 abi = compat ? SYSCALL_ABI_COMPAT : x32 ? SYSCALL_ABI_X32 : SYSCALL_ABI_NATIVE;

	if (number < 0 || number >= FILE_CALL_NUMBERS)
		return FILE_CALL_OTHER;
	return file_calls.kinds[(abi * FILE_CALL_NUMBERS + (__u32)number) &
				(FILE_CALL_SETS * FILE_CALL_NUMBERS - 1)];
}

#define ON_RETURN(read, regs, result)                                                             \
	({                                                                                        \
		bool compat, x32;                                                                 \
		__u32 kind;                                                                       \
		if (result >= 0) {                                                                \
			compat = in_compat_syscall((struct task_struct *)bpf_get_current_task()); \
			x32 = !compat && SYSCALL_IS_X32(read, regs);                              \
			kind = kind_of(SYSCALL_NUMBER(read, regs), compat, x32);                  \
			if (kind)                                                                 \
				on_return(kind, compat || x32, result,                            \
					  SYSCALL_ARGUMENT_1(read, regs, compat),                 \
					  SYSCALL_ARGUMENT_2(read, regs, compat),                 \
					  SYSCALL_ARGUMENT_3(read, regs, compat));                \
		}                                                                                 \
		0;                                                                                \
	})

AT_SYSCALL_RETURN(ON_RETURN)

static __always_inline int io_uring_done(struct io_kiocb *request, __s32 result)
{
	struct task_struct *task;
	struct file *file;
	__u32 process;
	int way;

	/* What a request that goes on completes in between names no request. */
	if (!request || result < 0)
		return 0;
	way = io_uring_way(BPF_CORE_READ(request, opcode));
	if (!way)
		return 0;
	task = io_request_task(request);
	process = process_number(task);
	file = BPF_CORE_READ(request, file);
	if (file && task_wanted(task, process, thread_number(task)) && has_begun(process))
		count(task, process, file, way == 2, result, SLOT_IO_URING);
	return 0;
}

/* (ctx, req, cqe): since Linux 6.12. An argument too many would keep the program from being attached. */
SEC("raw_tp/io_uring_complete")
int io_uring_completed(struct bpf_raw_tracepoint_args *ctx)
{
	struct io_uring_cqe *completion = (struct io_uring_cqe *)ctx->args[2];

	return io_uring_done((struct io_kiocb *)ctx->args[1], BPF_CORE_READ(completion, res));
}

/* Where others can be preempted: see AT_SYSCALL_RETURN. */
SEC("tp/io_uring/io_uring_complete")
int io_uring_completed_record(struct io_uring_record *record)
{
	return io_uring_done((struct io_kiocb *)record->request, record->result);
}

/* (ctx, req, user_data, res, …): since Linux 5.18. */
SEC("raw_tp/io_uring_complete")
int io_uring_completed_result(struct bpf_raw_tracepoint_args *ctx)
{
	return io_uring_done((struct io_kiocb *)ctx->args[1], ctx->args[3]);
}

SEC("raw_tp/sched_process_exec")
int program_started(struct bpf_raw_tracepoint_args *ctx)
{
	if (current_ids() >> 32 == filetop_config.launched)
		launched_has_begun = 1;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
