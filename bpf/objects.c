/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Embeds the compiled objects. The list is written by the Makefile and
 * includes every shared header as well: a header that changes must recompile
 * this file, or SwiftPM would leave Swift code with the old layout in place.
 */
#include "objects.h"

#pragma clang diagnostic ignored "-Wc23-extensions" /* #embed */

#if !__has_include("../build/bpf/objects.inc")
#error "The BPF objects are missing: run make, which compiles them before the Swift package."
#else
#include "../build/bpf/objects.inc"
#endif

const struct apus_object *apus_object_at(unsigned long index)
{
	return &apus_objects[index];
}
