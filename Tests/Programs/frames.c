/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames and jumps of the stack that are legal and rare: frames HOW MS. Each begins in on_stack, and ends in burn_here,
 * which runs for MS milliseconds.
 *   fixed      a frame of 24 MB, whose size the compiler knows
 *   variable   the same, where only the run knows
 *   coroutine  on a stack of its own (makecontext)
 *   switched   as Rust's stacker and split stacks do: code moves the stack pointer elsewhere and calls on, and its call
 *              frame information says where it came from; there it does so again, back up to a stack that is above
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>

#define NOINLINE __attribute__((noinline, noclone))
#define LARGE (3 << 20)
#define STACK (1 << 20)

static long milliseconds = 300;
static volatile unsigned long work;
static ucontext_t outer, inner;

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

NOINLINE void burn_here(void)
{
	long end = now_ms() + milliseconds;

	while (now_ms() < end)
		for (int i = 0; i < 100000; i++)
			work += i;
}

NOINLINE void large_fixed(void)
{
	double grid[LARGE];

	grid[0] = 1;
	__asm__ volatile("" ::"r"(grid) : "memory");
	burn_here();
	__asm__ volatile("" ::"r"(grid) : "memory");
}

NOINLINE void large_variable(long count)
{
	double grid[count];

	grid[0] = 1;
	__asm__ volatile("" ::"r"(grid) : "memory");
	burn_here();
	__asm__ volatile("" ::"r"(grid) : "memory");
}

static void *new_stack(void)
{
	void *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return stack == MAP_FAILED ? NULL : stack;
}

NOINLINE void coroutine(void)
{
	burn_here();
	__asm__ volatile("" ::: "memory");
}

NOINLINE void on_new_stack(void)
{
	burn_here();
	__asm__ volatile("" ::: "memory");
}

/* Calls a function on another stack. The frame pointer is the way back, and the call frame information says so. */
void call_switched(void *top, void (*function)(void));
__asm__(".text\n"
	".globl call_switched\n"
	".type call_switched, @function\n"
	"call_switched:\n"
	"	.cfi_startproc\n"
	"	push %rbp\n"
	"	.cfi_def_cfa_offset 16\n"
	"	.cfi_offset %rbp, -16\n"
	"	mov %rsp, %rbp\n"
	"	.cfi_def_cfa_register %rbp\n"
	"	mov %rdi, %rsp\n"
	"	call *%rsi\n"
	"	mov %rbp, %rsp\n"
	"	pop %rbp\n"
	"	.cfi_def_cfa %rsp, 8\n"
	"	ret\n"
	"	.cfi_endproc\n"
	".size call_switched, . - call_switched\n");

/* Two stacks, the second one below the first. */
static char *stacks[2];

NOINLINE void on_lower_stack(void)
{
	call_switched(stacks[0] + STACK, on_new_stack);
	__asm__ volatile("" ::: "memory");
}

NOINLINE void on_stack(const char *how)
{
	if (!strcmp(how, "fixed")) {
		large_fixed();
	} else if (!strcmp(how, "variable")) {
		large_variable(LARGE);
	} else if (!strcmp(how, "coroutine")) {
		getcontext(&inner);
		inner.uc_stack.ss_sp = new_stack();
		inner.uc_stack.ss_size = STACK;
		inner.uc_link = &outer;
		makecontext(&inner, coroutine, 0);
		swapcontext(&outer, &inner);
	} else {
		call_switched(stacks[1] + STACK, on_lower_stack);
	}
	__asm__ volatile("" ::: "memory");
}

static void *in_thread(void *how)
{
	on_stack(how);
	return NULL;
}

int main(int argc, char **argv)
{
	char *how = argc > 1 ? argv[1] : "fixed", *first = new_stack(), *second = new_stack();
	pthread_attr_t attributes;
	pthread_t thread;

	if (argc > 2)
		milliseconds = atol(argv[2]);
	stacks[0] = first > second ? first : second;
	stacks[1] = first > second ? second : first;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 64 << 20);
	pthread_create(&thread, &attributes, in_thread, how);
	pthread_join(thread, NULL);
	return 0;
}
