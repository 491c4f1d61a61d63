// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Blocks that are allocated and not freed, by the stack that allocated them:
 * of a process, through probes on its allocator's functions, or of the kernel.
 */
#include "lib/kernel.h"
#include "lib/arch.bpf.h"
#include "lib/events.bpf.h"
#include "lib/filter.bpf.h"
#define STACK_SLOTS 8 /* programs of user probes can be preempted */
#include "lib/stacks.bpf.h"
#include "lib/user_probe.bpf.h"
#include "memleak.h"

#define BLOCKS_DEFAULT 1010000
#define THREADS 16384 /* at once */
#define TOTALS_DEFAULT 16384
#define SIGSTOP 19
#define IMPOSSIBLE_BYTES (1ull << 46)
#define IGNORE_RETURN 1 /* of a session: this call's return is of no interest */

const volatile struct memleak_config memleak_config;
const volatile struct sample_distances sample_distances;
struct memleak_state memleak_state;
/* Types that only pass through the ring appear in BTF if something refers to them. */
const struct memleak_event *memleak_event_type;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BLOCKS_DEFAULT);
	__type(key, __u64);
	__type(value, struct live_block);
} blocks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, THREADS);
	__type(key, __u32);
	__type(value, struct allocator_thread);
} threads SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TOTALS_DEFAULT);
	__type(key, __u64);
	__type(value, struct stack_total);
} stack_totals SEC(".maps");

/* The space of each process that is traced, except for the one that is number 0 if no others are followed. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SPACES + 1);
	__type(key, __u32);
	__type(value, __u32);
} spaces SEC(".maps");

/* Numbers that no space has. The reader gives back those of spaces that are over. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, SPACES);
	__uint(key_size, 0);
	__uint(value_size, sizeof(__u32));
} space_numbers SEC(".maps");

/* The process by whose mappings stacks of a space are walked. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SPACES + 1);
	__type(key, __u32);
	__type(value, __u32);
} space_owners SEC(".maps");

/* Bytes to go until the next sample on this CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __s64);
} sample_rest SEC(".maps");

/* The stack of the current thread; in a program of a return probe the leaf has been left. */
static __always_inline __u64 take_user_stack_here(void *ctx, __u32 space, __u32 from)
{
	__u32 *owner = space ? bpf_map_lookup_elem(&space_owners, &space) : NULL;
	__u32 process = owner ? *owner : memleak_config.process, id = 0;
	struct stack_slot *slot = hold_slot(&id);
	__u64 hash;

	if (!slot) {
		__sync_fetch_and_add(&event_channel.lost_stacks, 1);
		return 0;
	}
	if (memleak_config.by_tables)
		hash = take_user_stack(ctx, slot, id, process, BY_TABLES, from);
	else
		hash = take_user_stack(ctx, slot, id, process, BY_FRAME_POINTERS, from);
	release_slot(slot);
	return hash;
}

static __always_inline __u64 take_kernel_stack_here(void *ctx)
{
	__u32 id = 0;
	struct stack_slot *slot = hold_slot(&id);
	__u64 hash;

	if (!slot) {
		__sync_fetch_and_add(&event_channel.lost_stacks, 1);
		return 0;
	}
	hash = take_kernel_stack(ctx, slot, id);
	release_slot(slot);
	return hash;
}

/* Functions of their own: in the programs of user probes they would make the compiler compute places in ctx. */
__attribute__((noinline)) int shown_thread(void)
{
	return current_ids();
}

__attribute__((noinline)) int shown_process(void)
{
	return current_ids() >> 32;
}

#define NO_SPACE (-1)

/* The number of a process's space; NO_SPACE if it is not traced. */
__attribute__((noinline)) int space_of(__u32 process)
{
	__u32 *number;

	if (process == memleak_config.process && !memleak_config.follow)
		return 0;
	number = bpf_map_lookup_elem(&spaces, &process);
	return number ? *number : NO_SPACE;
}

