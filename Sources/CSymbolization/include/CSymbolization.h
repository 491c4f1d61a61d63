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

/*
 * The C++ demangler of libstdc++, stopped when it has written `capacity`
 * bytes: a few bytes can stand for gigabytes. Returns the length of the
 * text without a NUL, or -1 if this is no name or its text is too long.
 */
ssize_t apus_demangle_cxx(const char *mangled, char *text, size_t capacity);

/*
 * The same with the Swift runtime's demangler, which cannot be stopped:
 * only for names that are known to stand for little.
 */
ssize_t apus_demangle_swift(const char *mangled, char *text, size_t capacity);

/*
 * Forks a child that demangles Swift names with bounded memory, and may be
 * killed. Each message of the socket returned is one name; each reply is
 * one byte, 1 for success, and the text. The child ends by itself when it
 * has had no work for a second, and with its parent. -1 on failure.
 */
int apus_demangler_start(pid_t *child);

/* The longest message to or from that child. */
enum { APUS_MANGLED_MAX = 4096, APUS_DEMANGLED_MAX = 16384 };

#endif
