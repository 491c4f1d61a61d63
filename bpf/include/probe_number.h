/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef APUS_PROBE_NUMBER_H
#define APUS_PROBE_NUMBER_H

#include "runtime.h"

/*
 * What stands in a program for the number of the probe that it is attached to. Copies of the program are loaded that
 * have the number itself in its place (see ProgramCopies.swift).
 */
#define PROBE_NUMBER 0x6170757370726f62ULL

#endif
