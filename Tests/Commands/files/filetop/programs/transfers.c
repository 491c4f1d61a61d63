/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transfers DIRECTORY: reads and writes known amounts with each call.
 *   one      written: write 3 x 1000, pwrite 2 x 500, writev 700, pwritev 300, pwritev2 100; 8 calls, 5100 bytes
 *            read: read 4 x 100, one of 0 at the end, pread 50, readv 60, preadv 70, preadv2 80; 9 calls, 660 bytes
 *   two      sendfile 1111 from one, copy_file_range 2222 from one: 2 reads more of one, 2 writes of two
 *   renamed  write 10, then renamed to "moved", write 10: the same file
 *   pipe     write 40 into it, 40 read out of it; splice 500 of one into it, 500 read
 *   socket   send 11, sendmsg 22, sendmmsg 3 + 4, received by recv, recvmsg, recvmmsg
 * Then prints by how much rchar and wchar of /proc/self/io had grown before the pipe.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static char bytes[8192];

static void must(ssize_t got, ssize_t wanted, const char *what)
{
	if (got == wanted)
		return;
	perror(what);
	exit(1);
}

static void write_one(int file)
{
	struct iovec parts[2] = {{bytes, 400}, {bytes, 300}}, part = {bytes, 300};
	struct iovec small = {bytes, 100};

	for (int i = 0; i < 3; i++)
		must(write(file, bytes, 1000), 1000, "write");
	for (int i = 0; i < 2; i++)
		must(pwrite(file, bytes, 500, 3000 + i * 500), 500, "pwrite");
	lseek(file, 4000, SEEK_SET);
	must(writev(file, parts, 2), 700, "writev");
	must(pwritev(file, &part, 1, 4700), 300, "pwritev");
	must(pwritev2(file, &small, 1, 5000, 0), 100, "pwritev2");
}

static void read_one(int file)
{
	struct iovec a = {bytes, 60}, b = {bytes, 70}, c = {bytes, 80};

	lseek(file, 0, SEEK_SET);
	for (int i = 0; i < 4; i++)
		must(read(file, bytes, 100), 100, "read");
	lseek(file, 0, SEEK_END);
	must(read(file, bytes, 100), 0, "read at the end");
	must(pread(file, bytes, 50, 0), 50, "pread");
	lseek(file, 0, SEEK_SET);
	must(readv(file, &a, 1), 60, "readv");
	must(preadv(file, &b, 1, 0), 70, "preadv");
	must(preadv2(file, &c, 1, 0, 0), 80, "preadv2");
}

static void use_pipe(int one)
{
	int ends[2];
	off_t from = 0;

	must(pipe(ends), 0, "pipe");
	must(write(ends[1], bytes, 40), 40, "write to a pipe");
	must(read(ends[0], bytes, 100), 40, "read from a pipe");
	must(splice(one, &from, ends[1], NULL, 500, 0), 500, "splice");
	must(read(ends[0], bytes, 1000), 500, "read what was spliced");
}

static void use_socket(void)
{
	struct iovec part = {bytes, 22}, three = {bytes, 3}, four = {bytes, 4};
	struct iovec in[2] = {{bytes, 100}, {bytes, 100}};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	struct mmsghdr out[2] = {{.msg_hdr = {.msg_iov = &three, .msg_iovlen = 1}},
				 {.msg_hdr = {.msg_iov = &four, .msg_iovlen = 1}}};
	struct mmsghdr got[2] = {{.msg_hdr = {.msg_iov = &in[0], .msg_iovlen = 1}},
				 {.msg_hdr = {.msg_iov = &in[1], .msg_iovlen = 1}}};
	int ends[2];

	must(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0, "socketpair");
	must(send(ends[0], bytes, 11, 0), 11, "send");
	must(recv(ends[1], bytes, 100, 0), 11, "recv");
	must(sendmsg(ends[0], &message, 0), 22, "sendmsg");
	part.iov_len = 100;
	must(recvmsg(ends[1], &message, 0), 22, "recvmsg");
	must(sendmmsg(ends[0], out, 2, 0), 2, "sendmmsg");
	must(recvmmsg(ends[1], got, 2, 0, NULL), 2, "recvmmsg");
}

/* The kernel's own counters. Returns how many bytes were read to find out. */
static long counters(long *read_bytes, long *written_bytes)
{
	char text[1024] = {};
	int file = open("/proc/self/io", O_RDONLY);
	long got = file < 0 ? 0 : read(file, text, sizeof(text) - 1);

	close(file);
	if (sscanf(text, "rchar: %ld wchar: %ld", read_bytes, written_bytes) != 2)
		*read_bytes = *written_bytes = 0;
	return got;
}

int main(int argc, char **argv)
{
	long read_before, written_before, read_after, written_after, own;
	off_t from = 0, to = 0;
	int one, two, renamed;
	ssize_t got;

	if (argc != 2 || chdir(argv[1]))
		return 64;
	one = open("one", O_RDWR | O_CREAT | O_TRUNC, 0644);
	two = open("two", O_RDWR | O_CREAT | O_TRUNC, 0644);
	renamed = open("renamed", O_RDWR | O_CREAT | O_TRUNC, 0644);
	own = counters(&read_before, &written_before);
	write_one(one);
	read_one(one);
	must(sendfile(two, one, &from, 1111), 1111, "sendfile");
	from = 0;
	to = 2000;
	got = copy_file_range(one, &from, two, &to, 2222, 0);
	must(got, 2222, "copy_file_range");
	must(write(renamed, bytes, 10), 10, "write");
	must(rename("renamed", "moved"), 0, "rename");
	must(write(renamed, bytes, 10), 10, "write after rename");
	counters(&read_after, &written_after);
	use_pipe(one);
	use_socket();
	printf("%ld %ld\n", read_after - read_before - own, written_after - written_before);
	return 0;
}
