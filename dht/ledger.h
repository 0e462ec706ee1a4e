/*
 * ledger: where each chunk lies.  LMDB: address -> record, and a row a segment.
 *
 * The segments are the truth, and the ledger can be made from them again.  It lags behind
 * them: only what is on stable storage in its segment is ever entered (invariant 4 of
 * DESIGN.md), and everything before a segment's `end` has been.
 *
 * ledger_get(), ledger_has(), ledger_each(), ledger_live(), ledger_totals() and ledger_size() may be called from
 * any thread; the rest from one at a time.
 */
#ifndef DHT_LEDGER_H
#define DHT_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dht/record.h"

struct ledger;

#define LEDGER_DELETED UINT32_MAX	/* as the end of a segment */

struct ledger_segment {
	uint32_t number;
	uint32_t end;		/* all records before it are in the ledger, and durable; or
				 * LEDGER_DELETED: its file is deleted, or about to be */
	uint32_t live;		/* bytes of its records to which entries lead that are not bad; kept
				 * by the ledger itself */
};

struct ledger_totals {
	uint64_t chunks;	/* good ones */
	uint64_t raw_bytes, stored_bytes;	/* of them */
	uint64_t set_aside;	/* records, ever */
	uint64_t cleans;	/* ever: what they gave back, no entry leads to */
};

/**
 * ledger_open(dir, store_id, cleans, out): open ${dir}/ledger, or make it, as of that many cleans.
 * -EUCLEAN: it is damaged, or not of this store; -EPROTO: of another format; -ESTALE: of fewer cleans, so that
 * it leads to what has been given back: ledger_remove() it and open again.  Else -errno.
 */
int ledger_open(const char *dir, uint64_t store_id, uint64_t cleans, struct ledger **out);
void ledger_close(struct ledger *l);

/** ledger_remove(dir): delete its files.  0 (also where there are none) or -errno. */
int ledger_remove(const char *dir);

/** ledger_get(l, a, out): 0, -ENOENT, -EBADMSG (this entry is nonsense), -EUCLEAN (the file is
 * damaged: ledger_open() will say so the next time), -EIO, ... */
int ledger_get(struct ledger *l, const struct address *a, struct record *out);

/** ledger_has(l, addresses, n, has): has[i]: is there a good entry of addresses[i]?  Not asked where it is set already.  In the
 * order of addresses: faster.  0, or as ledger_get(). */
int ledger_has(struct ledger *l, const struct address *addresses, size_t n, bool *has);

/**
 * ledger_commit(l, records, n, segments, m): enter ${n} records (sorted by address: faster) and
 * ${m} rows of segments, durably; all or nothing.  A bad record replaces only its own entry or
 * none.  -ENOSPC: a smaller batch may still go.
 */
int ledger_commit(struct ledger *l, const struct record *records, size_t n,
    const struct ledger_segment *segments, size_t m);

/**
 * ledger_each(l, after, each, arg): call each(arg, record) in the order of addresses, from behind
 * ${after} (NULL: the first), until it returns not 0, which is returned.
 */
int ledger_each(struct ledger *l, const struct address *after,
    int (*each)(void *arg, const struct record *r), void *arg);

/** ledger_segments(l, each, arg): the same for the rows of segments; ${each} must change none. */
int ledger_segments(struct ledger *l,
    int (*each)(void *arg, const struct ledger_segment *row), void *arg);

/** ledger_live(l, segment): the row's live bytes; 0 where there is no row. */
uint32_t ledger_live(struct ledger *l, uint32_t segment);

/**
 * ledger_delete(l, addresses, n, records, bytes): remove the entries of ${n} addresses (sorted: faster),
 * durably; all or none.  *${records}, *${bytes}: of how many, and what they take on disk.
 */
int ledger_delete(struct ledger *l, const struct address *addresses, size_t n, uint64_t *records,
    uint64_t *bytes);

/** ledger_clean(l, cleans): one more clean begins, durably: *${cleans} so far. */
int ledger_clean(struct ledger *l, uint64_t *cleans);

/**
 * ledger_forget(l, segment, from): remove all records of ${segment} that reach behind ${from}, which
 * becomes its end.  For a segment that lost its end, or is gone (0).  Returns how many, or -errno.
 */
int64_t ledger_forget(struct ledger *l, uint32_t segment, uint32_t from);

void ledger_totals(struct ledger *l, struct ledger_totals *out);

/** ledger_size(l): bytes of its file. */
uint64_t ledger_size(struct ledger *l);

#endif
