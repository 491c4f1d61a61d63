// SPDX-License-Identifier: Apache-2.0
/*
 * Keeps blocks that a function has allocated which is inlined: its name is in debug information alone. Says "ready",
 * waits for a line, keeps five blocks, says "done", and waits for a line or the end of its input.
 */
#include <stdlib.h>
#include <unistd.h>

static void *volatile kept;

static inline __attribute__((always_inline)) void real_inline(void)
{
	void *block = malloc(123);

	__asm__ volatile("" : "+r"(block) : : "memory");
	kept = block;
}

__attribute__((noinline)) void keep_block(void)
{
	real_inline();
	__asm__ volatile("" : : : "memory");
}

static void wait_for_line(void)
{
	char byte;

	while (read(0, &byte, 1) == 1 && byte != '\n')
		;
}

int main(void)
{
	if (write(1, "ready\n", 6) != 6)
		return 1;
	wait_for_line();
	for (int i = 0; i < 5; i++)
		keep_block();
	if (write(1, "done\n", 5) != 5)
		return 1;
	wait_for_line();
	return 0;
}
