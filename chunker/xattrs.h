/* xattrs: the extended attributes of one file, encoded.  Pure. */
#ifndef CHUNKER_XATTRS_H
#define CHUNKER_XATTRS_H

#include <stddef.h>
#include <stdint.h>

#define XATTR_NAME_MAX_LEN  255
#define XATTR_VALUE_MAX_LEN 65536

/*
 * A sequence of: u8 name length, le32 value length, name, value; names in strictly
 * rising order (memcmp, shorter first).  No xattrs at all: no bytes.
 */
struct xattr {
	const char *name;
	uint8_t name_len;
	const uint8_t *value;
	uint32_t value_len;
};

/** xattr_encoded_len(x): bytes that xattr_encode() writes. */
size_t xattr_encoded_len(const struct xattr *x);
void xattr_encode(const struct xattr *x, uint8_t *out);

/** xattr_next(p, end, prev, out): decode the one at *${p} and move it on; ${prev} is the one before or
 * NULL.  1, 0 at the end, or -EBADMSG (bounds, order, an empty name, a NUL in one, a value over
 * XATTR_VALUE_MAX_LEN); then *${p} and ${out} are as they were.  ${out} may be ${prev}. */
int xattr_next(const uint8_t **p, const uint8_t *end, const struct xattr *prev, struct xattr *out);

#endif
