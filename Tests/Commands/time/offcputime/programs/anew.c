// SPDX-License-Identifier: Apache-2.0
/*
 * Code whose stacks are hard to follow, in one static program that needs no library: anew
 *
 * Maps a page of its own file that holds first_nap, and calls it at once; then the page that holds second_nap, in the same
 * place, and calls that; each three times, for 30 ms. Then three times bare_nap, which has no call frame information.
 * Each is called by calls_there, and that by main.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096
#define PLACE ((char *)0x7e0000000000)
#define IN_A_PAGE __attribute__((noinline, used, aligned(PAGE)))
#define KEEP_CALL __asm__ volatile("" ::: "memory")

extern const char __ehdr_start[];

/* nanosleep; no call, so that the code works wherever it is mapped. */
static inline __attribute__((always_inline)) void nap(void)
{
	volatile long duration[8] = {0, 30000000};
	long number = 35;

	__asm__ volatile("syscall"
			 : "+a"(number)
			 : "D"(duration), "S"(0)
			 : "rcx", "r11", "memory");
}

IN_A_PAGE void first_nap(void)
{
	nap();
}

/* At another offset in its page: the stacks differ. */
IN_A_PAGE void second_nap(void)
{
	__asm__ volatile(".skip 64, 0x90");
	nap();
}

/* The rest of the page is not that of others. */
IN_A_PAGE void behind(void)
{
	KEEP_CALL;
}

void bare_nap(const long *duration, void *rest);
__asm__(".globl bare_nap\n"
	".type bare_nap, @function\n"
	"bare_nap:\n"
	"	mov $35, %eax\n"
	"	syscall\n"
	"	ret\n"
	".size bare_nap, . - bare_nap\n");

__attribute__((noinline)) void calls_there(void (*function)(const long *, void *))
{
	static const long duration[2] = {0, 30000000};

	function(duration, NULL);
	KEEP_CALL;
}

/* Maps the page of a function in PLACE. The program's first segment begins its file, and this is in another. */
static int map(int file, void (*function)(void))
{
	const Elf64_Ehdr *head = (const Elf64_Ehdr *)__ehdr_start;
	const Elf64_Phdr *segments = (const Elf64_Phdr *)(__ehdr_start + head->e_phoff);
	uintptr_t first = segments[0].p_vaddr, address;

	for (int i = 0; i < head->e_phnum; i++)
		if (segments[i].p_type == PT_LOAD) {
			first = segments[i].p_vaddr;
			break;
		}
	address = (uintptr_t)function - (uintptr_t)__ehdr_start + first;
	for (int i = 0; i < head->e_phnum; i++)
		if (segments[i].p_type == PT_LOAD && address - segments[i].p_vaddr < segments[i].p_filesz)
			return mmap(PLACE, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, file,
				    address - segments[i].p_vaddr + segments[i].p_offset) != PLACE;
	return 1;
}

int main(void)
{
	int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	for (int i = 0; i < 2; i++) {
		if (map(file, i ? second_nap : first_nap)) {
			perror("anew");
			return 1;
		}
		for (int j = 0; j < 3; j++)
			calls_there((void (*)(const long *, void *))PLACE);
	}
	for (int j = 0; j < 3; j++)
		calls_there(bare_nap);
	return 0;
}
