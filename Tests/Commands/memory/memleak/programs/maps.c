// SPDX-License-Identifier: Apache-2.0
/*
 * Maps memory in all the ways there are, unmaps parts of it, and says what is
 * left, by the function that has mapped it, below main or a thread.
 *
 *   maps THREADS ROUNDS [keep|free] [wait]
 *
 * In each round each thread does everything once; with `free` it unmaps all
 * again. With `wait` it begins only when a line comes on stdin, and ends when
 * stdin does. Prints one line per function: name, pieces, bytes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))
#define PAGE 4096ul

static int rounds, threads, release, file;
static pthread_mutex_t break_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t barrier;

static char *map(void *wanted, size_t pages, int flags)
{
	char *start = mmap(wanted, pages * PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	if (start == MAP_FAILED)
		abort();
	return start;
}

static void unmap(char *start, size_t pages)
{
	if (munmap(start, pages * PAGE))
		abort();
}

static char *remap(char *start, size_t old, size_t new, int flags, void *wanted)
{
	start = mremap(start, old * PAGE, new * PAGE, flags, wanted);
	if (start == MAP_FAILED)
		abort();
	return start;
}

static void done(char *start, size_t pages)
{
	if (release)
		unmap(start, pages);
}

/* Only a thread that is alone may unmap over a hole: another one may have mapped something there. */
static void done_around(char *start, size_t hole, size_t after, size_t pages)
{
	if (threads == 1) {
		done(start, pages);
	} else {
		done(start, hole);
		done(start + after * PAGE, pages - after);
	}
}

NOINLINE void map_anonymous(void)
{
	char *start = map(NULL, 3, 0);

	start[0] = 1;
	done(start, 3);
}

/* Bytes count in whole pages. */
NOINLINE void map_file(void)
{
	char *start = mmap(NULL, 5000, PROT_READ, MAP_SHARED, file, 0);

	if (start == MAP_FAILED)
		abort();
	done(start, 2);
}

/* Pages 0, 1 and 4 to 8 of ten are left. */
NOINLINE void map_holes(void)
{
	char *start = map(NULL, 10, 0);

	unmap(start + 2 * PAGE, 2);
	unmap(start + 9 * PAGE, 1);
	done_around(start, 2, 4, 9);
}

NOINLINE void map_inner(char *start)
{
	map(start, 3, MAP_FIXED);
	__asm__ volatile("");
}

/* Pages 2, 3 and 4 of eight are mapped anew, then 1 to 3 unmapped: 0, 5, 6, 7 are left, and 4 of the inner ones. */
NOINLINE void map_outer(void)
{
	char *start = map(NULL, 8, 0);

	map_inner(start + 2 * PAGE);
	unmap(start + 1 * PAGE, 3);
	done_around(start, 1, 4, 8);
}

NOINLINE char *map_grown(char *start)
{
	start = remap(start, 2, 6, MREMAP_MAYMOVE, NULL);
	__asm__ volatile("");
	return start;
}

NOINLINE void map_small(void)
{
	char *start = map_grown(map(NULL, 2, 0));

	done(start, 6);
}

NOINLINE void map_shrunk(void)
{
	char *start = remap(map(NULL, 6, 0), 6, 2, 0, NULL);

	done(start, 2);
}

NOINLINE char *map_reserved(void)
{
	char *start = map(NULL, 4, 0);

	__asm__ volatile("");
	return start;
}

/* One with a hole goes to where another one was: pages 0, 1 and 3. */
NOINLINE void map_moved(void)
{
	char *start = map(NULL, 4, 0), *other = map_reserved();

	unmap(start + 2 * PAGE, 1);
	/* Older kernels move one mapping at a time. */
	remap(start, 2, 2, MREMAP_MAYMOVE | MREMAP_FIXED, other);
	remap(start + 3 * PAGE, 1, 1, MREMAP_MAYMOVE | MREMAP_FIXED, other + 3 * PAGE);
	unmap(other + 2 * PAGE, 1);
	done_around(other, 2, 3, 4);
}

/* None of these has any effect. */
NOINLINE void map_failing(void)
{
	char *start = map(NULL, 4, 0);

	if (!munmap(start + 1, PAGE) || mmap(NULL, 0, PROT_READ, MAP_PRIVATE, file, 0) != MAP_FAILED ||
	    mmap(start, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
		 0) != MAP_FAILED ||
	    mremap(start, 4 * PAGE, 1ul << 46, 0) != MAP_FAILED)
		abort();
	done(start, 4);
}

/* 6000 bytes are left. */
NOINLINE void map_break(void)
{
	pthread_mutex_lock(&break_lock);
	if (sbrk(10000) == (void *)-1 || sbrk(-4000) == (void *)-1)
		abort();
	if (release && sbrk(-6000) == (void *)-1)
		abort();
	pthread_mutex_unlock(&break_lock);
}

static const struct {
	const char *name;
	int pieces;
	long bytes;
} kinds[] = {
	{"map_anonymous", 1, 3 * PAGE},
	{"map_file", 1, 2 * PAGE},
	{"map_holes", 2, 7 * PAGE},
	{"map_outer", 2, 4 * PAGE},
	{"map_inner", 1, 1 * PAGE},
	{"map_grown", 1, 6 * PAGE},
	{"map_shrunk", 1, 2 * PAGE},
	{"map_moved", 2, 3 * PAGE},
	{"map_failing", 1, 4 * PAGE},
	{"map_break", 1, 6000},
};

static void *work(void *unused)
{
	(void)unused;
	/* Making threads takes memory as well. */
	pthread_barrier_wait(&barrier);
	for (int round = 0; round < rounds; round++) {
		map_anonymous();
		map_file();
		map_holes();
		map_outer();
		map_small();
		map_shrunk();
		map_moved();
		map_failing();
		map_break();
	}
	pthread_barrier_wait(&barrier);
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
	int waits = argc > 4 && !strcmp(argv[4], "wait");
	pthread_t ids[64];

	threads = argc > 1 ? atoi(argv[1]) : 1;
	rounds = argc > 2 ? atoi(argv[2]) : 1;
	release = argc > 3 && !strcmp(argv[3], "free");
	file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (threads < 1 || threads > 64 || file < 0)
		return 2;
	pthread_barrier_init(&barrier, NULL, threads);
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
	for (size_t kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++)
		printf("%s %ld %ld\n", kinds[kind].name, (long)threads * rounds * kinds[kind].pieces,
		       (long)threads * rounds * kinds[kind].bytes);
	fflush(stdout);
	if (waits)
		wait_for_line();
	return 0;
}
