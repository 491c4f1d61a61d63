/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens files through io_uring, by raw system calls. Each line of standard
 * input is a request:
 *
 *   openat|openat2 DIRFD PATH FLAGS MODE [async]
 *
 * with the path in hexadecimal. An empty line submits what has been gathered in
 * one go, and is answered by the results in the order of the requests.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/io_uring.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#define SYS_io_uring_enter 426
#endif

#define ENTRIES 64
#define LINE_BYTES 16384
#define PATH_BYTES 4096

struct ring {
	int descriptor;
	unsigned int *tail, *mask, *array;
	unsigned int *done_head, *done_tail, *done_mask;
	struct io_uring_sqe *requests;
	struct io_uring_cqe *completions;
};

static struct ring ring;
static char paths[ENTRIES][PATH_BYTES];
static struct open_how hows[ENTRIES];
static unsigned int gathered;

static void *part(unsigned long bytes, long long offset)
{
	void *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
			   ring.descriptor, offset);

	if (start == MAP_FAILED) {
		perror("uring: mmap");
		exit(1);
	}
	return start;
}

static int set_up(void)
{
	struct io_uring_params setup = {};
	char *submit, *complete;

	ring.descriptor = syscall(SYS_io_uring_setup, ENTRIES, &setup);
	if (ring.descriptor < 0)
		return -errno;
	submit = part(setup.sq_off.array + setup.sq_entries * sizeof(unsigned int),
		      IORING_OFF_SQ_RING);
	complete = part(setup.cq_off.cqes + setup.cq_entries * sizeof(struct io_uring_cqe),
			IORING_OFF_CQ_RING);
	ring.requests = part(setup.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
	ring.tail = (void *)(submit + setup.sq_off.tail);
	ring.mask = (void *)(submit + setup.sq_off.ring_mask);
	ring.array = (void *)(submit + setup.sq_off.array);
	ring.done_head = (void *)(complete + setup.cq_off.head);
	ring.done_tail = (void *)(complete + setup.cq_off.tail);
	ring.done_mask = (void *)(complete + setup.cq_off.ring_mask);
	ring.completions = (void *)(complete + setup.cq_off.cqes);
	return 0;
}

static void gather(const char *call, int directory, const char *path, uint64_t flags, uint64_t mode,
		   int async)
{
	unsigned int slot = gathered, tail = *ring.tail, index = tail & *ring.mask, byte;
	struct io_uring_sqe *request = &ring.requests[index];
	int length = 0;

	while (length < PATH_BYTES - 1 && sscanf(path + 2 * length, "%2x", &byte) == 1)
		paths[slot][length++] = byte;
	paths[slot][length] = 0;
	memset(request, 0, sizeof(*request));
	request->fd = directory;
	request->addr = (uintptr_t)paths[slot];
	request->user_data = slot;
	request->flags = async ? IOSQE_ASYNC : 0;
	if (!strcmp(call, "openat2")) {
		hows[slot] = (struct open_how){.flags = flags, .mode = mode};
		request->opcode = IORING_OP_OPENAT2;
		request->len = sizeof(hows[slot]);
		request->off = (uintptr_t)&hows[slot];
	} else {
		request->opcode = IORING_OP_OPENAT;
		request->len = mode;
		request->open_flags = flags;
	}
	ring.array[index] = index;
	__atomic_store_n(ring.tail, tail + 1, __ATOMIC_RELEASE);
	gathered++;
}

static void submit(void)
{
	int results[ENTRIES] = {};
	unsigned int seen = 0;

	if (syscall(SYS_io_uring_enter, ring.descriptor, gathered, gathered, IORING_ENTER_GETEVENTS,
		    NULL, 0) != gathered) {
		printf("error %d\n", errno);
		exit(1);
	}
	while (seen < gathered) {
		unsigned int head = *ring.done_head;
		struct io_uring_cqe *done;

		if (head == __atomic_load_n(ring.done_tail, __ATOMIC_ACQUIRE)) {
			syscall(SYS_io_uring_enter, ring.descriptor, 0, 1, IORING_ENTER_GETEVENTS,
				NULL, 0);
			continue;
		}
		done = &ring.completions[head & *ring.done_mask];
		results[done->user_data] = done->res;
		__atomic_store_n(ring.done_head, head + 1, __ATOMIC_RELEASE);
		seen++;
	}
	for (unsigned int i = 0; i < gathered; i++)
		printf("%d ", results[i]);
	printf("\n");
	gathered = 0;
}

int main(void)
{
	static char line[LINE_BYTES], path[LINE_BYTES];
	int error = set_up();

	if (error)
		printf("error %d\n", -error);
	while (!error && fgets(line, sizeof(line), stdin)) {
		char call[16], how[16] = "";
		unsigned long long flags, mode;
		int directory;

		if (line[0] == '\n')
			submit();
		else if (gathered < ENTRIES && sscanf(line, "%15s %d %16383s %llu %llu %15s", call,
						      &directory, path, &flags, &mode, how) >= 5)
			gather(call, directory, path, flags, mode, !strcmp(how, "async"));
		fflush(stdout);
	}
	return error != 0;
}