/* A function of its own: what it needs of the stack is not in that of the programs which walk the stack of a task. */
__attribute__((noinline)) int report_call(__u32 kind, __u64 address, __u64 bytes, __u64 stack)
{
	struct memleak_event event = {
		.time_ns = bpf_ktime_get_ns(),
		.address = address,
		.bytes = bytes,
		.stack = stack,
		.kind = kind,
		.thread = shown_thread(),
		.process = shown_process(),
	};

	bpf_get_current_comm(event.comm, sizeof(event.comm));
	send_record(&event, sizeof(event));
	return 0;
}

/* --- Sampling and filters -------------------------------------------------------------------------------- */

static __always_inline bool sampled_by_bytes(__u64 bytes)
{
	__u32 zero = 0, chance;
	__s64 *rest = bpf_map_lookup_elem(&sample_rest, &zero);

	if (!rest)
		return false;
	if (bytes > 1ull << 40)
		return true;
	*rest -= bytes;
	if (*rest >= 0)
		return false;
	/* An exponential distance has no memory: where the last one ended in the block does not matter. */
	chance = bpf_get_prandom_u32() % SAMPLE_DISTANCES;
	*rest = (__s64)((memleak_config.sample_bytes * sample_distances.values[chance]) >> 16);
	return true;
}

static __always_inline bool size_wanted(__u64 bytes)
{
	if (bytes < memleak_config.least_bytes || bytes > memleak_config.most_bytes)
		return false;
	if (memleak_config.sample_below)
		return bpf_get_prandom_u32() < memleak_config.sample_below;
	if (memleak_config.sample_bytes)
		return sampled_by_bytes(bytes);
	return true;
}

#define GENERATION_MASK ((1u << BORN_GENERATION_BITS) - 1)

/* Where processes are followed, programs have spaces of their own instead. */
static __always_inline __u32 generation_now(void)
{
	return memleak_config.follow ? 0 : memleak_state.generation;
}

static __always_inline __u64 born_now(void)
{
	__u64 time = (bpf_ktime_get_ns() - memleak_config.began_ns) >> BORN_TIME_SHIFT;

	return time << BORN_GENERATION_BITS | (generation_now() & GENERATION_MASK);
}

/* --- Books ------------------------------------------------------------------------------------------------ */

/* `key`: of a block, for its space. */
static __always_inline struct stack_total *total_of(__u64 stack, __u64 key)
{
	struct stack_total *total, first = {.stack = stack};
	__u64 place = stack;

	if (memleak_config.follow) {
		first.space = key >> SPACE_SHIFT;
		/* Number 0 as well: other processes may have the same stack. */
		place = mix(stack, first.space + 1);
	}
	total = bpf_map_lookup_elem(&stack_totals, &place);
	if (!total) {
		bpf_map_update_elem(&stack_totals, &place, &first, BPF_NOEXIST);
		total = bpf_map_lookup_elem(&stack_totals, &place);
	}
	if (!total)
		__sync_fetch_and_add(&event_channel.lost_totals, 1);
	return total;
}

/* Functions of their own: what they need of the stack is not in that of the programs which walk the stack of a task. */
__attribute__((noinline)) int add_allocated(__u64 stack, __u64 key, __u64 bytes)
{
	struct stack_total *total = total_of(stack, key);

	if (!total)
		return 0;
	__sync_fetch_and_add(&total->allocated, 1);
	__sync_fetch_and_add(&total->allocated_bytes, bytes);
	return 0;
}

__attribute__((noinline)) int add_freed(__u64 stack, __u64 key, __u64 bytes, __u32 temporary)
{
	struct stack_total *total = total_of(stack, key);

	if (!total)
		return 0;
	__sync_fetch_and_add(&total->freed, 1);
	__sync_fetch_and_add(&total->freed_bytes, bytes);
	if (temporary) {
		__sync_fetch_and_add(&total->temporary, 1);
		__sync_fetch_and_add(&total->temporary_bytes, bytes);
	}
	return 0;
}

static __always_inline void total_freed(struct live_block *block, __u64 key, bool temporary)
{
	add_freed(block->stack, key, block->bytes, temporary);
}

