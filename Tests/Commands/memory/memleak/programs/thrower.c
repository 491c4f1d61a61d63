// SPDX-License-Identifier: Apache-2.0
/*
 * Has an operator new of its own, which does not call malloc, and throws when
 * there is no memory, as C++ would: it makes libgcc's unwinder search the
 * stack for a handler. That fails, and ends the program, if a return address
 * is not what it was.
 *
 *   thrower THREADS ROUNDS
 *
 * In each round each thread leaks 100 bytes of operator new, catches an
 * exception, and leaks 56 bytes of malloc. Prints one line per function: name,
 * blocks, bytes.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <unwind.h>

#define NOINLINE __attribute__((noinline))

struct handler {
	struct _Unwind_Exception exception;
	char *frame;
	jmp_buf back;
};

static char memory[1 << 22];
static size_t used;
static __thread struct handler *handler;
static int rounds;

void *operator_new(size_t bytes) __asm__("_Znwm");
void operator_delete(void *block) __asm__("_ZdlPv");

static _Unwind_Reason_Code search(int version, _Unwind_Action actions, _Unwind_Exception_Class class,
				  struct _Unwind_Exception *exception, struct _Unwind_Context *context,
				  void *unused)
{
	static const char text[] = "the exception did not get past the allocator\n";

	(void)version, (void)class, (void)exception, (void)unused;
	if (actions & _UA_END_OF_STACK) {
		if (write(2, text, sizeof(text) - 1) < 0)
			_exit(4);
		_exit(3);
	}
	if ((char *)_Unwind_GetCFA(context) >= handler->frame)
		longjmp(handler->back, 1);
	return _URC_NO_REASON;
}

NOINLINE void *operator_new(size_t bytes)
{
	size_t taken = (bytes + 15) & ~(size_t)15, start = __atomic_load_n(&used, __ATOMIC_RELAXED);

	/* What does not fit is not even taken for a moment: others would find no room meanwhile. */
	while (taken <= sizeof(memory) - start)
		if (__atomic_compare_exchange_n(&used, &start, start + taken, 0, __ATOMIC_RELAXED,
						__ATOMIC_RELAXED))
			return memory + start;
	memset(&handler->exception, 0, sizeof(handler->exception));
	_Unwind_ForcedUnwind(&handler->exception, search, NULL);
	abort();
}

NOINLINE void operator_delete(void *block)
{
	__asm__ volatile("" : : "r"(block) : "memory");
}

NOINLINE void leak_new(void)
{
	*(volatile char *)operator_new(100) = 1;
}

NOINLINE void ask_for_too_much(void)
{
	*(volatile char *)operator_new(1 << 30) = 1;
}

/* Its frame covers that of the call that was left, and leaves it as it is. */
NOINLINE void leak_after(void)
{
	char room[4096];

	__asm__ volatile("" : : "r"(room) : "memory");
	*(volatile char *)malloc(56) = 1;
	__asm__ volatile("" : : "r"(room) : "memory");
}

NOINLINE void catch_one(void)
{
	handler->frame = __builtin_frame_address(0);
	if (!setjmp(handler->back))
		ask_for_too_much();
}

static void *work(void *unused)
{
	struct handler own;

	(void)unused;
	handler = &own;
	for (int round = 0; round < rounds; round++) {
		leak_new();
		catch_one();
		leak_after();
	}
	handler = NULL;
	return NULL;
}

int main(int argc, char **argv)
{
	int threads = argc > 1 ? atoi(argv[1]) : 1;
	pthread_t ids[64];

	if (threads < 1 || threads > 64)
		return 2;
	rounds = argc > 2 ? atoi(argv[2]) : 1;
	for (int i = 1; i < threads; i++)
		if (pthread_create(&ids[i], NULL, work, NULL))
			return 1;
	work(NULL);
	for (int i = 1; i < threads; i++)
		pthread_join(ids[i], NULL);
	printf("leak_new %d %d\nleak_after %d %d\n", threads * rounds, threads * rounds * 100,
	       threads * rounds, threads * rounds * 56);
	return 0;
}
