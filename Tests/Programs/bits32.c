/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A 32-bit program without any library: some seconds of work_32 and naps, in serve_32, in begin_32. Nothing where it is
 * compiled for 64 bits.
 */
#ifdef __i386__
static long call3(long number, long first, long second, long third)
{
	long result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(number), "b"(first), "c"(second), "d"(third)
			 : "memory");
	return result;
}

static volatile unsigned long turns;

__attribute__((noinline)) void work_32(void)
{
	/* Or the compiler leaves the frame out, whatever it is told. */
	turns += (unsigned long)__builtin_frame_address(0) & 1;
	for (int i = 0; i < 5000000; i++)
		turns++;
	__asm__ volatile("" ::: "memory");
}

__attribute__((noinline)) void serve_32(void)
{
	long nap[2] = {0, 5000000};

	work_32();
	call3(162, (long)nap, 0, 0); /* nanosleep */
	__asm__ volatile("" ::: "memory");
}

__attribute__((used, noreturn)) void begin_32(void)
{
	long end = call3(13, 0, 0, 0) + 3; /* time */

	while (call3(13, 0, 0, 0) < end)
		serve_32();
	call3(1, 0, 0, 0); /* exit */
	__builtin_unreachable();
}

__asm__(".globl _start\n_start:\n xor %ebp, %ebp\n call begin_32\n");
#else
int main(void)
{
	return 1;
}
#endif
