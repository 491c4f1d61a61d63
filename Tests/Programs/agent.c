/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does what it is told, one command a line of standard input, and answers each
 * with one line. Texts are given and told in hexadecimal, so that any byte can
 * be in them: "-" is the empty text and "!" a pointer that leads nowhere.
 *
 * It opens nothing that it is not told to open.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#ifndef MAP_32BIT
#define MAP_32BIT 0
#endif

#define LINE_BYTES 65536
#define TEXT_BYTES 16384
#define MOST_WORDS 8
#define MOST_THREADS 64
#define MOST_CHILDREN 16
#define COMPAT_OPEN 5
#define COMPAT_CREAT 8
#define COMPAT_OPENAT 295

struct how {
	uint64_t flags, mode, resolve;
};

/* Below 4 GB, where a 32-bit system call can reach it. */
struct low_memory {
	char text[2][TEXT_BYTES];
	struct how how;
	int children[MOST_CHILDREN];
};

static struct low_memory *low;
static char *bad_pointer = (char *)1;

/* --- threads ----------------------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int tids[MOST_THREADS];
static int threads, started, finished, round_number;
static const char *job_path;
static long job_count;
static int job_numbered;

/* The opens of one thread; numbered ones have their own path each: PATH-TID-0, PATH-TID-1, ... */
static long open_many(const char *path, long count, int numbered)
{
	int tid = syscall(SYS_gettid);
	char own[TEXT_BYTES + 32];
	long opened = 0;
	int fd;

	for (long i = 0; i < count; i++) {
		if (numbered)
			snprintf(own, sizeof(own), "%s-%d-%ld", path, tid, i);
		fd = syscall(SYS_openat, AT_FDCWD, numbered ? own : path, O_RDONLY, 0);
		if (fd >= 0) {
			opened++;
			close(fd);
		}
	}
	return opened;
}

static void *thread_main(void *index)
{
	int seen = 0;

	pthread_mutex_lock(&lock);
	tids[(intptr_t)index] = syscall(SYS_gettid);
	started++;
	pthread_cond_broadcast(&changed);
	for (;;) {
		while (round_number == seen)
			pthread_cond_wait(&changed, &lock);
		seen = round_number;
		pthread_mutex_unlock(&lock);
		open_many(job_path, job_count, job_numbered);
		pthread_mutex_lock(&lock);
		finished++;
		pthread_cond_broadcast(&changed);
	}
	return NULL;
}

static void start_threads(int count)
{
	pthread_t thread;

	for (; threads < count && threads < MOST_THREADS; threads++)
		if (pthread_create(&thread, NULL, thread_main, (void *)(intptr_t)threads))
			break;
	pthread_mutex_lock(&lock);
	while (started < threads)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
	for (int i = 0; i < threads; i++)
		printf("%d ", tids[i]);
	printf("\n");
}

static long in_threads(const char *path, long count, int numbered)
{
	if (!threads)
		return open_many(path, count, numbered);
	pthread_mutex_lock(&lock);
	job_path = path;
	job_count = count;
	job_numbered = numbered;
	finished = 0;
	round_number++;
	pthread_cond_broadcast(&changed);
	while (finished < threads)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
	return count * threads;
}

/* --- system calls ------------------------------------------------------------------------------ */

static long int80(long number, long first, long second, long third, long fourth)
{
#if defined(__x86_64__)
	long result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(number), "b"(first), "c"(second), "d"(third), "S"(fourth)
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)result;
#elif defined(__i386__)
	long result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(number), "b"(first), "c"(second), "d"(third), "S"(fourth)
			 : "memory");
	return result;
#else
	return -ENOSYS;
#endif
}

static long raw(long number, long first, long second, long third, long fourth)
{
	long result = syscall(number, first, second, third, fourth);

	return result < 0 ? -errno : result;
}

static long call(const char *name, int directory, char *path, uint64_t flags, uint64_t mode)
{
	low->how = (struct how){.flags = flags, .mode = mode};
	if (!strcmp(name, "openat"))
		return raw(SYS_openat, directory, (long)path, flags, mode);
	if (!strcmp(name, "openat2"))
		return raw(SYS_openat2, directory, (long)path, (long)&low->how, sizeof(low->how));
	if (!strcmp(name, "openat2-bad"))
		return raw(SYS_openat2, directory, (long)path, (long)bad_pointer, sizeof(low->how));
#ifdef SYS_open
	if (!strcmp(name, "open"))
		return raw(SYS_open, (long)path, flags, mode, 0);
	if (!strcmp(name, "creat"))
		return raw(SYS_creat, (long)path, mode, 0, 0);
#endif
	return -ENOSYS;
}

static long call_compat(const char *name, int directory, char *path, uint64_t flags, uint64_t mode)
{
	low->how = (struct how){.flags = flags, .mode = mode};
	if (!strcmp(name, "openat"))
		return int80(COMPAT_OPENAT, directory, (long)path, flags, mode);
	if (!strcmp(name, "openat2"))
		return int80(SYS_openat2, directory, (long)path, (long)&low->how, sizeof(low->how));
	if (!strcmp(name, "open"))
		return int80(COMPAT_OPEN, (long)path, flags, mode, 0);
	if (!strcmp(name, "creat"))
		return int80(COMPAT_CREAT, (long)path, mode, 0, 0);
	return -ENOSYS;
}

