/* SPDX-License-Identifier: Apache-2.0 */
/*
 * busy-opens FOLDER THREADS COUNT: so many threads, each with a file of its own, "0", "1" and so on: opens it, writes 10
 * bytes, maps and unmaps a page, and closes it, COUNT times. Each call is made by its raw number.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static int count;

static void *run(void *argument)
{
	char name[16];

	snprintf(name, sizeof(name), "%ld", (long)argument);
	for (int i = 0; i < count; i++) {
		int file = syscall(SYS_openat, AT_FDCWD, name, O_RDWR | O_CREAT, 0600);
		void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (syscall(SYS_pwrite64, file, "0123456789", 10, 0) != 10 || munmap(page, 4096))
			_exit(1);
		syscall(SYS_close, file);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[64];
	int many = argc == 4 ? atoi(argv[2]) : 0;

	if (many < 1 || many > 64 || chdir(argv[1]))
		return 64;
	count = atoi(argv[3]);
	for (long i = 0; i < many; i++)
		pthread_create(&threads[i], NULL, run, (void *)i);
	for (int i = 0; i < many; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
