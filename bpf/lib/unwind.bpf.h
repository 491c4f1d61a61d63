/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * User stacks without frame pointers: walks the stack of the current task by
 * the tables that the reader has made of .eh_frame (include/unwind.h).
 *
 * The form is what every verifier from 5.10 to 7.x accepts: one step is a
 * global function, verified once and not once a frame; it takes a number and
 * no pointer, since 5.10 refuses those, and its state is in a map; loops have
 * constant bounds; keys of maps are on the stack.
 */
#ifndef APUS_UNWIND_BPF_H
#define APUS_UNWIND_BPF_H

#include "../include/stacks.h"
#include "../include/unwind.h"
#include "arch.bpf.h"

const volatile struct unwind_config unwind_config = {.frames = STACK_FRAMES};

SHARED_TYPE(unwind_rows);

struct unwind_row_array {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, UNWIND_ROW_ELEMENTS);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct unwind_rows));
};

/* Arrays are added while the programs run. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, UNWIND_ROW_ARRAYS);
	__type(key, __u32);
	__array(values, struct unwind_row_array);
} unwind_rows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, UNWIND_PAGES);
	__type(key, __u32);
	__type(value, struct unwind_page);
} unwind_pages SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, UNWIND_RULES);
	__type(key, __u32);
	__type(value, struct unwind_rule);
} unwind_rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, UNWIND_MAPPINGS);
	__type(key, __u32);
	__type(value, struct unwind_mapping);
} unwind_mappings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, UNWIND_PROCESSES);
	__type(key, __u32);
	__type(value, struct unwind_process);
} unwind_processes SEC(".maps");

/* As much of the stack as is read at once: one read costs what three reads of a word do. */
#define WINDOW_BYTES 4096
/* Room in front of the addresses, for what is stored or sent before them. */
#define STACK_HEAD_WORDS 16
#define SLOT_FRAMES (STACK_FRAMES + STACK_FRAMES_MOST + 1)
/* A probe may interrupt a program, and a sample the probe's. */
#ifndef STACK_SLOTS
#define STACK_SLOTS 3
#endif

/* What taking one stack needs. */
struct stack_slot {
	__u64 busy;
	__u64 pc, sp, fp;
	__u64 hash;
	/* the mapping of the last pc */
	__u64 map_start, map_bytes, bias;
	__u32 first_page, pages;
	/* where the walk began */
	__u64 leaf_pc, leaf_sp, leaf_fp;
	__u32 first_frame;
	/* the code in hand while its caller is looked for */
	__u64 hand_pc, hand_start;
	struct unwind_process list; /* of the process's mappings; serial 0 if it is not known */
	__u32 process;
	__u32 frames; /* in addresses */
	__u32 most_frames; /* that there may be */
	__u8 end; /* enum stack_end */
	__u8 is_exact; /* pc is no return address: it is the leaf's, or a signal came there */
	__u8 has_registers; /* `registers` belong to the frame in hand */
	__u8 by_frame_pointer; /* 1: some frame was found so; 2: the last one was */
	__u8 recalled; /* the stack is one that was found before: stack_memo.bpf.h */
	__u8 leaf_is_exact; /* as is_exact, of where the walk began */
	__u8 may_defer; /* a walk that comes to unknown code is left to the reader */
	__u8 is_32_bit; /* words of the stack are of 4 bytes */
	__u8 jumps; /* how often the stack pointer went where no frame could have taken it */
	__u32 recorded; /* the memo that is being written, plus 1 */
	__u64 called, called_behind; /* where a call leads that is judged */
	__u64 window_start, window_bytes;
	struct user_registers registers;
	__u64 window[WINDOW_BYTES / sizeof(__u64)];
	__u64 head[STACK_HEAD_WORDS];
	__u64 addresses[SLOT_FRAMES];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, STACK_SLOTS);
	__type(key, __u32);
	__type(value, struct stack_slot);
} stack_slots SEC(".maps");

/*
 * A slot of this CPU that nobody else holds. Programs on one CPU can interleave. Add, then look: who sees 1 is
 * alone. (5.10 has no atomics that return a value.)
 */
static __always_inline struct stack_slot *hold_slot(__u32 *id)
{
	for (__u32 i = 0; i < STACK_SLOTS; i++) {
		__u32 key = i;
		struct stack_slot *slot = bpf_map_lookup_elem(&stack_slots, &key);

		if (!slot)
			return NULL;
		__sync_fetch_and_add(&slot->busy, 1);
		if (READ_ONCE(slot->busy) == 1) {
			*id = i;
			return slot;
		}
		__sync_fetch_and_add(&slot->busy, -1);
	}
	return NULL;
}

