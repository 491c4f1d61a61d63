/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process of our own that reads foreign files without any privilege: how it
 * is started, how it gives up what it does not need, and how descriptors get
 * there.
 */
#ifndef APUS_CREADING_H
#define APUS_CREADING_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What the process is called, in argv[0]; and the descriptor of its socket. */
#define APUS_READER_NAME "apus-reader"
#define APUS_DEMANGLER_NAME "apus-demangler"
enum { APUS_READER_SOCKET = 3, APUS_READER_DESCRIPTORS = 2 };

/*
 * Executes `executable` as the reader, or under the other name: with the socket, no other descriptor, no
 * environment, and out of reach of the terminal's signals. It is killed if we
 * die. Returns our end of the socket; -1 and errno on failure.
 */
int apus_reader_start(const char *executable, const char *name, pid_t *child);

/*
 * Gives up, in the reader: capabilities and user, memory beyond `memory` bytes,
 * core dumps, and all system calls but those that compute on what is open.
 * Returns 0; or -1 and errno, if the system calls cannot be given up.
 */
int apus_reader_confine(uint64_t memory);

/* Sends bytes, with descriptors beside the first of them. How many bytes left; -1 and errno on failure. */
ssize_t apus_send(int socket, const void *bytes, size_t count, const int *descriptors,
		  int descriptor_count);

/*
 * Receives bytes, and at most APUS_READER_DESCRIPTORS descriptors, which are
 * closed on exec. *descriptor_count says how many came; more are closed. 0 at the end.
 */
ssize_t apus_receive(int socket, void *bytes, size_t count, int *descriptors,
		     int *descriptor_count);

/* Kills a reader and waits for its end. */
void apus_reader_end(pid_t child);

#endif
