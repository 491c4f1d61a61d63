/* SPDX-License-Identifier: Apache-2.0 */
/* Swift can call zstd as it is. */
#ifndef APUS_CZSTD_H
#define APUS_CZSTD_H

#include <zstd.h>

#endif
