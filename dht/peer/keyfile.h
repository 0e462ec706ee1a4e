/*
 * keyfile: small texts that hold secrets: read only where nobody else can read them, written whole, durably, and for nobody else.
 */
#ifndef DHT_PEER_KEYFILE_H
#define DHT_PEER_KEYFILE_H

#include <stddef.h>

/** keyfile_read(path, text, size, why, why_size): the whole file, with a NUL; its length, or -ENOENT, -EACCES (others than its owner can
 * read it), -EFBIG, -errno: ${why} says what is wrong and what to do. */
long keyfile_read(const char *path, char *text, size_t size, char *why, size_t why_size);

/** keyfile_write(path, text, len, why, why_size): a new file, mode 0600, whole and durable, or none.  -EEXIST: it is never replaced. */
int keyfile_write(const char *path, const char *text, size_t len, char *why, size_t why_size);

#endif
