/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two threads pinned to one CPU that pass a byte through pipes, which takes
 * two context switches a round: ping-pong ROUNDS [CPU]. Prints the nanoseconds
 * that a switch took.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static int there[2], back[2];
static long rounds;
static int cpu;

static void pin(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void *answer(void *unused)
{
	char byte;

	pin();
	for (long i = 0; i < rounds; i++)
		if (read(there[0], &byte, 1) != 1 || write(back[1], &byte, 1) != 1)
			exit(1);
	return unused;
}

int main(int argc, char **argv)
{
	struct timespec begin, end;
	pthread_t thread;
	char byte = 'x';

	rounds = argc > 1 ? atol(argv[1]) : 1000;
	cpu = argc > 2 ? atoi(argv[2]) : 0;
	if (pipe(there) || pipe(back))
		return 1;
	pin();
	pthread_create(&thread, NULL, answer, NULL);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (long i = 0; i < rounds; i++)
		if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
			return 1;
	clock_gettime(CLOCK_MONOTONIC, &end);
	pthread_join(thread, NULL);
	printf("%.1f\n",
	       ((end.tv_sec - begin.tv_sec) * 1e9 + end.tv_nsec - begin.tv_nsec) / (2 * rounds));
	return 0;
}
