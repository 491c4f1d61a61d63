/* SPDX-License-Identifier: Apache-2.0 */
/*
 * function-burst COUNT: calls a function COUNT times that begins with a push, as most do that call others, and prints
 * the nanoseconds that a call took.
 *
 * It says "ready", begins when a line comes on stdin, and ends when stdin does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int called(int value);

__asm__(".globl called\n"
	".type called, @function\n"
	"called: push %rbx\n"
	"mov %edi, %eax\n"
	"pop %rbx\n"
	"ret\n"
	".size called, . - called\n");

static void wait_for_line(void)
{
	char byte;

	while (read(0, &byte, 1) == 1 && byte != '\n')
		;
}

int main(int argc, char **argv)
{
	long count = argc > 1 ? atol(argv[1]) : 1;
	struct timespec begin, end;

	puts("ready");
	fflush(stdout);
	wait_for_line();
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (long i = 0; i < count; i++)
		called(i);
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("%.2f\n",
	       ((end.tv_sec - begin.tv_sec) * 1e9 + (end.tv_nsec - begin.tv_nsec)) / count);
	fflush(stdout);
	wait_for_line();
	return 0;
}
