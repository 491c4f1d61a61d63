/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostile NAME USER FILE OFFSET [MAP]: maps a page of a file, whatever that file says of itself, and spends its time in
 * calls through the code there: a bit of computing, blocks of memory that stay, a system call, a nap. With MAP, a file
 * that it makes its perf map, the code is at an address without a file instead. It does so as USER, a number, if it may.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

/* push %rbp; mov %rsp,%rbp; call *%rdi; pop %rbp; ret */
static const unsigned char trampoline[] = {0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3};
static char map_path[64];
static volatile uint64_t sum;

__attribute__((noinline)) static void work(void)
{
	struct timespec nap = {.tv_nsec = 20000000};

	for (int i = 0; i < 200000; i++)
		sum += i;
	sum += malloc(100) != NULL;
	getppid();
	nanosleep(&nap, NULL);
	/* no last call: this frame is to stay */
	sum++;
}

static void copy(const char *from)
{
	char buffer[1 << 16];
	int in = open(from, O_RDONLY), out;
	ssize_t got;

	snprintf(map_path, sizeof(map_path), "/tmp/perf-%d.map", getpid());
	out = open(map_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	while (in >= 0 && out >= 0 && (got = read(in, buffer, sizeof(buffer))) > 0)
		if (write(out, buffer, (size_t)got) != got)
			exit(1);
	close(in);
	close(out);
}

static void end(int signal)
{
	(void)signal;
	if (map_path[0])
		unlink(map_path);
	_exit(0);
}

int main(int argc, char **argv)
{
	int file = argc > 4 ? open(argv[3], O_RDONLY) : -1;
	void *page;

	if (file < 0 || (geteuid() == 0 && setuid((uid_t)atoi(argv[2]))))
		return 2;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	signal(SIGTERM, end);
	signal(SIGALRM, end);
	alarm(600);
	prctl(PR_SET_NAME, argv[1]);
	if (argc > 5) {
		copy(argv[5]);
		page = mmap((void *)0x200000000000, 4096, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		if (page == MAP_FAILED)
			return 3;
		memcpy(page, trampoline, sizeof(trampoline));
		mprotect(page, 4096, PROT_READ | PROT_EXEC);
	} else {
		page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file,
			    strtol(argv[4], NULL, 0));
		if (page == MAP_FAILED)
			return 3;
	}
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		((void (*)(void (*)(void)))page)(work);
		sum++;
	}
}