static __always_inline void release_slot(struct stack_slot *slot)
{
	__sync_fetch_and_add(&slot->busy, -1);
}

/* The finalizer of splitmix64 (Steele, Lea, Flood), applied to a running state. */
static __always_inline __u64 mix(__u64 state, __u64 value)
{
	state ^= value;
	state *= 0xbf58476d1ce4e5b9;
	state ^= state >> 27;
	state *= 0x94d049bb133111eb;
	return state ^ state >> 31;
}

/* Keeps a bound in the code that clang can prove to be needless, and the verifier cannot. */
#define BOUND(value, mask) asm volatile("%0 &= %1" : "+r"(value) : "i"(mask))

/* The walk depends on more than what is recorded: nothing is to be remembered. */
static __always_inline void stop_recording(struct stack_slot *slot)
{
	slot->recorded = 0;
}

#ifdef REMEMBER_STACKS
#include "stack_memo.bpf.h"
#else
static __always_inline void record_read(__u32 id, __u64 address, __u64 value, int failed)
{
}
#endif

/* Reads the stack from an address on. A function of its own: verified once. */
__attribute__((noinline)) int fill_window(__u32 id, __u64 start)
{
	struct stack_slot *slot = bpf_map_lookup_elem(&stack_slots, &id);
	__u64 bytes;

	if (!slot)
		return -1;
	slot->window_start = start;
	slot->window_bytes = 0;
	if (!bpf_probe_read_user(slot->window, WINDOW_BYTES, (void *)start)) {
		slot->window_bytes = WINDOW_BYTES;
		return 0;
	}
	/* The next page may be missing: up to the end of this one. A whole page would have been read. */
	bytes = WINDOW_BYTES - (start & (WINDOW_BYTES - 1));
	BOUND(bytes, WINDOW_BYTES - 1);
	if (bpf_probe_read_user(slot->window, bytes, (void *)start))
		return -1;
	slot->window_bytes = bytes;
	return 0;
}

static __always_inline int read_word(struct stack_slot *slot, __u32 id, __u64 address, __u64 *value)
{
	__u64 index;

	if (address & 7)
		return bpf_probe_read_user(value, sizeof(*value), (void *)address);
	if (address - slot->window_start >= slot->window_bytes) {
		/* What a frame has saved lies above its stack pointer. */
		__u64 start = slot->sp & ~7ULL;

		if (address - start >= WINDOW_BYTES / 2)
			start = address - WINDOW_BYTES / 8;
		if (fill_window(id, start) || address - slot->window_start >= slot->window_bytes)
			return bpf_probe_read_user(value, sizeof(*value), (void *)address);
	}
	index = (address - slot->window_start) / sizeof(__u64);
	BOUND(index, WINDOW_BYTES / sizeof(__u64) - 1);
	*value = slot->window[index];
	return 0;
}

/* A word of the stack; not 0 if it cannot be read. */
static __always_inline int read_stack(struct stack_slot *slot, __u32 id, __u64 address,
				      __u64 *value)
{
	int failed = read_word(slot, id, address, value);

	if (slot->recorded)
		record_read(id, address, *value, failed);
	return failed;
}

#define MAPPING_SEARCH_STEPS 18 /* 2^17 mappings in a process */

/* Finds the mapping of a pc: 0, or an enum stack_end. */
__attribute__((noinline)) int find_mapping(__u32 id, __u64 pc)
{
	struct stack_slot *slot = bpf_map_lookup_elem(&stack_slots, &id);
	struct unwind_mapping *mapping;
	__u32 key, first, low = 0, high;

	if (!slot)
		return STACK_END_BUSY;
	slot->map_bytes = 0;
	if (!slot->list.serial)
		return STACK_END_UNKNOWN_PROCESS;
	first = slot->list.first;
	high = slot->list.count;
	for (int i = 0; i < MAPPING_SEARCH_STEPS && low < high; i++) {
		__u32 middle = (low + high) / 2;

		key = first + middle;
		mapping = bpf_map_lookup_elem(&unwind_mappings, &key);
		if (!mapping)
			return STACK_END_UNMAPPED;
		if (mapping->start <= pc)
			low = middle + 1;
		else
			high = middle;
	}
	key = first + low - 1;
	mapping = low ? bpf_map_lookup_elem(&unwind_mappings, &key) : NULL;
	if (!mapping || pc >= mapping->end)
		return STACK_END_UNMAPPED;
	slot->map_start = mapping->start;
	slot->map_bytes = mapping->end - mapping->start;
	slot->bias = mapping->bias;
	slot->first_page = mapping->first_page;
	slot->pages = mapping->pages;
	return 0;
}

