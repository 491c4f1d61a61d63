/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A producer that sleeps for 80 ms and then waits 20 ms for a lock that its
 * consumer holds, ROUNDS times: producer ROUNDS. The last line gives the
 * thread's ID, its wall time and its CPU time in nanoseconds.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t taken, given;
static long rounds;

static long now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * 1000000000L + now.tv_nsec;
}

static void sleep_ms(long ms)
{
	struct timespec rest = {0, ms * 1000000L};

	while (nanosleep(&rest, &rest) && errno == EINTR)
		;
}

NOINLINE static void wait_for_work(void)
{
	sleep_ms(80);
}

NOINLINE static void hand_over(void)
{
	pthread_mutex_lock(&lock);
	pthread_mutex_unlock(&lock);
}

static void *consume(void *unused)
{
	prctl(PR_SET_NAME, "consumer");
	for (long i = 0; i < rounds; i++) {
		pthread_mutex_lock(&lock);
		pthread_barrier_wait(&taken);
		sleep_ms(20);
		pthread_mutex_unlock(&lock);
		pthread_barrier_wait(&given);
	}
	return unused;
}

static void *produce(void *unused)
{
	long begin, wall = 0;

	prctl(PR_SET_NAME, "producer");
	for (long i = 0; i < rounds; i++) {
		/* before the clock starts: waiting for the barrier is not what is measured */
		pthread_barrier_wait(&taken);
		begin = now_ns(CLOCK_MONOTONIC);
		hand_over();
		wall += now_ns(CLOCK_MONOTONIC) - begin;
		pthread_barrier_wait(&given);
		begin = now_ns(CLOCK_MONOTONIC);
		wait_for_work();
		wall += now_ns(CLOCK_MONOTONIC) - begin;
	}
	printf("producer %ld %ld %ld\n", (long)syscall(SYS_gettid), wall,
	       now_ns(CLOCK_THREAD_CPUTIME_ID));
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
