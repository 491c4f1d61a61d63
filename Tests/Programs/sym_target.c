/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions for tests of symbolization to look up, built in several ways.
 * Prints a line "name address" for each, in decimal its process ID in its own
 * namespace, and waits until its input ends.
 */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

volatile int sym_sink;

NOINLINE int sym_global(int value)
{
	sym_sink = value;
	return value + 1;
}

static NOINLINE int sym_static(int value)
{
	sym_sink = value + 1;
	return value + 2;
}

NOINLINE int sym_aliased(int value)
{
	sym_sink = value + 2;
	return value + 3;
}

int __sym_aliased_twice(int value) __attribute__((alias("sym_aliased")));
int sym_aliased_weakly(int value) __attribute__((weak, alias("sym_aliased")));

/* In a segment of code of its own where the linker is told so. */
__attribute__((noinline, section(".text.sym_apart"))) int sym_apart(int value)
{
	sym_sink = value + 3;
	return value + 4;
}

/* A label of assembly: no type and no size. */
extern char sym_label[];
__asm__(".text\n.globl sym_label\nsym_label:\n\tnop\n\tnop\n\tret\n.Lsym_inner:\n\tnop\n\tret\n");

int main(void)
{
	char byte;

	printf("sym_global %" PRIuPTR "\n", (uintptr_t)sym_global);
	printf("sym_static %" PRIuPTR "\n", (uintptr_t)sym_static);
	printf("sym_aliased %" PRIuPTR "\n", (uintptr_t)sym_aliased);
	printf("sym_apart %" PRIuPTR "\n", (uintptr_t)sym_apart);
	printf("sym_label %" PRIuPTR "\n", (uintptr_t)sym_label);
	printf("main %" PRIuPTR "\n", (uintptr_t)main);
	printf("pid %d\n", getpid());
	fflush(stdout);
	sym_global(sym_static(sym_aliased(sym_apart(0))));
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}
