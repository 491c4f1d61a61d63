/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stacks that are known, in code without frame pointers: deep HOW [DEPTH [MS]].
 * Each way ends in a function that sleeps MS milliseconds, or burns them.
 *   recursion  DEPTH calls of descend, then sleep_here
 *   alloca     the same with frames of a size that only the run knows
 *   realigned  the same with frames that realign the stack
 *   signal     sleep_here in a handler on a stack of its own, which interrupted burn_until
 *   thread     recursion in a second thread
 *   burn       recursion that ends in burn_here
 */
#define _GNU_SOURCE
#include <alloca.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

static long depth = 20, milliseconds = 300;
static volatile unsigned long work;
static volatile sig_atomic_t burning, handled;

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

NOINLINE void sleep_here(void)
{
	struct timespec rest = {milliseconds / 1000, milliseconds % 1000 * 1000000};

	while (nanosleep(&rest, &rest) && errno == EINTR)
		;
	work++;
}

NOINLINE void burn_here(void)
{
	long end = now_ms() + milliseconds;

	while (now_ms() < end)
		for (int i = 0; i < 10000; i++)
			work += i;
}

NOINLINE long descend(long left, void (*last)(void))
{
	long below;

	if (left <= 1) {
		last();
		return work;
	}
	below = descend(left - 1, last);
	work += below;
	return below + left;
}

NOINLINE long descend_alloca(long left)
{
	volatile char *room = alloca(left * 37 + work % 5);
	long below;

	room[0] = left;
	if (left <= 1) {
		sleep_here();
		return room[0];
	}
	below = descend_alloca(left - 1);
	return below + room[0];
}

NOINLINE long descend_realigned(long left)
{
	volatile char room[64] __attribute__((aligned(64)));
	volatile char *more = alloca(left + work % 5 + 1);
	long below;

	room[0] = left;
	more[0] = (uintptr_t)room % 64;
	if (left <= 1) {
		sleep_here();
		return room[0];
	}
	below = descend_realigned(left - 1);
	return below + room[0] + more[0];
}

NOINLINE void on_signal(int number)
{
	/* On a busy machine the timer may come before what it is to interrupt, and again when all is over. */
	if (!burning || handled)
		return;
	work += number;
	sleep_here();
	handled = 1;
}

NOINLINE void burn_until(volatile sig_atomic_t *done)
{
	burning = 1;
	while (!*done)
		work++;
}

static void *in_thread(void *unused)
{
	work += descend(depth, sleep_here);
	return unused;
}

static void interrupt_after_a_while(void)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
	struct itimerspec when = {{0, 20000000}, {0, 20000000}};
	stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
	timer_t timer;

	sigaltstack(&stack, NULL);
	sigaction(SIGALRM, &action, NULL);
	timer_create(CLOCK_MONOTONIC, NULL, &timer);
	timer_settime(timer, 0, &when, NULL);
	burn_until(&handled);
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "recursion";
	pthread_t thread;

	if (argc > 2)
		depth = atol(argv[2]);
	if (argc > 3)
		milliseconds = atol(argv[3]);
	if (!strcmp(how, "recursion")) {
		work += descend(depth, sleep_here);
	} else if (!strcmp(how, "burn")) {
		work += descend(depth, burn_here);
	} else if (!strcmp(how, "alloca")) {
		work += descend_alloca(depth);
	} else if (!strcmp(how, "realigned")) {
		work += descend_realigned(depth);
	} else if (!strcmp(how, "signal")) {
		interrupt_after_a_while();
	} else if (!strcmp(how, "thread")) {
		pthread_create(&thread, NULL, in_thread, NULL);
		pthread_join(thread, NULL);
	} else {
		fprintf(stderr, "deep: '%s' is no way to go deep\n", how);
		return 64;
	}
	return 0;
}