/* `key`: its address, and for one of user code the number of its space above that. */
static __always_inline void remember(__u64 key, struct live_block *block)
{
	if (memleak_config.totals) {
		/* Freed without our seeing it, or it could not be allocated again. */
		struct live_block *old = bpf_map_lookup_elem(&blocks, &key);

		if (old)
			total_freed(old, key, false);
	}
	if (bpf_map_update_elem(&blocks, &key, block, BPF_ANY)) {
		__sync_fetch_and_add(&memleak_state.lost_blocks, 1);
		return;
	}
	if (memleak_config.totals)
		add_allocated(block->stack, key, block->bytes);
	if (memleak_config.trace)
		report_call(MEMLEAK_ALLOCATED, key, block->bytes, block->stack);
}

/* Whether the calling thread has allocated nothing since this block. */
static __always_inline bool is_last_of_thread(__u64 key)
{
	__u32 thread = bpf_get_current_pid_tgid();
	struct allocator_thread *state = bpf_map_lookup_elem(&threads, &thread);

	return state && state->last == key;
}

static __always_inline void forget(__u64 key)
{
	struct live_block *block;

	if (!key)
		return;
	if (!memleak_config.totals && !memleak_config.trace) {
		bpf_map_delete_elem(&blocks, &key);
		return;
	}
	block = bpf_map_lookup_elem(&blocks, &key);
	if (!block)
		return;
	if (memleak_config.trace)
		report_call(MEMLEAK_FREED, key, block->bytes, block->stack);
	if (memleak_config.totals && !((block->born ^ generation_now()) & GENERATION_MASK))
		total_freed(block, key, is_last_of_thread(key));
	bpf_map_delete_elem(&blocks, &key);
}

/* --- User allocations ------------------------------------------------------------------------------------- */

static __always_inline struct allocator_thread *thread_state(__u32 thread)
{
	struct allocator_thread *state = bpf_map_lookup_elem(&threads, &thread), first = {};

	if (state)
		return state;
	bpf_map_update_elem(&threads, &thread, &first, BPF_NOEXIST);
	state = bpf_map_lookup_elem(&threads, &thread);
	if (!state)
		__sync_fetch_and_add(&memleak_state.lost_threads, 1);
	return state;
}

struct call_arguments {
	__u64 first, second, third;
};

/* Read once, and held: the compiler would otherwise compute places in ctx, which older verifiers refuse. */
static __always_inline struct call_arguments call_arguments(struct pt_regs *ctx)
{
	struct call_arguments found = {CALL_ARGUMENT_1(ctx), CALL_ARGUMENT_2(ctx),
				       CALL_ARGUMENT_3(ctx)};

	barrier_var(found.first);
	barrier_var(found.second);
	barrier_var(found.third);
	return found;
}

static __always_inline __u64 requested_bytes(const struct call_arguments *arguments, __u32 call)
{
	switch (call) {
	case CALL_ALLOCATE:
	case CALL_NEW:
		return arguments->first;
	case CALL_ALLOCATE_ARRAY:
		return arguments->first * arguments->second;
	case CALL_RESIZE_ARRAY:
		return arguments->second * arguments->third;
	case CALL_ALIGNED_INTO:
		return arguments->third;
	default:
		return arguments->second;
	}
}

/*
 * A block that is resized may be freed on the way, and its address be given to
 * another thread before we hear of that: it is taken out now, and put back if
 * the call fails.
 */
static __always_inline bool take_out(struct allocator_thread *state, __u64 address)
{
	__u64 key = address | state->space << SPACE_SHIFT;
	struct live_block *block = address ? bpf_map_lookup_elem(&blocks, &key) : NULL;

	if (!block)
		return false;
	state->released_block = *block;
	state->released = key;
	bpf_map_delete_elem(&blocks, &key);
	return true;
}

/*
 * Whether a thread's call is made by the one that is under way: its return
 * address is still that of the trampoline, which begins a page, or what it was
 * where there is no trampoline. An exception may have left the call without a
 * return that we saw.
 */
