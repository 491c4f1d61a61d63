/* SPDX-License-Identifier: Apache-2.0 */
/*
 * latency: calls functions that take known times. Each measures itself inside, its caller measures it outside, so
 * that a tracer's time must lie in between. Prints "NAME CALLS INSIDE OUTSIDE", in nanoseconds, for:
 *   sleeps, in the main thread, four others and a child that has executed the program again; recurses, eleven deep;
 *   tail_calls and tail_called, which it ends with by a jump.
 * leaves_by_jump never returns, 5 times, nor does waits_for_ever, once, when the program ends, nor becomes_another,
 * once. With "deep" recurses goes 100 deep.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

typedef unsigned long long ns_t;

struct measured {
	unsigned long calls;
	ns_t inside, outside;
};

static struct measured sleeping, recursing, tail, target;
static jmp_buf back;
volatile unsigned long sum;
static volatile int waiting_begun;

static ns_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

static void add(struct measured *what, ns_t inside, ns_t outside)
{
	__atomic_fetch_add(&what->calls, outside > 0, __ATOMIC_RELAXED);
	__atomic_fetch_add(&what->inside, inside, __ATOMIC_RELAXED);
	__atomic_fetch_add(&what->outside, outside, __ATOMIC_RELAXED);
}

NOINLINE void sleeps(long microseconds)
{
	ns_t begin = now();

	usleep(microseconds);
	add(&sleeping, now() - begin, 0);
}

static void sleep_measured(long microseconds)
{
	ns_t begin = now();

	sleeps(microseconds);
	add(&sleeping, 0, now() - begin);
}

NOINLINE void recurses(int deeper)
{
	ns_t begin = now(), outer;

	usleep(200);
	if (deeper > 0) {
		outer = now();
		recurses(deeper - 1);
		add(&recursing, 0, now() - outer);
	}
	sum++;
	add(&recursing, now() - begin, 0);
}

static void recurse_measured(int deeper)
{
	ns_t begin = now();

	recurses(deeper);
	add(&recursing, 0, now() - begin);
}

NOINLINE long tail_called(long microseconds)
{
	ns_t begin = now();

	usleep(microseconds);
	add(&target, now() - begin, 1);
	return microseconds + sum;
}

NOINLINE long tail_calls(long microseconds)
{
	sum += microseconds;
	return tail_called(microseconds + 1);
}

NOINLINE void leaves_by_jump(int value)
{
	sum += value;
	longjmp(back, 1);
}

NOINLINE void *waits_for_ever(void *nothing)
{
	waiting_begun = 1;
	for (;;)
		pause();
	return nothing;
}

NOINLINE int becomes_another(char *name)
{
	char *arguments[] = {name, "again", NULL};

	return execv("/proc/self/exe", arguments) + sum;
}

static void *other_thread(void *nothing)
{
	for (int i = 0; i < 25; i++)
		sleep_measured(100 * (i % 5));
	return nothing;
}

static void call_others(void)
{
	pthread_t threads[4];
	ns_t begin;

	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, other_thread, NULL);
	for (int i = 0; i < 10; i++)
		sleep_measured(1000);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 3; i++)
		recurse_measured(10);
	for (int i = 0; i < 20; i++) {
		begin = now();
		tail_calls(300);
		add(&tail, 0, now() - begin);
	}
	tail.inside = target.inside;
	target.outside = tail.outside;
}

/* Its entry is forgotten, and what is called from the same depth, or a smaller one, is timed right. */
static NOINLINE void jump(int value)
{
	if (!setjmp(back))
		leaves_by_jump(value);
	sleep_measured(500);
}

static void print(const char *name, const struct measured *what)
{
	printf("%s %lu %llu %llu\n", name, what->calls, what->inside, what->outside);
}

int main(int count, char **arguments)
{
	pthread_t waiting;
	pid_t child;

	if (count > 1 && !strcmp(arguments[1], "deep")) {
		recurse_measured(99);
		return 0;
	}
	if (count > 1) {
		sleep_measured(2000);
		print("sleeps", &sleeping);
		return 0;
	}
	call_others();
	for (int i = 0; i < 5; i++)
		jump(i);
	print("sleeps", &sleeping);
	print("recurses", &recursing);
	print("tail_calls", &tail);
	print("tail_called", &target);
	fflush(stdout);
	child = fork();
	if (child == 0)
		_exit(becomes_another(arguments[0]));
	waitpid(child, NULL, 0);
	pthread_create(&waiting, NULL, waits_for_ever, NULL);
	while (!waiting_begun)
		usleep(1000);
	return 0;
}
