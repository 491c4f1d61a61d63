/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef APUS_ARCH_BPF_H
#define APUS_ARCH_BPF_H

/* Two ways to reach a register: through a pointer that the verifier trusts, or by a checked copy. */
#define READ_DIRECT(regs, field) ((regs)->field)
#define READ_CHECKED(regs, field) BPF_CORE_READ(regs, field)

#if defined(__TARGET_ARCH_x86)
#include "arch_x86.bpf.h"
#else
#error "this architecture has no arch_*.bpf.h yet"
#endif

#endif
