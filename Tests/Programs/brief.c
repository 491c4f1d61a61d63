/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Burns 10 ms of CPU time in a function of its own, and is gone: brief [SECONDS], which it first sleeps when it has burned.
 */
#include <stdlib.h>
#include <time.h>

static long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * 1000000000L + now.tv_nsec;
}

__attribute__((noinline)) unsigned long burn_briefly(unsigned long value)
{
	for (int i = 0; i < 100000; i++)
		value = value * 6364136223846793005UL + 1442695040888963407UL;
	return value;
}

int main(int argc, char **argv)
{
	struct timespec rest = {.tv_sec = argc > 1 ? atoi(argv[1]) : 0};
	long end = now_ns() + 10000000;
	unsigned long value = 1;

	while (now_ns() < end)
		value = burn_briefly(value);
	nanosleep(&rest, NULL);
	return value == 0;
}
