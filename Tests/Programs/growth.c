// SPDX-License-Identifier: Apache-2.0
/*
 * Memory that grows in three ways, as its stdin says:
 *
 *   keep_constant: 50 blocks of 40 bytes at the start
 *   fill_cache: 64 blocks of 100 bytes at the line "fill"; then each line "fill" replaces them all
 *   leak_steadily: a block of 24 bytes each millisecond from the line "leak" on
 *
 * The line "mark N" allocates N blocks of 48 bytes by leak_marked, the line
 * "churn N" allocates and frees N blocks of 56 bytes at once by churn, and
 * "pause N" as many that it frees only after all of them by hold_a_while. Each
 * line is answered by the same line. At the end of stdin it prints the longest
 * gap between two leaks in microseconds, and how many there were, and ends.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))
#define CACHE 64

static void *volatile cache[CACHE];
static atomic_int leaking, ending;
static long longest_gap, leaks;

NOINLINE void *keep_constant(void)
{
	char *block = malloc(40);

	block[0] = 1;
	return block;
}

NOINLINE void *fill_cache(int place)
{
	char *block = malloc(100), *old = cache[place];

	block[0] = 1;
	cache[place] = block;
	free(old);
	return block;
}

NOINLINE void *leak_steadily(void)
{
	char *block = malloc(24);

	block[0] = 1;
	return block;
}

NOINLINE void *leak_marked(void)
{
	char *block = malloc(48);

	block[0] = 1;
	return block;
}

NOINLINE int churn(void)
{
	char *volatile block = malloc(56);

	block[0] = 1;
	free(block);
	return 0;
}

NOINLINE void *hold_a_while(void)
{
	char *block = malloc(56);

	block[0] = 1;
	return block;
}

static long now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void *leak_thread(void *unused)
{
	long last = 0, now;

	while (!ending) {
		usleep(1000);
		if (!leaking)
			continue;
		leak_steadily();
		leaks++;
		now = now_us();
		if (last && now - last > longest_gap)
			longest_gap = now - last;
		last = now;
	}
	return unused;
}

static void obey(const char *line)
{
	int count = 0;

	if (!strncmp(line, "leak", 4))
		leaking = 1;
	if (!strncmp(line, "fill", 4))
		for (int i = 0; i < CACHE; i++)
			fill_cache(i);
	if (sscanf(line, "mark %d", &count) == 1)
		for (int i = 0; i < count; i++)
			leak_marked();
	if (sscanf(line, "churn %d", &count) == 1)
		for (int i = 0; i < count; i++)
			churn();
	if (sscanf(line, "pause %d", &count) == 1) {
		void **held = calloc(count, sizeof(*held));

		for (int i = 0; i < count; i++)
			held[i] = hold_a_while();
		for (int i = 0; i < count; i++)
			free(held[i]);
		free(held);
	}
}

int main(void)
{
	static char line[256], out[256];
	pthread_t thread;

	/* So that stdio allocates nothing. */
	setvbuf(stdout, out, _IOLBF, sizeof(out));
	for (int i = 0; i < 50; i++)
		keep_constant();
	pthread_create(&thread, NULL, leak_thread, NULL);
	printf("ready\n");
	for (;;) {
		size_t length = 0;

		while (length + 1 < sizeof(line) && read(0, line + length, 1) == 1)
			if (line[length++] == '\n')
				break;
		line[length] = 0;
		if (!length)
			break;
		obey(line);
		printf("%s", line);
	}
	ending = 1;
	pthread_join(thread, NULL);
	printf("longest gap %ld us, leaks %ld\n", longest_gap, leaks);
	return 0;
}
