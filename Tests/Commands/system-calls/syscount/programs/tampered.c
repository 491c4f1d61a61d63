/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tampered: a child makes calls that its tracer and its seccomp filter meddle with, by their raw numbers:
 *   getppid 10 as they are; getgid 4 that the tracer turns into getppid; getuid 5 that it cancels;
 *   getegid 3 that the filter refuses with EPERM
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static int refuse(long number)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0);
}

static void times(int count, long number)
{
	for (int i = 0; i < count; i++)
		syscall(number);
}

static int child(void)
{
	if (refuse(SYS_getegid) || ptrace(PTRACE_TRACEME, 0, 0, 0) || raise(SIGSTOP))
		return 1;
	times(10, SYS_getppid);
	times(4, SYS_getgid);
	times(5, SYS_getuid);
	times(3, SYS_getegid);
	return 0;
}

int main(void)
{
	struct user_regs_struct registers;
	int status, entered = 0, cancelled = 0;
	pid_t process = fork();

	if (!process)
		_exit(child());
	waitpid(process, &status, 0);
	ptrace(PTRACE_SETOPTIONS, process, 0, PTRACE_O_TRACESYSGOOD);
	while (!ptrace(PTRACE_SYSCALL, process, 0, 0) && waitpid(process, &status, 0) == process &&
	       WIFSTOPPED(status)) {
		if (WSTOPSIG(status) != (SIGTRAP | 0x80))
			continue;
		entered = !entered;
		ptrace(PTRACE_GETREGS, process, 0, &registers);
		if (entered && registers.orig_rax == SYS_getgid) {
			registers.orig_rax = SYS_getppid;
		} else if (entered && registers.orig_rax == SYS_getuid) {
			registers.orig_rax = -1;
			cancelled = 1;
		} else if (!entered && cancelled) {
			registers.rax = -EPERM;
			cancelled = 0;
		} else {
			continue;
		}
		ptrace(PTRACE_SETREGS, process, 0, &registers);
	}
	return !WIFEXITED(status) || WEXITSTATUS(status);
}
