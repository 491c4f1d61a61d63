// SPDX-License-Identifier: Apache-2.0
/*
 * Random operations on an allocator, with a model of what is live.
 *
 *   allocations THREADS OPERATIONS SEED [wait]
 *
 * Each thread allocates, resizes and frees blocks by chance, through four
 * functions that a tracer can tell apart, and checks what it has written into
 * them. Prints the live blocks and bytes of each function; exit status 3 if a
 * block has changed. With `wait` it begins when a line comes on stdin and ends
 * when stdin does. OPERATIONS 0: goes on until stdin ends.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))
#define SITES 4
#define SLOTS 4000

struct slot {
	unsigned char *block;
	size_t bytes;
	int site;
	unsigned char mark;
};

struct worker {
	pthread_t id;
	uint64_t random;
	long count[SITES], bytes[SITES];
	struct slot slots[SLOTS];
};

static long operations;
static volatile int ended;
static struct worker workers[64];

static uint32_t next_random(struct worker *worker)
{
	worker->random = worker->random * 6364136223846793005u + 1442695040888963407u;
	return worker->random >> 33;
}

NOINLINE void *site_malloc(size_t bytes)
{
	void *block = malloc(bytes);

	__asm__ volatile("");
	return block;
}

NOINLINE void *site_calloc(size_t bytes)
{
	void *block = calloc(1, bytes);

	__asm__ volatile("");
	return block;
}

NOINLINE void *site_memalign(size_t bytes)
{
	void *block = NULL;

	if (posix_memalign(&block, 64, bytes))
		return NULL;
	return block;
}

NOINLINE void *site_realloc(void *old, size_t bytes)
{
	void *block = realloc(old, bytes);

	__asm__ volatile("");
	return block;
}

static void check(const struct slot *slot)
{
	if (slot->bytes && (slot->block[0] != slot->mark || slot->block[slot->bytes - 1] != slot->mark))
		_exit(3);
}

static void put(struct worker *worker, struct slot *slot, int site, void *block, size_t bytes)
{
	if (!block)
		_exit(4);
	slot->block = block;
	slot->bytes = bytes;
	slot->site = site;
	slot->mark = next_random(worker);
	memset(block, slot->mark, bytes);
	worker->count[site]++;
	worker->bytes[site] += bytes;
}

static void take(struct worker *worker, struct slot *slot)
{
	check(slot);
	worker->count[slot->site]--;
	worker->bytes[slot->site] -= slot->bytes;
}

static void step(struct worker *worker)
{
	struct slot *slot = &worker->slots[next_random(worker) % SLOTS];
	size_t bytes = next_random(worker) % (next_random(worker) % 16 ? 300 : 40000) + 1;
	int kind = next_random(worker) % 6;

	if (slot->block && kind == 5) {
		take(worker, slot);
		put(worker, slot, 3, site_realloc(slot->block, bytes), bytes);
	} else if (slot->block) {
		take(worker, slot);
		free(slot->block);
		slot->block = NULL;
	} else if (kind < 3) {
		put(worker, slot, 0, site_malloc(bytes), bytes);
	} else if (kind == 3) {
		put(worker, slot, 1, site_calloc(bytes), bytes);
	} else {
		put(worker, slot, 2, site_memalign(bytes), bytes);
	}
}

static void *work(void *argument)
{
	for (long i = 0; operations ? i < operations : !ended; i++)
		step(argument);
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
	static const char *names[SITES] = {"site_malloc", "site_calloc", "site_memalign",
					   "site_realloc"};
	int threads = argc > 1 ? atoi(argv[1]) : 1;
	int waits = argc > 4 && !strcmp(argv[4], "wait");
	char line[200];

	if (threads < 1 || threads > 64)
		return 2;
	operations = argc > 2 ? atol(argv[2]) / threads : 1000;
	for (int i = 0; i < threads; i++)
		workers[i].random = (argc > 3 ? atol(argv[3]) : 1) + i * 1000003u;
	if (waits) {
		if (write(1, "ready\n", 6) != 6)
			return 1;
		wait_for_line();
	}
	for (int i = 1; i < threads; i++)
		if (pthread_create(&workers[i].id, NULL, work, &workers[i]))
			return 1;
	if (operations)
		work(&workers[0]);
	else
		wait_for_line();
	ended = 1;
	for (int i = 1; i < threads; i++)
		pthread_join(workers[i].id, NULL);
	for (int site = 0; site < SITES; site++) {
		long count = 0, bytes = 0;
		int length;

		for (int i = 0; i < threads; i++) {
			count += workers[i].count[site];
			bytes += workers[i].bytes[site];
		}
		length = snprintf(line, sizeof(line), "%s %ld %ld\n", names[site], count, bytes);
		if (write(1, line, length) != length)
			return 1;
	}
	for (int i = 0; i < threads; i++)
		for (int slot = 0; slot < SLOTS; slot++)
			if (workers[i].slots[slot].block)
				check(&workers[i].slots[slot]);
	if (waits && operations)
		wait_for_line();
	return 0;
}
