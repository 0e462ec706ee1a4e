/*
 * Bringing the ledger and the segments together when a store is opened: rows without a file,
 * files without a row, files shorter or longer than their row says.
 */
#include "dht/store_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "dht/scan.h"

#define TELL_MS 200

struct recovery {
	struct store *s;
	struct segment *g;		/* being scanned */
	struct scratch *scratch;
	bool from_nothing;		/* the ledger knew nothing: nobody else tells of rotten records */
	uint32_t good_end;		/* where the last good record ends */
	uint64_t torn;
	size_t flush_at;		/* entries */
	dht_tell *tell;
	void *arg;
	struct dht_progress progress;
	int64_t told_ms;
	struct ledger_segment *gone;	/* rows of segments that have no file, or shall have none */
	size_t gone_count;
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int add_segment(void *arg, const char *name)
{
	struct recovery *v = arg;
	uint32_t number = segment_parse(name);

	if (number == 0)
		return 0;
	return segments_add(v->s->segments, number) ? 0 : -ENOMEM;
}

static int add_row(void *arg, const struct ledger_segment *row)
{
	struct recovery *v = arg;
	struct segment *g = segments_find(v->s->segments, row->number);
	struct ledger_segment *gone;

	if (row->end == 0)
		return 0;
	if (g && row->end != LEDGER_DELETED) {
		g->ledger_end = row->end < SEGMENT_MAX ? row->end : SEGMENT_MAX;
		return 0;
	}
	gone = realloc(v->gone, (v->gone_count + 1) * sizeof(*gone));
	if (!gone)
		return -ENOMEM;
	v->gone = gone;
	v->gone[v->gone_count++] = *row;
	return 0;
}

/* What the ledger says of bytes that are no longer there. */
static int forget(struct store *s, uint32_t number, uint32_t from)
{
	int64_t n = ledger_forget(s->ledger, number, from);

	if (n < 0)
		return (int)n;
	if (from == 0)
		store_say(s, LOG_ERR, "segment %08x is gone, and with it %lld chunks", number, (long long)n);
	else
		store_say(s, LOG_ERR, "segment %08x was cut to %u bytes, which cost %lld chunks", number,
		    from, (long long)n);
	return 0;
}

/* The ledger leads to nothing in it: a crash came between that and its end. */
static int finish_delete(struct store *s, uint32_t number)
{
	struct ledger_segment row = { .number = number };
	struct segment *g = segments_find(s->segments, number);
	int rc = g ? segment_delete(s, g) : 0;

	return rc < 0 ? rc : ledger_commit(s->ledger, NULL, 0, &row, 1);
}

static int measure(struct store *s, struct segment *g, uint64_t *scan_bytes)
{
	uint64_t size;
	int rc, fd = segment_hold(s->segments, g);

	if (fd < 0)
		return fd;
	rc = s->io->size(s->io->ctx, fd, &size);
	segment_drop(s->segments, g);
	if (rc < 0)
		return rc;
	if (size > SEGMENT_MAX)
		size = SEGMENT_MAX;
	/* A row was made after the folder was synced; of others nobody knows. */
	g->named = g->ledger_end > 0;
	g->end = (uint32_t)size;
	if (g->end < g->ledger_end) {
		rc = forget(s, g->number, g->end);
		if (rc < 0)
			return rc;
		g->ledger_end = g->end;
		g->sealed = true;
	}
	s->segment_bytes += g->end;
	rc = segment_measure(s, g);
	if (rc < 0)
		return rc;
	*scan_bytes += g->end - g->ledger_end;
	return 0;
}

/* Without threads: everything found so far, durable and in the ledger. */
static int flush(struct recovery *v)
{
	struct store *s = v->s;
	int rc = sync_round(s);

	while (rc == 0 && s->durable_count > 0)
		rc = commit_round(s);
	v->flush_at = s->recents.count + 2 * s->commit_records;
	/* A full disk keeps nobody from reading: the ledger is told when there is room again. */
	return rc == -ENOSPC && s->recents.count < s->recents_max ? 0 : rc;
}

static int enter_good(struct recovery *v, const struct record *r)
{
	struct store *s = v->s;
	struct record old;
	struct recent *e;
	int rc = 0;
	bool known;

	pthread_mutex_lock(&s->lock);
	e = recents_find(&s->recents, &r->address);
	known = ledger_get(s->ledger, &r->address, &old) == 0;
	/* It was written though the ledger has one: that could not be read then. */
	if (e ? e->record.bad : !known || old.bad || !record_same_place(&old, r)) {
		e = entry_for(s, r, known ? &old : NULL);
		rc = e ? unsynced_add(s, v->g, &e->place) : -ENOMEM;
		if (rc == 0)
			e->state = RECENT_APPENDED;
	}
	pthread_mutex_unlock(&s->lock);
	return rc == 0 && s->recents.count >= v->flush_at ? flush(v) : rc;
}

static int enter_bad(struct recovery *v, const struct record *r)
{
	struct store *s = v->s;
	struct record bad = *r, old;
	int rc = 0;

	bad.bad = true;
	pthread_mutex_lock(&s->lock);
	if (!recents_find(&s->recents, &r->address) &&
	    ledger_get(s->ledger, &r->address, &old) == -ENOENT)
		rc = store_enter(s, &bad);
	pthread_mutex_unlock(&s->lock);
	return rc;
}

static int found(void *arg, const struct record *r, const uint8_t *stored)
{
	struct recovery *v = arg;
	uint64_t before = v->progress.done;
	int64_t at_ms = now_ms();
	int rc;

	if (stored && record_verify(r, r->kind, stored, v->scratch->codec, v->scratch->bytes) == 0) {
		v->good_end = r->offset + record_span(r->stored_len);
		v->progress.chunks++;
		rc = enter_good(v, r);
	} else {
		v->torn++;
		v->progress.bad++;
		rc = v->from_nothing && stored ? enter_bad(v, r) : 0;
	}
	if (rc < 0)
		return rc;
	v->progress.done = before + record_span(r->stored_len);
	if (v->tell && at_ms - v->told_ms >= TELL_MS) {
		v->told_ms = at_ms;
		if (!v->tell(v->arg, &v->progress))
			return -ECANCELED;
	}
	return 0;
}

/*
 * Behind the last good record, and behind all that the ledger ever knew to be durable, are
 * only writes that a crash cut short.
 */
static void cut_tail(struct recovery *v, const struct scan *scan)
{
	struct segment *g = v->g;
	uint32_t end = v->good_end > g->ledger_end ? v->good_end : g->ledger_end;

	if (end == g->end || g->sealed)
		return;
	/* Without a ledger nobody knows what was durable, and bytes that can't be read may be good. */
	if (scan->error < 0 || v->from_nothing) {
		g->sealed = true;
		return;
	}
	pthread_mutex_lock(&v->s->lock);
	segment_cut(v->s, g, end);
	pthread_mutex_unlock(&v->s->lock);
	if (g->end != end)
		g->sealed = true;
}

static void scanned(struct segment *g)
{
	g->scanned = true;
	g->keep_end = g->end;
}

static int scan_segment(struct recovery *v, struct segment *g)
{
	struct store *s = v->s;
	struct scan scan = { .io = s->io, .segment = g->number, .store_id = s->id,
		.from = g->ledger_end, .end = g->end, .found = found, .arg = v };
	int rc;

	if (g->end == g->ledger_end) {
		scanned(g);
		return 0;
	}
	v->g = g;
	v->good_end = 0;
	v->torn = 0;
	scan.fd = segment_hold(s->segments, g);
	if (scan.fd < 0)
		return scan.fd;
	rc = scan_run(&scan);
	segment_drop(s->segments, g);
	if (rc < 0)
		return rc;
	if (v->torn > 0 || scan.skipped > 0 || scan.error < 0)
		store_say(s, LOG_WARNING, "segment %08x: %llu records and %llu bytes behind offset %u "
		    "are torn or rotten%s", g->number, (unsigned long long)v->torn,
		    (unsigned long long)scan.skipped, g->ledger_end,
		    scan.error < 0 ? ", and some could not be read" : "");
	cut_tail(v, &scan);
	scanned(g);
	return 0;
}

/* The last segment is gone on with, where its end is known to be sound. */
static void choose_active(struct store *s)
{
	size_t n = segments_count(s->segments);

	for (size_t i = 0; i < n; i++) {
		struct segment *g = segments_at(s->segments, i);

		g->sealed |= i + 1 < n || g->end % RECORD_ALIGN != 0;
		if (!g->sealed) {
			/* What a crash left set aside behind its end. */
			g->allocated = SEGMENT_MAX;
			segment_trim(s, g);
			s->active = g;
		}
	}
}

static int recover_all(struct recovery *v)
{
	struct store *s = v->s;
	int rc = s->io->list(s->io->ctx, s->dirfd, add_segment, v);

	if (rc == 0)
		rc = ledger_segments(s->ledger, add_row, v);
	for (size_t i = 0; rc == 0 && i < v->gone_count; i++)
		rc = v->gone[i].end == LEDGER_DELETED ? finish_delete(s, v->gone[i].number)
						      : forget(s, v->gone[i].number, 0);
	for (size_t i = 0; rc == 0 && i < segments_count(s->segments); i++)
		rc = measure(s, segments_at(s->segments, i), &v->progress.total);
	for (size_t i = 0; rc == 0 && i < segments_count(s->segments); i++)
		rc = scan_segment(v, segments_at(s->segments, i));
	if (rc < 0)
		return rc;
	choose_active(s);
	/* A scan of everything is not done twice; the little that a crash leaves can wait. */
	return v->from_nothing ? flush(v) : 0;
}

int recover(struct store *s, bool from_nothing, dht_tell *tell, void *arg,
    struct dht_progress *progress)
{
	struct recovery v = { .s = s, .from_nothing = from_nothing,
		.flush_at = 2 * s->commit_records, .tell = tell, .arg = arg };
	int rc;

	v.scratch = scratch_borrow(s);
	if (!v.scratch)
		return -ENOMEM;
	rc = recover_all(&v);
	scratch_return(s, v.scratch);
	free(v.gone);
	v.progress.done = v.progress.total;
	if (rc == 0 && tell)
		tell(arg, &v.progress);
	if (progress)
		*progress = v.progress;
	return rc;
}
