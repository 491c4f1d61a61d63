// SPDX-License-Identifier: Apache-2.0
/*
 * Compares unwinding rules with what libdw says of the same file.
 *
 * usage: libdw-rules FILE <RANGES
 *
 * RANGES are records of struct range. Each address of a range where libdw has a new row is looked up, not only the
 * first. Prints a line for each difference (the first few), and then the counts.
 */
#define _GNU_SOURCE
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <gelf.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../bpf/include/unwind.h"

#define PADDING 15 /* bytes between functions that may have the rule of the one before */
#define PRINTED 20

/* What differs between the machines: numbers of registers, bytes of a word, and operators of linkage tables. */
struct machine {
	unsigned fp, sp;
	int word;
	unsigned stack_atom, pc_atom, shift_atom;
	unsigned registers;
	__u8 numbers[16]; /* of registers, as rules have them */
};

static const struct machine amd64 = {
	.fp = 6,
	.sp = 7,
	.word = 8,
	.stack_atom = DW_OP_breg7,
	.pc_atom = DW_OP_breg16,
	.shift_atom = DW_OP_lit3,
	.registers = 16,
	.numbers = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
};

static const struct machine i386 = {
	.fp = 5,
	.sp = 4,
	.word = 4,
	.stack_atom = DW_OP_breg4,
	.pc_atom = DW_OP_breg8,
	.shift_atom = DW_OP_lit2,
	.registers = 8,
	.numbers = {0, 2, 1, 3, 7, 6, 4, 5},
};

static const struct machine *machine = &amd64;

struct range {
	__u64 start;
	__u64 end;
	struct unwind_rule rule;
};

static Dwarf_CFI *described[2];
static struct range following; /* the next range; its beginning is 0 if there is none */
static Elf *elf;
static unsigned long ranges, lookups, differences, padding, signals, inexpressible;

static bool fits16(__s64 value)
{
	return value == (__s16)value;
}
static bool fits32(__s64 value)
{
	return value == (__s32)value;
}

/* `register + offset`, in either of its spellings. */
static bool is_register(const Dwarf_Op *op, unsigned *number, __s64 *offset)
{
	if (op->atom >= DW_OP_breg0 && op->atom <= DW_OP_breg31) {
		*number = op->atom - DW_OP_breg0;
		*offset = (__s64)op->number;
		return true;
	}
	*number = (unsigned)op->number;
	*offset = (__s64)op->number2;
	return op->atom == DW_OP_bregx;
}

static bool is_linkage_table(const Dwarf_Op *ops, size_t count)
{
	const unsigned atoms[] = {
		machine->stack_atom, machine->pc_atom, DW_OP_lit15, DW_OP_and, 0, DW_OP_ge,
		machine->shift_atom, DW_OP_shl,	       DW_OP_plus,
	};

	if (count != sizeof(atoms) / sizeof(*atoms) || ops[0].number != (Dwarf_Word)machine->word ||
	    ops[1].number != 0)
		return false;
	for (size_t i = 0; i < count; i++)
		if (atoms[i] && ops[i].atom != atoms[i])
			return false;
	return ops[4].atom >= DW_OP_lit0 && ops[4].atom <= DW_OP_lit31;
}

static bool address_rule(const Dwarf_Op *ops, size_t count, struct unwind_rule *rule)
{
	unsigned number;
	__s64 offset, addend = 0;

	if (is_linkage_table(ops, count)) {
		rule->cfa = CFA_PLT;
		rule->cfa_offset = ops[4].atom - DW_OP_lit0;
		return true;
	}
	if (count == 0 || !is_register(&ops[0], &number, &offset) || !fits32(offset))
		return false;
	rule->cfa_offset = (__s32)offset;
	if (count == 1) {
		rule->cfa = number == machine->sp   ? CFA_STACK
			    : number == machine->fp ? CFA_FRAME
						    : CFA_REGISTER;
		if (number >= machine->registers)
			return false;
		if (rule->cfa == CFA_REGISTER)
			rule->cfa_register = machine->numbers[number];
		return true;
	}
	if (ops[1].atom != DW_OP_deref || (number != machine->sp && number != machine->fp))
		return false;
	for (size_t i = 2; i < count; i++) {
		if (ops[i].atom != DW_OP_plus_uconst)
			return false;
		addend += (__s64)ops[i].number;
	}
	rule->cfa = number == machine->sp ? CFA_STACK_DEREFERENCED : CFA_FRAME_DEREFERENCED;
	rule->cfa_addend = (__s16)addend;
	return fits16(addend);
}

