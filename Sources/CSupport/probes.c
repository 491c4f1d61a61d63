/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "CSupport.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_bpf
#define SYS_bpf 321
#endif
#define LINK_CREATE 28 /* enum bpf_cmd */

/* The part of union bpf_attr for LINK_CREATE with uprobe_multi (linux/bpf.h since 6.6). */
struct uprobe_multi_link {
	uint32_t program;
	uint32_t target;
	uint32_t attach_type;
	uint32_t flags;
	uint64_t path;
	uint64_t offsets;
	uint64_t reference_counters;
	uint64_t cookies;
	uint32_t count;
	uint32_t probe_flags;
	uint32_t process;
	uint32_t reserved;
};

int apus_uprobe_multi_link(const struct apus_user_probes *probes)
{
	struct uprobe_multi_link link;

	memset(&link, 0, sizeof(link));
	link.program = probes->program;
	link.attach_type = probes->attach_type;
	link.path = (uintptr_t)probes->path;
	link.offsets = (uintptr_t)probes->offsets;
	link.cookies = (uintptr_t)probes->cookies;
	link.reference_counters = (uintptr_t)probes->reference_counters;
	link.count = probes->count;
	link.probe_flags = probes->returns ? 1 : 0; /* BPF_F_UPROBE_MULTI_RETURN */
	link.process = probes->process;
	return syscall(SYS_bpf, LINK_CREATE, &link, sizeof(link));
}

int apus_probe_event_open(const struct apus_probe_event *event)
{
	struct perf_event_attr attributes = {
		.type = event->type,
		.size = sizeof(attributes),
		.config = event->config,
		.config1 = event->place,
		.config2 = event->offset,
		.sample_period = 1,
		.wakeup_events = 1,
	};

	/* Programs run on whatever CPU it happens. */
	return syscall(SYS_perf_event_open, &attributes, event->process > 0 ? event->process : -1,
		       event->process > 0 ? -1 : 0, -1, PERF_FLAG_FD_CLOEXEC);
}

int apus_attach_to_event(int event, int program)
{
	if (ioctl(event, PERF_EVENT_IOC_SET_BPF, program))
		return -1;
	return ioctl(event, PERF_EVENT_IOC_ENABLE, 0);
}

int apus_start_stops(pid_t child)
{
	long options = PTRACE_O_TRACEEXEC | PTRACE_O_TRACESYSGOOD;

	return ptrace(PTRACE_SEIZE, child, NULL, (void *)options);
}

void apus_end_stops(pid_t child)
{
	ptrace(PTRACE_DETACH, child, NULL, NULL);
}

/* A child that has ended is left for its parent's own wait. */
static enum apus_stop wait_for_stop(pid_t child, int *signal)
{
	siginfo_t info;
	int status;

	*signal = 0;
	memset(&info, 0, sizeof(info));
	while (waitid(P_PID, child, &info, WEXITED | WSTOPPED | WNOWAIT | __WALL))
		if (errno != EINTR)
			return APUS_STOP_ENDED;
	if (info.si_code != CLD_TRAPPED && info.si_code != CLD_STOPPED)
		return APUS_STOP_ENDED;
	if (waitpid(child, &status, __WALL) != child || !WIFSTOPPED(status))
		return APUS_STOP_ENDED;
	if (status >> 16 == PTRACE_EVENT_EXEC)
		return APUS_STOP_EXECUTED;
	if (WSTOPSIG(status) == (SIGTRAP | 0x80))
		return APUS_STOP_CALL;
	if (status >> 16 == 0)
		*signal = WSTOPSIG(status);
	return APUS_STOP_OTHER;
}

enum apus_stop apus_next_stop(pid_t child, int first, unsigned long *instruction)
{
	struct user_regs_struct registers;
	enum apus_stop stop;
	static int signal;
	long code;

	if (first)
		signal = 0;
	else {
		code = signal;
		if (ptrace(PTRACE_SYSCALL, child, NULL, (void *)code))
			return APUS_STOP_ENDED;
	}
	stop = wait_for_stop(child, &signal);
	*instruction = 0;
	if (stop == APUS_STOP_CALL && ptrace(PTRACE_GETREGS, child, NULL, &registers) == 0)
		*instruction = registers.rip;
	return stop;
}

static volatile uint32_t counted;

static void count_signal(int signal)
{
	(void)signal;
	__atomic_fetch_add(&counted, 1, __ATOMIC_RELAXED);
}

int apus_count_signal(int signal)
{
	struct sigaction action = {.sa_handler = count_signal};

	return sigaction(signal, &action, NULL);
}

uint32_t apus_counted_signals(void)
{
	return __atomic_load_n(&counted, __ATOMIC_RELAXED);
}
