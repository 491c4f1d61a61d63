/* SPDX-License-Identifier: Apache-2.0 */
/* Swift can call zlib as it is. */
#ifndef APUS_CZLIB_H
#define APUS_CZLIB_H

#include <zlib.h>

#endif
