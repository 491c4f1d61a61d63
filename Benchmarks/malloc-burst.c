/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocates, in code whose stack is known:
 *
 *   malloc-burst pairs COUNT FRAMES   COUNT times malloc and free; prints the nanoseconds that a pair took
 *   malloc-burst live COUNT FRAMES    COUNT blocks that stay
 *   malloc-burst stacks COUNT         a block from each of COUNT stacks, at most 131072
 *
 * FRAMES functions are on the stack, main and malloc left out. It says "ready", begins when a line comes on stdin,
 * says how it went, and ends when stdin does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

static volatile long work;

static long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000L + now.tv_nsec;
}

NOINLINE static long pairs(long count)
{
	long begin = now_ns();

	for (long i = 0; i < count; i++) {
		void *volatile block = malloc(64);

		free(block);
	}
	return now_ns() - begin;
}

NOINLINE static long live(long count)
{
	void *volatile block;
	long begin = now_ns();

	for (long i = 0; i < count; i++)
		block = malloc(16);
	(void)block;
	return now_ns() - begin;
}

NOINLINE static long down(long frames, long count, long (*last)(long))
{
	long result = frames > 1 ? down(frames - 1, count, last) : last(count);

	work += result; /* no tail call */
	return result;
}

NOINLINE static void left(long way, int depth);
NOINLINE static void right(long way, int depth);

/* Each bit of `way` is a function on the stack. */
static inline void turn(long way, int depth)
{
	void *volatile block;

	if (depth == 0)
		block = malloc(32);
	else if (way & 1)
		left(way >> 1, depth - 1);
	else
		right(way >> 1, depth - 1);
	(void)block;
}

NOINLINE static void left(long way, int depth)
{
	turn(way, depth);
	work++; /* no tail call */
}

NOINLINE static void right(long way, int depth)
{
	turn(way, depth);
	work += 2;
}

static void wait_for_line(void)
{
	char byte;

	while (read(0, &byte, 1) == 1 && byte != '\n')
		;
}

int main(int argc, char **argv)
{
	static char buffer[4096];
	long count, taken = 0, begin;

	if (argc < 3)
		return 64;
	count = atol(argv[2]);
	setvbuf(stdout, buffer, _IOLBF, sizeof(buffer)); /* or stdio allocates one */
	puts("ready");
	wait_for_line();
	begin = now_ns();
	if (!strcmp(argv[1], "pairs") && argc > 3)
		taken = down(atol(argv[3]) - 1, count, pairs);
	else if (!strcmp(argv[1], "live") && argc > 3)
		taken = down(atol(argv[3]) - 1, count, live);
	else if (!strcmp(argv[1], "stacks"))
		for (long way = 0; way < count; way++)
			turn(way, 17);
	else
		return 64;
	if (!taken)
		taken = now_ns() - begin;
	printf("%.1f\n", (double)taken / count);
	wait_for_line();
	return 0;
}
