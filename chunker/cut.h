/* cut: where one chunk ends and the next begins.  Pure, stateless. */
#ifndef CHUNKER_CUT_H
#define CHUNKER_CUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunker/address.h"

#define CUT_MIN		(32u * 1024)	/* bytes; shorter only before a hole or at the end */
#define CUT_MEAN	(64u * 1024)
#define CUT_MAX		CHUNK_MAX
#define CUT_HOLE_MIN	(32u * 1024)	/* a run of zeros this long is a hole */
#define CUT_WINDOW	(CUT_MAX + CUT_HOLE_MIN)	/* with this many bytes cut() always decides */

enum cut_type {
	CUT_UNDECIDED,	/* more bytes are needed */
	CUT_DATA,	/* a chunk */
	CUT_HOLE,	/* a run of zeros, which goes on if it reached the end of what was given */
};

/**
 * cut(p, n, end, len): what starts at ${p}, which is the beginning of the file or a
 * place where the one before ended.  ${n} bytes are there to look at; ${end}: nothing
 * comes after them.  Sets *${len} to its length, 0 where undecided.  Never undecided
 * with ${end} (n > 0) or with n >= CUT_WINDOW.
 *
 * The rule, part of the format: every maximal run of at least CUT_HOLE_MIN zeros is a
 * hole.  What lies between is cut by a Gear hash (Xia et al., Ddelta, 2014) with the
 * table of gear.h, that starts at zero CUT_MIN bytes after the last cut: a cut falls
 * behind the first byte after which its 15 highest bits are zero, at the latest CUT_MAX
 * bytes after the last, or where a hole or the end comes.  Lengths are exponential:
 * CUT_MIN plus a mean of 32 KiB, 0.09 % at CUT_MAX.
 *
 * A hole that goes on is the caller's to follow (cut_zeros()): what cut() says of the rest
 * of one, shorter than CUT_HOLE_MIN, is not what it is.
 */
enum cut_type cut(const uint8_t *p, size_t n, bool end, size_t *len);

/** cut_zeros(p, n): how many of the ${n} bytes at ${p} are zeros before the first that is not. */
size_t cut_zeros(const uint8_t *p, size_t n);

#endif
