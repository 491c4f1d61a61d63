// SPDX-License-Identifier: Apache-2.0
/*
 * Makes the kernel allocate, and keep, what can be counted:
 *
 *   kernel-objects KEPT CLOSED ENTRIES
 *
 * makes KEPT + CLOSED event descriptors and closes CLOSED of them, and a BPF
 * array of ENTRIES values of 64 bytes for each CPU (0: none). A child keeps
 * them, and its number is printed once all are there: kill it to end.
 */
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static int make_array(unsigned int entries)
{
	union bpf_attr attributes;

	memset(&attributes, 0, sizeof(attributes));
	attributes.map_type = BPF_MAP_TYPE_PERCPU_ARRAY;
	attributes.key_size = 4;
	attributes.value_size = 64;
	attributes.max_entries = entries;
	return syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof(attributes));
}

int main(int argc, char **argv)
{
	int kept = argc > 1 ? atoi(argv[1]) : 0, closed = argc > 2 ? atoi(argv[2]) : 0;
	int entries = argc > 3 ? atoi(argv[3]) : 0, ends[2];
	struct rlimit most = {kept + 64, kept + 64}, all = {RLIM_INFINITY, RLIM_INFINITY};
	pid_t child;
	char byte;

	/* Before Linux 5.11 maps count as locked memory. */
	setrlimit(RLIMIT_MEMLOCK, &all);
	if (setrlimit(RLIMIT_NOFILE, &most) || pipe(ends))
		return 1;
	child = fork();
	if (child < 0)
		return 1;
	if (!child) {
		for (int i = 0; i < closed; i++) {
			int descriptor = eventfd(0, 0);

			if (descriptor < 0 || close(descriptor))
				return 1;
		}
		for (int i = 0; i < kept; i++)
			if (eventfd(0, 0) < 0)
				return 1;
		if (entries && make_array(entries) < 0)
			return 1;
		if (write(ends[1], "x", 1) != 1)
			return 1;
		freopen("/dev/null", "w", stdout);
		freopen("/dev/null", "w", stderr);
		pause();
		return 0;
	}
	close(ends[1]);
	if (read(ends[0], &byte, 1) != 1)
		return 1;
	printf("%d\n", child);
	return 0;
}
