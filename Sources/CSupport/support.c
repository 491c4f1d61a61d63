/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "CSupport.h"

#include <elf.h>
#include <errno.h>
#include <linux/kcmp.h>
#include <linux/perf_event.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

static const int watched_signals[] = {SIGINT, SIGTERM, SIGHUP};
#define WATCHED (sizeof(watched_signals) / sizeof(watched_signals[0]))

static sigset_t original_mask;
static struct sigaction original_actions[WATCHED];
static int signals_taken;

void apus_fill_standard_descriptors(void)
{
	for (int number = 0; number <= 2; number++)
		/* The lowest free number is taken. What is opened like this can be neither read nor written: EBADF. */
		if (fcntl(number, F_GETFD) < 0 && errno == EBADF)
			open("/", O_PATH | O_CLOEXEC);
}

int apus_pidfd_open(pid_t pid)
{
	return syscall(SYS_pidfd_open, pid, 0);
}

int apus_share_memory(pid_t one, pid_t other)
{
	long order = syscall(SYS_kcmp, one, other, KCMP_VM, 0, 0);

	return order < 0 ? -1 : order == 0;
}

int apus_signal_descriptor(void)
{
	struct sigaction usual = {.sa_handler = SIG_DFL};
	sigset_t set;

	sigemptyset(&set);
	for (unsigned int i = 0; i < WATCHED; i++) {
		sigaddset(&set, watched_signals[i]);
		/* A shell starts background jobs with SIGINT ignored, and an ignored signal never reaches a signalfd. */
		if (sigaction(watched_signals[i], &usual, &original_actions[i]))
			return -1;
	}
	if (sigprocmask(SIG_BLOCK, &set, &original_mask))
		return -1;
	signals_taken = 1;
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

int apus_next_signal(int descriptor)
{
	struct signalfd_siginfo info;

	return read(descriptor, &info, sizeof(info)) == sizeof(info) ? (int)info.ssi_signo : 0;
}

int apus_sampling_event_open(uint32_t type, uint64_t config, int cpu, uint64_t rate,
			     int by_frequency)
{
	struct perf_event_attr attributes = {
		.type = type,
		.size = sizeof(attributes),
		.config = config,
		.sample_period = rate,
		.freq = by_frequency != 0,
	};

	return syscall(SYS_perf_event_open, &attributes, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
}

/* By how much our time namespace has moved CLOCK_MONOTONIC, in nanoseconds. */
static int64_t clock_offset(void)
{
	static int is_known;
	static int64_t offset;
	long long seconds, nanoseconds;
	FILE *file;

	if (is_known)
		return offset;
	is_known = 1;
	file = fopen("/proc/self/timens_offsets", "re"); /* Linux 5.5 */
	if (!file)
		return 0;
	/* Before Linux 5.7 the clock is a number. */
	if (fscanf(file, "%*s %lld %lld", &seconds, &nanoseconds) == 2)
		offset = seconds * 1000000000 + nanoseconds;
	fclose(file);
	return offset;
}

uint64_t apus_kernel_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec - clock_offset();
}

int apus_task_event_open(int cpu)
{
	struct perf_event_attr attributes = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attributes),
		.config = PERF_COUNT_SW_DUMMY,
		.sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_TIME,
		.sample_id_all = 1,
		.exclude_kernel = 1,
		.exclude_hv = 1,
		.mmap = 1,
		.mmap2 = 1,
		.comm = 1,
		.comm_exec = 1,
		.task = 1,
		.watermark = 1,
		.wakeup_watermark = 1,
		.use_clockid = 1,
		.clockid = CLOCK_MONOTONIC,
	};

	return syscall(SYS_perf_event_open, &attributes, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
}

int apus_threadfd_open(pid_t thread)
{
	return syscall(SYS_pidfd_open, thread, O_EXCL /* PIDFD_THREAD */);
}

