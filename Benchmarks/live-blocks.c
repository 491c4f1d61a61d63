// SPDX-License-Identifier: Apache-2.0
/*
 * Keeps many blocks alive, from many places: what a memory tracer has to remember, and to report.
 *
 *   live-blocks BLOCKS STACKS [wait]
 *
 * Block number i is allocated through a chain of calls that is different for each of STACKS numbers. With `wait` it
 * begins when a line comes on stdin. Then it says "done", allocates and frees a block every millisecond, and writes
 * the longest such pair in microseconds when stdin ends: how long a tracer has stopped it.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

static void *keep(unsigned long path, int left);

/* Eight functions, or where the next call returns to would say nothing of the way. */
#define STEP(name)                                                 \
	NOINLINE static void *name(unsigned long path, int left)   \
	{                                                          \
		void *block = keep(path >> 3, left - 1);           \
                                                                   \
		__asm__ volatile("" : : "r"(block) : "memory");    \
		return block;                                      \
	}

STEP(step_0)
STEP(step_1)
STEP(step_2)
STEP(step_3)
STEP(step_4)
STEP(step_5)
STEP(step_6)
STEP(step_7)

NOINLINE static void *keep(unsigned long path, int left)
{
	static void *(*const steps[])(unsigned long, int) = {step_0, step_1, step_2, step_3,
							     step_4, step_5, step_6, step_7};
	void *block;

	if (left)
		block = steps[path & 7](path, left);
	else
		block = malloc(48);
	__asm__ volatile("" : : "r"(block) : "memory");
	return block;
}

static double microseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

static void wait_for_line(void)
{
	char byte;

	while (read(0, &byte, 1) == 1 && byte != '\n')
		;
}

int main(int argc, char **argv)
{
	unsigned long blocks = argc > 1 ? strtoul(argv[1], NULL, 0) : 1000000;
	unsigned long stacks = argc > 2 ? strtoul(argv[2], NULL, 0) : 1000;
	struct pollfd input = {.fd = 0, .events = POLLIN};
	int depth = 1;
	double longest = 0;

	while (stacks > 1ul << 3 * depth)
		depth++;
	if (argc > 3 && !strcmp(argv[3], "wait")) {
		if (write(1, "ready\n", 6) != 6)
			return 1;
		wait_for_line();
	}
	for (unsigned long i = 0; i < blocks; i++)
		keep(i % stacks, depth);
	if (write(1, "done\n", 5) != 5)
		return 1;
	while (!poll(&input, 1, 1)) {
		double began = microseconds(), took;

		free(keep(0, depth));
		took = microseconds() - began;
		if (took > longest)
			longest = took;
	}
	printf("%.0f\n", longest);
	return 0;
}
