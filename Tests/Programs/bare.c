/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Code without call frame information, in a library, and who calls it: bare SECONDS. Compiled with -DLIBRARY -shared it is
 * the library, without that the program.
 */
#ifdef LIBRARY
#include <sys/syscall.h>

static long call2(long number, void *first, void *second)
{
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(first), "S"(second)
			 : "rcx", "r11", "memory");
	return result;
}

struct duration {
	long seconds, nanoseconds;
};

void bare_nap(long nanoseconds)
{
	struct duration duration = {0, nanoseconds};
	volatile char room[200];

	room[0] = 1;
	call2(SYS_nanosleep, &duration, 0);
	room[1] = room[0];
}

/* No frame at all. */
__attribute__((noinline)) void bare_leaf(long count)
{
	for (volatile long i = 0; i < count; i++)
		;
}

/* Two of them, one in the other. */
void bare_caller(long count)
{
	volatile char room[500];

	room[0] = 1;
	bare_leaf(count);
	room[1] = room[0];
}
#else
#include <stdlib.h>
#include <time.h>

/* Weak: it can be linked without the library, but not run. */
__attribute__((weak)) void bare_nap(long nanoseconds);
__attribute__((weak)) void bare_leaf(long count);
__attribute__((weak)) void bare_caller(long count);

__attribute__((noinline)) void calls_nap(void)
{
	bare_nap(5000000);
	__asm__ volatile("" ::: "memory");
}

__attribute__((noinline)) void calls_leaf(void)
{
	bare_leaf(1000000);
	__asm__ volatile("" ::: "memory");
}

__attribute__((noinline)) void calls_caller(void)
{
	bare_caller(1000000);
	__asm__ volatile("" ::: "memory");
}

__attribute__((noinline)) void calls_each(void)
{
	calls_nap();
	calls_leaf();
	calls_caller();
	__asm__ volatile("" ::: "memory");
}

int main(int argc, char **argv)
{
	time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 1);

	while (time(NULL) < end)
		calls_each();
	return 0;
}
#endif
