/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calls: makes system calls in known numbers, in two processes:
 *   getppid 1000 and, by the child, 500; read 123 of /dev/zero, and 9 at its end of /dev/null; openat 17 that fail with
 *   ENOENT; close 5 that fail with EBADF; kill 7 of itself, so rt_sigreturn 7; clock_nanosleep 3 of 20 ms;
 *   the number 999 twice; and, if the kernel has them, 11 times getppid through the 32-bit entry.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NR_COMPAT_GETPPID 64

static void handle(int signal)
{
	(void)signal;
}

#if defined(__x86_64__)
static void compat_getppid(void)
{
	long result = NR_COMPAT_GETPPID;

	__asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
}
#else
static void compat_getppid(void)
{
}
#endif

static void times(int count, long number, long first, long second, long third)
{
	for (int i = 0; i < count; i++)
		syscall(number, first, second, third);
}

int main(void)
{
	struct sigaction action = {.sa_handler = handle};
	struct timespec pause = {.tv_nsec = 20000000};
	char text[100];
	int zero = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_RDONLY);
	pid_t child;

	sigaction(SIGUSR1, &action, NULL);
	times(1000, SYS_getppid, 0, 0, 0);
	times(123, SYS_read, zero, (long)text, sizeof(text));
	times(9, SYS_read, null, (long)text, sizeof(text));
	times(17, SYS_openat, AT_FDCWD, (long)"/nonexistent/file", O_RDONLY);
	times(5, SYS_close, 12345, 0, 0);
	times(7, SYS_kill, getpid(), SIGUSR1, 0);
	times(2, 999, 0, 0, 0);
	for (int i = 0; i < 3; i++)
		syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &pause, NULL);
	for (int i = 0; i < 11; i++)
		compat_getppid();
	child = fork();
	if (child == 0) {
		times(500, SYS_getppid, 0, 0, 0);
		_exit(0);
	}
	return waitpid(child, NULL, 0) != child;
}
