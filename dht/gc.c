/*
 * Collection: which chunks stay, and from when on the others are not there.
 *
 * An address is condemned when a collection says so, it has no entry, and it is not marked.  All
 * that is decided about it is decided under the store's lock, so that an insert either came
 * first, and marked it, or comes later, and stores it anew.
 */
#include "dht/store_impl.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#include "dht/marks.h"
#include "dht/pace.h"

#define SWEEP	4096		/* entries removed in one transaction of the ledger */
#define LOOK	(16 * SWEEP)	/* and so many looked at in one of its reads */

struct store_gc {
	struct store *s;
	struct marks *marks;
	bool condemned;		/* under the store's lock */
};

bool gc_condemns(struct store *s, const struct address *a)
{
	if (recents_find(&s->recents, a))
		return false;
	return removal_condemns(s, a) || (s->gc && s->gc->condemned && !marks_has(s->gc->marks, a));
}

void gc_keep(struct store *s, const struct address *a)
{
	if (s->gc)
		marks_add(s->gc->marks, a);
}

int store_gc_begin(struct store *s, struct store_gc **out)
{
	struct store_gc *gc;
	struct ledger_totals t;
	int rc = 0;

	*out = NULL;
	if (s->read_only)
		return -EROFS;
	ledger_totals(s->ledger, &t);
	gc = calloc(1, sizeof(*gc));
	if (!gc)
		return -ENOMEM;
	gc->s = s;
	gc->marks = marks_new(t.chunks + s->recents_max);
	if (!gc->marks) {
		free(gc);
		return -ENOMEM;
	}
	pthread_mutex_lock(&s->lock);
	if (s->gc)
		rc = -EBUSY;
	else
		s->gc = gc;
	pthread_mutex_unlock(&s->lock);
	if (rc < 0) {
		marks_free(gc->marks);
		free(gc);
		return rc;
	}
	/* Only what the ledger knows is swept; what can't be brought there now stays until the next time. */
	if (store_sync_wait(s, store_sync_start(s)) == 0)
		commit_round(s);
	*out = gc;
	return 0;
}

void store_gc_mark(struct store_gc *gc, const struct address *a)
{
	marks_add(gc->marks, a);
}

/* A part of the ledger: unmarked entries. */
struct part {
	struct store_gc *gc;
	struct address addresses[SWEEP], last;
	uint32_t spans[SWEEP];
	size_t count, looked;
	uint64_t bytes;			/* of all that was looked at */
};

static int look_at(void *arg, const struct record *r)
{
	struct part *p = arg;

	p->last = r->address;
	p->bytes += record_span(r->stored_len);
	if (!marks_has(p->gc->marks, &r->address)) {
		p->addresses[p->count] = r->address;
		p->spans[p->count++] = record_span(r->stored_len);
	}
	return ++p->looked == LOOK || p->count == SWEEP;
}

/*
 * The next part behind p->last.  The caller keeps the ledger from changing where that matters.
 * One that has an entry is spared: what the ledger says of it is not the last word.  1: there is
 * more, 0: that was all, or -errno.
 */
static int next_part(struct part *p, bool first)
{
	struct store *s = p->gc->s;
	struct address after = p->last;
	size_t kept = 0;
	int rc;

	p->count = p->looked = 0;
	p->bytes = 0;
	rc = ledger_each(s->ledger, first ? NULL : &after, look_at, p);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < p->count; i++) {
		if (recents_find(&s->recents, &p->addresses[i]) ||
		    marks_has(p->gc->marks, &p->addresses[i]))
			continue;
		p->addresses[kept] = p->addresses[i];
		p->spans[kept++] = p->spans[i];
	}
	pthread_mutex_unlock(&s->lock);
	p->count = kept;
	return rc;
}

int store_gc_unmarked(struct store_gc *gc, struct dht_gc_count *out)
{
	struct part *p = malloc(sizeof(*p));
	bool first = true;
	int rc;

	*out = (struct dht_gc_count){ .chunks = 0 };
	if (!p)
		return -ENOMEM;
	p->gc = gc;
	do {
		rc = next_part(p, first);
		first = false;
		for (size_t i = 0; rc >= 0 && i < p->count; i++) {
			out->chunks++;
			out->bytes += p->spans[i];
		}
	} while (rc > 0);
	free(p);
	return rc;
}

void store_gc_condemn(struct store_gc *gc)
{
	struct store *s = gc->s;

	pthread_mutex_lock(&s->lock);
	/* They may be inserted again while they are entries, and would then be found known. */
	for (size_t i = 0; i < s->recents.size; i++)
		for (struct recent *e = s->recents.table[i]; e; e = e->next)
			marks_add(gc->marks, &e->record.address);
	gc->condemned = true;
	__atomic_fetch_add(&s->condemnations, 1, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&s->lock);
}

/* As next_part(), and those are gone from the ledger.  No commit comes between. */
static int sweep_part(struct part *p, bool first, struct dht_gc_count *out)
{
	struct store *s = p->gc->s;
	uint64_t chunks = 0, bytes = 0;
	int rc, more;

	pthread_mutex_lock(&s->ledger_lock);
	rc = more = next_part(p, first);
	if (rc >= 0 && p->count > 0)
		rc = ledger_delete(s->ledger, p->addresses, p->count, &chunks, &bytes);
	pthread_mutex_unlock(&s->ledger_lock);
	out->chunks += chunks;
	out->bytes += bytes;
	return rc < 0 ? rc : more;
}

int store_gc_sweep(struct store_gc *gc, dht_tell *tell, void *arg, struct dht_gc_count *out)
{
	struct pace pace = { .tell = tell, .arg = arg };
	struct part *p = malloc(sizeof(*p));
	struct ledger_totals t;
	bool first = true;
	int rc, stop = 0;

	*out = (struct dht_gc_count){ .chunks = 0 };
	if (!p)
		return -ENOMEM;
	p->gc = gc;
	ledger_totals(gc->s->ledger, &t);
	pace.progress.total = t.stored_bytes + t.chunks * RECORD_HEADER;
	pace_begin(&pace);
	do {
		rc = sweep_part(p, first, out);
		first = false;
		pace.progress.chunks = out->chunks;
		if (rc >= 0)
			stop = pace_step(&pace, p->bytes, 0);
		sched_yield();
	} while (rc > 0 && stop == 0);
	free(p);
	return rc > 0 ? stop : rc;
}

void store_gc_end(struct store_gc *gc)
{
	struct store *s;

	if (!gc)
		return;
	s = gc->s;
	pthread_mutex_lock(&s->lock);
	assert(s->gc == gc);
	s->gc = NULL;
	pthread_mutex_unlock(&s->lock);
	marks_free(gc->marks);
	free(gc);
}
