/* SPDX-License-Identifier: Apache-2.0 */
#include "CSupport.h"

/* Written by the Makefile, where the sources are a repository. */
#if __has_include("../../build/commit.inc")
#include "../../build/commit.inc"
#else
#define APUS_COMMIT ""
#endif

const char *apus_commit(void)
{
	return APUS_COMMIT;
}
