// SPDX-License-Identifier: Apache-2.0
/*
 * Leaks known sizes through each function of the allocator, in several
 * threads, and says how much. Each function has its own leak_* function below
 * main or a thread.
 *
 *   leak THREADS ROUNDS [keep|free] [wait]
 *
 * In each round each thread leaks one block per function; with `free` it frees
 * them all, by the function that is meant for it. With `wait` it begins only
 * when a line comes on stdin, and ends when stdin does. Prints one line per
 * function: name, blocks, bytes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))
#define KINDS 10

static int rounds, release;
static const char text[] = "thirty-one bytes and a zero: 32";

NOINLINE void *leak_malloc(void)
{
	void *block = malloc(101);

	memset(block, 1, 101);
	return block;
}

NOINLINE void *leak_calloc(void)
{
	char *block = calloc(7, 13);

	block[1] = 1;
	return block;
}

NOINLINE void *leak_realloc(void)
{
	char *block = malloc(10);
	char *larger;

	block[0] = 1;
	larger = realloc(block, 10000);
	larger[9999] = 1;
	block = realloc(larger, 203); /* in place */
	block[0] = 1;
	return block;
}

NOINLINE void *leak_reallocarray(void)
{
	char *block = reallocarray(NULL, 3, 5);

	block[0] = 1;
	block = reallocarray(block, 11, 29);
	block[0] = 1;
	return block;
}

NOINLINE void *leak_posix_memalign(void)
{
	void *block = NULL;

	if (posix_memalign(&block, 64, 401))
		abort();
	return block;
}

NOINLINE void *leak_aligned_alloc(void)
{
	char *block = aligned_alloc(128, 512);

	block[0] = 1;
	return block;
}

NOINLINE void *leak_memalign(void)
{
	char *block = memalign(32, 607);

	block[0] = 1;
	return block;
}

NOINLINE void *leak_valloc(void)
{
	char *block = valloc(701);

	block[0] = 1;
	return block;
}

NOINLINE void *leak_pvalloc(void)
{
	char *block = pvalloc(801);

	block[0] = 1;
	return block;
}

NOINLINE void *leak_strdup(void)
{
	char *block = strdup(text);

	block[0] = 1;
	return block;
}

static const struct {
	const char *name;
	void *(*allocate)(void);
	size_t bytes;
} kinds[KINDS] = {
	{"leak_malloc", leak_malloc, 101},
	{"leak_calloc", leak_calloc, 91},
	{"leak_realloc", leak_realloc, 203},
	{"leak_reallocarray", leak_reallocarray, 319},
	{"leak_posix_memalign", leak_posix_memalign, 401},
	{"leak_aligned_alloc", leak_aligned_alloc, 512},
	{"leak_memalign", leak_memalign, 607},
	{"leak_valloc", leak_valloc, 701},
	{"leak_pvalloc", leak_pvalloc, 801},
	{"leak_strdup", leak_strdup, 32},
};

/* Calls that fail or do nothing, and must leave no trace. */
static void try_the_impossible(void)
{
	volatile size_t huge = SIZE_MAX / 2;
	void *block = malloc(55), *same = NULL;

	if (malloc(huge) || calloc(huge, 4) || realloc(block, huge) ||
	    reallocarray(block, huge, 4) || posix_memalign(&same, 3, 10) != EINVAL)
		abort();
	free(block);
	free(NULL);
	free(malloc(0));
	block = malloc(66);
	if (realloc(block, 0)) /* glibc frees it */
		abort();
}

static void *work(void *unused)
{
	(void)unused;
	for (int round = 0; round < rounds; round++) {
		for (int kind = 0; kind < KINDS; kind++) {
			void *block = kinds[kind].allocate();

			if (release)
				free(block);
		}
		try_the_impossible();
	}
	return NULL;
}

static void wait_for_line(void)
{
	char byte;

	while (read(0, &byte, 1) == 1 && byte != '\n')
		;
}

int main(int argc, char **argv)
{
	int threads = argc > 1 ? atoi(argv[1]) : 1;
	int waits = argc > 4 && !strcmp(argv[4], "wait");
	static char buffer[1 << 16];
	pthread_t ids[64];

	if (threads < 1 || threads > 64)
		return 2;
	rounds = argc > 2 ? atoi(argv[2]) : 1;
	release = argc > 3 && !strcmp(argv[3], "free");
	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer)); /* or stdio allocates one */
	if (waits) {
		if (write(1, "ready\n", 6) != 6)
			return 1;
		wait_for_line();
	}
	for (int i = 1; i < threads; i++)
		if (pthread_create(&ids[i], NULL, work, NULL))
			return 1;
	work(NULL);
	for (int i = 1; i < threads; i++)
		pthread_join(ids[i], NULL);
	for (int kind = 0; kind < KINDS; kind++)
		printf("%s %ld %ld\n", kinds[kind].name, (long)threads * rounds,
		       (long)threads * rounds * (long)kinds[kind].bytes);
	fflush(stdout);
	if (waits)
		wait_for_line();
	return 0;
}
