/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads libraries and has them work at once: plugins LIBRARY...; they are unloaded after that, so that the next one gets
 * the same address. Compiled with -DPLUGIN=name -DCOUNT=n -shared it is a library whose functions have names with that
 * prefix, and which keeps n blocks and waits for 50 ms; with -DSHIFT it has other code before that.
 */
#ifdef PLUGIN
#include <stdlib.h>
#include <unistd.h>
#define PASTE2(a, b) a##b
#define PASTE(a, b) PASTE2(a, b)

#ifdef SHIFT
__attribute__((noinline, used)) int PASTE(PLUGIN, _moves_the_rest)(int x)
{
	volatile int sum = x;

	for (int i = 0; i < 9; i++)
		sum += sum << 1 ^ x;
	return sum;
}

/* A frame of another size. */
#define ROOM 600
#else
#define ROOM 40
#endif

__attribute__((noinline)) void PASTE(PLUGIN, _keeps)(void)
{
	volatile char room[ROOM];
	void *volatile block = malloc(1000);

	room[0] = 1;
	__asm__ volatile("" ::"r"(block) : "memory");
}

__attribute__((noinline)) void PASTE(PLUGIN, _waits)(void)
{
	volatile char room[ROOM];

	room[0] = 1;
	usleep(50000);
	__asm__ volatile("" ::: "memory");
}

void plugin_works(void)
{
	for (int i = 0; i < COUNT; i++)
		PASTE(PLUGIN, _keeps)();
	PASTE(PLUGIN, _waits)();
	__asm__ volatile("" ::: "memory");
}
#else
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	usleep(300000);
	for (int i = 1; i < argc; i++) {
		void *plugin = dlopen(argv[i], RTLD_NOW);

		if (!plugin) {
			fprintf(stderr, "%s\n", dlerror());
			return 1;
		}
		((void (*)(void))dlsym(plugin, "plugin_works"))();
		dlclose(plugin);
	}
	return 0;
}
#endif
