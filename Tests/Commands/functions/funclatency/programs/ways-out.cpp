// SPDX-License-Identifier: Apache-2.0
/*
 * ways-out: leaves functions in all ways that there are, ROUNDS times each, and prints "NAME RETURNS LEFT" for each
 * function: how many of its calls return, and how many are left by an exception or a jump. Exits with 1 if anything
 * went another way than it should.
 *
 *   ways-out ROUNDS [wait]
 *
 * With `wait` it begins when a line comes on stdin, and ends when stdin does.
 */
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <pthread.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define NOINLINE extern "C" __attribute__((noinline, noipa))

static int rounds, wrong;
volatile int sink;

/* Exceptions: through two frames to a handler that returns by itself, and one that throws on. */
NOINLINE void throws(int value)
{
	if (value >= 0)
		throw value;
	sink++;
}

NOINLINE int passes(int value)
{
	throws(value);
	return sink++;
}

NOINLINE int catches(int value)
{
	try {
		return passes(value);
	} catch (int caught) {
		return caught + 1;
	}
}

struct Cleaner {
	~Cleaner() { sink++; }
};

NOINLINE void cleans(int value)
{
	Cleaner cleaner;

	passes(value);
}

NOINLINE void throws_on(int value)
{
	try {
		cleans(value);
	} catch (int) {
		sink++;
		throw;
	}
}

static void exceptions()
{
	for (int i = 0; i < rounds; i++) {
		wrong += catches(i) != i + 1;
		try {
			throws_on(i);
			wrong++;
		} catch (int caught) {
			wrong += caught != i;
		}
		passes(-1);
	}
}

/* Jumps over frames, from the same call each time and from others; and out of a signal's handler. */
static jmp_buf back;
static sigjmp_buf back_from_signal;

NOINLINE void jumps_out(int value)
{
	if (value >= 0)
		longjmp(back, value + 1);
	sink++;
}

NOINLINE int jumped_over(int value)
{
	jumps_out(value);
	return sink++;
}

NOINLINE int returns_after(int value)
{
	return sink + value;
}

NOINLINE void handles(int)
{
	siglongjmp(back_from_signal, 1);
}

NOINLINE void handles_and_returns(int)
{
	sink++;
}

NOINLINE void interrupted(int signal)
{
	raise(signal);
	sink++;
}

static void jumps()
{
	for (volatile int i = 0; i < rounds; i++) {
		if (setjmp(back) == 0) {
			jumped_over(i);
			wrong++;
		}
		returns_after(i);
		if (sigsetjmp(back_from_signal, 1) == 0) {
			interrupted(SIGUSR1);
			wrong++;
		}
		interrupted(SIGUSR2);
	}
}

/* Ends that are jumps: to a function, to one of several, by a table, to each other. */
NOINLINE int ends_here(int value)
{
	return sink + value;
}

NOINLINE int jumps_on(int value)
{
	sink++;
	return ends_here(value);
}

NOINLINE int chooses(int value)
{
	switch (value) {
	case 0: return sink++;
	case 1: sink += 4; return ends_here(7);
	case 2: sink -= 3; return value * 9;
	case 3: return ends_here(sink--);
	case 4: sink ^= 5; return sink;
	case 5: sink |= 64; return jumps_on(sink);
	case 6: sink &= 127; return 3;
	case 7: return sink -= 17;
	default: return value;
	}
}

NOINLINE void does_nothing()
{
}

NOINLINE int recurses(int depth)
{
	int inner = depth > 0 ? recurses(depth - 1) : 0;

	sink++;
	return inner;
}

/* The kernel takes an instruction with this opcode for a jump, whatever its prefix. */
__asm__(".globl begins_with_vector\n"
	".type begins_with_vector, @function\n"
	"begins_with_vector: vpor %xmm0, %xmm0, %xmm0\n"
	"movl $1, %eax\n"
	"ret\n"
	".size begins_with_vector, . - begins_with_vector\n");
extern "C" int begins_with_vector();

/* Where it ends is in a register. */
__asm__(".globl ends_anywhere\n"
	".type ends_anywhere, @function\n"
	"ends_anywhere: jmp *%rsi\n"
	".size ends_anywhere, . - ends_anywhere\n");
extern "C" int ends_anywhere(int value, int (*end)(int));

static int returns_value(int value)
{
	return value;
}

static void ends()
{
	if (__builtin_cpu_supports("avx"))
		wrong += begins_with_vector() != 1;
	for (int i = 0; i < rounds; i++) {
		jumps_on(i);
		chooses(i % 9);
		does_nothing();
		wrong += ends_anywhere(i, returns_value) != i;
	}
	recurses(299);
}

/* Fibers: each has calls that are under way when others go on, on stacks in no order. */
static const int fibers = 300;
static const size_t stack_bytes = 32768;
static ucontext_t fiber[fibers], scheduler;