int apus_perf_event_open(uint32_t type, uint64_t config)
{
	struct perf_event_attr attributes = {
		.type = type,
		.size = sizeof(attributes),
		.config = config,
		.disabled = 1,
		.exclude_kernel = 1,
		.exclude_hv = 1,
	};

	return syscall(SYS_perf_event_open, &attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

void apus_give_signals_back(void)
{
	if (!signals_taken)
		return;
	signals_taken = 0;
	for (unsigned int i = 0; i < WATCHED; i++)
		sigaction(watched_signals[i], &original_actions[i], NULL);
	sigprocmask(SIG_SETMASK, &original_mask, NULL);
}

static void restore_signals(void)
{
	struct sigaction usual = {.sa_handler = SIG_DFL};

	sigaction(SIGPIPE, &usual, NULL);
	sigaction(SIGXFSZ, &usual, NULL);
	apus_give_signals_back();
}

static void become(char *const argv[], int gate, pid_t parent)
{
	char go;
	int code;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent) /* it died before the line above */
		_exit(127);
	if (read(gate, &go, 1) != 1)
		_exit(127);
	restore_signals();
	execvp(argv[0], argv);
	code = errno;
	if (write(gate, &code, sizeof(code)) != sizeof(code))
		_exit(126);
	_exit(127);
}

pid_t apus_child_prepare(char *const argv[], int *gate)
{
	pid_t parent = getpid(), child;
	int ends[2];

	/* A pipe each way in one: the go comes in, exec's errno goes out, and a successful exec closes it. */
	if (syscall(SYS_socketpair, 1 /* AF_UNIX */, 1 /* SOCK_STREAM */ | O_CLOEXEC, 0, ends))
		return -1;
	child = fork();
	if (child == 0) {
		close(ends[0]);
		become(argv, ends[1], parent);
	}
	close(ends[1]);
	if (child < 0)
		close(ends[0]);
	else
		*gate = ends[0];
	return child;
}

int apus_child_stop_at_exec(pid_t child)
{
	return ptrace(PTRACE_SEIZE, child, NULL, PTRACE_O_TRACEEXEC) ? errno : 0;
}

/* Waits for a stop that is not a signal on its way, which the child is to have. */
static int await_stop(pid_t child, int wanted)
{
	int status;

	while (waitpid(child, &status, __WALL) == child) {
		if (!WIFSTOPPED(status))
			return ECHILD; /* it has ended */
		if (status >> 8 == wanted)
			return 0;
		ptrace(PTRACE_CONT, child, NULL, WSTOPSIG(status));
	}
	return errno;
}

int apus_child_await_stop(pid_t child)
{
	return await_stop(child, SIGTRAP | PTRACE_EVENT_EXEC << 8);
}

#if defined(__x86_64__)
static unsigned long auxiliary_value(pid_t child, unsigned long type)
{
	unsigned long entry[2], found = 0;
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/auxv", child);
	file = fopen(path, "re");
	while (file && fread(entry, sizeof(entry), 1, file) == 1 && entry[0] != AT_NULL)
		if (entry[0] == type)
			found = entry[1];
	if (file)
		fclose(file);
	return found;
}

int apus_child_run_to_entry(pid_t child)
{
	unsigned long entry = auxiliary_value(child, AT_ENTRY);
	struct user_regs_struct registers;
	long code;
	int result;

	if (!entry || !auxiliary_value(child, AT_BASE))
		return ENOTSUP;
	errno = 0;
	code = ptrace(PTRACE_PEEKTEXT, child, entry, NULL);
	/* int3 */
	if (errno || ptrace(PTRACE_POKETEXT, child, entry, (code & ~0xffL) | 0xcc))
		return ENOTSUP;
	if (ptrace(PTRACE_CONT, child, NULL, 0))
		return errno;
	result = await_stop(child, SIGTRAP);
	if (result)
		return result;
	if (ptrace(PTRACE_POKETEXT, child, entry, code) ||
	    ptrace(PTRACE_GETREGS, child, NULL, &registers))
		return errno;
	registers.rip = entry;
	return ptrace(PTRACE_SETREGS, child, NULL, &registers) ? errno : 0;
}
#else
int apus_child_run_to_entry(pid_t child)
{
	(void)child;
	return ENOTSUP;
}
#endif

int apus_child_continue(pid_t child)
{
	return ptrace(PTRACE_DETACH, child, NULL, 0) ? errno : 0;
}

int apus_child_release(int gate)
{
	int code = 0;
	ssize_t got;

	if (write(gate, "g", 1) != 1)
		code = errno;
	do {
		got = code ? 0 : read(gate, &code, sizeof(code));
	} while (got < 0 && errno == EINTR);
	close(gate);
	return code;
}

void apus_read_before_others(void)
{
	setpriority(PRIO_PROCESS, 0, -10);
}

pid_t apus_reap(pid_t child, int *status)
{
	return waitpid(child, status, WNOHANG);
}

int apus_status_exited(int status)
{
	return WIFEXITED(status);
}

int apus_status_exit_code(int status)
{
	return WEXITSTATUS(status);
}

int apus_status_signal(int status)
{
	return WTERMSIG(status);
}

const char *apus_errno_name(int code)
{
	/* include/linux/errno.h: never returned to user space, but seen by tracepoints. */
	switch (code) {
	case 512:
		return "ERESTARTSYS";
	case 513:
		return "ERESTARTNOINTR";
	case 514:
		return "ERESTARTNOHAND";
	case 516:
		return "ERESTART_RESTARTBLOCK";
	default:
		return code ? strerrorname_np(code) : NULL;
	}
}

const char *apus_signal_name(int signal)
{
	return sigabbrev_np(signal);
}

const char *apus_errno_text(int code)
{
	const char *text = strerrordesc_np(code);

	return text ? text : "unknown error";
}

void apus_release_code_pages(void)
{
	extern const char __executable_start[], etext[];
	uintptr_t page = sysconf(_SC_PAGESIZE);
	uintptr_t start = ((uintptr_t)__executable_start + page - 1) & ~(page - 1);
	uintptr_t end = (uintptr_t)etext & ~(page - 1);

	if (start < end)
		madvise((void *)start, end - start, MADV_DONTNEED);
}
