/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For 32 bits, as compilers make it, without frame pointers: for some seconds computes in a function, in what qsort calls,
 * in a handler of a signal, in one of a signal with information, in a thread; and waits. Each has a caller of its own.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))
#define STAY() __asm__ volatile("" ::: "memory")

static volatile unsigned long turns;
static volatile int ends;

NOINLINE void spin(void)
{
	for (int i = 0; i < 300000; i++)
		turns++;
	STAY();
}

NOINLINE void computes(void)
{
	spin();
	STAY();
}

NOINLINE void waits(void)
{
	usleep(3000);
	STAY();
}

NOINLINE int compares(const void *first, const void *second)
{
	spin();
	STAY();
	return *(const int *)first - *(const int *)second;
}

NOINLINE void sorts(void)
{
	int numbers[4] = {4, 2, 3, 1};

	qsort(numbers, 4, sizeof(int), compares);
	STAY();
}

static void handles(int number)
{
	(void)number;
	spin();
	STAY();
}

static void handles_more(int number, siginfo_t *information, void *context)
{
	(void)number;
	(void)information;
	(void)context;
	spin();
	STAY();
}

NOINLINE void raises(void)
{
	raise(SIGUSR1);
	STAY();
}

NOINLINE void raises_more(void)
{
	raise(SIGUSR2);
	STAY();
}

/* A frame whose size is not known before, and one that is aligned anew. */
NOINLINE void grows(int size)
{
	volatile char *room = __builtin_alloca(size);
	_Alignas(64) volatile char aligned[64];

	room[0] = aligned[0] = 1;
	spin();
	STAY();
}

static void *works(void *argument)
{
	while (!ends)
		spin();
	return argument;
}

int main(void)
{
	struct sigaction action = {.sa_handler = handles};
	struct sigaction more = {.sa_sigaction = handles_more, .sa_flags = SA_SIGINFO};
	time_t end = time(NULL) + 3;
	pthread_t thread;

	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGUSR2, &more, NULL);
	if (pthread_create(&thread, NULL, works, NULL))
		return 1;
	while (time(NULL) < end) {
		computes();
		waits();
		sorts();
		raises();
		raises_more();
		grows(1000 + (int)(turns & 15));
	}
	ends = 1;
	pthread_join(thread, NULL);
	return 0;
}
