/*
 * Chunks that go one by one: those that somebody names.
 *
 * As in a collection, they are condemned under the store's lock, from when on they are not there and an insert stores them
 * anew, and are then removed from the ledger.  What the ledger can't be asked to remove yet, since it is an entry or since a
 * recovery would find it again behind its segment's row, is brought there first.
 */
#include "dht/store_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 4	/* of sync and commit: more than one only where others insert the same meanwhile */

static int compare(const void *a, const void *b)
{
	return address_compare(a, b);
}

bool removed_has(const struct store *s, const struct address *a)
{
	return s->removed && bsearch(a, s->removed, s->removed_count, sizeof(*a), compare) != NULL;
}

/* Under the lock: is all that is known of ${a} in the ledger, for good? */
static bool settled(struct store *s, const struct address *a)
{
	struct record r;
	struct segment *g;

	if (recents_find(&s->recents, a))
		return false;
	if (ledger_get(s->ledger, a, &r) < 0)
		return true;
	g = segments_find(s->segments, r.segment);
	return !g || r.offset < g->ledger_end;
}

/* Under the ledger's lock: condemns all, or none where some are not settled. */
static bool condemn(struct store *s, const struct address *sorted, size_t n)
{
	bool all = true;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < n && all; i++)
		all = settled(s, &sorted[i]);
	if (all) {
		s->removed = sorted;
		s->removed_count = n;
		__atomic_fetch_add(&s->condemnations, 1, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&s->lock);
	return all;
}

static int remove_settled(struct store *s, const struct address *sorted, size_t n, uint64_t *bytes)
{
	uint64_t records;
	int rc;

	pthread_mutex_lock(&s->ledger_lock);
	if (!condemn(s, sorted, n)) {
		pthread_mutex_unlock(&s->ledger_lock);
		return -EAGAIN;
	}
	rc = ledger_delete(s->ledger, sorted, n, &records, bytes);
	pthread_mutex_lock(&s->lock);
	s->removed = NULL;
	pthread_mutex_unlock(&s->lock);
	pthread_mutex_unlock(&s->ledger_lock);
	return rc;
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
	rc = remove_settled(s, sorted, n, &gone);
	for (int i = 0; rc == -EAGAIN && i < ROUNDS; i++) {
		int said = store_sync_wait(s, store_sync_start(s));

		if (said == 0)
			said = commit_round(s);
		rc = said == 0 ? remove_settled(s, sorted, n, &gone) : said;
	}
	free(sorted);
	if (bytes && rc == 0)
		*bytes = gone;
	return rc;
}

void store_mark(struct store *s, struct store_mark *out)
{
	struct ledger_totals t;
	size_t n;

	ledger_totals(s->ledger, &t);
	*out = (struct store_mark){ .id = s->id };
	pthread_mutex_lock(&s->lock);
	out->chunks = t.chunks + (uint64_t)s->more_chunks;
	out->stored_bytes = t.stored_bytes + (uint64_t)s->more_stored;
	n = segments_count(s->segments);
	if (n > 0) {
		const struct segment *g = segments_at(s->segments, n - 1);

		out->end = (uint64_t)g->number << 32 | g->end;
	}
	pthread_mutex_unlock(&s->lock);
}
