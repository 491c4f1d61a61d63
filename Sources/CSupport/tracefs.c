/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "CSupport.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

/* glibc has wrappers only since 2.36, and its header and the kernel's cannot be included together. */
static int detached_mount(void)
{
	unsigned int attributes =
		MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
	int context = syscall(SYS_fsopen, "tracefs", FSOPEN_CLOEXEC);
	int mount = -1, code;

	if (context < 0)
		return -1;
	if (!syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		mount = syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes);
	code = errno;
	close(context);
	errno = code;
	return mount;
}

/*
 * A thread with a mount namespace of its own, which ends with it. The mount lives on by its open root, in no folder of
 * any namespace.
 */
static void *mount_apart(void *result)
{
	int *descriptor = result;

	*descriptor = -1;
	/* Without the second step others would see the mount. */
	if (!unshare(CLONE_NEWNS) &&
	    !syscall(SYS_mount, NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
	    !syscall(SYS_mount, "tracefs", "/sys", "tracefs",
		     MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL))
		*descriptor = open("/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return NULL;
}

int apus_mount_tracefs(void)
{
	int descriptor = detached_mount();
	int code = errno;
	pthread_t thread;

	if (descriptor >= 0)
		return descriptor;
	if (!pthread_create(&thread, NULL, mount_apart, &descriptor))
		pthread_join(thread, NULL);
	errno = code;
	return descriptor;
}
