/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A control thread that is late because another thread burns its core, and
 * what it knows about it itself. late SECONDS
 *
 * Both threads are pinned to one CPU and wake every 20 ms at the same moments.
 * hog_thread has a real-time priority and burns 10 ms each time, so that
 * fusion_thread, which is ordinary, gets the CPU 10 ms after it woke. Each of
 * its wake-ups is a line "wake REALTIME_NS LATENESS_NS WAITED_NS", where the
 * last is the kernel's own account of what the thread has waited for a CPU so
 * far: lateness has other causes too, such as a virtual machine that stands
 * still. The last line gives IDs, and that account at the end.
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
static long periods;
static int cpu;
static long hog_thread, fusion_thread;
static struct {
	long real_ns, late_ns;
	unsigned long waited_ns; /* in all, by the kernel's accounting */
} wakes[MOST_WAKES];

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

static long begin(const char *name)
{
	cpu_set_t set;

	prctl(PR_SET_NAME, name);
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

static void *burn(void *unused)
{
	struct sched_param priority = {.sched_priority = 10};

	hog_thread = begin("hog_thread");
	if (sched_setscheduler(0, SCHED_FIFO, &priority))
		perror("sched_setscheduler");
	for (long i = 1; i <= periods; i++) {
		/* a little earlier, so that it has the CPU when the other one wakes */
		sleep_until(start_ns() + i * PERIOD_NS - PERIOD_NS / 100);
		for (long end = now_ns(CLOCK_MONOTONIC) + BURN_NS; now_ns(CLOCK_MONOTONIC) < end;)
			;
	}
	return unused;
}

static unsigned long run_delay_ns(long thread)
{
	unsigned long ran, waited = 0;
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%ld/schedstat", thread);
	file = fopen(path, "r");
	if (!file || fscanf(file, "%lu %lu", &ran, &waited) != 2)
		waited = 0;
	if (file)
		fclose(file);
	return waited;
}

static void *wake(void *unused)
{
	fusion_thread = begin("fusion_thread");
	for (long i = 1; i <= periods; i++) {
		sleep_until(start_ns() + i * PERIOD_NS);
		wakes[i - 1].late_ns = now_ns(CLOCK_MONOTONIC) - (start_ns() + i * PERIOD_NS);
		wakes[i - 1].real_ns = now_ns(CLOCK_REALTIME);
		wakes[i - 1].waited_ns = run_delay_ns(fusion_thread);
	}
	return unused;
}

/* Waits at the end, so that its schedstat can be read while it is there. */
static void *wake_and_report(void *delay)
{
	wake(NULL);
	*(unsigned long *)delay = run_delay_ns(fusion_thread);
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned long delay = 0;
	pthread_t hog, fusion;

	periods = (long)((argc > 1 ? atof(argv[1]) : 1) * 1000000000L / PERIOD_NS);
	if (periods > MOST_WAKES)
		periods = MOST_WAKES;
	cpu = sysconf(_SC_NPROCESSORS_ONLN) - 1;
	clock_gettime(CLOCK_MONOTONIC, &start);
	pthread_create(&hog, NULL, burn, NULL);
	pthread_create(&fusion, NULL, wake_and_report, &delay);
	pthread_join(hog, NULL);
	pthread_join(fusion, NULL);
	for (long i = 0; i < periods; i++)
		printf("wake %ld %ld %lu\n", wakes[i].real_ns, wakes[i].late_ns,
		       wakes[i].waited_ns);
	printf("end %ld %ld %lu\n", fusion_thread, hog_thread, delay);
	return 0;
}
