/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sleeps in one place, with the same registers and frames of the same size, but
 * called from two functions: callers ROUNDS. In each round twice from `left`
 * and once from `right`.
 */
#include <stdlib.h>
#include <time.h>

#define APART __attribute__((noipa))

static volatile long pause_ns = 500000;
static volatile int slept;

static APART void sleep_here(void)
{
	struct timespec pause = {.tv_nsec = pause_ns};

	nanosleep(&pause, NULL);
}

static APART void left(void)
{
	sleep_here();
	slept++;
}

static APART void right(void)
{
	sleep_here();
	slept += 2;
}

int main(int argc, char **argv)
{
	long rounds = argc > 1 ? atol(argv[1]) : 10;

	while (rounds-- > 0) {
		left();
		right();
		left();
	}
	return 0;
}
