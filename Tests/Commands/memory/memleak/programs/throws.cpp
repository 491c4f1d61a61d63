// SPDX-License-Identifier: Apache-2.0
/*
 * Asks operator new for more than there is, and catches what it throws.
 *
 *   throws THREADS ROUNDS [wait]
 *
 * In each round each thread leaks an array of 25 numbers, catches an exception
 * of new, new[], and aligned new, gets nothing from nothrow new, and leaks 56
 * bytes of malloc. With `wait` it begins when a line comes on stdin, and ends
 * when stdin does. Prints one line per function: name, blocks, bytes.
 */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#define NOINLINE extern "C" __attribute__((noinline))

static const std::size_t most = 8ul << 30; /* more than RLIMIT_AS allows, less than memleak leaves out */
static int rounds;
static long caught;

struct alignas(64) Line {
	char bytes[64];
};

NOINLINE void leak_new()
{
	volatile int *block = new int[25];

	block[0] = 1;
}

NOINLINE void leak_after()
{
	char room[4096];

	__asm__ volatile("" : : "r"(room) : "memory");
	*(volatile char *)std::malloc(56) = 1;
	__asm__ volatile("" : : "r"(room) : "memory");
}

template <typename Ask> static void expect_exception(Ask ask)
{
	try {
		*(volatile char *)ask() = 1;
	} catch (const std::bad_alloc &) {
		__sync_fetch_and_add(&caught, 1);
	}
}

static void *work(void *)
{
	for (int round = 0; round < rounds; round++) {
		leak_new();
		expect_exception([] { return ::operator new(most); });
		leak_after();
		expect_exception([] { return ::operator new[](most); });
		expect_exception([] { return ::operator new(most, std::align_val_t(64)); });
		if (::operator new(most, std::nothrow))
			std::abort();
	}
	return nullptr;
}

static void wait_for_line()
{
	char byte;

	while (read(0, &byte, 1) == 1 && byte != '\n')
		;
}

int main(int argc, char **argv)
{
	int threads = argc > 1 ? std::atoi(argv[1]) : 1;
	bool waits = argc > 3 && !std::strcmp(argv[3], "wait");
	struct rlimit limit = {4ul << 30, 4ul << 30};
	pthread_t ids[64];

	if (threads < 1 || threads > 64 || setrlimit(RLIMIT_AS, &limit))
		return 2;
	rounds = argc > 2 ? std::atoi(argv[2]) : 1;
	if (waits) {
		if (write(1, "ready\n", 6) != 6)
			return 1;
		wait_for_line();
	}
	for (int i = 1; i < threads; i++)
		if (pthread_create(&ids[i], nullptr, work, nullptr))
			return 1;
	work(nullptr);
	for (int i = 1; i < threads; i++)
		pthread_join(ids[i], nullptr);
	if (caught != 3l * threads * rounds)
		return 3;
	std::printf("leak_new %d %d\nleak_after %d %d\n", threads * rounds, threads * rounds * 100,
		    threads * rounds, threads * rounds * 56);
	std::fflush(stdout);
	if (waits)
		wait_for_line();
	return 0;
}
