/*
 * redo: the puts and deletes of a transaction, to be done once more in another, where that one fails.
 * Values are copied.  Not thread-safe.
 */
#ifndef FS_REDO_H
#define FS_REDO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct redo_block;

/* Zero: empty. */
struct redo {
	struct redo_block *first, *last;
	size_t bytes;		/* of all records */
	bool lost;		/* memory ran out: it is not whole, until it is cleared */
};

struct redo_record {
	uint8_t table;
	bool deletes;		/* else puts */
	uint16_t key_len;
	uint32_t value_len;
	const void *key, *value;
};

/* A place between two records. */
struct redo_mark {
	struct redo_block *block;	/* NULL: before the first */
	size_t used, bytes;
};

/** redo_add(r, record): copies key and value; where there is no memory for that, r->lost. */
void redo_add(struct redo *r, const struct redo_record *record);

/** redo_end(r): the place behind the last.  redo_cut(r, m): drop what was added after ${m}. */
struct redo_mark redo_end(const struct redo *r);
void redo_cut(struct redo *r, struct redo_mark m);

/** redo_next(r, at, out): the record at ${at}, which moves on (zero: the first); false: there is no more.  What
 * ${out} points to lives until the record is dropped. */
bool redo_next(const struct redo *r, struct redo_mark *at, struct redo_record *out);

/** redo_clear(r): empty; some memory is kept.  redo_free(r): none. */
void redo_clear(struct redo *r);
void redo_free(struct redo *r);

#endif
