// SPDX-License-Identifier: Apache-2.0
/*
 * Memory in use that changes as the lines of stdin say; each is answered by
 * itself once that is done.
 *
 *   constant   50 blocks of 40 bytes, by keep_constant
 *   fill       64 blocks of 100 bytes, by fill_cache, and frees those before
 *   leak       from now on 24 bytes each millisecond, by leak_steadily, in
 *              a thread of their own
 *   mark N     N blocks of 48 bytes, by leak_marked
 *   churn N    N blocks of 56 bytes, each freed at once, by churn
 *   pause N    N blocks of 56 bytes, freed once all are there, by hold_a_while
 *   pool N     N blocks of 72 bytes of an allocator with the prefix ap_, by
 *              use_pool; each is released by a function that nobody knows, and
 *              the next one has the same address
 *
 * At the end of stdin it prints the longest gap between two leaks in
 * microseconds, and how many there were, and ends.
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

static char pool[128];
static int pool_used;

NOINLINE void *ap_malloc(size_t bytes)
{
	if (pool_used || bytes > sizeof(pool))
		return NULL;
	pool_used = 1;
	return pool;
}

NOINLINE void ap_free(void *block)
{
	if (block == pool)
		pool_used = 0;
}

NOINLINE void *use_pool(void)
{
	char *block = ap_malloc(72);

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
	if (!strncmp(line, "constant", 8))
		for (int i = 0; i < 50; i++)
			keep_constant();
	if (!strncmp(line, "fill", 4))
		for (int i = 0; i < CACHE; i++)
			fill_cache(i);
	if (sscanf(line, "mark %d", &count) == 1)
		for (int i = 0; i < count; i++)
			leak_marked();
	if (sscanf(line, "churn %d", &count) == 1)
		for (int i = 0; i < count; i++)
			churn();
	if (sscanf(line, "pool %d", &count) == 1)
		for (int i = 0; i < count; i++) {
			use_pool();
			pool_used = 0;
		}
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
	ap_free(NULL);
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