#define ROW_SEARCH_STEPS 15 /* 2^14 rows in a page */

/* The rule for a pc in the mapping that was found; NULL if it has none. */
static __always_inline struct unwind_rule *find_rule(struct stack_slot *slot, __u64 pc)
{
	__u64 offset = pc - slot->bias, index;
	__u32 key = slot->first_page + (__u32)(offset >> UNWIND_PAGE_BITS), low, high;
	__u32 wanted = offset & ((1 << UNWIND_PAGE_BITS) - 1);
	struct unwind_page *page;
	struct unwind_rows *rows;
	void *array;

	if (offset >> UNWIND_PAGE_BITS >= slot->pages)
		return NULL;
	page = bpf_map_lookup_elem(&unwind_pages, &key);
	if (!page || !page->count)
		return NULL;
	low = page->first;
	high = low + page->count;
	key = page->element / UNWIND_ROW_ELEMENTS;
	array = bpf_map_lookup_elem(&unwind_rows, &key);
	if (!array)
		return NULL;
	key = page->element % UNWIND_ROW_ELEMENTS;
	rows = bpf_map_lookup_elem(array, &key);
	if (!rows)
		return NULL;
	/* The last row that begins at or before the pc; the first begins with its page. */
	for (int i = 0; i < ROW_SEARCH_STEPS && low < high; i++) {
		__u32 middle = (low + high) / 2;

		index = middle;
		BOUND(index, UNWIND_PAGE_ROWS - 1);
		if ((rows->rows[index] & 0xffff) <= wanted)
			low = middle + 1;
		else
			high = middle;
	}
	index = low - 1;
	BOUND(index, UNWIND_PAGE_ROWS - 1);
	key = rows->rows[index] >> 16;
	return bpf_map_lookup_elem(&unwind_rules, &key);
}

#define FRAME_MOST_BYTES (8 << 20) /* a thread's whole stack, by default */
#define FRAME_POINTER_REACH (1 << 20)
#define STACK_JUMPS_MOST 16

/*
 * Whether a caller's stack pointer may be that far away: frames are large where code keeps its data in them, and
 * coroutines, split stacks and handlers of signals have stacks elsewhere, below or above. Then the return address has to
 * lie in code, and chains that lead back to themselves end.
 */
__attribute__((noinline)) int is_good_jump(__u32 id, __u64 ra)
{
	struct stack_slot *slot = bpf_map_lookup_elem(&stack_slots, &id);

	if (!slot || slot->jumps >= STACK_JUMPS_MOST)
		return 0;
	slot->jumps++;
	return !ra || !find_mapping(id, ra - 1);
}

#define ARGUMENTS_MOST 65536

/*
 * Whether the frame in hand is the first code of a process, which has no call frame information everywhere: the
 * stack pointer is at the number of arguments, and behind it is the first of them, which lies above (System V ABI).
 */
static __always_inline bool is_process_start(struct stack_slot *slot, __u32 id)
{
	__u64 count = 0, argument = 0;

	return !read_stack(slot, id, slot->sp, &count) && count - 1 < ARGUMENTS_MOST &&
	       !read_stack(slot, id, slot->sp + 8, &argument) &&
	       argument - slot->sp < FRAME_MOST_BYTES;
}

/* Takes a return address for the caller's, and the frame that it was found in for left. */
static __always_inline int go_to_caller(struct stack_slot *slot, __u64 ra, __u64 sp, __u64 fp)
{
	slot->sp = sp;
	slot->fp = fp;
	slot->pc = ra;
	slot->is_exact = slot->has_registers = 0;
	return 0;
}

static __always_inline bool is_user_address(__u64 address)
{
	return address >= 4096 && !(address >> 47);
}

static __always_inline bool is_code(__u32 id, __u64 address)
{
	return is_user_address(address) && !find_mapping(id, address);
}

/* What is known of a call that has not returned yet. */
#define CALL_UNKNOWN 0 /* as of one through a register */
#define CALL_REACHES 1 /* the code in hand */
#define CALL_ELSEWHERE 2