/* CFA + offset as an address in memory. */
static bool is_saved(const Dwarf_Op *ops, size_t count, __s64 *offset)
{
	*offset = count == 2 ? (__s64)ops[1].number : 0;
	return count >= 1 && count <= 2 && ops[0].atom == DW_OP_call_frame_cfa &&
	       (count == 1 || ops[1].atom == DW_OP_plus_uconst);
}

static void frame_pointer_rule(Dwarf_Frame *frame, struct unwind_rule *rule)
{
	Dwarf_Op memory[3], *ops;
	size_t count;
	unsigned number;
	__s64 offset;

	rule->fp = FRAME_POINTER_UNKNOWN;
	if (dwarf_frame_register(frame, (int)machine->fp, memory, &ops, &count))
		return;
	if (count == 0 && ops == NULL) {
		rule->fp = FRAME_POINTER_SAME;
	} else if (is_saved(ops, count, &offset) && fits32(offset)) {
		rule->fp = FRAME_POINTER_SAVED;
		rule->fp_offset = (__s32)offset;
	} else if (count == 2 && ops[0].atom == DW_OP_call_frame_cfa &&
		   is_register(&ops[1], &number, &offset) && number == machine->fp &&
		   fits32(offset)) {
		rule->fp = FRAME_POINTER_AT_FRAME;
		rule->fp_offset = (__s32)offset;
	}
}

/* The rule that libdw's answer amounts to; CFA_NO_RULE if no other says it. */
static struct unwind_rule rule_of(Dwarf_Frame *frame, int return_address)
{
	struct unwind_rule rule = {.is_32_bit = machine->word == 4}, none = {0};
	Dwarf_Op memory[3], *ops;
	size_t count;
	__s64 offset;

	if (dwarf_frame_register(frame, return_address, memory, &ops, &count))
		return none;
	if (count == 0) {
		none.cfa = ops == NULL ? CFA_NO_RULE : CFA_ROOT;
		none.is_32_bit = none.cfa == CFA_ROOT && rule.is_32_bit;
		return none;
	}
	if (!is_saved(ops, count, &offset) || !fits16(offset))
		return none;
	rule.ra_offset = (__s16)offset;
	if (dwarf_frame_cfa(frame, &ops, &count) || !address_rule(ops, count, &rule))
		return none;
	frame_pointer_rule(frame, &rule);
	return rule;
}

static bool find(__u64 address, struct unwind_rule *rule, __u64 *end, bool *is_signal)
{
	for (int i = 0; i < 2; i++) {
		Dwarf_Frame *frame;
		Dwarf_Addr from, to;
		int return_address;

		if (!described[i] || dwarf_cfi_addrframe(described[i], address, &frame))
			continue;
		return_address = dwarf_frame_info(frame, &from, &to, is_signal);
		*rule = rule_of(frame, return_address);
		*end = to;
		free(frame);
		return true;
	}
	return false;
}

static bool is_same(struct unwind_rule a, struct unwind_rule b)
{
	return memcmp(&a, &b, sizeof(a)) == 0;
}

/* Whether an address that is not described is one of few after a function that has the rule. */
static bool is_padding(__u64 address, struct unwind_rule rule)
{
	struct unwind_rule found;
	__u64 end;
	bool is_signal;

	for (__u64 back = 1; back <= PADDING && back <= address; back++) {
		if (!find(address - back, &found, &end, &is_signal))
			continue;
		for (__u64 on = 1; on + back <= PADDING + 1; on++)
			if (find(address + on, &found, &end, &is_signal) ||
			    (address + on == following.start && following.rule.cfa == CFA_SIGNAL))
				return find(address - back, &found, &end, &is_signal) &&
				       is_same(found, rule);
		return false;
	}
	return false;
}

