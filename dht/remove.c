/*
 * Chunks that go one by one: those that somebody names.
 *
 * As in a collection, they are condemned under the store's lock, from when on they are not there, and are then removed from
 * the ledger.  What the ledger can't be asked to remove yet, since it is an entry or since a recovery would find it again behind
 * its segment's row, is brought there first.  While all that goes on, an insert or a move that would store one of them anew
 * waits: else, with many who insert, there would always be one that is not in the ledger yet.
 */
#include "dht/store_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Of sync and commit.  Mostly one is enough; a second where more has become durable than one commit takes; others where chunks
 * are set aside meanwhile, or found again. */
#define ROUNDS 16

static int compare(const void *a, const void *b)
{
	return address_compare(a, b);
}

static bool is_named(const struct store *s, const struct address *a)
{
	return s->removal && bsearch(a, s->removal, s->removal_count, sizeof(*a), compare) != NULL;
}

bool removal_condemns(const struct store *s, const struct address *a)
{
	return s->removal_condemned && is_named(s, a);
}

bool removal_await(struct store *s, const struct address *a)
{
	bool waits = is_named(s, a);

	if (waits)
		pthread_cond_wait(&s->moved, &s->lock);
	return waits;
}

/* Under the lock: 0: all that is known of ${a} is in the ledger, for good; -EAGAIN: not yet. */
static int settled(struct store *s, const struct address *a)
{
	struct record r;
	struct segment *g;
	int rc;

	if (recents_find(&s->recents, a))
		return -EAGAIN;
	rc = ledger_get(s->ledger, a, &r);
	/* What is nonsense goes, too. */
	if (rc < 0)
		return rc == -ENOENT || rc == -EBADMSG ? 0 : rc == -EAGAIN ? -EIO : store_blind(s, rc);
	g = segments_find(s->segments, r.segment);
	/* Behind what is durable is nothing, whatever a damaged ledger says. */
	return !g || r.offset < g->ledger_end || r.offset >= g->keep_end ? 0 : -EAGAIN;
}

/* Under the ledger's lock: condemns all, or none where some are not settled. */
static int condemn(struct store *s)
{
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->removal_count && rc == 0; i++)
		rc = settled(s, &s->removal[i]);
	if (rc == 0) {
		s->removal_condemned = true;
		__atomic_fetch_add(&s->condemnations, 1, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&s->lock);
	return rc;
}

static int remove_settled(struct store *s, uint64_t *bytes)
{
	uint64_t records;
	int rc;

	pthread_mutex_lock(&s->ledger_lock);
	rc = condemn(s);
	if (rc == 0) {
		rc = ledger_delete(s->ledger, s->removal, s->removal_count, &records, bytes);
		pthread_mutex_lock(&s->lock);
		s->removal_condemned = false;
		pthread_mutex_unlock(&s->lock);
	}
	pthread_mutex_unlock(&s->ledger_lock);
	return rc;
}

/* One removal at a time. */
static void begin(struct store *s, const struct address *sorted, size_t n)
{
	pthread_mutex_lock(&s->lock);
	while (s->removal)
		pthread_cond_wait(&s->moved, &s->lock);
	s->removal = sorted;
	s->removal_count = n;
	pthread_mutex_unlock(&s->lock);
}

static void end(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	s->removal = NULL;
	pthread_cond_broadcast(&s->moved);
	pthread_mutex_unlock(&s->lock);
}

static int settle(struct store *s)
{
	int rc = store_sync_wait(s, store_sync_start(s));

	return rc < 0 ? rc : commit_round(s);
}

int store_remove(struct store *s, const struct address *addresses, size_t n, uint64_t *bytes)
{
	uint64_t gone = 0;
	struct address *sorted;
	int rc;

	if (bytes)
		*bytes = 0;
	if (s->read_only)
		return -EROFS;
	if (n == 0)
		return 0;
	sorted = malloc(n * sizeof(*sorted));
	if (!sorted)
		return -ENOMEM;
	memcpy(sorted, addresses, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), compare);
	begin(s, sorted, n);
	rc = remove_settled(s, &gone);
	for (int i = 0; rc == -EAGAIN && i < ROUNDS; i++) {
		rc = settle(s);
		if (rc == 0)
			rc = remove_settled(s, &gone);
	}
	end(s);
	free(sorted);
	if (bytes && rc == 0)
		*bytes = gone;
	return rc == -EAGAIN ? -EIO : rc;
}

void store_mark(struct store *s, struct store_mark *out)
{
	struct ledger_totals t;
	size_t n;

	*out = (struct store_mark){ .id = s->id };
	/* What is on its way into the ledger counts once. */
	pthread_mutex_lock(&s->ledger_lock);
	ledger_totals(s->ledger, &t);
	pthread_mutex_lock(&s->lock);
	out->chunks = t.chunks + (uint64_t)s->more_chunks;
	out->stored_bytes = t.stored_bytes + (uint64_t)s->more_stored;
	n = segments_count(s->segments);
	if (n > 0) {
		const struct segment *g = segments_at(s->segments, n - 1);

		out->end = (uint64_t)g->number << 32 | g->end;
	}
	pthread_mutex_unlock(&s->lock);
	pthread_mutex_unlock(&s->ledger_lock);
}