/* What the architecture says of code, see unwind_x86.bpf.h. */
static __always_inline __u64 called_address(__u64 ra);
#define STUB_NOT_USED 1
static __always_inline __u64 behind_stub(__u64 address);
static __always_inline int return_address_offset(__u64 pc);

#define FUNCTION_MOST_BYTES (1 << 16)

/*
 * Whether an address is where the function may begin that the code in hand (slot->hand_pc) is in: the same mapping,
 * without rules. Leaves another mapping in the slot. A function of its own: verified once.
 */
__attribute__((noinline)) int may_begin_function(__u32 id, __u64 address)
{
	struct stack_slot *slot = bpf_map_lookup_elem(&stack_slots, &id);
	struct unwind_rule *rule;

	if (!slot || slot->hand_pc - address >= FUNCTION_MOST_BYTES || find_mapping(id, address) ||
	    slot->map_start != slot->hand_start)
		return 0;
	rule = find_rule(slot, address);
	return !rule || rule->cfa == CFA_NO_RULE;
}

/* Where the call before a return address leads, and what it reaches if that is a stub. */
__attribute__((noinline)) int find_called(__u32 id, __u64 ra)
{
	struct stack_slot *slot = bpf_map_lookup_elem(&stack_slots, &id);

	if (!slot)
		return 0;
	slot->called = called_address(ra);
	slot->called_behind = slot->called ? behind_stub(slot->called) : 0;
	return 0;
}

/* Whether the call before a return address has led to the code in hand. Leaves another mapping in the slot. */
static __always_inline int judge_call(struct stack_slot *slot, __u32 id, __u64 ra)
{
	__u64 behind;

	find_called(id, ra);
	if (!slot->called)
		return CALL_UNKNOWN;
	if (may_begin_function(id, slot->called))
		return CALL_REACHES;
	behind = slot->called_behind;
	if (behind == STUB_NOT_USED)
		return CALL_UNKNOWN;
	if (behind && may_begin_function(id, behind))
		return CALL_REACHES;
	return find_mapping(id, slot->called) ? CALL_UNKNOWN : CALL_ELSEWHERE;
}

#define SCANNED_WORDS 128

#define SCAN_GOES_ON 1

/* One word of a scan: 0 if it has led to the caller, SCAN_GOES_ON, or -1 if it cannot be read. Verified once. */
__attribute__((noinline)) int scan_word(__u32 id, __u64 place)
{
	struct stack_slot *slot = bpf_map_lookup_elem(&stack_slots, &id);
	__u64 ra = 0;

	if (!slot || read_stack(slot, id, place, &ra))
		return -1;
	if (!is_code(id, ra - 1) || judge_call(slot, id, ra) != CALL_REACHES)
		return SCAN_GOES_ON;
	slot->by_frame_pointer = 1;
	return go_to_caller(slot, ra, place + sizeof(__u64), slot->fp);
}

/*
 * The caller of code that has neither rules nor a frame pointer: the first word of the stack that is the return
 * address of a call that leads here. Nothing else counts: what is left of other calls lies about there, too.
 */
__attribute__((noinline)) int step_by_scanning(__u32 id, int why)
{
	struct stack_slot *slot = bpf_map_lookup_elem(&stack_slots, &id);
	__u64 end, place;

	if (!slot)
		return STACK_END_BUSY;
	place = slot->sp;
	/* The caller's frame pointer lies above the return address, where it is one. */
	end = place + SCANNED_WORDS * sizeof(__u64);
	if (slot->fp > place && slot->fp < end)
		end = slot->fp;
	for (int i = 0; i < SCANNED_WORDS && place < end; i++) {
		int result = scan_word(id, place);

		if (result != SCAN_GOES_ON)
			return result ? why : 0;
		place += sizeof(__u64);
	}
	return why;
}

/* At a leaf without rules: where the return address is, if it is known that there is no frame. */
__attribute__((noinline)) int step_from_bare_leaf(__u32 id)
{
	struct stack_slot *slot = bpf_map_lookup_elem(&stack_slots, &id);
	int offset;
	__u64 ra = 0, place;

	if (!slot)
		return -1;
	offset = return_address_offset(slot->hand_pc);
	place = slot->sp + (offset > 0 ? offset : 0);
	if (read_stack(slot, id, place, &ra) || !is_code(id, ra - 1))
		return -1;
	if (offset < 0 && judge_call(slot, id, ra) != CALL_REACHES)
		return -1;
	slot->by_frame_pointer = 1;
	return go_to_caller(slot, ra, place + sizeof(__u64), slot->fp);
}

