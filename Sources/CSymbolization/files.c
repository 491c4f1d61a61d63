/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "CSymbolization.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#define LINKS_MOST 40 /* as the kernel's MAXSYMLINKS */
#define DEPTH_MOST 256

/*
 * What openat2 does with RESOLVE_IN_ROOT, where there is none: before Linux 5.6, and under filters of system calls. Each
 * step is one name that is no link, so that nothing leads out: ".." takes back a step.
 */
int apus_walk_in_root(int root, const char *path)
{
	int handles[DEPTH_MOST], depth = 0, links = 0, error = 0, result;
	char rest[2 * PATH_MAX], target[PATH_MAX], name[NAME_MAX + 1];

	if (strlen(path) >= PATH_MAX) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(rest, path);
	for (char *next = rest; *next && !error;) {
		int above = depth ? handles[depth - 1] : root, handle;
		size_t length = strcspn(next, "/");
		struct stat information;
		ssize_t bytes;

		if (length > NAME_MAX) {
			error = ENAMETOOLONG;
			break;
		}
		memcpy(name, next, length);
		name[length] = 0;
		next += length + (next[length] == '/');
		if (!length || !strcmp(name, "."))
			continue;
		if (!strcmp(name, "..")) {
			if (depth)
				close(handles[--depth]);
			continue;
		}
		handle = openat(above, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (handle < 0 || fstat(handle, &information)) {
			error = errno;
			if (handle >= 0)
				close(handle);
			break;
		}
		if (!S_ISLNK(information.st_mode)) {
			if (depth == DEPTH_MOST) {
				close(handle);
				error = ELOOP;
				break;
			}
			handles[depth++] = handle;
			continue;
		}
		bytes = readlinkat(handle, "", target, sizeof(target) - 1);
		error = bytes < 0 ? errno : 0;
		close(handle);
		if (error)
			break;
		target[bytes] = 0;
		if (++links > LINKS_MOST || bytes + 1 + strlen(next) >= sizeof(rest)) {
			error = ELOOP;
			break;
		}
		/* Its target comes first, and then the rest of the path. */
		memmove(rest + bytes + 1, next, strlen(next) + 1);
		memcpy(rest, target, bytes);
		rest[bytes] = '/';
		next = rest;
		if (target[0] == '/')
			while (depth)
				close(handles[--depth]);
	}
	result = !error && depth ? handles[--depth] : -1;
	while (depth)
		close(handles[--depth]);
	if (result < 0)
		errno = error ?: EISDIR;
	return result;
}

/* A handle that permits nothing yet. */
static int look_up(int root, const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	int handle;

	/* Magic links are wanted here: /proc/PID/exe and map_files are such. */
	if (root == AT_FDCWD)
		return open(path, O_PATH | O_CLOEXEC);
	handle = syscall(SYS_openat2, root, path, &how, sizeof(how));
	if (handle < 0 && (errno == ENOSYS || errno == EPERM))
		return apus_walk_in_root(root, path);
	return handle;
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
