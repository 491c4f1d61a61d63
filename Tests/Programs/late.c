/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A control thread that is late because another thread burns its core, and
 * what it knows about it itself. late SECONDS
 *
 * Both threads are pinned to one CPU, the last that they may use, and wake every 20 ms at the same moments.
 * hog_thread burns 10 ms each time at a real-time priority above that of
 * fusion_thread, which so gets the CPU 10 ms after it woke, straight from
 * hog_thread, whatever ordinary tasks the machine has besides. Each of its
 * wake-ups is a line "wake REALTIME_NS LATENESS_NS WAITED_NS WAITS", where the
 * last two are the kernel's own account of how long and how often the thread
 * has waited for a CPU so far: lateness has other causes too, such as a timer
 * or a virtual machine that stands still. "hog TID BURNED_NS RAN_NS RUNS" has
 * how long hog_thread burned by the clock, and the kernel's account of it; the
 * last line, "end", the IDs of both and the account of fusion_thread.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PERIOD_NS 20000000L
#define BURN_NS 10000000L
#define MOST_WAKES 100000

static struct timespec start;
static pthread_barrier_t ready, started;
static long periods;
static int cpu;
static long hog_thread, fusion_thread;
/* The kernel's own account of a thread: /proc/PID/task/TID/schedstat. */
struct account {
	unsigned long ran_ns, waited_ns;
	unsigned long runs; /* how often it got a CPU */
};

static struct {
	long real_ns, late_ns;
	struct account account;
} wakes[MOST_WAKES];

static struct account hog_account;
static long burned_ns;

static long now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * 1000000000L + now.tv_nsec;
}

static long start_ns(void)
{
	return start.tv_sec * 1000000000L + start.tv_nsec;
}

static long begin(const char *name, int priority)
{
	struct sched_param parameters = {.sched_priority = priority};
	cpu_set_t set;

	prctl(PR_SET_NAME, name);
	if (sched_setscheduler(0, SCHED_FIFO, &parameters))
		perror("sched_setscheduler");
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
	return syscall(SYS_gettid);
}

static void sleep_until(long ns)
{
	struct timespec until = {ns / 1000000000L, ns % 1000000000L};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

/* Zeros where the kernel keeps no account. */
static struct account account_of(long thread)
{
	struct account account = {0};
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%ld/schedstat", thread);
	file = fopen(path, "r");
	if (!file || fscanf(file, "%lu %lu %lu", &account.ran_ns, &account.waited_ns,
			    &account.runs) != 3)
		account = (struct account){0};
	if (file)
		fclose(file);
	return account;
}

static void *burn(void *unused)
{
	long began, end;

	hog_thread = begin("hog_thread", 10);
	pthread_barrier_wait(&ready);
	pthread_barrier_wait(&started);
	for (long i = 1; i <= periods; i++) {
		/* a little earlier, so that it has the CPU when the other one wakes */
		long wanted = start_ns() + i * PERIOD_NS - PERIOD_NS / 100;

		/* What a machine that stood still has missed is not made up for: the other one would never run. */
		if (now_ns(CLOCK_MONOTONIC) > wanted)
			continue;
		sleep_until(wanted);
		began = now_ns(CLOCK_MONOTONIC);
		while ((end = now_ns(CLOCK_MONOTONIC)) < began + BURN_NS)
			;
		burned_ns += end - began;
	}
	hog_account = account_of(hog_thread);
	return unused;
}

/* Its account is that of the moment it notes: it had the CPU all the while. */
static void note_wake(long period)
{
	struct account before, after = account_of(fusion_thread);

	wakes[period - 1].late_ns =
		now_ns(CLOCK_MONOTONIC) - (start_ns() + period * PERIOD_NS);
	do {
		before = after;
		wakes[period - 1].real_ns = now_ns(CLOCK_REALTIME);
		after = account_of(fusion_thread);
	} while (before.runs != after.runs);
	wakes[period - 1].account = after;
}

static void *wake(void *unused)
{
	fusion_thread = begin("fusion_thread", 5);
	pthread_barrier_wait(&ready);
	pthread_barrier_wait(&started);
	for (long i = 1; i <= periods; i++) {
		sleep_until(start_ns() + i * PERIOD_NS);
		note_wake(i);
	}
	return unused;
}

int main(int argc, char **argv)
{
	struct account *last;
	pthread_t hog, fusion;
	cpu_set_t allowed;

	periods = (long)((argc > 1 ? atof(argv[1]) : 1) * 1000000000L / PERIOD_NS);
	if (periods > MOST_WAKES)
		periods = MOST_WAKES;
	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return 1;
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &allowed))
			cpu = i;
	pthread_barrier_init(&ready, NULL, 3);
	pthread_barrier_init(&started, NULL, 3);
	pthread_create(&hog, NULL, burn, NULL);
	pthread_create(&fusion, NULL, wake, NULL);
	/* Making threads takes long on a busy machine. */
	pthread_barrier_wait(&ready);
	clock_gettime(CLOCK_MONOTONIC, &start);
	pthread_barrier_wait(&started);
	pthread_join(hog, NULL);
	pthread_join(fusion, NULL);
	for (long i = 0; i < periods; i++)
		printf("wake %ld %ld %lu %lu\n", wakes[i].real_ns, wakes[i].late_ns,
		       wakes[i].account.waited_ns, wakes[i].account.runs);
	printf("hog %ld %ld %lu %lu\n", hog_thread, burned_ns, hog_account.ran_ns,
	       hog_account.runs);
	last = &wakes[periods - 1].account;
	printf("end %ld %ld %lu %lu\n", fusion_thread, hog_thread, last->waited_ns, last->runs);
	return 0;
}
