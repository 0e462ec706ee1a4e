/*
 * Walking over every record of every segment: a check verifies them all; a mend looks only for
 * chunks that lie where the ledger does not say.
 */
#include "dht/store_impl.h"

#include <errno.h>

#include "dht/pace.h"
#include "dht/scan.h"

#define BATCH	 256	/* entries of the ledger looked at in one of its transactions */

struct walk {
	struct store *s;
	bool verify;			/* all, not only what the ledger has lost */
	struct pace pace;
	struct scratch *scratch;
	uint64_t found_good;		/* records that the ledger leads to, and that are there */
	int error;
};

/* Does a header at ${r}'s place name its chunk? */
static bool header_there(struct store *s, const struct record *r)
{
	struct segment *g = segments_find(s->segments, r->segment);
	uint8_t header[RECORD_HEADER];
	struct record really;
	ssize_t n;
	int fd;

	if (!g)
		return false;
	fd = segment_hold(s->segments, g);
	if (fd < 0)
		return false;
	n = s->io->pread(s->io->ctx, fd, header, sizeof(header), r->offset);
	segment_drop(s->segments, g);
	return n == (ssize_t)sizeof(header) &&
	    record_decode(header, r->segment, r->offset, s->id, &really) == 0 &&
	    address_equal(&really.address, &r->address);
}

/*
 * The ledger leads to no good record of this chunk, though it has an entry of it: now it leads here.
 * A chunk that it has no entry of was collected.
 */
static void adopt(struct walk *w, const struct record *r)
{
	struct store *s = w->s;
	struct chunk *c = NULL;
	struct segment *g;
	struct recent *e;
	int rc = -ENOENT;

	pthread_mutex_lock(&s->lock);
	g = segments_find(s->segments, r->segment);
	e = recents_find(&s->recents, &r->address);
	/* What is being given back to the disk is not to be led to again. */
	if ((e ? e->state == RECENT_DURABLE && e->record.bad : !gc_condemns(s, &r->address)) &&
	    g && !g->cleaning)
		rc = store_enter(s, r);
	pthread_mutex_unlock(&s->lock);
	if (rc < 0)
		return;
	/* From here on nobody gives it back; but that may have been done since it was read. */
	rc = store_read(s, r, r->kind, &c);
	chunk_drop(c);
	if (rc == -EBADMSG || rc == -ENXIO)
		store_set_aside(s, r, "its place was given back");
}

static bool verifies(struct walk *w, const struct record *r, const uint8_t *stored)
{
	return stored && record_verify(r, r->kind, stored, w->scratch->codec, w->scratch->bytes) == 0;
}

static int found(void *arg, const struct record *r, const uint8_t *stored)
{
	struct walk *w = arg;
	struct found f;
	int rc = store_find(w->s, &r->address, &f);

	if (rc == -EUCLEAN || rc == -EIO)
		return -EIO;
	if (rc == 0)
		chunk_drop(f.held);
	if (rc == 0 && !f.record.bad && record_same_place(&f.record, r)) {
		w->pace.progress.chunks++;
		if (w->verify && !stored)
			w->error = -EIO;
		if (w->verify && stored && !verifies(w, r, stored)) {
			w->pace.progress.bad++;
			store_set_aside(w->s, r, "its bytes are not those of its address");
		} else {
			w->found_good++;
		}
	} else if (rc != -ENOENT && (rc < 0 || f.record.bad || !header_there(w->s, &f.record))) {
		if (verifies(w, r, stored)) {
			w->found_good++;
			w->pace.progress.chunks++;
			adopt(w, r);
		} else if (rc == 0 && record_same_place(&f.record, r)) {
			/* Set aside before, and nobody has brought it again. */
			w->pace.progress.bad++;
		}
	}
	return pace_step(&w->pace, record_span(r->stored_len), record_span(r->stored_len));
}

static int walk_segment(struct walk *w, struct segment *g, uint32_t end)
{
	struct store *s = w->s;
	struct scan scan = { .io = s->io, .segment = g->number, .store_id = s->id, .from = 0,
		.end = end, .found = found, .arg = w };
	int rc;

	scan.fd = segment_hold(s->segments, g);
	if (scan.fd < 0) {
		/* One that was deleted meanwhile held nothing. */
		if (segments_find(s->segments, g->number) == g)
			w->error = scan.fd;
		return 0;
	}
	rc = scan_run(&scan);
	segment_drop(s->segments, g);
	if (scan.error < 0)
		w->error = scan.error;
	return rc;
}

struct batch {
	struct record records[BATCH];
	size_t count;
};

static int collect(void *arg, const struct record *r)
{
	struct batch *b = arg;

	b->records[b->count++] = *r;
	return b->count == BATCH;
}

