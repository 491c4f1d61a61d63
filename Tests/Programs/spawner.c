/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts programs and processes whose ends are known.
 * spawner execs N: runs itself N times, with arguments that differ, and once as the second thread of a process.
 * spawner ends: ends processes in many ways, and prints each one's ID and the status that wait(2) gives.
 * spawner nothing ...: ends.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *own;

static void run_self(int number)
{
	char text[32], odd[] = "a b\tc\n\"\\\x1b[31m";

	snprintf(text, sizeof(text), "%d", number);
	execl(own, "renamed", "nothing", text, "", odd, (char *)NULL);
	_exit(126);
}

static void *exec_from_thread(void *number)
{
	run_self(*(int *)number);
	return NULL;
}

static int execs(int count)
{
	pthread_t thread;

	for (int i = 0; i <= count; i++) {
		pid_t child = fork();
		int status;

		if (child == 0 && i < count)
			run_self(i);
		if (child == 0) {
			pthread_create(&thread, NULL, exec_from_thread, &i);
			for (;;)
				pause();
		}
		if (waitpid(child, &status, 0) != child || status)
			return 1;
	}
	execl("/nonexistent/program", "failing", "one", "two", (char *)NULL);
	printf("%d %d\n", getpid(), errno);
	return 0;
}

static void *exit_later(void *code)
{
	usleep(20000);
	exit(*(int *)code);
}

/* Whether the first thread of this process has ended: the state in /proc/PID/stat. */
static int leader_has_ended(void)
{
	char path[64], text[512] = "", *end;
	int file, bytes;

	snprintf(path, sizeof(path), "/proc/%d/stat", getpid());
	file = open(path, O_RDONLY);
	bytes = read(file, text, sizeof(text) - 1);
	close(file);
	end = bytes > 0 ? strrchr(text, ')') : NULL;
	return end && end[2] == 'Z';
}

static void *exit_last(void *code)
{
	while (!leader_has_ended())
		usleep(1000);
	exit(*(int *)code);
}

static pthread_barrier_t barrier;

static void *end_thread(void *unused)
{
	(void)unused;
	pthread_barrier_wait(&barrier);
	/* This thread alone: no exit_group. */
	syscall(SYS_exit, 9);
	return NULL;
}

static void end_together(void)
{
	pthread_t thread;

	pthread_barrier_init(&barrier, NULL, 8);
	for (int i = 0; i < 7; i++)
		pthread_create(&thread, NULL, end_thread, NULL);
	pthread_barrier_wait(&barrier);
	syscall(SYS_exit, 4);
}

enum { FIRST_SIGNAL = 3, THREAD_EXITS = 8, LEADER_FIRST, TOGETHER, WAYS = TOGETHER + 40 };

static void end(int way)
{
	static const int codes[] = {0, 3, 255},
			 signals[] = {SIGTERM, SIGKILL, SIGSEGV, SIGABRT, 40};
	struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
	static int later = 7;
	pthread_t thread;

	if (way < FIRST_SIGNAL)
		exit(codes[way]);
	if (way < THREAD_EXITS) {
		if (signals[way - FIRST_SIGNAL] == SIGABRT)
			setrlimit(RLIMIT_CORE, &unlimited);
		signal(signals[way - FIRST_SIGNAL], SIG_DFL);
		kill(getpid(), signals[way - FIRST_SIGNAL]);
	}
	if (way == THREAD_EXITS || way == LEADER_FIRST)
		pthread_create(&thread, NULL, way == LEADER_FIRST ? exit_last : exit_later, &later);
	if (way == LEADER_FIRST)
		pthread_exit(NULL);
	if (way >= TOGETHER)
		end_together();
	for (;;)
		pause();
}

static int ends(void)
{
	for (int way = 0; way < WAYS; way++) {
		pid_t child = fork();
		int status;

		if (child == 0)
			end(way);
		if (waitpid(child, &status, 0) != child)
			return 1;
		printf("%d %d\n", child, status);
	}
	return 0;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IONBF, 0);
	own = "/proc/self/exe";
	if (argc == 3 && !strcmp(argv[1], "execs"))
		return execs(atoi(argv[2]));
	if (argc == 2 && !strcmp(argv[1], "ends"))
		return ends();
	return 0;
}