static __always_inline bool is_nested(struct allocator_thread *state, __u64 sp)
{
	__u64 return_address = 0;

	if (!state->sp || sp > state->sp)
		return false;
	bpf_probe_read_user(&return_address, sizeof(return_address), (void *)state->sp);
	if ((state->call & CALL_MASK) == CALL_NEW)
		return return_address == state->return_address;
	return return_address && !(return_address & 4095);
}

static __always_inline int call_begins(struct pt_regs *ctx, __u32 cookie, bool always_returns)
{
	__u32 call = cookie & CALL_MASK, thread = bpf_get_current_pid_tgid();
	__u64 sp = STACK_POINTER(ctx), bytes;
	struct call_arguments arguments = call_arguments(ctx);
	struct allocator_thread *state;
	bool resizes = call == CALL_RESIZE || call == CALL_RESIZE_ARRAY, wanted, needed;
	int space = space_of(shown_process());

	/* The probes may be those of other processes, too. */
	if (space < 0)
		return IGNORE_RETURN;
	if (call == CALL_FREE) {
		if (arguments.first)
			forget(arguments.first | (__u64)space << SPACE_SHIFT);
		return IGNORE_RETURN;
	}
	if (call == CALL_UNWIND) {
		/* Whatever this thread's call was, it will not return. */
		state = bpf_map_lookup_elem(&threads, &thread);
		if (state && is_nested(state, sp))
			state->sp = 0;
		return IGNORE_RETURN;
	}
	bytes = requested_bytes(&arguments, call);
	/* No address space has room for that. operator new throws, which a changed return address would not survive. */
	if (bytes >= IMPOSSIBLE_BYTES)
		return IGNORE_RETURN;
	wanted = size_wanted(bytes);
	/* Even one that does not count has to be known, so that those that it makes do not count. */
	needed = wanted || always_returns || cookie & CALL_NESTS;
	if (!needed && !resizes)
		return IGNORE_RETURN;
	state = thread_state(thread);
	if (!state || is_nested(state, sp))
		return IGNORE_RETURN;
	state->released = 0;
	state->sp = 0;
	state->space = space;
	if (resizes && !take_out(state, arguments.first) && !needed)
		return IGNORE_RETURN;
	state->call = cookie;
	state->bytes = bytes;
	state->into = arguments.first;
	state->unwanted = !wanted;
	state->sp = sp;
	if (call != CALL_NEW)
		return 0;
	bpf_probe_read_user(&state->return_address, sizeof(state->return_address), (void *)sp);
	return IGNORE_RETURN;
}

/* The block that a call has returned; 0 if it failed. */
static __always_inline __u64 returned_block(struct pt_regs *ctx, struct allocator_thread *state)
{
	__u64 result = CALL_RESULT(ctx), address = 0;

	if ((state->call & CALL_MASK) != CALL_ALIGNED_INTO)
		return result;
	if ((__u32)result)
		return 0;
	bpf_probe_read_user(&address, sizeof(address), (void *)state->into);
	return address;
}

static __always_inline void call_returned(struct pt_regs *ctx, struct allocator_thread *state,
					  __u32 from)
{
	__u32 call = state->call & CALL_MASK;
	bool resizes = call == CALL_RESIZE || call == CALL_RESIZE_ARRAY;
	__u64 address = returned_block(ctx, state);
	struct live_block block = {};

	if (resizes && state->released) {
		/* A failed resize leaves the block; one to nothing that returns nothing has freed it. */
		if (!address && state->bytes) {
			block = state->released_block;
			bpf_map_update_elem(&blocks, &state->released, &block, BPF_ANY);
			return;
		}
		if (memleak_config.trace)
			report_call(MEMLEAK_FREED, state->released, state->released_block.bytes,
				    state->released_block.stack);
		if (memleak_config.totals)
			total_freed(&state->released_block, state->released, false);
	}
	if (!address || state->unwanted)
		return;
	block.bytes = state->bytes;
	address |= state->space << SPACE_SHIFT;
	block.stack = take_user_stack_here(ctx, state->space, from);
	block.born = born_now();
	state->last = address;
	remember(address, &block);
}

