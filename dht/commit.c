/*
 * One thread tells the ledger, in batches, what has become durable.  A commit that fails
 * costs nothing: the entries stay, and the segments are the truth anyway.
 */
#include "dht/store_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BATCH_MIN   64	/* records; with fewer no commit is tried on a full disk */
/* Records of one transaction: LMDB never gives back the memory for the pages that its largest one changed, one each in a large ledger. */
#define TRANSACTION 4096

struct batch {
	struct record *records;
	size_t count;
	struct ledger_segment *rows;
	size_t row_count;
};

static int by_address(const void *a, const void *b)
{
	const struct record *x = a, *y = b;

	return address_compare(&x->address, &y->address);
}

/* Under the lock: all of ${g} before this can be found through the ledger, once it has the batch. */
static uint32_t row_end(struct segment *g)
{
	uint32_t end = g->keep_end;

	if (!g->scanned)
		return g->ledger_end;
	for (struct list *l = g->unsynced.next; l != &g->unsynced; l = l->next) {
		struct recent *e = list_item(l, struct recent, place);

		if (e->record.offset < end)
			end = e->record.offset;
	}
	return end;
}

/* Rows change only with a batch that leaves nothing behind; else they lag, which is safe. */
static int collect_rows(struct store *s, struct batch *b)
{
	size_t n = segments_count(s->segments);

	b->rows = malloc((n ? n : 1) * sizeof(*b->rows));
	if (!b->rows)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct segment *g = segments_at(s->segments, i);
		uint32_t end = row_end(g);

		if (end != g->ledger_end)
			b->rows[b->row_count++] = (struct ledger_segment){
				.number = g->number, .end = end };
	}
	return 0;
}

/* Copies: the entries may change while the ledger is busy with them. */
static int collect(struct store *s, size_t max, struct batch *b)
{
	struct list *l;
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	b->count = s->durable_count < max ? s->durable_count : max;
	b->records = malloc((b->count ? b->count : 1) * sizeof(*b->records));
	if (!b->records)
		rc = -ENOMEM;
	l = s->durable.next;
	for (size_t i = 0; rc == 0 && i < b->count; i++, l = l->next)
		b->records[i] = list_item(l, struct recent, place)->record;
	if (rc == 0 && b->count == s->durable_count)
		rc = collect_rows(s, b);
	pthread_mutex_unlock(&s->lock);
	if (rc == 0)
		qsort(b->records, b->count, sizeof(*b->records), by_address);
	return rc;
}

/* Under the lock: the ledger has ${r}; forget the entry, unless it says something newer. */
static void told(struct store *s, const struct record *r)
{
	struct recent *e = recents_find(&s->recents, &r->address);

	if (!e)
		return;
	entry_count(s, e, -1);
	if (e->state == RECENT_DURABLE && record_same_place(&e->record, r) && e->record.bad == r->bad) {
		s->durable_count--;
		s->durable_bytes -= e->record.stored_len;
		/* Written in this run, it goes on being known without another look. */
		verified_set(s, &r->address, !r->bad);
		recents_remove(&s->recents, e);
		return;
	}
	e->counted = !r->bad;
	e->counted_raw = r->raw_len;
	e->counted_stored = r->stored_len;
	entry_count(s, e, 1);
}

/* In the order of addresses, so that one transaction changes pages that lie together.  Rows go with the last. */
static int enter(struct store *s, const struct batch *b)
{
	size_t entered = 0;
	int rc;

	do {
		size_t left = b->count - entered, n = left < TRANSACTION ? left : TRANSACTION, rows = n == left ? b->row_count : 0;

		rc = ledger_commit(s->ledger, b->records + entered, n, b->rows, rows);
		pthread_mutex_lock(&s->lock);
		for (size_t i = 0; i < n && rc == 0; i++)
			told(s, &b->records[entered++]);
		for (size_t i = 0; i < rows && rc == 0; i++)
			segments_find(s->segments, b->rows[i].number)->ledger_end = b->rows[i].end;
		if (rc == 0)
			pthread_cond_broadcast(&s->moved);
		pthread_mutex_unlock(&s->lock);
	} while (rc == 0 && entered < b->count);
	return rc;
}

static int commit_batch(struct store *s, size_t max)
{
	struct batch b = { .records = NULL };
	int rc;

	pthread_mutex_lock(&s->ledger_lock);
	rc = collect(s, max, &b);
	if (rc == 0 && b.count + b.row_count > 0)
		rc = enter(s, &b);
	pthread_mutex_unlock(&s->ledger_lock);
	free(b.records);
	free(b.rows);
	return rc;
}

int commit_round(struct store *s)
{
	size_t max = s->commit_records, left;
	int rc;

	do {
		rc = commit_batch(s, max);
		if (rc == -ENOSPC && max > BATCH_MIN) {
			max /= 4;
			continue;
		}
		pthread_mutex_lock(&s->lock);
		left = s->durable_count;
		pthread_mutex_unlock(&s->lock);
	} while (rc == -ENOSPC ? max > BATCH_MIN : rc == 0 && left >= s->commit_records);
	return rc;
}

/* Under the lock: until there is enough to tell, or it has waited long enough. */
static void await_work(struct store *s)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += COMMIT_SECONDS;
	while (!s->stopping) {
		/* After a failure only the clock says when to try again. */
		if (s->commit_result == 0 && s->durable_count > 0 &&
		    (s->durable_count >= s->commit_records || s->durable_bytes >= COMMIT_BYTES ||
			s->recents.count >= s->recents_max))
			return;
		if (pthread_cond_timedwait(&s->commit_wanted, &s->lock, &until) == ETIMEDOUT)
			return;
	}
}

void *commit_main(void *store)
{
	struct store *s = store;
	bool last = false;
	int rc;

	pthread_mutex_lock(&s->lock);
	while (!last) {
		await_work(s);
		last = s->stopping;
		/* What nobody syncs becomes durable all the same, at most so much later. */
		if (s->recents.count > s->durable_count + s->astray_count && !last)
			sync_kick(s);
		if (s->durable_count == 0)
			continue;
		pthread_mutex_unlock(&s->lock);
		rc = commit_round(s);
		pthread_mutex_lock(&s->lock);
		if (rc < 0 && rc != s->commit_result)
			store_say(s, LOG_ERR, "the ledger could not be written (errno %d); no chunk is "
			    "lost, and it is tried again", -rc);
		s->commit_result = rc;
		pthread_cond_broadcast(&s->moved);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}
