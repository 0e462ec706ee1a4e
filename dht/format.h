/*
 * format: the small text file that says what a store's folder is, and which version; and another
 * that says how often it was cleaned, so that a ledger from a backup is known for what it is.
 */
#ifndef DHT_FORMAT_H
#define DHT_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "dht/io.h"

#define FORMAT_VERSION 1

/**
 * format_read(io, dirfd, version, id): 0; -ENOENT: no such file; -EBADMSG: not one of ours, or
 * torn; -EPROTO: of another *${version}; or what reading said.
 */
int format_read(const struct io *io, int dirfd, unsigned int *version, uint64_t *id);

/**
 * cleans_read(io, dirfd, cleans): 0 where there is no such file; the most there can be where it is not
 * whole.  cleans_write(io, dirfd, cleans): durably.  0 or -errno.
 */
int cleans_read(const struct io *io, int dirfd, uint64_t *cleans);
int cleans_write(const struct io *io, int dirfd, uint64_t cleans);

/** format_write(io, dirfd, id): make it, durably. */
int format_write(const struct io *io, int dirfd, uint64_t id);

#endif