/* Whether it is a linker's jump to a function that is chosen at run time: there nothing has been pushed yet. */
static bool is_stub(__u64 address, struct unwind_rule rule)
{
	const struct unwind_rule at_call = {
		.cfa = CFA_STACK,
		.is_32_bit = machine->word == 4,
		.cfa_offset = machine->word,
		.ra_offset = (__s16)-machine->word,
	};
	Elf_Scn *section = NULL;
	size_t names;
	GElf_Shdr header;

	if (!is_same(rule, at_call) || elf_getshdrstrndx(elf, &names))
		return false;
	while ((section = elf_nextscn(elf, section))) {
		const char *name;

		if (!gelf_getshdr(section, &header) || address - header.sh_addr >= header.sh_size)
			continue;
		name = elf_strptr(elf, names, header.sh_name);
		if (name && (!strncmp(name, ".plt", 4) || !strcmp(name, ".iplt")))
			return true;
	}
	return false;
}

static void differ(__u64 address, struct unwind_rule ours, struct unwind_rule theirs, bool is_there)
{
	if (differences++ >= PRINTED)
		return;
	const struct unwind_rule *rules[] = {&ours, &theirs};

	printf("%llx:", address);
	for (int i = 0; i < 2; i++)
		printf(" %s cfa %u register %u offset %d addend %d, fp %u offset %d, ra offset %d%s",
		       i ? "libdw" : "ours", rules[i]->cfa, rules[i]->cfa_register,
		       rules[i]->cfa_offset, rules[i]->cfa_addend, rules[i]->fp,
		       rules[i]->fp_offset, rules[i]->ra_offset, i ? "" : ";");
	printf("%s\n", is_there ? "" : " (not described)");
}

/* Looks an address up; returns the next one that may differ. */
static __u64 check(__u64 address, struct unwind_rule ours, unsigned *missed)
{
	struct unwind_rule theirs = {0};
	__u64 end = address + 1;
	bool is_signal = false, is_there = find(address, &theirs, &end, &is_signal);

	lookups++;
	*missed = is_there ? 0 : *missed + 1;
	if (ours.cfa == CFA_SIGNAL) {
		/* Also without the mark in the file, and one byte before. */
		signals++;
		return address + 1;
	}
	if (is_there ? !is_same(ours, theirs) : ours.cfa != CFA_NO_RULE) {
		if (!is_there && (is_stub(address, ours) || is_padding(address, ours)))
			padding++;
		else
			differ(address, ours, theirs, is_there);
	} else if (is_there && ours.cfa == CFA_NO_RULE) {
		inexpressible++;
	}
	if (end <= address)
		end = address + 1;
	/* In a long gap, functions begin where they are aligned. */
	return *missed > 64 ? (address | 15) + 1 : end;
}

static void check_range(struct range range)
{
	unsigned missed = 0;

	for (__u64 address = range.start; address < range.end;)
		address = check(address, range.rule, &missed);
}

int main(int count, char **arguments)
{
	struct range range;
	int file = count == 2 ? open(arguments[1], O_RDONLY | O_CLOEXEC) : -1;

	elf_version(EV_CURRENT);
	elf = file < 0 ? NULL : elf_begin(file, ELF_C_READ_MMAP, NULL);
	if (!elf) {
		fprintf(stderr, "usage: libdw-rules FILE <RANGES\n");
		return 64;
	}
	GElf_Ehdr header;

	if (gelf_getehdr(elf, &header) && header.e_machine == EM_386)
		machine = &i386;
	Dwarf *dwarf = dwarf_begin_elf(elf, DWARF_C_READ, NULL);
	described[0] = dwarf_getcfi_elf(elf);
	described[1] = dwarf ? dwarf_getcfi(dwarf) : NULL;
	while (fread(&following, sizeof(following), 1, stdin) == 1) {
		if (ranges++ > 0)
			check_range(range);
		range = following;
	}
	following.start = 0;
	if (ranges > 0)
		check_range(range);
	printf("ranges %lu lookups %lu differences %lu padding %lu signals %lu inexpressible %lu\n",
	       ranges, lookups, differences, padding, signals, inexpressible);
	return 0;
}
