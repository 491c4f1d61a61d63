/* SPDX-License-Identifier: Apache-2.0 */
/* Opens and closes PATH COUNT times in each of THREADS threads. Prints the CPU nanoseconds that one pair took. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static long count;
static const char *path;

static void *opens(void *unused)
{
	for (long i = 0; i < count; i++)
		close(open(path, O_RDONLY));
	return unused;
}

int main(int argc, char **argv)
{
	struct timespec used;
	pthread_t threads[64];
	int number;

	if (argc < 4)
		return 64;
	count = atol(argv[1]);
	number = atoi(argv[2]) < 64 ? atoi(argv[2]) : 64;
	path = argv[3];
	for (int i = 1; i < number; i++)
		pthread_create(&threads[i], NULL, opens, NULL);
	opens(NULL);
	for (int i = 1; i < number; i++)
		pthread_join(threads[i], NULL);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	printf("%.1f\n", (used.tv_sec * 1e9 + used.tv_nsec) / (count * number));
	return 0;
}
