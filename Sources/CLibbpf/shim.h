/* SPDX-License-Identifier: Apache-2.0 */
#ifndef APUS_CLIBBPF_SHIM_H
#define APUS_CLIBBPF_SHIM_H

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/perf_event.h>

/* BTF kinds are both macros and enumerators in the headers, which makes the names ambiguous in Swift. */
static const unsigned int apus_btf_kind_func = 12;
static const unsigned int apus_btf_kind_func_proto = 13;
static const unsigned int apus_btf_kind_ptr = 2;
static const unsigned int apus_btf_kind_struct = 4;
static const unsigned int apus_btf_kind_typedef = 8;
static const unsigned int apus_btf_kind_datasec = 15;

/* const in libbpf 1.1, plain from 1.4 on: one type for Swift. */
static inline void *apus_map_initial_value(struct bpf_map *map, size_t *size)
{
	return (void *)bpf_map__initial_value(map, size);
}

#endif
