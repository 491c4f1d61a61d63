// SPDX-License-Identifier: Apache-2.0
/*
 * What stands at an address changes while it is traced. Each part does the same under names of its own (-DPART=NAME):
 * it keeps a block, burns CPU time and waits, a few times. With -DPLUGIN it is a library. Else it is a program:
 *
 *   moments plugins MS LIBRARY...   loads libraries one after the other, and lets each work MS milliseconds later
 *   moments then PROGRAM ARGUMENT...   works, and executes a program
 *   moments number PROGRAM PROGRAM  runs two programs one after the other under one process number
 *   moments thread ROUNDS           works in a thread, when the first has ended
 *   moments copy mremap|map SECONDS works on a copy of its code, on memory of its own
 *   moments rename NAME             works under its name, and then under another
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/sched.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef PART
#define PART part
#endif
#ifndef BLOCKS
#define BLOCKS 5
#endif
#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define NAMED(name) JOIN(PART, name)
#define KEEP_CALL __asm__ volatile("" ::: "memory")

#ifdef SHIFT
__attribute__((noinline, used)) int NAMED(moves_the_rest)(int x)
{
	volatile int sum = x;

	for (int i = 0; i < SHIFT; i++)
		sum += sum << 1 ^ x;
	return sum;
}
#endif

static void *volatile kept;

__attribute__((noinline)) void NAMED(keeps)(void)
{
	kept = malloc(1000);
	KEEP_CALL;
}

static int64_t now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return time.tv_sec * 1000000000ll + time.tv_nsec;
}

__attribute__((noinline)) void NAMED(burns)(void)
{
	int64_t end = now(CLOCK_THREAD_CPUTIME_ID) + 100000000;

	while (now(CLOCK_THREAD_CPUTIME_ID) < end)
		for (volatile int i = 0; i < 100000; i++)
			;
	KEEP_CALL;
}

__attribute__((noinline)) void NAMED(waits)(void)
{
	usleep(100000);
	KEEP_CALL;
}

__attribute__((noinline)) void works(void)
{
	for (int i = 0; i < BLOCKS; i++)
		NAMED(keeps)();
	for (int i = 0; i < 3; i++) {
		NAMED(burns)();
		NAMED(waits)();
	}
	KEEP_CALL;
}

#ifndef PLUGIN
static int plugins(int argc, char **argv)
{
	for (int i = 3; i < argc; i++) {
		void *plugin = dlopen(argv[i], RTLD_NOW);

		if (!plugin) {
			fprintf(stderr, "%s\n", dlerror());
			return 1;
		}
		usleep(atoi(argv[2]) * 1000);
		((void (*)(void))dlsym(plugin, "works"))();
		/* Where it was is the first number of its handle (struct link_map). */
		printf("base %lx\n", *(unsigned long *)plugin);
		fflush(stdout);
		dlclose(plugin);
	}
	return 0;
}

/* A process with a number that nobody has; 0 if there can be none. */
static pid_t run_as(pid_t number, char *program)
{
	struct clone_args arguments = {
		.exit_signal = SIGCHLD,
		.set_tid = (uintptr_t)&number,
		.set_tid_size = 1,
	};
	pid_t made = syscall(SYS_clone3, &arguments, sizeof(arguments));
	int status;

	if (!made) {
		execl(program, program, (char *)NULL);
		_exit(127);
	}
	if (made > 0)
		waitpid(made, &status, 0);
	return made > 0 ? made : 0;
}

static int one_number(char **argv)
{
	long most = 0;
	FILE *file = fopen("/proc/sys/kernel/pid_max", "r");

	if (!file || fscanf(file, "%ld", &most) != 1 || most < 1000)
		return 1;
	fclose(file);
	/* Half of all numbers away from those that are given next: nobody else is given it in between. */
	for (pid_t number = (getpid() + most / 2) % most, tries = 0; tries < 2000; tries++, number = (number + 1) % most)
		if (number > 300 && run_as(number, argv[2])) {
			printf("number %d\n", number);
			fflush(stdout);
			return run_as(number, argv[3]) ? 0 : 1;
		}
	perror("clone3");
	return 1;
}

static void *worker(void *rounds)
{
	for (long i = 0; i < (long)rounds; i++)
		works();
	exit(0);
}

static void in_thread(long rounds)
{
	pthread_t thread;

	pthread_create(&thread, NULL, worker, (void *)rounds);
	pthread_exit(NULL);
}

/* What mapping holds an address: its bounds. */
static int find_mapping(uintptr_t address, uintptr_t *start, uintptr_t *end)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[4096];
	int found = -1;

	while (maps && found && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx", start, end) == 2 && address >= *start && address < *end)
			found = 0;
	if (maps)
		fclose(maps);
	return found;
}

static inline __attribute__((always_inline)) long call(long number, long a, long b, long c, long d,
						       long e, long f)
{
	register long fourth __asm__("r10") = d;
	register long fifth __asm__("r8") = e;
	register long sixth __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "0"(number), "D"(a), "S"(b), "d"(c), "r"(fourth), "r"(fifth), "r"(sixth)
			 : "rcx", "r11", "memory");
	return result;
}

/* Maps memory over code, and copies the code back, as node does. Calls nothing: it runs from a copy. */
__attribute__((noinline)) static long replace(uintptr_t start, size_t bytes, char *copy)
{
	uintptr_t to = start;
	size_t rest = bytes;
	long made = call(SYS_mmap, start, bytes, PROT_READ | PROT_WRITE | PROT_EXEC,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	if (made != (long)start)
		return 1;
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(copy), "+c"(rest) : : "memory");
	return call(SYS_mprotect, start, bytes, PROT_READ | PROT_EXEC, 0, 0, 0);
}

static int on_copy(const char *way, int seconds)
{
	uintptr_t start, end;
	time_t last;
	size_t bytes;
	char *copy;

	usleep(300000);
	if (find_mapping((uintptr_t)works, &start, &end))
		return 1;
	bytes = end - start;
	copy = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(copy, (void *)start, bytes);
	if (!strcmp(way, "mremap")) {
		mprotect(copy, bytes, PROT_READ | PROT_EXEC);
		if (mremap(copy, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)start) !=
		    (void *)start)
			return 2;
	} else {
		/* While nothing is there, code elsewhere has to run. */
		char *elsewhere = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		memcpy(elsewhere, (void *)replace, 512);
		if (((long (*)(uintptr_t, size_t, char *))elsewhere)(start, bytes, copy))
			return 2;
	}
	puts("moved");
	fflush(stdout);
	for (last = time(NULL) + seconds; time(NULL) < last;)
		works();
	return 0;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 2 ? argv[1] : "";

	if (!strcmp(mode, "plugins"))
		return plugins(argc, argv);
	if (!strcmp(mode, "number"))
		return one_number(argv);
	if (!strcmp(mode, "thread"))
		in_thread(atol(argv[2]));
	if (!strcmp(mode, "copy"))
		return on_copy(argv[2], argc > 3 ? atoi(argv[3]) : 1);
	works();
	if (!strcmp(mode, "then"))
		execv(argv[2], argv + 2);
	if (!strcmp(mode, "rename")) {
		prctl(PR_SET_NAME, argv[2]);
		works();
	}
	return 0;
}
#endif