/* The return address is off the stack: what was at sp is below it now. */
static __always_inline bool is_return(struct allocator_thread *state, struct pt_regs *ctx)
{
	return state && state->sp && STACK_POINTER(ctx) == state->sp + sizeof(__u64);
}

/*
 * Whether the call that is under way in this thread has ended. `leaves`: at a return instruction, its address still on
 * the stack, and not behind it.
 */
static __always_inline bool call_ends(struct pt_regs *ctx, bool leaves)
{
	__u32 thread = bpf_get_current_pid_tgid();
	struct allocator_thread *state = bpf_map_lookup_elem(&threads, &thread);

	if (leaves) {
		if (!state || state->sp != STACK_POINTER(ctx) ||
		    (state->call & CALL_MASK) != CALL_NEW)
			return false;
	} else if (!is_return(state, ctx)) {
		return false;
	}
	call_returned(ctx, state, leaves ? FROM_RETURN : FROM_CALLER);
	state->sp = 0;
	return true;
}

/*
 * One program for entries and returns. Which of both it is: calls leave sp an
 * odd multiple of eight (System V ABI, 3.2.2), and after a return it is what
 * the thread's own entry tells.
 */
SEC("uprobe")
int user_session(struct pt_regs *ctx)
{
	__u32 cookie;
	bool leaves;

	STAY_ON_KERNEL_STACK(ctx, many);
	cookie = bpf_get_attach_cookie(ctx);
	leaves = cookie == CALL_LEAVE;
	if ((leaves || !(STACK_POINTER(ctx) & STACK_POINTER_AT_ENTRY)) && call_ends(ctx, leaves))
		return leaves ? IGNORE_RETURN : 0;
	if (leaves)
		return IGNORE_RETURN;
	return call_begins(ctx, cookie, false) ? IGNORE_RETURN : 0;
}

SEC("uprobe")
int user_entry(struct pt_regs *ctx)
{
	__u32 call;

	STAY_ON_KERNEL_STACK(ctx, one);
	call = bpf_get_attach_cookie(ctx) & CALL_MASK;
	if (call == CALL_LEAVE)
		call_ends(ctx, true);
	else
		call_begins(ctx, call, true);
	return 0;
}

SEC("uretprobe")
int user_return(struct pt_regs *ctx)
{
	STAY_ON_KERNEL_STACK(ctx, one);
	call_ends(ctx, false);
	return 0;
}

/* Before Linux 5.15 probes have no cookies: one program for each kind of function. */
#define ENTRY(name, call)                       \
	SEC("uprobe")                           \
	int name(struct pt_regs *ctx)           \
	{                                       \
		STAY_ON_KERNEL_STACK(ctx, one); \
		call_begins(ctx, call, true);   \
		return 0;                       \
	}

ENTRY(entry_0, CALL_ALLOCATE)
ENTRY(entry_1, CALL_ALLOCATE_ARRAY)
ENTRY(entry_2, CALL_RESIZE)
ENTRY(entry_3, CALL_RESIZE_ARRAY)
ENTRY(entry_4, CALL_ALIGNED)
ENTRY(entry_5, CALL_ALIGNED_INTO)
ENTRY(entry_6, CALL_FREE)
ENTRY(entry_7, CALL_UNWIND)
ENTRY(entry_8, CALL_NEW)

SEC("uprobe")
int entry_9(struct pt_regs *ctx)
{
	STAY_ON_KERNEL_STACK(ctx, one);
	call_ends(ctx, true);
	return 0;
}

/* --- Processes ------------------------------------------------------------------------------------------- */

/* What becomes of a process; a function of its own, as report_call. */
__attribute__((noinline)) int report_process(__u32 kind, __u32 process, __u32 space, __u64 more)
{
	struct memleak_event event = {
		.time_ns = bpf_ktime_get_ns(),
		.address = more,
		.kind = kind,
		.process = process,
		.space = space,
	};
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();

	BPF_CORE_READ_STR_INTO(&event.comm, task, group_leader, comm);
	send_record(&event, sizeof(event));
	return 0;
}

