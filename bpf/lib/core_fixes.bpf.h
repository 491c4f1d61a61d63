/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What moved between kernels, one entry a change, with the commit. A suffix
 * behind three underscores is a flavour: libbpf matches the type without it.
 */
#ifndef APUS_CORE_FIXES_BPF_H
#define APUS_CORE_FIXES_BPF_H

/* The name that an io_uring open will look up: getname() has copied it by the time the request is submitted. */
static __always_inline const void *io_open_name(struct io_open *open)
{
	return BPF_CORE_READ(open, filename, name);
}

#endif
