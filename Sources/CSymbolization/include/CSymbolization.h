/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Swift cannot call or cannot do safely: openat2(2), C++ and Swift
 * demangling of hostile names, and liblzma.
 */
#ifndef APUS_CSYMBOLIZATION_H
#define APUS_CSYMBOLIZATION_H

#include <lzma.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Opens a regular file for reading, at a path that is resolved as if the
 * directory `root` were the root of all: neither "..", nor an absolute
 * symbolic link, nor a magic link leaves it. `root` may be AT_FDCWD for
 * the caller's own root. Nothing else than a regular file is ever opened,
 * because opening a device or a FIFO can have effects. -1 and errno if not.
 */
int apus_open_regular(int root, const char *path);

/* Opens a directory to look up paths in, for the above. -1 and errno if not. */
int apus_open_root(const char *path);

/* A device number as stat(2) has it. */
uint64_t apus_device(uint32_t major, uint32_t minor);

/*
 * Whether the file system of a file may show mappings of its files with other
 * devices than stat(2): btrfs and overlayfs do.
 */
int apus_devices_differ(int descriptor);

/*
 * Demangles a C++ name, which starts with "_Z", with libstdc++, and any other
 * with the Swift runtime. Neither can be stopped, and a few bytes can stand for
 * gigabytes: only for names that are known to stand for little. Returns the
 * length of the text without a NUL, or -1 if this is no name or longer than
 * `capacity`.
 */
ssize_t apus_demangle(const char *mangled, char *text, size_t capacity);

/*
 * Forks a child that does the same with bounded memory, and may be killed.
 * Each message of the socket returned is one name; each reply is one byte, 1
 * for success, and the text. The child ends by itself when it has had no work
 * for a second, and with its parent. -1 on failure.
 */
int apus_demangler_start(pid_t *child);

/*
 * Forks a child that becomes argv[0], looked up in PATH, with the signals that
 * end a program back at their default action. Returns the end of a pipe to read
 * what it prints, on either output; -1 on failure. It is killed if we die, and
 * ends with status 127 if there is no such program.
 */
int apus_tool_start(char *const argv[], pid_t *child);

/* The longest message to or from that child. */
enum { APUS_MANGLED_MAX = 4096, APUS_DEMANGLED_MAX = 16384 };

/* CPU time that a process has used, in nanoseconds; 0 if that is not known. */
uint64_t apus_cpu_time(pid_t process);

#endif
