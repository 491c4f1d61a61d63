// SPDX-License-Identifier: Apache-2.0
/*
 * A small allocator with jemalloc's names and a prefix, as a library
 * (-DLIBRARY), and a program that loads it when a line comes on stdin, waits
 * for another one, leaks 40 blocks of 100 bytes from it, frees 10 more, and
 * ends with stdin.
 */
#include <stddef.h>

#ifdef LIBRARY
static char memory[1 << 20];
static size_t used;

void *je_malloc(size_t bytes)
{
	void *block = memory + used;

	used += (bytes + 15) & ~(size_t)15;
	return used <= sizeof(memory) ? block : NULL;
}

void je_free(void *block)
{
	__asm__ volatile("" : : "r"(block) : "memory");
}
#else
#include <dlfcn.h>
#include <unistd.h>

static void *(*allocate)(size_t);
static void (*release)(void *);

static void wait_for_line(void)
{
	char byte;

	while (read(0, &byte, 1) == 1 && byte != '\n')
		;
}

__attribute__((noinline)) void *leak_pool(void)
{
	void *block = allocate(100);

	__asm__ volatile("");
	return block;
}

int main(int argc, char **argv)
{
	void *library;

	if (write(1, "ready\n", 6) != 6)
		return 1;
	wait_for_line();
	library = argc > 1 ? dlopen(argv[1], RTLD_NOW) : NULL;
	if (!library)
		return 1;
	allocate = (void *(*)(size_t))dlsym(library, "je_malloc");
	release = (void (*)(void *))dlsym(library, "je_free");
	wait_for_line();
	for (int i = 0; i < 50; i++) {
		void *block = leak_pool();

		if (i >= 40)
			release(block);
	}
	if (write(1, "done\n", 5) != 5)
		return 1;
	wait_for_line();
	return 0;
}
#endif
