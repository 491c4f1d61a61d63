/* SPDX-License-Identifier: Apache-2.0 */
/* Burns a CPU for 5 ms in a function of its own, and is gone. */
#include <time.h>

static long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000L + now.tv_nsec;
}

__attribute__((noinline)) unsigned long burn_briefly(unsigned long value)
{
	for (int i = 0; i < 100000; i++)
		value = value * 6364136223846793005UL + 1442695040888963407UL;
	return value;
}

int main(void)
{
	long end = now_ns() + 5000000;
	unsigned long value = 1;

	while (now_ns() < end)
		value = burn_briefly(value);
	return value == 0;
}
