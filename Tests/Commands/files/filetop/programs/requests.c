/* SPDX-License-Identifier: Apache-2.0 */
/*
 * requests FOLDER [aio|io_uring]: reads and writes without the calls of these names, by one of these ways or by both, and
 * prints what of it the kernel has let it do:
 *   aio       file "aio", by io_submit: 60 writes of 4096, 2 of two parts (1000 + 500), 40 reads of 4096, 3 of two
 *             parts; submitted 5 at once. In all 62 writes of 248760 bytes, 43 reads of 168340
 *   io_uring  file "ring": 10 writes of 1000, 4 of two parts (600 + 300), 7 reads of 500, 5 of two parts, one at the end
 *             of the file, of 0 bytes, and one that fails; in all 14 writes of 13600 bytes, 13 reads of 8000
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#define SYS_io_uring_enter 426
#endif

#define AT_ONCE 5
#define ENTRIES 8

static char bytes[8192];

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

/* --- io_submit --------------------------------------------------------------------------------------------- */

static aio_context_t context;
static struct iocb requests[AT_ONCE], *places[AT_ONCE];
static int gathered;

static void submit(void)
{
	struct io_event events[AT_ONCE];

	if (gathered &&
	    (syscall(SYS_io_submit, context, gathered, places) != gathered ||
	     syscall(SYS_io_getevents, context, gathered, gathered, events, NULL) != gathered))
		fail("io_submit");
	gathered = 0;
}

static void gather(int file, int call, void *buffer, long count, long offset)
{
	struct iocb *request = &requests[gathered];

	memset(request, 0, sizeof(*request));
	request->aio_fildes = file;
	request->aio_lio_opcode = call;
	request->aio_buf = (unsigned long)buffer;
	request->aio_nbytes = count;
	request->aio_offset = offset;
	places[gathered++] = request;
	if (gathered == AT_ONCE)
		submit();
}

static int use_aio(void)
{
	struct iovec parts[2] = {{bytes, 1000}, {bytes, 500}};
	int file = open("aio", O_RDWR | O_CREAT | O_TRUNC, 0600);

	if (syscall(SYS_io_setup, 16, &context))
		return 0;
	for (int i = 0; i < 60; i++)
		gather(file, IOCB_CMD_PWRITE, bytes, 4096, i * 4096);
	for (int i = 0; i < 2; i++)
		gather(file, IOCB_CMD_PWRITEV, parts, 2, 0);
	for (int i = 0; i < 40; i++)
		gather(file, IOCB_CMD_PREAD, bytes, 4096, i * 4096);
	for (int i = 0; i < 3; i++)
		gather(file, IOCB_CMD_PREADV, parts, 2, 0);
	submit();
	close(file);
	return 1;
}

/* --- io_uring ---------------------------------------------------------------------------------------------- */

static struct {
	int descriptor;
	unsigned int *tail, *mask, *array, *done_head, *done_tail, *done_mask;
	struct io_uring_sqe *requests;
	struct io_uring_cqe *completions;
} ring;

static void *part(unsigned long size, long long offset)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.descriptor,
		    offset);
}

static int set_up(void)
{
	struct io_uring_params setup = {};
	char *submitted, *completed;

	ring.descriptor = syscall(SYS_io_uring_setup, ENTRIES, &setup);
	if (ring.descriptor < 0)
		return 0;
	submitted = part(setup.sq_off.array + setup.sq_entries * sizeof(unsigned int),
			 IORING_OFF_SQ_RING);
	completed = part(setup.cq_off.cqes + setup.cq_entries * sizeof(struct io_uring_cqe),
			 IORING_OFF_CQ_RING);
	ring.requests = part(setup.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
	if (submitted == MAP_FAILED || completed == MAP_FAILED || ring.requests == MAP_FAILED)
		fail("mmap");
	ring.tail = (void *)(submitted + setup.sq_off.tail);
	ring.mask = (void *)(submitted + setup.sq_off.ring_mask);
	ring.array = (void *)(submitted + setup.sq_off.array);
	ring.done_head = (void *)(completed + setup.cq_off.head);
	ring.done_tail = (void *)(completed + setup.cq_off.tail);
	ring.done_mask = (void *)(completed + setup.cq_off.ring_mask);
	ring.completions = (void *)(completed + setup.cq_off.cqes);
	return 1;
}

/* One request; `async` has a worker of the kernel do it. */
static void request(int file, int call, void *buffer, unsigned int count, long offset, int wanted,
		    int async)
{
	unsigned int tail = *ring.tail, index = tail & *ring.mask, head = *ring.done_head;
	struct io_uring_sqe *request = &ring.requests[index];
	int result;

	memset(request, 0, sizeof(*request));
	request->opcode = call;
	request->fd = file;
	request->addr = (unsigned long)buffer;
	request->len = count;
	request->off = offset;
	request->flags = async ? IOSQE_ASYNC : 0;
	ring.array[index] = index;
	__atomic_store_n(ring.tail, tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring.descriptor, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) !=
	    1)
		fail("io_uring_enter");
	/* A call that has submitted something does not say that it came back too early. */
	while (head == __atomic_load_n(ring.done_tail, __ATOMIC_ACQUIRE))
		syscall(SYS_io_uring_enter, ring.descriptor, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0);
	result = ring.completions[head & *ring.done_mask].res;
	__atomic_store_n(ring.done_head, head + 1, __ATOMIC_RELEASE);
	if (wanted < 0 ? result >= 0 : result != wanted)
		fail("io_uring");
}

static int use_io_uring(void)
{
	struct iovec parts[2] = {{bytes, 600}, {bytes, 300}};
	int file = open("ring", O_RDWR | O_CREAT | O_TRUNC, 0600);

	if (!set_up())
		return 0;
	for (int i = 0; i < 10; i++)
		request(file, IORING_OP_WRITE, bytes, 1000, i * 1000, 1000, i % 2);
	for (int i = 0; i < 4; i++)
		request(file, IORING_OP_WRITEV, parts, 2, 0, 900, i % 2);
	for (int i = 0; i < 7; i++)
		request(file, IORING_OP_READ, bytes, 500, i * 500, 500, i % 2);
	for (int i = 0; i < 5; i++)
		request(file, IORING_OP_READV, parts, 2, 0, 900, i % 2);
	request(file, IORING_OP_READ, bytes, 500, 1000000, 0, 0);
	request(12345, IORING_OP_READ, bytes, 500, 0, -1, 0);
	close(file);
	return 1;
}

int main(int argc, char **argv)
{
	const char *way = argc > 2 ? argv[2] : "aio io_uring";

	if (argc < 2 || chdir(argv[1]))
		return 64;
	if (strstr(way, "aio") && use_aio())
		puts("aio");
	if (strstr(way, "io_uring") && use_io_uring())
		puts("io_uring");
	return 0;
}
