// SPDX-License-Identifier: Apache-2.0
/*
 * Maps its own code over and over, a page here and a page there, and runs all of it.
 *
 * mappings run COUNT SECONDS: COUNT mappings; calls from one into another all the time.
 * mappings work COUNT SECONDS: the same, and maps and unmaps memory meanwhile; prints how often.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define FUNCTIONS 256
#define SPINS 2000

typedef void (*function)(unsigned long spins, void *next);

/* clang-format off */
#define ALL(m) m(0) m(1) m(2) m(3) m(4) m(5) m(6) m(7) m(8) m(9) m(a) m(b) m(c) m(d) m(e) m(f)
#define ROW(m, h) m(h##0) m(h##1) m(h##2) m(h##3) m(h##4) m(h##5) m(h##6) m(h##7) m(h##8) m(h##9) \
	m(h##a) m(h##b) m(h##c) m(h##d) m(h##e) m(h##f)

/* One a page. What each says is its own: else compilers make one of all of them. */
#define DEFINE(n) \
	static void __attribute__((noinline, aligned(4096))) page_##n(unsigned long spins, void *next) \
	{ \
		__asm__ volatile("# " #n); \
		if (next) \
			((function)next)(spins, NULL); \
		for (volatile unsigned long i = 0; i < spins; i++) \
			; \
	}
#define DEFINE_ROW(h) ROW(DEFINE, h)
ALL(DEFINE_ROW)

#define NAME(n) page_##n,
#define NAME_ROW(h) ROW(NAME, h)
static const function functions[FUNCTIONS] = {ALL(NAME_ROW)};
/* clang-format on */

static unsigned long count;
static volatile int over;

/* Where in the file a function is. */
static unsigned long offset_of(const void *code)
{
	unsigned long start, end, offset, result = 0;
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[4352];

	while (maps && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx %*s %lx", &start, &end, &offset) == 3 &&
		    (unsigned long)code >= start && (unsigned long)code < end)
			result = offset + ((unsigned long)code - start);
	if (maps)
		fclose(maps);
	return result;
}

static function mapped(unsigned long number)
{
	return (function)(0x100000000000UL + number * 2 * PAGE);
}

static void map_all(void)
{
	int file = fileno(fopen("/proc/self/exe", "r"));
	unsigned long offset = offset_of((const void *)functions[0]);

	for (unsigned long i = 0; i < count; i++) {
		void *place = (void *)mapped(i);
		unsigned long at =
			(unsigned long)functions[i % FUNCTIONS] - (unsigned long)functions[0];

		if (mmap(place, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED_NOREPLACE,
			 file, (off_t)(offset + at)) != place) {
			perror("mmap");
			exit(1);
		}
	}
}

/* Each function calls the one that is seven further in the file. */
static void *run(void *unused)
{
	unsigned long number = 1;

	while (!over) {
		number = (number * 6364136223846793005UL + 1442695040888963407UL);
		unsigned long first = (number >> 33) % (count - 7);

		mapped(first)(SPINS, (void *)mapped(first + 7));
	}
	return unused;
}

static unsigned long work(double seconds)
{
	unsigned long rounds = 0;
	struct timespec now, begin;
	unsigned long sum = 0;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	do {
		char *memory = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		for (int i = 0; i < 16; i++)
			memory[(unsigned long)i * PAGE] = (char)rounds;
		for (unsigned long i = 0; i < 2000; i++)
			sum = sum * 31 + i;
		munmap(memory, 16 * PAGE);
		rounds++;
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((double)(now.tv_sec - begin.tv_sec) + (double)(now.tv_nsec - begin.tv_nsec) / 1e9 <
		 seconds);
	__asm__ volatile("" : : "r"(sum));
	return rounds;
}

int main(int argc, char **argv)
{
	double seconds;
	pthread_t thread;

	if (argc < 4)
		return 2;
	count = strtoul(argv[2], NULL, 10);
	seconds = strtod(argv[3], NULL);
	map_all();
	puts("ready");
	fflush(stdout);
	if (!strcmp(argv[1], "work")) {
		for (double until = 0; until < seconds; until += 1) {
			printf("%lu\n", work(1));
			fflush(stdout);
		}
		return 0;
	}
	if (pthread_create(&thread, NULL, run, NULL))
		return 1;
	usleep((useconds_t)(seconds * 1e6));
	over = 1;
	return pthread_join(thread, NULL);
}
