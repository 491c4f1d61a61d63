/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A producer that sleeps for 80 ms and then waits 20 ms for a lock that its
 * consumer holds, ROUNDS times: producer ROUNDS. However busy the machine is, it
 * waits for the lock: the consumer counts the 20 ms from when it sees that. The
 * last line, "producer", gives
 * the thread's ID and, in nanoseconds, its wall time, its CPU time, for how long
 * it slept and waited for the lock in all, and the longest of these waits.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t taken, given;
static long rounds, producing_thread;
static volatile int handing_over;

static long now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * 1000000000L + now.tv_nsec;
}

static void sleep_us(long us)
{
	struct timespec rest = {0, us * 1000L};

	while (nanosleep(&rest, &rest) && errno == EINTR)
		;
}

/* Adds what has passed since BEGIN_NS. */
static void add_since(long begin_ns, long *sum, long *longest)
{
	long ns = now_ns(CLOCK_MONOTONIC) - begin_ns;

	*sum += ns;
	if (ns > *longest)
		*longest = ns;
}

NOINLINE static void wait_for_work(void)
{
	sleep_us(80000);
}

NOINLINE static void hand_over(void)
{
	handing_over = 1;
	pthread_mutex_lock(&lock);
	handing_over = 0;
	pthread_mutex_unlock(&lock);
}

/* The state in /proc/PID/task/TID/stat. */
static char state_of(long thread)
{
	char path[64], text[512] = "", *end;
	int file, bytes;

	snprintf(path, sizeof(path), "/proc/self/task/%ld/stat", thread);
	file = open(path, O_RDONLY);
	bytes = read(file, text, sizeof(text) - 1);
	close(file);
	end = bytes > 0 ? strrchr(text, ')') : NULL;
	return end ? end[2] : 0;
}

static void *consume(void *unused)
{
	prctl(PR_SET_NAME, "consumer");
	for (long i = 0; i < rounds; i++) {
		pthread_mutex_lock(&lock);
		pthread_barrier_wait(&taken);
		while (!handing_over || state_of(producing_thread) != 'S')
			sleep_us(100);
		sleep_us(20000);
		pthread_mutex_unlock(&lock);
		pthread_barrier_wait(&given);
	}
	return unused;
}

static void *produce(void *unused)
{
	long begin, slept = 0, locked = 0, longest = 0;

	prctl(PR_SET_NAME, "producer");
	producing_thread = syscall(SYS_gettid);
	for (long i = 0; i < rounds; i++) {
		/* before the clock starts: waiting for the barrier is not what is measured */
		pthread_barrier_wait(&taken);
		begin = now_ns(CLOCK_MONOTONIC);
		hand_over();
		add_since(begin, &locked, &longest);
		pthread_barrier_wait(&given);
		begin = now_ns(CLOCK_MONOTONIC);
		wait_for_work();
		add_since(begin, &slept, &longest);
	}
	printf("producer %ld %ld %ld %ld %ld %ld\n", producing_thread, slept + locked,
	       now_ns(CLOCK_THREAD_CPUTIME_ID), slept, locked, longest);
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t producer, consumer;

	rounds = argc > 1 ? atol(argv[1]) : 10;
	pthread_barrier_init(&taken, NULL, 2);
	pthread_barrier_init(&given, NULL, 2);
	pthread_create(&consumer, NULL, consume, NULL);
	pthread_create(&producer, NULL, produce, NULL);
	pthread_join(producer, NULL);
	pthread_join(consumer, NULL);
	return 0;
}
