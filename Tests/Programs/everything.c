/* SPDX-License-Identifier: Apache-2.0 */
/*
 * everything: opens, reads, computes, waits and keeps memory, over and over, each in a function of its own, until it is
 * killed; a second thread only waits. Prints its own number first.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

static volatile unsigned long turns;
static void *volatile kept;

NOINLINE void computes_here(void)
{
	for (int i = 0; i < 2000000; i++)
		turns++;
	__asm__ volatile("" ::: "memory");
}

NOINLINE void waits_here(void)
{
	usleep(10000);
	__asm__ volatile("" ::: "memory");
}

NOINLINE void keeps_here(void)
{
	kept = malloc(1000);
	__asm__ volatile("" ::: "memory");
}

static void *wait_for_ever(void *argument)
{
	for (;;)
		pause();
	return argument;
}

int main(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, wait_for_ever, NULL);
	printf("%d\n", getpid());
	fflush(stdout);
	for (;;) {
		int file = open("/etc/passwd", O_RDONLY);
		char byte;

		if (read(file, &byte, 1) != 1)
			return 1;
		close(file);
		computes_here();
		waits_here();
		keeps_here();
	}
}
