/* SPDX-License-Identifier: Apache-2.0 */
/*
 * restarts FOLDER: makes calls that signals interrupt while they wait, each by its raw number:
 *   openat of "restarted", 3 times interrupted by a handler with SA_RESTART, then done
 *   openat of "failed", interrupted by a handler without it: EINTR
 *   openat of "stopped", interrupted by a stop, then done
 *   clock_nanosleep of 1 s, interrupted by a stop (and taken up again as restart_syscall), then done
 *   clock_nanosleep interrupted by a handler: EINTR
 *   pause, interrupted by a handler with SA_RESTART: EINTR
 *   read of a pipe, 2 times interrupted by such a handler, which makes a read of its own, then done; 60 ms before the
 *   first signal and 60 ms behind the last one
 * and 8 times rt_sigreturn. A child sends the signals, when it sees that the call waits.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HANDLED SIGUSR1 /* with SA_RESTART */
#define ENDING SIGUSR2

static volatile struct {
	int step;
	int handled;
} * shared;
static int zero;

static void handle(int number)
{
	char byte;

	if (shared->step == 7)
		syscall(SYS_read, zero, &byte, 1);
	shared->handled++;
	(void)number;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

/* The state in /proc/PID/stat. */
static char state(pid_t process)
{
	char path[64], text[512] = "", *end;
	int file, bytes;

	snprintf(path, sizeof(path), "/proc/%d/stat", process);
	file = open(path, O_RDONLY);
	bytes = read(file, text, sizeof(text) - 1);
	close(file);
	end = bytes > 0 ? strrchr(text, ')') : NULL;
	return end ? end[2] : 0;
}

/* The parent is missed at once if it has failed. */
static void pause_while_it_lives(pid_t process)
{
	if (getppid() != process)
		_exit(1);
	usleep(1000);
}

static void wait_for(pid_t process, char wanted)
{
	while (state(process) != wanted)
		pause_while_it_lives(process);
}

static void wait_for_step(pid_t process, int step)
{
	while (shared->step < step)
		pause_while_it_lives(process);
	wait_for(process, 'S');
	if (shared->step == step)
		return;
	fprintf(stderr, "restarts: step %d was over before a signal could be sent\n", step);
	kill(process, SIGKILL);
	_exit(1);
}

static void interrupt(pid_t process, int times)
{
	for (int i = 0; i < times; i++) {
		int before = shared->handled;

		kill(process, HANDLED);
		while (shared->handled == before)
			pause_while_it_lives(process);
		wait_for(process, 'S');
	}
}

static void stop(pid_t process)
{
	kill(process, SIGSTOP);
	wait_for(process, 'T');
	kill(process, SIGCONT);
	wait_for(process, 'S');
}

static void drive(pid_t process, int pipe)
{
	wait_for_step(process, 1);
	interrupt(process, 3);
	open("restarted", O_WRONLY);
	wait_for_step(process, 2);
	kill(process, ENDING);
	wait_for_step(process, 3);
	stop(process);
	open("stopped", O_WRONLY);
	wait_for_step(process, 4);
	stop(process);
	wait_for_step(process, 5);
	kill(process, ENDING);
	wait_for_step(process, 6);
	kill(process, HANDLED);
	wait_for_step(process, 7);
	usleep(60000);
	interrupt(process, 2);
	usleep(60000);
	if (write(pipe, "x", 1) != 1)
		fail("write");
	_exit(0);
}

static void expect(long result, int error, const char *what)
{
	if (error ? result >= 0 || errno != error : result < 0)
		fail(what);
}

int main(int argc, char **argv)
{
	struct sigaction restarting = {.sa_handler = handle, .sa_flags = SA_RESTART};
	struct sigaction ending = {.sa_handler = handle};
	struct timespec little = {.tv_sec = 1}, much = {.tv_sec = 60};
	int ends[2];
	char byte;

	if (argc != 2 || chdir(argv[1]) || mkfifo("restarted", 0600) || mkfifo("failed", 0600) ||
	    mkfifo("stopped", 0600) || pipe(ends))
		fail("restarts");
	zero = open("/dev/zero", O_RDONLY);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	sigaction(HANDLED, &restarting, NULL);
	sigaction(ENDING, &ending, NULL);
	if (!fork())
		drive(getppid(), ends[1]);
	shared->step = 1;
	expect(syscall(SYS_openat, AT_FDCWD, "restarted", O_RDONLY), 0, "restarted");
	shared->step = 2;
	expect(syscall(SYS_openat, AT_FDCWD, "failed", O_RDONLY), EINTR, "failed");
	shared->step = 3;
	expect(syscall(SYS_openat, AT_FDCWD, "stopped", O_RDONLY), 0, "stopped");
	shared->step = 4;
	expect(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &little, NULL), 0, "sleep");
	shared->step = 5;
	expect(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &much, NULL), EINTR, "long sleep");
	shared->step = 6;
	expect(syscall(SYS_pause), EINTR, "pause");
	shared->step = 7;
	expect(syscall(SYS_read, ends[0], &byte, 1), 0, "read");
	printf("%d\n", shared->handled);
	return waitpid(-1, NULL, 0) < 0;
}
