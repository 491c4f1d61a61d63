/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "CSymbolization.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

/* A handle that permits nothing yet. */
static int look_up(int root, const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};

	/* Magic links are wanted here: /proc/PID/exe and map_files are such. */
	if (root == AT_FDCWD)
		return open(path, O_PATH | O_CLOEXEC);
	return syscall(SYS_openat2, root, path, &how, sizeof(how));
}

int apus_open_regular(int root, const char *path)
{
	char reopened[32];
	struct stat information;
	int handle = look_up(root, path);
	int descriptor = -1;

	if (handle < 0)
		return -1;
	if (fstat(handle, &information) == 0) {
		if (S_ISREG(information.st_mode)) {
			snprintf(reopened, sizeof(reopened), "/proc/self/fd/%d", handle);
			descriptor = open(reopened, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
		} else {
			errno = EINVAL;
		}
	}
	int error = errno;

	close(handle);
	errno = error;
	return descriptor;
}

int apus_open_root(const char *path)
{
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

uint64_t apus_device(uint32_t major, uint32_t minor)
{
	return makedev(major, minor);
}

int apus_devices_differ(int descriptor)
{
	struct statfs information;

	if (fstatfs(descriptor, &information))
		return 0;
	return information.f_type == BTRFS_SUPER_MAGIC ||
	       information.f_type == OVERLAYFS_SUPER_MAGIC;
}
