/* SPDX-License-Identifier: Apache-2.0 */
/*
 * functions: calls functions in known numbers, in two threads and a child:
 *   often_called 1000 and, by a second thread, 200; seldom_called 30; local_to_file, which is static, 70 from
 *   seldom_called and main; by the child often_called 5; the USDT probe functions_test:reached, which has a semaphore
 *   in one of its two places, 40 times in one and 2 in the other; and sleeps_a_while 3 times, for 20 ms each.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

volatile unsigned long sum;
unsigned short probe_semaphore __attribute__((section(".probes")));

/* What DTRACE_PROBE1 of sys/sdt.h makes: a nop, and a note about it. */
#define PROBE(semaphore, value)                                                                  \
	__asm__ volatile("990: nop\n"                                                            \
			 ".pushsection .note.stapsdt,\"\",\"note\"\n"                            \
			 ".balign 4\n"                                                           \
			 ".4byte 992f-991f, 994f-993f, 3\n"                                      \
			 "991: .asciz \"stapsdt\"\n"                                             \
			 "992: .balign 4\n"                                                      \
			 "993: .8byte 990b\n"                                                    \
			 ".8byte _.stapsdt.base\n"                                               \
			 ".8byte " semaphore "\n"                                                \
			 ".asciz \"functions_test\"\n"                                           \
			 ".asciz \"reached\"\n"                                                  \
			 ".asciz \"-4@%0\"\n"                                                    \
			 "994: .balign 4\n"                                                      \
			 ".popsection\n"                                                         \
			 ".ifndef _.stapsdt.base\n"                                              \
			 ".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n" \
			 ".weak _.stapsdt.base\n"                                                \
			 ".hidden _.stapsdt.base\n"                                              \
			 "_.stapsdt.base: .space 1\n"                                            \
			 ".size _.stapsdt.base, 1\n"                                             \
			 ".popsection\n"                                                         \
			 ".endif\n"                                                              \
			 :                                                                       \
			 : "nor"(value))

NOINLINE void often_called(int value)
{
	sum += value;
}

static NOINLINE void local_to_file(int value)
{
	sum ^= value;
}

NOINLINE void seldom_called(int value)
{
	local_to_file(value);
	sum += 3;
}

NOINLINE void sleeps_a_while(void)
{
	struct timespec pause = {.tv_nsec = 20000000};

	nanosleep(&pause, NULL);
	sum++;
}

/* The kernel puts no probe on an instruction with this prefix. */
__asm__(".globl begins_with_lock\n"
	".type begins_with_lock, @function\n"
	"begins_with_lock: lock orl $0, (%rsp)\n"
	"ret\n"
	".size begins_with_lock, . - begins_with_lock\n");

static void *second_thread(void *nothing)
{
	for (int i = 0; i < 200; i++)
		often_called(i);
	return nothing;
}

int main(void)
{
	pthread_t thread;
	pid_t child;

	pthread_create(&thread, NULL, second_thread, NULL);
	for (int i = 0; i < 1000; i++)
		often_called(i);
	for (int i = 0; i < 30; i++)
		seldom_called(i);
	for (int i = 0; i < 40; i++)
		local_to_file(i);
	for (int i = 0; i < 40; i++)
		PROBE("0", i);
	/* As programs do whose arguments are costly to make. */
	for (int i = 0; i < 2; i++)
		if (*(volatile unsigned short *)&probe_semaphore)
			PROBE("probe_semaphore", i);
	for (int i = 0; i < 3; i++)
		sleeps_a_while();
	pthread_join(thread, NULL);
	child = fork();
	if (child == 0) {
		for (int i = 0; i < 5; i++)
			often_called(i);
		_exit(0);
	}
	return waitpid(child, NULL, 0) != child;
}
