/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "CSymbolization.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* libstdc++ and libswiftCore: both return memory to be freed, NULL if this is no name. */
char *__cxa_demangle(const char *mangled, char *buffer, size_t *size, int *status);
char *swift_demangle(const char *mangled, size_t length, char *buffer, size_t *size,
		     uint32_t flags);

ssize_t apus_demangle(const char *mangled, char *text, size_t capacity)
{
	int status;
	size_t length;
	char *found;

	if (strncmp(mangled, "_Z", 2) == 0)
		found = __cxa_demangle(mangled, NULL, NULL, &status);
	else
		found = swift_demangle(mangled, strlen(mangled), NULL, NULL, 0);
	if (!found)
		return -1;
	length = strlen(found);
	if (length <= capacity)
		memcpy(text, found, length);
	free(found);
	return length <= capacity ? (ssize_t)length : -1;
}

/* What is mapped already and 64 MiB: an allocation that fails ends the child. */
static void limit_memory(void)
{
	unsigned long pages = 0;
	struct rlimit limit = {0};
	FILE *file = fopen("/proc/self/statm", "r");

	setrlimit(RLIMIT_CORE, &limit);
	if (!file)
		return;
	if (fscanf(file, "%lu", &pages) == 1) {
		limit.rlim_cur = limit.rlim_max =
			pages * (rlim_t)sysconf(_SC_PAGESIZE) + (64 << 20);
		setrlimit(RLIMIT_AS, &limit);
	}
	fclose(file);
}

/* Copies of the parent's descriptors would keep what it traces attached. */
static void close_others(int kept)
{
	if (dup2(kept, 0) < 0)
		_exit(1);
	if (syscall(SYS_close_range, 1U, ~0U, 0U) == 0)
		return;
	for (int other = (int)sysconf(_SC_OPEN_MAX) - 1; other > 0; other--)
		close(other);
}

static void serve(int descriptor, pid_t parent)
{
	static char name[APUS_MANGLED_MAX + 1], reply[1 + APUS_DEMANGLED_MAX];
	struct pollfd wait = {.events = POLLIN};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	limit_memory();
	close_others(descriptor);
	for (;;) {
		if (poll(&wait, 1, 1000) != 1)
			_exit(0);
		ssize_t length = recv(0, name, APUS_MANGLED_MAX, 0);

		if (length <= 0)
			_exit(0);
		name[length] = 0;
		length = apus_demangle(name, reply + 1, APUS_DEMANGLED_MAX);
		reply[0] = length >= 0;
		if (send(0, reply, length >= 0 ? 1 + (size_t)length : 1, MSG_NOSIGNAL) < 0)
			_exit(0);
	}
}

int apus_demangler_start(pid_t *child)
{
	int pair[2];
	pid_t parent = getpid();

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -1;
	*child = fork();
	if (*child == 0)
		serve(pair[1], parent);
	close(pair[1]);
	if (*child < 0) {
		close(pair[0]);
		return -1;
	}
	return pair[0];
}
