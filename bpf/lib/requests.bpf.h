/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reads and writes that are asked for by other calls than those of their names: with io_submit, and by io_uring. */
#ifndef APUS_REQUESTS_BPF_H
#define APUS_REQUESTS_BPF_H

/* linux/aio_abi.h: struct iocb, and the calls that a request can stand for */
struct aio_request {
	__u64 data;
	__u32 key, flags;
	__u16 call;
	__s16 priority;
	__s32 descriptor;
	__u64 buffer;
	__u64 bytes; /* or how many parts, where the buffer is a list of them */
	__s64 offset;
};

#define AIO_PREAD 0
#define AIO_PWRITE 1
#define AIO_PREADV 7
#define AIO_PWRITEV 8

/* What records of io_uring_submit_req and io_uring_complete begin with. */
struct io_uring_record {
	__u64 common;
	__u64 context;
	__u64 request;
	__u64 user_data;
	__s32 result; /* of io_uring_complete */
};

/* linux/io_uring.h */
#define IO_URING_READV 1
#define IO_URING_WRITEV 2
#define IO_URING_READ_FIXED 4
#define IO_URING_WRITE_FIXED 5
#define IO_URING_SENDMSG 9
#define IO_URING_RECVMSG 10
#define IO_URING_OPENAT 18
#define IO_URING_READ 22
#define IO_URING_WRITE 23
#define IO_URING_SEND 26
#define IO_URING_RECV 27
#define IO_URING_OPENAT2 28
#define IO_URING_SPLICE 30
#define IO_URING_TEE 33
#define IO_URING_SEND_ZC 47
#define IO_URING_SENDMSG_ZC 48
#define IO_URING_READV_FIXED 60
#define IO_URING_WRITEV_FIXED 61

/* Which way a request of io_uring moves bytes: 1 reads, 2 writes, 0 neither. */
static __always_inline int io_uring_way(__u8 opcode)
{
	switch (opcode) {
	case IO_URING_READ:
	case IO_URING_READV:
	case IO_URING_READ_FIXED:
	case IO_URING_READV_FIXED:
	case IO_URING_RECV:
	case IO_URING_RECVMSG:
		return 1;
	case IO_URING_WRITE:
	case IO_URING_WRITEV:
	case IO_URING_WRITE_FIXED:
	case IO_URING_WRITEV_FIXED:
	case IO_URING_SEND:
	case IO_URING_SENDMSG:
	case IO_URING_SEND_ZC:
	case IO_URING_SENDMSG_ZC:
	case IO_URING_SPLICE:
	case IO_URING_TEE:
		return 2;
	}
	return 0;
}

#endif
