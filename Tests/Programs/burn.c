/* SPDX-License-Identifier: Apache-2.0 */
/* Burns a CPU in a function of its own: burn SECONDS. Prints the CPU time in nanoseconds that it has used. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static long now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * 1000000000L + now.tv_nsec;
}

__attribute__((noinline)) static unsigned long burn_here(unsigned long value)
{
	for (int i = 0; i < 1000000; i++)
		value = value * 6364136223846793005UL + 1442695040888963407UL;
	return value;
}

int main(int argc, char **argv)
{
	long end = now_ns(CLOCK_MONOTONIC) + (long)((argc > 1 ? atof(argv[1]) : 1) * 1e9);
	unsigned long value = 1;

	while (now_ns(CLOCK_MONOTONIC) < end)
		value = burn_here(value);
	printf("burned %ld %lx\n", now_ns(CLOCK_PROCESS_CPUTIME_ID), value);
	return 0;
}
