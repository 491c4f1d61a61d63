/* SPDX-License-Identifier: Apache-2.0 */
/* Starts and joins COUNT threads, one after the other: short-threads COUNT */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static void *nothing(void *unused)
{
	return unused;
}

int main(int argc, char **argv)
{
	long count = argc > 1 ? atol(argv[1]) : 1;
	pthread_t thread;

	for (long i = 0; i < count; i++) {
		if (pthread_create(&thread, NULL, nothing, NULL)) {
			perror("pthread_create");
			return 1;
		}
		pthread_join(thread, NULL);
	}
	return 0;
}