/* A number for a space that begins with this process; NO_SPACE if there are too many. */
static __always_inline int new_space(__u32 process)
{
	__u32 number = 0;

	if (bpf_map_pop_elem(&space_numbers, &number)) {
		__sync_fetch_and_add(&event_channel.lost_targets, 1);
		return NO_SPACE;
	}
	bpf_map_update_elem(&space_owners, &number, &process, BPF_ANY);
	bpf_map_update_elem(&spaces, &process, &number, BPF_ANY);
	return number;
}

#define SHARES_MEMORY 0x100 /* CLONE_VM (linux/sched.h) */
#define PARENT_WAITS 0x4000 /* CLONE_VFORK */
#define IS_THREAD 0x10000 /* CLONE_THREAD */

static __always_inline int on_new_task(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 from = shown_process(), to = process_number((struct task_struct *)ctx->args[0]);
	__u64 flags = ctx->args[1];
	int space = space_of(from);
	__u32 number = space;

	if (flags & IS_THREAD || space < 0 || !to || space_of(to) >= 0)
		return 0;
	if (flags & SHARES_MEMORY) {
		if (bpf_map_update_elem(&spaces, &to, &number, BPF_ANY))
			__sync_fetch_and_add(&event_channel.lost_targets, 1);
		else
			report_process(MEMLEAK_SHARES, to, space, flags & PARENT_WAITS);
		return 0;
	}
	if (!memleak_config.follow)
		return 0;
	space = new_space(to);
	if (space >= 0)
		report_process(MEMLEAK_FORKED, to, space, 0);
	return 0;
}

SEC("raw_tp/task_newtask")
int task_begins(struct bpf_raw_tracepoint_args *ctx)
{
	return on_new_task(ctx);
}

/* See follow_fork_again. */
SEC("raw_tp/task_newtask")
int task_begins_again(struct bpf_raw_tracepoint_args *ctx)
{
	return on_new_task(ctx);
}

SEC("raw_tp/sched_process_exit")
int thread_ended(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 thread = bpf_get_current_pid_tgid(), process = shown_process();
	int space;

	bpf_map_delete_elem(&threads, &thread);
	if (!is_last_thread((struct task_struct *)ctx->args[0]))
		return 0;
	space = space_of(process);
	if (space < 0 || bpf_map_delete_elem(&spaces, &process))
		return 0;
	report_process(MEMLEAK_LEFT, process, space, 0);
	return 0;
}

/* Another program: whatever the process had allocated is gone, or remains with those that it shared it with. */
static __always_inline void followed_executes(__u32 process)
{
	int old = space_of(process), space;

	if (old < 0)
		return;
	bpf_map_delete_elem(&spaces, &process);
	space = memleak_config.follow ? new_space(process) : NO_SPACE;
	if (space < 0)
		report_process(MEMLEAK_LEFT, process, old, 0);
	else
		report_process(MEMLEAK_MOVED, process, space, old);
}

SEC("raw_tp/sched_process_exec")
int program_executed(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 process = shown_process();
	bool is_first = process == memleak_config.process;

	/* The first one of a command that we have started is watched from outside. */
	if (is_first && memleak_config.stop_at_exec && memleak_state.generation)
		bpf_send_signal(SIGSTOP);
	if (is_first)
		__sync_fetch_and_add(&memleak_state.generation, 1);
	if (memleak_config.follow || !is_first)
		followed_executes(process);
	else
		report_call(MEMLEAK_EXECUTED, 0, 0, 0);
	return 0;
}

/* --- Mappings --------------------------------------------------------------------------------------------- */

#define MMAP_HUGETLB 0x40000 /* MAP_HUGETLB (asm-generic/mman-common.h) */
#define HUGE_SHIFT 26 /* MAP_HUGE_SHIFT */
#define HUGE_DEFAULT 21
#define REMAP_DONTUNMAP 4 /* MREMAP_DONTUNMAP (linux/mman.h) */
#define PAGE_BITS 12
#define LAST_ERRNO 4095

