/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef APUS_OBJECTS_H
#define APUS_OBJECTS_H

/* An object file that is embedded into the executable. */
struct apus_object {
	const char *_Nonnull name; /* of the source file, without its ending */
	const unsigned char *_Nonnull packed; /* by gzip */
	unsigned long packed_size;
	unsigned long size;
};

extern const unsigned long apus_object_count;
/* An array of unknown length cannot be imported by Swift. */
const struct apus_object *_Nonnull apus_object_at(unsigned long index);

#endif