NOINLINE void yields(int number)
{
	swapcontext(&fiber[number], &scheduler);
	sink++;
}

NOINLINE int works(int number, int deeper)
{
	if (deeper > 0) {
		int inner = works(number, deeper - 1);

		sink++;
		return inner;
	}
	yields(number);
	yields(number);
	return sink;
}

static void fiber_begins(int number)
{
	works(number, 3);
}

static void run_fibers()
{
	char *stacks = static_cast<char *>(std::malloc(fibers * stack_bytes));

	for (int i = 0; i < fibers; i++) {
		getcontext(&fiber[i]);
		fiber[i].uc_stack.ss_sp = stacks + (i * 7 % fibers) * stack_bytes;
		fiber[i].uc_stack.ss_size = stack_bytes;
		fiber[i].uc_link = &scheduler;
		makecontext(&fiber[i], reinterpret_cast<void (*)()>(fiber_begins), 1, i);
	}
	for (int turn = 0; turn < 3; turn++)
		for (int i = 0; i < fibers; i++) {
			swapcontext(&scheduler, &fiber[i * 11 % fibers]);
			returns_after(i);
		}
	std::free(stacks);
}

/* A fiber that goes on in another thread than it began in. */
static ucontext_t moving, *resumer;

NOINLINE void moves()
{
	swapcontext(&moving, resumer);
	sink++;
}

static void moving_begins()
{
	moves();
	setcontext(resumer);
}

static void *resume(void *)
{
	ucontext_t here;

	resumer = &here;
	swapcontext(&here, &moving);
	return nullptr;
}

static void move_fibers()
{
	static char stack[65536];

	for (int i = 0; i < rounds; i++) {
		pthread_t other;

		getcontext(&moving);
		moving.uc_stack.ss_sp = stack;
		moving.uc_stack.ss_size = sizeof(stack);
		makecontext(&moving, moving_begins, 0);
		resume(nullptr);
		pthread_create(&other, nullptr, resume, nullptr);
		pthread_join(other, nullptr);
	}
}

/* A child returns from what its parent has called; a thread ends in a call. */
NOINLINE int forks()
{
	pid_t child = fork();

	sink++;
	return child;
}

NOINLINE void *exits_thread(void *)
{
	pthread_exit(nullptr);
}

static void leave_threads()
{
	for (int i = 0; i < rounds; i++) {
		pthread_t thread;
		int child = forks(), status;

		if (child == 0)
			_exit(0);
		waitpid(child, &status, 0);
		wrong += status != 0;
		pthread_create(&thread, nullptr, exits_thread, nullptr);
		pthread_join(thread, nullptr);
	}
}

static void wait_for_line()
{
	char byte;

	while (read(0, &byte, 1) == 1 && byte != '\n')
		;
}

int main(int argc, char **argv)
{
	bool waits = argc > 2 && !std::strcmp(argv[2], "wait");
	static char handler_stack[65536];
	stack_t other = {handler_stack, 0, sizeof(handler_stack)};
	struct sigaction action = {};

	rounds = argc > 1 ? std::atoi(argv[1]) : 9;
	if (waits) {
		if (write(1, "ready\n", 6) != 6)
			return 1;
		wait_for_line();
	}
	sigaltstack(&other, nullptr);
	action.sa_flags = SA_ONSTACK;
	action.sa_handler = handles;
	sigaction(SIGUSR1, &action, nullptr);
	action.sa_handler = handles_and_returns;
	sigaction(SIGUSR2, &action, nullptr);
	exceptions();
	jumps();
	ends();
	run_fibers();
	move_fibers();
	leave_threads();
	if (wrong)
		return 1;
	std::printf("throws %d %d\npasses %d %d\ncatches %d 0\ncleans 0 %d\nthrows_on 0 %d\n", rounds, 2 * rounds,
		    rounds, 2 * rounds, rounds, rounds, rounds);
	std::printf("jumps_out 0 %d\njumped_over 0 %d\nreturns_after %d 0\n", rounds, rounds,
		    rounds + 3 * fibers);
	std::printf("handles 0 %d\nhandles_and_returns %d 0\ninterrupted %d %d\n", rounds, rounds, rounds,
		    rounds);
	std::printf("jumps_on %d 0\nchooses %d 0\ndoes_nothing %d 0\nrecurses 300 0\n", rounds + rounds / 9,
		    rounds, rounds);
	/* Of each nine rounds one jumps to it, one more by way of the other, one has an argument. */
	std::printf("ends_here %d 0\n", rounds + rounds / 9 * 3);
	std::printf("yields %d 0\nworks %d 0\nmoves %d 0\n", 2 * fibers, 4 * fibers, rounds);
	std::printf("forks %d 0\nexits_thread 0 %d\n", rounds, rounds);
	std::fflush(stdout);
	if (waits)
		wait_for_line();
	return 0;
}
