/* SPDX-License-Identifier: Apache-2.0 */
#include "CSupport.h"

#include <stddef.h>

#if !__has_include("../../build/syscalls.inc")
#error "The names of system calls are missing: run make, which writes them before the Swift package is built."
#else
#include "../../build/syscalls.inc"
#endif

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

const unsigned int apus_syscall_numbers = COUNT(native_names);

const char *apus_syscall_name(unsigned int abi, unsigned int number)
{
	switch (abi) {
	case 0:
		return number < COUNT(native_names) ? native_names[number] : NULL;
	case 1:
		return number < COUNT(compat_names) ? compat_names[number] : NULL;
	case 2:
		return number < COUNT(x32_names) ? x32_names[number] : NULL;
	}
	return NULL;
}