/* No end: the frame pointer is not that of the frame in hand. */
#define STACK_END_TO_SCAN 0x7f

/*
 * The caller by the frame pointer, for code without rules: made at run time, or written by hand. Its return
 * address has to lie in code, and the call before it must not be known to lead elsewhere.
 *
 * `why`: the end of the stack if that does not work. The result may be STACK_END_TO_SCAN.
 */
__attribute__((noinline)) int step_by_frame_pointer(__u32 id, int why)
{
	struct stack_slot *slot = bpf_map_lookup_elem(&stack_slots, &id);
	__u64 fp, ra = 0, next = 0;
	bool of_file;

	if (!slot)
		return STACK_END_BUSY;
	fp = slot->fp;
	/* Of code that is made at run time, calls often lead to something that jumps on. */
	of_file = why == STACK_END_NO_RULE && slot->map_bytes && slot->first_page != UNWIND_NO_FILE;
	/* The first frame of a chain has none before it. Elsewhere a 0 in that register means nothing. */
	if (!fp && (slot->by_frame_pointer == 2 ||
		    (why == STACK_END_NO_RULE && is_process_start(slot, id))))
		return STACK_END_ROOT;
	if (fp & 7 || fp - slot->sp >= FRAME_POINTER_REACH || read_stack(slot, id, fp, &next) ||
	    read_stack(slot, id, fp + 8, &ra))
		return of_file ? STACK_END_TO_SCAN : why;
	if (!ra && slot->by_frame_pointer == 2)
		return STACK_END_ROOT;
	if (!is_user_address(ra) || (slot->list.serial && !is_code(id, ra - 1)))
		return of_file ? STACK_END_TO_SCAN : why;
	if (of_file && judge_call(slot, id, ra) == CALL_ELSEWHERE)
		return STACK_END_TO_SCAN;
	slot->by_frame_pointer = 2;
	return go_to_caller(slot, ra, fp + 16, next);
}

#if defined(__TARGET_ARCH_x86)
#include "unwind_x86.bpf.h"
#else
#error "this architecture has no unwind_*.bpf.h yet"
#endif

/* The caller of code without rules. Not in one function with what it calls: the stack of programs is small. */
static __always_inline int step_without_rule(struct stack_slot *slot, __u32 id)
{
	int end;

	slot->hand_pc = slot->pc - (slot->is_exact ? 0 : 1);
	slot->hand_start = slot->map_start;
	if (slot->is_exact && slot->map_bytes && !step_from_bare_leaf(id))
		return 0;
	end = step_by_frame_pointer(id, STACK_END_NO_RULE);
	return end == STACK_END_TO_SCAN ? step_by_scanning(id, STACK_END_NO_RULE) : end;
}

/* Notes the frame in hand and goes on to its caller: 0, or an enum stack_end. */
__attribute__((noinline)) int unwind_step(__u32 id)
{
	struct stack_slot *slot = bpf_map_lookup_elem(&stack_slots, &id);
	struct unwind_rule *rule;
	__u32 count;
	int end = 0;
	__u64 pc;

	if (!slot)
		return STACK_END_BUSY;
	count = slot->frames;
	if (count >= slot->most_frames || count >= SLOT_FRAMES)
		return STACK_END_DEPTH;
	/* A return address may be that of the next function, when the call does not return. */
	pc = slot->pc - (slot->is_exact ? 0 : 1);
	if (pc - slot->map_start >= slot->map_bytes)
		end = find_mapping(id, pc);
	if ((end || !slot->pages) && !read_hidden_return(id)) {
		pc = slot->pc - 1;
		end = find_mapping(id, pc);
	}
	slot->addresses[count] = slot->pc;
	slot->frames = count + 1;
	slot->hash = mix(slot->hash, slot->pc);
	/* Frames that are guessed here would be in the way of those that are known soon. */
	if (end && slot->may_defer && is_user_address(slot->pc))
		return end;
	rule = end ? NULL : find_rule(slot, pc);
	if (rule && (rule->cfa == CFA_NO_RULE || rule->is_32_bit != slot->is_32_bit))
		rule = NULL;
	if (slot->is_32_bit && (!rule || (rule->cfa == CFA_REGISTER && !slot->has_registers)))
		return step_32_bit(id);
	if (end)
		return step_by_frame_pointer(id, end);
	if (!rule)
		return step_without_rule(slot, id);
	if (rule->cfa == CFA_REGISTER && !slot->has_registers)
		return step_by_frame_pointer(id, STACK_END_NO_RULE) ? STACK_END_NO_RULE : 0;
	if (slot->by_frame_pointer)
		slot->by_frame_pointer = 1;
	return apply_rule(slot, id, rule);
}

