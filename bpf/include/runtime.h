/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What every object shares with the program that loads it: the state of the
 * event ring's consumer and the filters that every command offers.
 */
#ifndef APUS_RUNTIME_H
#define APUS_RUNTIME_H

#include <linux/types.h>

/* event_channel.consumer: when a producer has to wake the consumer. */
enum consumer_state {
	CONSUMER_AWAKE = 0, /* it is reading, or has been woken: leave it alone */
	CONSUMER_IDLE = 1, /* it sleeps until something arrives: wake it at the first record */
	CONSUMER_BATCHING = 2, /* it sleeps for a moment: wake it only if the ring fills up */
};

struct event_channel {
	__u32 consumer; /* enum consumer_state, written by both sides */
	__u32 wake_bytes; /* unread bytes at which a batching consumer is woken */
	__u64 lost_records; /* records that found the ring full */
	__u64 lost_state; /* events whose beginning could not be remembered: a map was full */
	__u64 lost_targets; /* children that --follow could not add: a map was full */
	__u64 lost_stacks; /* stacks that found their map full: what counts under them has no frames */
	__u64 lost_totals; /* counts that found their map full */
	__u64 lost_keys; /* durations without a place in the histograms: the map was full */
};

enum task_filter_flag {
	FILTER_PROCESS = 1 << 0, /* process ID is in filter_processes */
	FILTER_THREAD = 1 << 1, /* thread ID is in filter_threads */
	FILTER_USER = 1 << 2,
	FILTER_COMM = 1 << 3,
	FILTER_CGROUP = 1 << 4, /* in the cgroup with this ID, or below it */
	FILTER_MOUNT_NAMESPACE = 1 << 5,
	FILTER_CGROUP_MAP = 1 << 6, /* the ID of its cgroup is in filter_cgroups */
	FILTER_MOUNT_NAMESPACE_MAP = 1 << 7, /* the inode number is in filter_mount_namespaces */
};

#define TASK_COMM_BYTES 16
#define FILTER_COMM_CODES 256

struct task_filter {
	__u64 cgroup; /* ID in the v2 hierarchy: the inode number of its directory */
	__u32 flags; /* enum task_filter_flag */
	__u32 self; /* our own process: never an event */
	__u32 user;
	__u32 mount_namespace; /* inode number */
	__u32 pid_namespace; /* inode number of the namespace whose IDs are shown; 0: the initial one */
	__u32 comm_prefix; /* the name has to begin with the text, not just to hold it */
	__u32 reserved;
	__u32 comm_accept; /* the bit that a match of the whole name sets */
	/* Bit i of entry c: character i of the name is c (the Shift-And search of Baeza-Yates and Gonnet). */
	__u16 comm_positions[FILTER_COMM_CODES];
};

#endif
