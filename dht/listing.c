/* Addresses in order, of what the ledger knows and what it does not know yet. */
#include "dht/store_impl.h"

#include <assert.h>
#include <stdlib.h>

/* The ${n} smallest addresses behind ${after}: a heap whose largest is at its top. */
struct smallest {
	struct store *s;
	const struct address *after;
	struct address *heap;
	size_t n, count;
	size_t seen;		/* in the ledger */
};

static void sift_down(struct smallest *h, size_t i)
{
	for (;;) {
		size_t big = i, child = 2 * i + 1;
		struct address t;

		for (size_t c = child; c < child + 2 && c < h->count; c++)
			if (address_compare(&h->heap[c], &h->heap[big]) > 0)
				big = c;
		if (big == i)
			return;
		t = h->heap[i];
		h->heap[i] = h->heap[big];
		h->heap[big] = t;
		i = big;
	}
}

static void offer(struct smallest *h, const struct address *a)
{
	size_t i;

	if (h->after && address_compare(a, h->after) <= 0)
		return;
	if (h->count == h->n) {
		if (address_compare(a, &h->heap[0]) < 0) {
			h->heap[0] = *a;
			sift_down(h, 0);
		}
		return;
	}
	for (i = h->count++; i > 0; i = (i - 1) / 2) {
		if (address_compare(&h->heap[(i - 1) / 2], a) >= 0)
			break;
		h->heap[i] = h->heap[(i - 1) / 2];
	}
	h->heap[i] = *a;
}

/* Under the store's lock, so that no entry goes to the ledger unseen in between. */
static int offer_ledger(void *arg, const struct record *r)
{
	struct smallest *h = arg;

	if (r->bad || recents_find(&h->s->recents, &r->address) || gc_condemns(h->s, &r->address))
		return 0;
	offer(h, &r->address);
	return ++h->seen == h->n;
}

#define FILTER 256	/* addresses looked at under one lock */

ssize_t store_filter(struct store *s, struct address *addresses, size_t n)
{
	size_t kept = 0;
	int rc;

	for (size_t from = 0, part; from < n; from += part) {
		enum { ASK, HERE, GONE } word[FILTER];
		bool has[FILTER];

		part = n - from < FILTER ? n - from : FILTER;
		pthread_mutex_lock(&s->lock);
		for (size_t i = 0; i < part; i++) {
			const struct recent *e = recents_find(&s->recents, &addresses[from + i]);

			word[i] = e ? e->record.bad ? GONE : HERE : gc_condemns(s, &addresses[from + i]) ? GONE : ASK;
			has[i] = word[i] != ASK;
		}
		pthread_mutex_unlock(&s->lock);
		/* An entry leaves only after the commit that the ledger is asked behind. */
		rc = ledger_has(s->ledger, addresses + from, part, has);
		if (rc < 0)
			return store_blind(s, rc);
		for (size_t i = 0; i < part; i++)
			if (word[i] != GONE && has[i])
				addresses[kept++] = addresses[from + i];
	}
	return (ssize_t)kept;
}

static int compare(const void *a, const void *b)
{
	return address_compare(a, b);
}

ssize_t store_list(struct store *s, const struct address *after, size_t n, struct address *out)
{
	struct smallest h = { .s = s, .after = after, .heap = out, .n = n };
	int rc;

	if (n == 0)
		return 0;
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->recents.size; i++)
		for (struct recent *e = s->recents.table[i]; e; e = e->next)
			if (!e->record.bad)
				offer(&h, &e->record.address);
	rc = ledger_each(s->ledger, after, offer_ledger, &h);
	pthread_mutex_unlock(&s->lock);
	if (rc < 0)
		return store_blind(s, rc);
	qsort(out, h.count, sizeof(*out), compare);
	return (ssize_t)h.count;
}