/* What the first pc is: an instruction, where a function has just returned to, or a return instruction to be left out. */
#define FROM_LEAF 1
#define FROM_CALLER 0
#define FROM_RETURN 2

/* To the first of the user's frames of the current task; `process` is the number that the reader knows it by. */
static __always_inline int begin_walk(struct stack_slot *slot, __u32 id, __u32 process, __u32 from)
{
	struct unwind_process *list = bpf_map_lookup_elem(&unwind_processes, &process);
	int end;

	slot->process = process;
	slot->first_frame = slot->frames;
	slot->leaf_is_exact = from == FROM_LEAF;
	slot->list.serial = slot->list.meaning = 0;
	slot->may_defer = unwind_config.defers;
	if (list) {
		slot->list = *list;
		if (list->deferrals <= 0)
			slot->may_defer = 0;
	}
	slot->map_bytes = slot->map_start = 0;
	slot->window_bytes = slot->window_start = 0;
	slot->by_frame_pointer = 0;
	slot->is_32_bit = slot->jumps = 0;
	slot->recorded = slot->recalled = 0;
	slot->is_exact = from == FROM_LEAF;
	slot->has_registers = 1;
	slot->most_frames = slot->frames + unwind_config.frames;
	end = read_user_registers(slot);
	if (from == FROM_RETURN && !end) {
		if (read_stack(slot, id, slot->sp, &slot->pc))
			end = STACK_END_UNREADABLE;
		slot->sp += sizeof(__u64);
	}
	slot->leaf_pc = slot->pc;
	slot->leaf_sp = slot->sp;
	slot->leaf_fp = slot->fp;
	return end;
}

/* Adds the frames to the slot, and sets slot->end. `end`: what begin_walk said. */
static __always_inline void walk(struct stack_slot *slot, __u32 id, int end)
{
	for (int i = 0; i <= STACK_FRAMES_MOST && !end; i++)
		end = unwind_step(id);
	slot->end = end ? end : STACK_END_DEPTH;
	if (slot->by_frame_pointer)
		slot->end |= STACK_END_BY_FRAME_POINTER;
}

static __always_inline void walk_user_stack(struct stack_slot *slot, __u32 id, __u32 process,
					    __u32 from)
{
	walk(slot, id, begin_walk(slot, id, process, from));
}

/* --- Walks that the reader ends ------------------------------------------------------------------------------------ */

SHARED_TYPE(deferred_stack);

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} deferred_stacks SEC(".maps");

#define STACK_PAGE 4096
/* Pages of the stack that are sent: one of these numbers, since room can only be had for what is known before. */
#define FEW_PAGES 2
#define SOME_PAGES 8
#define MANY_PAGES 32

/* About as many pages as there may be between the stack pointer and the end of the stack. */
static __always_inline __u32 pages_to_send(struct stack_slot *slot)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__u64 end = BPF_CORE_READ(task, mm, start_stack);
	__u64 pages = (end - (slot->leaf_sp & ~(STACK_PAGE - 1ULL))) / STACK_PAGE;

	/* Where a thread's stack ends is not known. */
	if (pages >= MANY_PAGES)
		return SOME_PAGES;
	return pages < FEW_PAGES ? FEW_PAGES : pages < SOME_PAGES ? SOME_PAGES : MANY_PAGES;
}

