// SPDX-License-Identifier: Apache-2.0
/*
 * Children of every kind, each of which leaks known amounts in functions of its own.
 *
 *   family CHILDREN BLOCKS [wait]
 *
 * The parent leaks BLOCKS blocks of 100 bytes in keep_of_parent. Then it starts, one after the other:
 *   CHILDREN children that free what the parent has left, leak BLOCKS of 200 bytes in keep_of_child and end;
 *   one that stays until the parent ends, after BLOCKS of 300 bytes in keep_of_stayer;
 *   one that leaks BLOCKS of 400 bytes in keep_before_exec and executes this program with "executed", which leaks BLOCKS
 *   of 500 bytes in keep_of_executed;
 *   a child of a child: BLOCKS of 600 bytes in keep_of_grandchild;
 *   one by posix_spawn, also "executed";
 *   one by clone with CLONE_VM, which leaks BLOCKS of 700 bytes in keep_of_sharer and frees as many of the parent's, and two
 *   seconds later 800 bytes each in keep_of_late_sharer.
 * Prints "KIND PID" for each, and "end PID" when all is done. With `wait` it begins, and ends, with a line on stdin.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))
#define MOST 4096

static int blocks;
static char *kept[MOST], *lent[MOST];

#define KEEPER(name, size)                               \
	static NOINLINE void name(void)                  \
	{                                                \
		for (int i = 0; i < blocks; i++) {       \
			kept[i] = malloc(size);          \
			memset(kept[i], i, size);        \
			asm volatile("" : : : "memory"); \
		}                                        \
	}

KEEPER(keep_of_parent, 100)
KEEPER(keep_of_child, 200)
KEEPER(keep_of_stayer, 300)
KEEPER(keep_before_exec, 400)
KEEPER(keep_of_executed, 500)
KEEPER(keep_of_grandchild, 600)
KEEPER(keep_of_sharer, 700)
KEEPER(keep_of_late_sharer, 800)

static void say(const char *kind, int pid)
{
	char line[64];
	int length = snprintf(line, sizeof(line), "%s %d\n", kind, pid);

	if (write(1, line, length) != length)
		_exit(1);
}

static void await(int pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || status)
		exit(1);
}

static void free_lent(void)
{
	for (int i = 0; i < blocks; i++)
		free(lent[i]);
}

static int share(void *unused)
{
	(void)unused;
	keep_of_sharer();
	free_lent();
	/* By then everybody has noticed. */
	usleep(2000000);
	keep_of_late_sharer();
	_exit(0);
}

static void wait_for_line(void)
{
	char byte;

	while (read(0, &byte, 1) == 1 && byte != '\n')
		;
}

int main(int argc, char **argv)
{
	static char stack[1 << 16] __attribute__((aligned(16)));
	char count[16], *words[] = {argv[0], "1", count, "executed", NULL};
	int children = argc > 1 ? atoi(argv[1]) : 1, waits, ends[2], there[2], stayer, child;
	char byte;
	extern char **environ;

	blocks = argc > 2 ? atoi(argv[2]) : 1;
	if (blocks < 1 || blocks > MOST)
		return 2;
	snprintf(count, sizeof(count), "%d", blocks);
	if (argc > 3 && !strcmp(argv[3], "executed")) {
		keep_of_executed();
		return 0;
	}
	waits = argc > 3 && !strcmp(argv[3], "wait");
	if (waits) {
		say("ready", getpid());
		wait_for_line();
	}
	keep_of_parent();
	memcpy(lent, kept, sizeof(lent));
	for (int i = 0; i < children; i++) {
		child = fork();
		if (!child) {
			keep_of_child();
			free_lent();
			_exit(0);
		}
		say("child", child);
		await(child);
	}
	if (pipe2(ends, O_CLOEXEC) || pipe2(there, O_CLOEXEC))
		return 1;
	stayer = fork();
	if (!stayer) {
		close(ends[1]);
		keep_of_stayer();
		say("stays", getpid());
		if (write(there[1], "x", 1) != 1)
			_exit(1);
		_exit(read(ends[0], count, 1) != 0);
	}
	close(ends[0]);
	close(there[1]);
	/* What comes next, and the end above all, comes when it has all its blocks. */
	if (read(there[0], &byte, 1) != 1)
		return 1;
	child = fork();
	if (!child) {
		keep_before_exec();
		execv("/proc/self/exe", words);
		_exit(1);
	}
	say("executing", child);
	await(child);
	child = fork();
	if (!child) {
		int grandchild = fork();

		if (!grandchild) {
			keep_of_grandchild();
			_exit(0);
		}
		say("grandchild", grandchild);
		await(grandchild);
		_exit(0);
	}
	await(child);
	if (posix_spawn(&child, "/proc/self/exe", NULL, NULL, words, environ))
		return 1;
	say("spawned", child);
	await(child);
	child = clone(share, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL);
	say("sharer", child);
	await(child);
	say("end", getpid());
	if (waits)
		wait_for_line();
	close(ends[1]);
	await(stayer);
	return 0;
}
