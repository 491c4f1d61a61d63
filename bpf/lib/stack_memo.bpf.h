/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Threads block and allocate in the same few places. Where a walk leads depends on the first pc, stack pointer and
 * frame pointer, on the process's mappings (which have a serial number), and on the words of the stack that it reads.
 * So a stack that was found before is the same again if all these are: comparing a dozen words is several times
 * cheaper than searching a dozen rules, and as exact. What depends on anything else is not remembered.
 *
 * A memo belongs to a CPU, and is used by who holds that CPU's first slot: nobody else can be writing it.
 */
#ifndef APUS_STACK_MEMO_BPF_H
#define APUS_STACK_MEMO_BPF_H

#define MEMOS 256
#define MEMO_WORDS 64 /* a power of two */
/* The words are compared in their order, a window at a time. */
#define MEMO_WINDOWS 8

struct stack_memo {
	__u64 seen; /* hash of the last key that was not found here: what comes twice is worth a memo */
	__u64 pc, sp, fp;
	__u32 serial; /* 0: nothing is remembered */
	__u32 words;
	__u32 last_place;
	__u64 hash; /* of the stack that is stored */
	__u8 is_exact; /* of pc, as in struct stack_slot */
	__u8 end; /* enum stack_end */
	__u32 places[MEMO_WORDS]; /* bytes from sp */
	__u64 values[MEMO_WORDS];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MEMOS);
	__type(key, __u32);
	__type(value, struct stack_memo);
} stack_memos SEC(".maps");

/* Notes that the walk has read a word. A function of its own: verified once. */
__attribute__((noinline)) int record_read(__u32 id, __u64 address, __u64 value, int failed)
{
	struct stack_slot *slot = bpf_map_lookup_elem(&stack_slots, &id);
	struct stack_memo *memo;
	__u64 place, words;
	__u32 key;

	if (!slot)
		return 0;
	key = slot->recorded - 1;
	memo = bpf_map_lookup_elem(&stack_memos, &key);
	if (!memo)
		return 0;
	place = address - memo->sp;
	words = memo->words;
	if (failed || words >= MEMO_WORDS || place & 7 || place >= MEMO_WINDOWS * WINDOW_BYTES) {
		stop_recording(slot);
		return 0;
	}
	BOUND(words, MEMO_WORDS - 1);
	memo->places[words] = place;
	memo->values[words] = value;
	memo->words = words + 1;
	if (place > memo->last_place)
		memo->last_place = place;
	return 0;
}

/*
 * Compares the words of a memo, from one of them on, that lie in one window of the stack. The number of the first word
 * beyond it; minus 1 if one is different.
 */
__attribute__((noinline)) int compare_window(__u32 key, __u64 first)
{
	struct stack_memo *memo = bpf_map_lookup_elem(&stack_memos, &key);
	__u32 zero = 0;
	struct stack_slot *slot = bpf_map_lookup_elem(&stack_slots, &zero);
	__u64 window, place, bytes, words, next = first;

	if (!slot || !memo)
		return -1;
	words = memo->words;
	BOUND(first, MEMO_WORDS - 1);
	window = memo->places[first] & ~(WINDOW_BYTES - 1);
	slot->window_bytes = 0;
	/* What the last window needs is often little. */
	bytes = memo->last_place - window + sizeof(__u64);
	if (bytes > WINDOW_BYTES)
		bytes = WINDOW_BYTES;
	if (bpf_probe_read_user(slot->window, bytes, (void *)(slot->sp + window)))
		return -1;
	for (int i = 0; i < MEMO_WORDS && next < words; i++) {
		BOUND(next, MEMO_WORDS - 1);
		place = memo->places[next] - window;
		if (place >= WINDOW_BYTES)
			break;
		place /= sizeof(__u64);
		BOUND(place, WINDOW_BYTES / sizeof(__u64) - 1);
		if (slot->window[place] != memo->values[next])
			return -1;
		next++;
	}
	return next;
}

/*
 * In the first slot, after begin_walk: 1 if the stack is one that was found before, with slot->hash and slot->end; else
 * 0, and perhaps has the walk recorded.
 */
__attribute__((noinline)) int recall_stack(void)
{
	__u32 zero = 0, key;
	struct stack_slot *slot = bpf_map_lookup_elem(&stack_slots, &zero);
	struct stack_memo *memo;
	__u64 hash;
	__u64 next = 0;
	int compared;

	if (!slot || !slot->list.serial || slot->sp & 7)
		return 0;
	hash = mix(mix(mix(slot->list.serial, slot->pc), slot->sp), slot->fp ^ slot->is_exact);
	key = hash & (MEMOS - 1);
	memo = bpf_map_lookup_elem(&stack_memos, &key);
	if (!memo)
		return 0;
	if (memo->serial == slot->list.serial && memo->pc == slot->pc && memo->sp == slot->sp &&
	    memo->fp == slot->fp && memo->is_exact == slot->is_exact) {
		for (int i = 0; i < MEMO_WINDOWS && next < memo->words; i++) {
			compared = compare_window(key, next);
			if (compared <= 0)
				break;
			next = compared;
		}
		if (next == memo->words) {
			slot->hash = memo->hash;
			slot->end = memo->end;
			slot->recalled = 1;
			return 1;
		}
		slot->window_bytes = 0;
	} else if (memo->seen != hash) {
		memo->seen = hash;
		return 0;
	}
	memo->serial = memo->words = memo->last_place = 0;
	memo->pc = slot->pc;
	memo->sp = slot->sp;
	memo->fp = slot->fp;
	memo->is_exact = slot->is_exact;
	slot->recorded = key + 1;
	return 0;
}

/* The walk that was recorded is over. */
static __always_inline void finish_memo(struct stack_slot *slot, __u64 hash)
{
	__u32 key = slot->recorded - 1;
	struct stack_memo *memo = bpf_map_lookup_elem(&stack_memos, &key);
	__u8 end = slot->end & ~STACK_END_BY_FRAME_POINTER;

	/* The others may end elsewhere at another time. */
	if (!memo || (end != STACK_END_ROOT && end != STACK_END_DEPTH && end != STACK_END_NO_RULE))
		return;
	memo->hash = hash;
	memo->end = slot->end;
	memo->serial = slot->list.serial;
}

#endif