/* The system call that ends or begins; 0 if it is of no interest. None of those that are is number 0. */
static __always_inline long mapping_call(struct pt_regs *regs)
{
	if (current_ids() >> 32 != memleak_config.process ||
	    in_compat_syscall((struct task_struct *)bpf_get_current_task()))
		return 0;
	return SYSCALL_NUMBER(READ_CHECKED, regs);
}

static __always_inline __u64 whole_pages(__u64 bytes, __u32 bits)
{
	return (bytes + (1ull << bits) - 1) >> bits << bits;
}

static __always_inline int mapping_entry(struct pt_regs *regs)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__u64 address = SYSCALL_ARGUMENT_1(READ_CHECKED, regs, false), bytes = 0;
	__u32 kind = MEMLEAK_UNMAPS;

	switch (mapping_call(regs)) {
	case NR_MREMAP:
		if (SYSCALL_ARGUMENT_4(READ_CHECKED, regs, false) & REMAP_DONTUNMAP)
			break;
		/* fall through */
	case NR_MUNMAP:
		bytes = SYSCALL_ARGUMENT_2(READ_CHECKED, regs, false);
		break;
	case NR_BRK:
		if (!address)
			return 0;
		kind = MEMLEAK_BREAK;
		address = BPF_CORE_READ(task, mm, brk);
		break;
	default:
		return 0;
	}
	report_call(kind, address, whole_pages(bytes, PAGE_BITS), 0);
	return 0;
}

SEC("raw_tp/sys_enter")
int mapping_begins(struct bpf_raw_tracepoint_args *ctx)
{
	return mapping_entry((struct pt_regs *)ctx->args[0]);
}

/* Where others can be preempted: see AT_SYSCALL_RETURN. */
SEC("tp/raw_syscalls/sys_enter")
int mapping_begins_event(struct syscall_record *record)
{
	return mapping_entry(current_registers());
}

static __always_inline int mapping_return(void *ctx, struct pt_regs *regs, __u64 result)
{
	__u64 bytes = 0, flags;
	bool failed = result >= (__u64)-LAST_ERRNO;
	__u32 bits = PAGE_BITS, kind;

	switch (mapping_call(regs)) {
	case NR_MMAP:
		if (failed)
			return 0;
		flags = SYSCALL_ARGUMENT_4(READ_CHECKED, regs, false);
		if (flags & MMAP_HUGETLB)
			bits = (flags >> HUGE_SHIFT & 63) ?: HUGE_DEFAULT;
		bytes = SYSCALL_ARGUMENT_2(READ_CHECKED, regs, false);
		kind = MEMLEAK_MAPPED;
		break;
	case NR_MREMAP:
		bytes = SYSCALL_ARGUMENT_3(READ_CHECKED, regs, false);
		kind = MEMLEAK_REMAPPED;
		break;
	case NR_MUNMAP:
		if (!failed)
			return 0;
		kind = MEMLEAK_FAILED;
		break;
	case NR_BRK:
		if (!SYSCALL_ARGUMENT_1(READ_CHECKED, regs, false))
			return 0;
		kind = MEMLEAK_BROKEN;
		break;
	default:
		return 0;
	}
	if (failed)
		report_call(MEMLEAK_FAILED, 0, 0, 0);
	else
		report_call(kind, result, whole_pages(bytes, bits),
			    take_user_stack_here(ctx, 0, FROM_LEAF));
	return 0;
}

SEC("raw_tp/sys_exit")
int mapping_returns(struct bpf_raw_tracepoint_args *ctx)
{
	return mapping_return(ctx, (struct pt_regs *)ctx->args[0], ctx->args[1]);
}

SEC("tp/raw_syscalls/sys_exit")
int mapping_returns_event(struct syscall_record *record)
{
	return mapping_return(record, current_registers(), record->result);
}

/* --- Kernel allocations ----------------------------------------------------------------------------------- */

/* Whoever runs is taken for who allocates, also in an interrupt. Without filters the idle task counts as well. */
static __always_inline bool allocating_task_wanted(void)
{
	__u64 ids = current_ids();

	if (task_filter.flags)
		return current_task_wanted(ids);
	return ids >> 32 != task_filter.self;
}