/* --- processes --------------------------------------------------------------------------------- */

/* A child that opens PATH.1 and has a child that opens PATH.2, and so on. */
static void descend(const char *path, int depth, int level)
{
	char own[TEXT_BYTES + 32];
	pid_t child;

	if (level > depth || level > MOST_CHILDREN)
		return;
	child = fork();
	if (child == 0) {
		low->children[level - 1] = getpid();
		snprintf(own, sizeof(own), "%s.%d", path, level);
		syscall(SYS_openat, AT_FDCWD, own, O_RDONLY, 0);
		descend(path, depth, level + 1);
		_exit(0);
	}
	waitpid(child, NULL, 0);
}

static long run_cat(const char *path)
{
	pid_t child = vfork();

	if (child == 0) {
		close(2);
		execl("/bin/cat", "cat", path, NULL);
		_exit(127);
	}
	waitpid(child, NULL, 0);
	return child;
}

/* --- commands ---------------------------------------------------------------------------------- */

static char *text(const char *word, char *into)
{
	unsigned int byte;
	long length = 0;

	if (word && word[0] == '!')
		return bad_pointer;
	while (word && length < TEXT_BYTES - 1 && sscanf(word + 2 * length, "%2x", &byte) == 1)
		into[length++] = byte;
	into[length] = 0;
	return into;
}

static void tell(const char *bytes, long length)
{
	if (length < 0)
		length = -errno;
	for (long i = 0; i < length; i++)
		printf("%02x", (unsigned char)bytes[i]);
	printf(length < 0 ? "%ld\n" : "\n", length);
}

static long plain(char **word, char *first, char *second)
{
	const char *name = word[0];

	if (!strcmp(name, "close"))
		return close(atoi(word[1]));
	if (!strcmp(name, "chdir"))
		return chdir(first);
	if (!strcmp(name, "fchdir"))
		return fchdir(atoi(word[1]));
	if (!strcmp(name, "chroot"))
		return chroot(first);
	if (!strcmp(name, "mkdir"))
		return mkdir(first, 0777);
	if (!strcmp(name, "rmdir"))
		return rmdir(first);
	if (!strcmp(name, "bind"))
		return mount(first, second, NULL, MS_BIND, NULL);
	if (!strcmp(name, "detach"))
		return umount2(first, MNT_DETACH);
	if (!strcmp(name, "newns"))
		return unshare(CLONE_NEWNS) ?: mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	if (!strcmp(name, "setuid"))
		return syscall(SYS_setgid, atoi(word[1])) ?: syscall(SYS_setuid, atoi(word[1]));
	if (!strcmp(name, "comm"))
		return prctl(PR_SET_NAME, first, 0, 0, 0);
	errno = ENOSYS;
	return -1;
}

static void obey(char **word)
{
	char bytes[TEXT_BYTES];
	char *first = text(word[1], low->text[0]), *second = text(word[2], low->text[1]);
	const char *name = word[0];

	if (!strcmp(name, "call") && word[5]) {
		printf("%ld\n", call(word[1], atoi(word[2]), text(word[3], low->text[0]),
				     strtoull(word[4], NULL, 0), strtoull(word[5], NULL, 0)));
	} else if (!strcmp(name, "call32") && word[5]) {
		printf("%ld\n",
		       call_compat(word[1], atoi(word[2]), text(word[3], low->text[0]),
				   strtoull(word[4], NULL, 0), strtoull(word[5], NULL, 0)));
	} else if (!strcmp(name, "each") || !strcmp(name, "flood")) {
		printf("%ld\n", in_threads(second, atol(word[1]), name[0] == 'e'));
	} else if (!strcmp(name, "threads")) {
		start_threads(atoi(word[1]));
	} else if (!strcmp(name, "descend")) {
		descend(second, atoi(word[1]), 1);
		for (int i = 0; i < atoi(word[1]) && i < MOST_CHILDREN; i++)
			printf("%d ", low->children[i]);
		printf("\n");
	} else if (!strcmp(name, "cat")) {
		printf("%ld\n", run_cat(first));
	} else if (!strcmp(name, "cwd")) {
		tell(bytes, syscall(SYS_getcwd, bytes, sizeof(bytes)) - 1);
	} else if (!strcmp(name, "link")) {
		tell(bytes, readlink(first, bytes, sizeof(bytes)));
	} else if (!strcmp(name, "ids")) {
		printf("%d %ld %d %d\n", getpid(), syscall(SYS_gettid), getppid(), getuid());
	} else {
		long result = plain(word, first, second);

		printf("%ld\n", result < 0 ? (long)-errno : result);
	}
}

int main(void)
{
	static char line[LINE_BYTES];

	low = mmap(NULL, sizeof(*low), PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (low == MAP_FAILED)
		return 1;
	umask(0);
	while (fgets(line, sizeof(line), stdin)) {
		char *word[MOST_WORDS + 1] = {};
		int words = 0;

		for (char *next = strtok(line, " \n"); next && words < MOST_WORDS;
		     next = strtok(NULL, " \n"))
			word[words++] = next;
		if (words)
			obey(word);
		fflush(stdout);
	}
	return 0;
}