static __always_inline bool send_stack(struct stack_slot *slot, __u64 hash, __u64 time,
				       const __u32 pages)
{
	struct deferred_stack *record = bpf_ringbuf_reserve(
		&deferred_stacks, sizeof(struct deferred_stack) + pages * STACK_PAGE, 0);
	void *bytes;
	__u64 start;

	if (!record)
		return false;
	start = slot->leaf_sp & ~(STACK_PAGE - 1ULL);
	record->time_ns = time;
	record->stack = hash;
	record->pc = slot->pc;
	record->sp = slot->sp;
	record->fp = slot->fp;
	record->leaf_pc = slot->leaf_pc;
	record->leaf_sp = slot->leaf_sp;
	record->leaf_fp = slot->leaf_fp;
	record->leaf_is_exact = slot->leaf_is_exact;
	record->start = start;
	record->process = slot->process;
	record->bytes = 0;
	record->most_frames = slot->most_frames - slot->frames;
	record->is_exact = slot->is_exact;
	record->is_32_bit = slot->is_32_bit;
	record->by_frame_pointer = slot->by_frame_pointer != 0;
	record->frames = slot->frames - slot->first_frame;
	record->reserved = 0;
	bytes = record + 1;
	for (__u32 i = 0; i < pages; i++) {
		if (bpf_probe_read_user(bytes + i * STACK_PAGE, STACK_PAGE,
					(void *)(start + i * STACK_PAGE)))
			break;
		record->bytes = (i + 1) * STACK_PAGE;
	}
	bpf_ringbuf_submit(record, 0);
	return true;
}

/* Whether the walk in a slot has come to code that is not known yet. */
static __always_inline bool is_to_be_deferred(struct stack_slot *slot)
{
	return slot->may_defer && slot->frames &&
	       (slot->end == STACK_END_UNMAPPED || slot->end == STACK_END_UNKNOWN_PROCESS) &&
	       is_user_address(slot->pc);
}

/*
 * Sends what the reader needs to go on with the walk in a slot; 0 if there is no room for it. `hash`: what it knows the
 * frames so far by. A function of its own: verified once.
 */
__attribute__((noinline)) int defer_walk(__u32 id, __u64 hash, __u64 time)
{
	struct stack_slot *slot = bpf_map_lookup_elem(&stack_slots, &id);
	struct unwind_process *known, unknown = {};
	__u32 process, pages;

	if (!slot)
		return 0;
	process = slot->process;
	known = bpf_map_lookup_elem(&unwind_processes, &process);
	if (known) {
		if (known->deferrals <= 0)
			return 0;
		__sync_fetch_and_add(&known->deferrals, -1);
	} else {
		unknown.deferrals = UNWIND_DEFERRALS - 1;
		bpf_map_update_elem(&unwind_processes, &process, &unknown, BPF_NOEXIST);
	}
	pages = pages_to_send(slot);
	if (pages == FEW_PAGES)
		return send_stack(slot, hash, time, FEW_PAGES);
	if (pages == SOME_PAGES)
		return send_stack(slot, hash, time, SOME_PAGES);
	return send_stack(slot, hash, time, MANY_PAGES);
}

#define EFAULT 14

/* How user stacks are taken. */
#define BY_TABLES true
#define BY_FRAME_POINTERS false

/* Frames by the kernel's own walk, behind those that the slot has; minus an errno if there are none. */
static __always_inline long add_frames(void *ctx, struct stack_slot *slot, __u64 flags)
{
	__u32 frames = slot->frames;
	long bytes;

	slot->end = STACK_END_UNKNOWN;
	if (frames > STACK_FRAMES)
		return -EFAULT;
	bytes = bpf_get_stack(ctx, &slot->addresses[frames], STACK_FRAMES * sizeof(__u64), flags);
	if (bytes > 0)
		slot->frames = frames + bytes / sizeof(__u64);
	return bytes;
}

/* --- Which process maps what: what cannot wait for the reader ------------------------------------------------------- */

/* A child has its parent's mappings. The reader gives it a list of its own before it uses the parent's again. */
SEC("raw_tp/sched_process_fork")
int unwind_fork(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 from = process_number((struct task_struct *)ctx->args[0]);
	__u32 to = process_number((struct task_struct *)ctx->args[1]);
	struct unwind_process *parent, child;

	parent = from == to ? NULL : bpf_map_lookup_elem(&unwind_processes, &from);
	if (!parent)
		return 0;
	child = *parent;
	bpf_map_update_elem(&unwind_processes, &to, &child, BPF_ANY);
	return 0;
}

/* From here on the old list would give false stacks. */
SEC("raw_tp/sched_process_exec")
int unwind_exec(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 process = process_number((struct task_struct *)ctx->args[0]);

	bpf_map_delete_elem(&unwind_processes, &process);
	return 0;
}

SEC("raw_tp/sched_process_exit")
int unwind_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	__u32 process = process_number(task);

	if (is_last_thread(task))
		bpf_map_delete_elem(&unwind_processes, &process);
	return 0;
}

#endif