/* ${r} is what the ledger says: does it lead there still, and to nothing? */
static void check_entry(struct walk *w, const struct record *r)
{
	struct chunk *c;
	struct found f;
	int rc;

	if (r->bad || header_there(w->s, r) || store_find(w->s, &r->address, &f) < 0)
		return;
	chunk_drop(f.held);
	if (f.record.bad || !record_same_place(&f.record, r))
		return;
	rc = store_read(w->s, r, r->kind, &c);
	if (rc == 0)
		chunk_drop(c);
	if (rc == -EBADMSG || rc == -ENXIO) {
		w->pace.progress.bad++;
		store_set_aside(w->s, r, "it is not there");
	}
}

/* Entries whose record the walk did not meet. */
static int check_entries(struct walk *w)
{
	struct batch b = { .count = BATCH };
	struct address last;
	bool first = true;
	int rc = 0;

	while (rc >= 0 && b.count == BATCH) {
		b.count = 0;
		rc = ledger_each(w->s->ledger, first ? NULL : &last, collect, &b);
		for (size_t i = 0; rc >= 0 && i < b.count; i++) {
			check_entry(w, &b.records[i]);
			rc = pace_step(&w->pace, 0, 0);
		}
		if (b.count > 0)
			last = b.records[b.count - 1].address;
		first = false;
	}
	return rc < 0 ? rc : 0;
}

static uint32_t end_of(struct store *s, struct segment *g)
{
	uint32_t end;

	pthread_mutex_lock(&s->lock);
	end = g->keep_end;
	pthread_mutex_unlock(&s->lock);
	return end;
}

static int walk_all(struct walk *w)
{
	struct store *s = w->s;
	struct segment *g;
	struct dht_status status;
	int rc = 0;

	pace_begin(&w->pace);
	w->scratch = scratch_borrow(s);
	if (!w->scratch)
		return -ENOMEM;
	for (g = segments_next(s->segments, 0); g; g = segments_next(s->segments, g->number))
		w->pace.progress.total += end_of(s, g);
	for (g = segments_next(s->segments, 0); rc == 0 && g; g = segments_next(s->segments, g->number))
		rc = walk_segment(w, g, end_of(s, g));
	store_status(s, &status);
	if (rc == 0 && w->found_good < status.chunks)
		rc = check_entries(w);
	scratch_return(s, w->scratch);
	if (rc == 0 && w->pace.tell) {
		w->pace.progress.done = w->pace.progress.total;
		w->pace.tell(w->pace.arg, &w->pace.progress);
	}
	return rc == 0 ? w->error : rc;
}

int store_check(struct store *s, uint64_t bytes_per_s, dht_tell *tell, void *arg,
    struct dht_progress *out)
{
	struct walk w = { .s = s, .verify = true,
		.pace = { .tell = tell, .arg = arg, .bytes_per_s = bytes_per_s } };
	int rc = walk_all(&w);

	if (out)
		*out = w.pace.progress;
	return rc;
}

static bool mend_goes_on(void *arg, const struct dht_progress *p)
{
	struct store *s = arg;

	(void)p;
	return !__atomic_load_n(&s->mend_stopping, __ATOMIC_RELAXED);
}

static void *mend_main(void *store)
{
	struct store *s = store;
	struct walk w = { .s = s, .pace = { .tell = mend_goes_on, .arg = s } };
	struct store_listener listener;
	int rc = walk_all(&w);

	store_say(s, LOG_NOTICE, "the segments were searched for lost chunks%s",
	    rc < 0 ? ", not all could be read" : "");
	pthread_mutex_lock(&s->lock);
	s->mending = false;
	pthread_cond_broadcast(&s->mend_done);
	listener = s->listener;
	pthread_mutex_unlock(&s->lock);
	if (listener.mended)
		listener.mended(listener.arg);
	return NULL;
}

bool mend_start(struct store *s)
{
	bool runs;

	pthread_mutex_lock(&s->lock);
	/* It finds all that there is to find: once a run is enough. */
	if (!s->mended) {
		s->mended = pthread_create(&s->mend_thread, NULL, mend_main, s) == 0;
		s->mending = s->mended;
		if (s->mended)
			store_say(s, LOG_WARNING, "the ledger leads astray; searching the segments");
	}
	runs = s->mending;
	pthread_mutex_unlock(&s->lock);
	return runs;
}

void mend_stop(struct store *s)
{
	__atomic_store_n(&s->mend_stopping, true, __ATOMIC_RELAXED);
	if (s->mended)
		pthread_join(s->mend_thread, NULL);
}

bool store_mending(struct store *s)
{
	bool runs;

	pthread_mutex_lock(&s->lock);
	runs = s->mending;
	pthread_mutex_unlock(&s->lock);
	return runs;
}

void store_mend_wait(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	while (s->mending)
		pthread_cond_wait(&s->mend_done, &s->lock);
	pthread_mutex_unlock(&s->lock);
}
