/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Swift cannot call: variadic functions, fork, and macros with
 * arguments; and headers that its Glibc module leaves out. Those that stand for a system call
 * return what it returns: -1, with errno set, for a failure.
 */
#ifndef APUS_CSUPPORT_H
#define APUS_CSUPPORT_H

#include <stdint.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <sys/types.h>
#include <sys/vfs.h>

/* The commit that this was built from; "" if it is not known. */
const char *apus_commit(void);

/*
 * Occupies those of the descriptors 0, 1 and 2 that are closed (as by >&-), so that no other file of ours gets such a
 * number and is written to as if it were the output. Commands that we start find them closed, as without us.
 */
void apus_fill_standard_descriptors(void);

int apus_pidfd_open(pid_t pid);
/* Whether two processes have the same memory, as after clone with CLONE_VM: 1, 0, or -1 and errno. */
int apus_share_memory(pid_t one, pid_t other);
/* For one thread, whatever becomes of the others (Linux 6.9; before it EINVAL). */
int apus_threadfd_open(pid_t thread);

/* A disabled event that counts this thread's user mode on any CPU: to find out whether the kind exists. */
int apus_perf_event_open(uint32_t type, uint64_t config);
/* An event that samples a CPU, every `rate` counts or, if by_frequency, `rate` times a second. */
int apus_sampling_event_open(uint32_t type, uint64_t config, int cpu, uint64_t rate,
			     int by_frequency);

/*
 * An event that counts nothing, whose ring tells what all processes on a CPU map
 * for execution, when they fork, execute and exit, and when that was, by
 * CLOCK_MONOTONIC. Wakes its reader for each record.
 */
int apus_task_event_open(int cpu);

/* Blocks SIGINT, SIGTERM and SIGHUP, gives them back their default action, and returns a signalfd for them. */
int apus_signal_descriptor(void);
/* Undoes that: a signal that has come meanwhile does now what it does by itself. */
void apus_give_signals_back(void);
/* The next signal of such a descriptor, 0 if there is none. */
int apus_next_signal(int descriptor);

/*
 * Forks a child that waits until apus_child_release and then becomes argv[0],
 * looked up in PATH, with the signal mask and actions that we were started
 * with. It is killed if we die. Returns its ID; *gate is for apus_child_release.
 */
pid_t apus_child_prepare(char *const argv[], int *gate);
/*
 * For a child that has not been let go: makes it stop before the first instruction of the command, then waits for
 * that after apus_child_release, and lets it run. Each returns 0, or an errno: then it runs without a stop.
 */
int apus_child_stop_at_exec(pid_t child);
int apus_child_await_stop(pid_t child);
/*
 * Lets a stopped child run to the entry point of its program, when the libraries that it names are mapped, and stops
 * it there again. ENOTSUP, and the child has not moved, if it names none.
 */
int apus_child_run_to_entry(pid_t child);
int apus_child_continue(pid_t child);
/* Lets the child go. Returns 0 once the command runs, or the errno of its exec. */
int apus_child_release(int gate);

/*
 * Lets us have the CPU before others for the moments in which we read: a load
 * that fills the machine would otherwise fill the buffer too. Best effort.
 */
void apus_read_before_others(void);

/* Reaps a child without waiting. Its ID, 0 if it still runs, -1 on error. */
pid_t apus_reap(pid_t child, int *status);
int apus_status_exited(int status);
int apus_status_exit_code(int status);
int apus_status_signal(int status);

/*
 * Gives back the pages of the executable's own code. Start-up has mapped most
 * of them; they are clean, and those that are used again come back by themselves.
 */
void apus_release_code_pages(void);

/* A program on many places of one file, by one link: Linux 6.6 and later. */
struct apus_user_probes {
	int program;
	uint32_t attach_type;
	const char *path;
	const uint64_t *offsets;
	const uint64_t *cookies;
	const uint64_t *reference_counters; /* of semaphores in the file, 0 for none; or NULL */
	uint32_t count;
	int returns; /* at the returns of functions that begin there */
	pid_t process; /* 0: all */
};

/* The link's descriptor; -1 and errno on failure. */
int apus_uprobe_multi_link(const struct apus_user_probes *probes);
/* A tracepoint (place and offset 0), or a function by its name or its file (place) and where in it. */
struct apus_probe_event {
	uint32_t type;
	uint64_t config;
	uint64_t place;
	uint64_t offset;
	pid_t process; /* 0: all */
};

/* A perf event for each time that it is reached; -1 and errno on failure. */
int apus_probe_event_open(const struct apus_probe_event *event);
/* Runs a program at a perf event, until that is closed. 0, or -1 and errno. */
int apus_attach_to_event(int event, int program);

/*
 * Stops of a child that is about to execute a program: at that, and at the
 * entry and the exit of each system call until apus_end_stops.
 */
enum apus_stop {
	APUS_STOP_OTHER = 0,
	APUS_STOP_EXECUTED = 1,
	APUS_STOP_CALL = 2,
	APUS_STOP_ENDED = 3,
};

/* 0, or -1 and errno if this is not permitted. */
int apus_start_stops(pid_t child);
/* Waits for the first stop, or goes on to the next. `instruction`: where a system call was made. */
enum apus_stop apus_next_stop(pid_t child, int first, unsigned long *instruction);
/* Lets the child go on without stops. */
void apus_end_stops(pid_t child);

/*
 * Now, by the clock of the kernel's own time stamps: CLOCK_MONOTONIC in nanoseconds, as it is outside of time
 * namespaces, which move it for those inside (time_namespaces(7)).
 */
uint64_t apus_kernel_time(void);

/* Counts a signal from now on, instead of what it would do. */
int apus_count_signal(int signal);
/* How often it has come. */
uint32_t apus_counted_signals(void);

/*
 * A mount of tracefs, read-only, that is in no folder and that nobody else sees: its root, closed on exec. It ends with
 * the descriptor. -1 and errno if that is refused: EPERM without CAP_SYS_ADMIN, ENODEV if the kernel has no tracefs.
 */
int apus_mount_tracefs(void);

/* "ENOENT" for 2; NULL for a number that has no name. Knows the kernel's own restart codes too. */
const char *apus_errno_name(int code);
/* "KILL" for 9; NULL for a number that has no name, as real-time signals have none. */
const char *apus_signal_name(int signal);
/*
 * The name of a system call; NULL for a number without one. The ABI is 0 for the native calls, 1 for the 32-bit and 2
 * for the x32 ones. No table has more than apus_syscall_numbers entries.
 */
extern const unsigned int apus_syscall_numbers;
const char *apus_syscall_name(unsigned int abi, unsigned int number);
/* The C library's sentence for the code, from a static table: no locale, no buffer. */
const char *apus_errno_text(int code);

/*
 * Memory that is shared with the kernel. The store is sequentially consistent
 * and followed by a fence: what is read after it is read after it.
 */
static inline uint32_t apus_load_u32(const volatile uint32_t *at)
{
	return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

static inline void apus_store_u32(volatile uint32_t *at, uint32_t value)
{
	__atomic_store_n(at, value, __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static inline uint64_t apus_load_u64(const volatile uint64_t *at)
{
	return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

static inline void apus_release_u64(volatile uint64_t *at, uint64_t value)
{
	__atomic_store_n(at, value, __ATOMIC_RELEASE);
}

#endif
