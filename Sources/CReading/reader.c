/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "CReading.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The user that owns nothing (nobody). */
#define OVERFLOW_ID 65534
/* As many files as the tracer holds open for the processes it knows. */
#define MOST_FILES (1 << 16)

#if defined(__x86_64__)
#define NATIVE_AUDIT_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_AUDIT_ARCH AUDIT_ARCH_AARCH64
#else
#error "the name of this architecture for seccomp is not known"
#endif

static void become_reader(const char *executable, const char *name, int socket, pid_t parent)
{
	char *const arguments[] = {(char *)name, NULL};
	char *const environment[] = {NULL};
	sigset_t none;
	int nothing = open("/dev/null", O_RDWR);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || nothing < 0)
		_exit(127);
	/* The tracer, which waits for the answers, has the CPU before others as well: apus_read_before_others. */
	setpriority(PRIO_PROCESS, 0, -10);
	/* Ctrl-C is for the tracer, which still has names to ask for. */
	setpgid(0, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* Above all that is overwritten next. */
	socket = fcntl(socket, F_DUPFD, APUS_READER_SOCKET + 1);
	for (int standard = 0; standard < 3; standard++)
		if (dup2(nothing, standard) < 0)
			_exit(127);
	if (dup2(socket, APUS_READER_SOCKET) < 0)
		_exit(127);
	/* Everything else of ours is closed on exec as well; this also holds for what others left open to us. */
	syscall(SYS_close_range, (unsigned int)APUS_READER_SOCKET + 1, ~0U, 0U);
	execve(executable, arguments, environment);
	_exit(127);
}

int apus_reader_start(const char *executable, const char *name, pid_t *child)
{
	pid_t parent = getpid();
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return -1;
	*child = fork();
	if (*child == 0)
		become_reader(executable, name, ends[1], parent);
	close(ends[1]);
	if (*child < 0) {
		close(ends[0]);
		return -1;
	}
	return ends[0];
}

void apus_reader_end(pid_t child)
{
	int status;

	kill(child, SIGKILL);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
}

static void limit(int resource, rlim_t value)
{
	struct rlimit limits;

	if (getrlimit(resource, &limits))
		return;
	if (limits.rlim_max != RLIM_INFINITY && value > limits.rlim_max)
		value = limits.rlim_max;
	limits.rlim_cur = limits.rlim_max = value;
	setrlimit(resource, &limits);
}

/* Best effort: where a step is refused, there was no such privilege to give up. */
static void drop_privileges(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

	for (int capability = 0; capability < 64; capability++)
		prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
	if (setgroups(0, NULL) == 0 && setresgid(OVERFLOW_ID, OVERFLOW_ID, OVERFLOW_ID) == 0) {
		if (setresuid(OVERFLOW_ID, OVERFLOW_ID, OVERFLOW_ID))
			_exit(126);
	}
	syscall(SYS_capset, &header, none);
}

#define ALLOW(call)                                            \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1), \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

/* Reading what is open, memory, time, the socket, and the end: nothing that names a file, a process or an address. */
static int filter_calls(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_AUDIT_ARCH, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(read),
		ALLOW(pread64),
		ALLOW(fstat),
		ALLOW(sendmsg),
		ALLOW(recvmsg),
		ALLOW(close),
		ALLOW(mmap),
		ALLOW(munmap),
		ALLOW(mremap),
		ALLOW(madvise),
		ALLOW(brk),
		ALLOW(futex),
		ALLOW(clock_gettime),
		ALLOW(getrandom),
		ALLOW(rt_sigreturn),
		ALLOW(exit),
		ALLOW(exit_group),
		/* Duplicates of what is open. */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fcntl, 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, F_DUPFD_CLOEXEC, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		/* The C library's fstat. The folder is empty and there is nothing below it: see below. */
		ALLOW(newfstatat),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = {
		.len = sizeof(code) / sizeof(code[0]),
		.filter = code,
	};

	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

int apus_reader_confine(uint64_t memory)
{
	pid_t parent = getppid();

	prctl(PR_SET_NAME, APUS_READER_NAME);
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_FSIZE, 0);
	limit(RLIMIT_NOFILE, MOST_FILES);
	limit(RLIMIT_AS, memory);
	/* Paths lead nowhere: /proc/self/fdinfo holds no folder, and nothing of other processes. */
	if (chroot("/proc/self/fdinfo") == 0 && chdir("/"))
		return -1;
	drop_privileges();
	limit(RLIMIT_NPROC, 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	/* A change of the user takes this away; and none of its kind may look at it. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	return filter_calls();
}

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int) * APUS_READER_DESCRIPTORS)];
};

ssize_t apus_send(int socket, const void *bytes, size_t count, const int *descriptors,
		  int descriptor_count)
{
	struct iovec part = {.iov_base = (void *)bytes, .iov_len = count};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	union control control = {0};
	ssize_t sent;

	if (descriptor_count > APUS_READER_DESCRIPTORS) {
		errno = EINVAL;
		return -1;
	}
	if (descriptor_count > 0) {
		size_t length = sizeof(int) * (size_t)descriptor_count;
		struct cmsghdr *header;

		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(length);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(length);
		memcpy(CMSG_DATA(header), descriptors, length);
	}
	do {
		sent = sendmsg(socket, &message, MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	return sent;
}

ssize_t apus_receive(int socket, void *bytes, size_t count, int *descriptors, int *descriptor_count)
{
	struct iovec part = {.iov_base = bytes, .iov_len = count};
	union control control = {0};
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t received;

	*descriptor_count = 0;
	do {
		received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	} while (received < 0 && errno == EINTR);
	if (received < 0)
		return received;
	for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header;
	     header = CMSG_NXTHDR(&message, header)) {
		size_t length = header->cmsg_len - CMSG_LEN(0);

		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t at = 0; at + sizeof(int) <= length; at += sizeof(int)) {
			int descriptor;

			memcpy(&descriptor, CMSG_DATA(header) + at, sizeof(int));
			if (*descriptor_count < APUS_READER_DESCRIPTORS)
				descriptors[(*descriptor_count)++] = descriptor;
			else
				close(descriptor);
		}
	}
	return received;
}