static __always_inline void kernel_allocated(void *ctx, __u64 address, __u64 bytes)
{
	struct live_block block = {};

	/* Errors are addresses as well (linux/err.h), and ZERO_SIZE_PTR is 16. */
	if (address <= 16 || address >= (__u64)-4095 || !size_wanted(bytes))
		return;
	if (!allocating_task_wanted())
		return;
	block.bytes = bytes;
	block.stack = take_kernel_stack_here(ctx);
	block.born = born_now();
	remember(address, &block);
}

static __always_inline int kmalloc_called(struct bpf_raw_tracepoint_args *ctx)
{
	/*
	 * Linux 5.19 put the cache before the sizes, 6.1 took it out again (commit 11e9734bcb6a, "mm/slab_common:
	 * unify NUMA and UMA version of tracepoints"). Both are read: verifiers refuse a computed place in ctx.
	 */
	__u64 bytes = ctx->args[3], behind_cache = ctx->args[4];

	barrier_var(bytes);
	barrier_var(behind_cache);
	kernel_allocated(ctx, ctx->args[1],
			 memleak_config.kmalloc_names_cache ? behind_cache : bytes);
	return 0;
}

SEC("raw_tp/kmalloc")
int kmalloc(struct bpf_raw_tracepoint_args *ctx)
{
	return kmalloc_called(ctx);
}

SEC("raw_tp/kmalloc_node")
int kmalloc_node(struct bpf_raw_tracepoint_args *ctx)
{
	return kmalloc_called(ctx);
}

static __always_inline int cache_allocated(struct bpf_raw_tracepoint_args *ctx)
{
	struct kmem_cache *cache = (struct kmem_cache *)ctx->args[2];

	if (!memleak_config.cache_objects_have_cache)
		return kmalloc_called(ctx);
	kernel_allocated(ctx, ctx->args[1], BPF_CORE_READ(cache, size));
	return 0;
}

SEC("raw_tp/kmem_cache_alloc")
int kmem_cache_alloc(struct bpf_raw_tracepoint_args *ctx)
{
	return cache_allocated(ctx);
}

SEC("raw_tp/kmem_cache_alloc_node")
int kmem_cache_alloc_node(struct bpf_raw_tracepoint_args *ctx)
{
	return cache_allocated(ctx);
}

SEC("raw_tp/kfree")
int kfree(struct bpf_raw_tracepoint_args *ctx)
{
	forget(ctx->args[1]);
	return 0;
}

SEC("raw_tp/kmem_cache_free")
int kmem_cache_free(struct bpf_raw_tracepoint_args *ctx)
{
	forget(ctx->args[1]);
	return 0;
}

/* Pages are known by their struct page, which no other block has as its address. */
SEC("raw_tp/mm_page_alloc")
int mm_page_alloc(struct bpf_raw_tracepoint_args *ctx)
{
	kernel_allocated(ctx, ctx->args[0], 4096ull << (ctx->args[1] & 31));
	return 0;
}

SEC("raw_tp/mm_page_free")
int mm_page_free(struct bpf_raw_tracepoint_args *ctx)
{
	forget(ctx->args[0]);
	return 0;
}

/* Since Linux 5.18 it begins with the caller, and says how much it has taken. */
SEC("raw_tp/percpu_alloc_percpu")
int percpu_alloc_percpu(struct bpf_raw_tracepoint_args *ctx)
{
	kernel_allocated(ctx, ctx->args[7], ctx->args[8]);
	return 0;
}

SEC("raw_tp/percpu_alloc_percpu")
int percpu_alloc_before_5_18(struct bpf_raw_tracepoint_args *ctx)
{
	kernel_allocated(ctx, ctx->args[6], ctx->args[2]);
	return 0;
}

SEC("raw_tp/percpu_free_percpu")
int percpu_free_percpu(struct bpf_raw_tracepoint_args *ctx)
{
	forget(ctx->args[2]);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
