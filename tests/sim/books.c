/*
 * The books: of each chunk, where it is, what was promised, and what was lost since.
 *
 * A promise is a number of copies: W when an insert is acknowledged, R once all owners keep it as theirs.  Hits are copies that faults took
 * since, as far as they weigh; while hits and possible lies are fewer than the promise, a chunk must be there.  A promise never shrinks, but
 * for one: with all R owners in possession it begins anew, without hits.
 */
#include "tests/sim/books.h"

#include <stdlib.h>
#include <string.h>

#include "tests/sim/host.h"
#include "tests/sim/liar.h"
#include "tests/sim/sorted.h"
#include "tests/sim/tables.h"
#include "tests/sim/trace.h"

#define NEWS	  (60 * S)	/* how long a change of members takes to be known */
#define ASKED_MAX 64u		/* hosts that may lie: they are among the first */

struct books {
	struct sorted by_address;
	struct item **item;
	unsigned int count, size;
	struct ring *table;		/* NULL: to be asked for */
	uint64_t changed;		/* when it last did */
};

void books_open(struct world *w)
{
	w->books = must(calloc(1, sizeof(*w->books)));
	sorted_init(&w->books->by_address, ADDRESS_LEN);
}

void books_close(struct world *w)
{
	struct books *b = w->books;

	sorted_free(&b->by_address, NULL);
	for (unsigned int i = 0; i < b->count; i++) {
		chunk_drop(b->item[i]->chunk);
		free(b->item[i]->holder);
		free(b->item[i]);
	}
	free(b->item);
	free(b);
	w->books = NULL;
}

struct item *books_find(struct world *w, const struct address *a)
{
	return w->books ? sorted_find(&w->books->by_address, a->b) : NULL;
}

struct item *books_item(struct world *w, unsigned int i)
{
	return w->books->item[i];
}

unsigned int books_count(const struct world *w)
{
	return w->books->count;
}

struct item *books_add(struct world *w, const void *bytes, size_t len)
{
	struct books *b = w->books;
	struct address a;
	struct item *i;

	address_of(KIND_DATA, bytes, len, &a);
	i = books_find(w, &a);
	if (i)
		return i;
	if (b->count == b->size) {
		b->size = b->size ? 2 * b->size : 256;
		b->item = must(realloc(b->item, b->size * sizeof(struct item *)));
	}
	i = must(calloc(1, sizeof(*i)));
	i->address = a;
	i->chunk = must(chunk_copy(bytes, len));
	i->number = b->count;
	b->item[b->count++] = i;
	sorted_add(&b->by_address, i);
	return i;
}

static unsigned int place_of(const struct item *i, const struct host *h)
{
	unsigned int n;

	for (n = 0; n < i->holders && i->holder[n] != h->index; n++)
		;
	return n;
}

bool books_has(const struct item *i, const struct host *h)
{
	return place_of(i, h) < i->holders;
}

void books_asked(struct world *w, const struct host *h, const struct address *a)
{
	struct item *i = books_find(w, a);

	if (!i || h->index >= ASKED_MAX)
		return;
	i->asked |= UINT64_C(1) << h->index;
	/* The admin has given it up, and who asks has not heard of that: what it says now is false for good. */
	if (!h->member && !books_has(i, h)) {
		i->hits++;
		i->losses++;
	}
}

static bool may_pretend(const struct item *i, const struct host *h)
{
	return h->index < ASKED_MAX && (i->asked >> h->index & 1) && !books_has(i, h);
}

static unsigned int copies_wanted(struct world *w)
{
	const struct ring *r = books_table(w);

	return r && r->members < w->file.replicas ? r->members : w->file.replicas;
}

static bool keeps(const struct item *i, const struct host *h)
{
	const struct record *r = h && !h->liar && books_has(i, h) ? disk_find(h->disk, &i->address) : NULL;

	return r && (r->states & STATE_OWNED);
}

/* All owners, none of whom lies; and they know that they are: one who has not heard of the table gives his copy away, or lets it go. */
static bool owners_keep(struct world *w, const struct item *i)
{
	const struct ring *r = books_table(w);

	for (unsigned int k = 0; r && k < r->replicas; k++)
		if (!keeps(i, books_owner(w, r, &i->address, k)))
			return false;
	return r != NULL;
}

void books_kept(struct world *w, const struct address *a)
{
	struct item *i = books_find(w, a);

	/* From now on it takes R losses. */
	if (i && i->holders >= 2 && owners_keep(w, i)) {
		i->promised = copies_wanted(w);
		i->hits = 0;
	}
}

void books_stored(struct world *w, struct host *h, const struct address *a)
{
	struct item *i = books_find(w, a);

	if (!i || books_has(i, h))
		return;
	if (i->holders == i->holders_size) {
		i->holders_size = i->holders_size ? 2 * i->holders_size : 4;
		i->holder = must(realloc(i->holder, i->holders_size * sizeof(*i->holder)));
	}
	i->holder[i->holders++] = (uint16_t)h->index;
	/* By then all owners know that no lease holds it, and nobody reads it: no copy is made of what is on its way out. */
	if (i->dropped && w->now > i->dropped + DELETE_AFTER)
		world_fail(w, "deletion", "%s came back on %s, %u have it, after no lease held it any more", short_of(a), h->name,
		    i->holders);
}

/* Owners who hold it and know that they must: others hold it until somebody tells them that they need not. */
static unsigned int owned_by(struct world *w, const struct item *i)
{
	const struct ring *r = books_table(w);
	unsigned int n = 0;

	for (unsigned int k = 0; r && k < r->replicas; k++)
		n += keeps(i, books_owner(w, r, &i->address, k));
	return n;
}

/* A fault has taken a copy.  It weighs only where fewer are left than were promised: of more, any may be those that count. */
static void hit(struct world *w, struct item *i, bool kept)
{
	i->losses++;
	if (kept && owned_by(w, i) < i->promised)
		i->hits++;
}

void books_lost(struct world *w, struct host *h, const struct address *a, enum loss how, bool kept)
{
	struct item *i = books_find(w, a);
	unsigned int at;

	if (!i || (at = place_of(i, h)) == i->holders)
		return;
	i->holder[at] = i->holder[--i->holders];
	if (how == LOST_BY_FAULT) {
		hit(w, i, kept);
		return;
	}
	/* What was only cached goes for want of space, as it should.  */
	if (how != LOST_BY_NODE)
		return;
	if (!h->gone && !h->liar && w->now - h->started < DELETE_AFTER / 100 * 98)
		world_fail(w, "deletion", "%s deletes %s %llu s after its start", h->name, short_of(a),
		    (unsigned long long)((w->now - h->started) / S));
	/* Of what a lease holds, nobody gives a copy away that is not one too many. */
	if (i->leased && !h->liar && !h->gone && i->holders + books_false(w, i) + i->hits < copies_wanted(w))
		world_fail(w, "deletion", "%s deletes %s, which is leased; %u copies are left", h->name, short_of(a),
		    i->holders);
}

void books_leased(struct world *w, struct item *i, struct host *by)
{
	const struct ring *r;
	struct node_status s;

	i->leased = i->leased ? i->leased : w->now;
	i->dropped = 0;
	/* A disk that was lost meanwhile may be one that had acknowledged it. */
	i->lease_hits = i->lease_losses - i->lease_asked;
	node_status(by->node, &s);
	r = tables_find(w, &s.placement);
	/* Those whom the admin has given up, and ${by} has not heard of it: what they store is gone with them. */
	for (unsigned int k = 0; r && k < r->replicas; k++) {
		const struct host *h = books_owner(w, r, &i->address, k);

		i->lease_hits += h && !h->member;
	}
	if (r && i->lease_hits > r->replicas / 2)
		i->leased = 0;
}

void books_lease_lost(struct world *w, const struct host *lost, const struct address *a)
{
	const struct ring *r = books_table(w);
	struct item *i = books_find(w, a);
	unsigned int have = 0, left = 0;

	if (!i || !r)
		return;
	for (unsigned int k = 0; k < r->replicas; k++) {
		struct host *h = books_owner(w, r, a, k);
		bool has = h && !h->liar && h->disk->catalogue.leased(&h->disk->catalogue, a);

		have += has;
		left += has && h != lost;
	}
	if (have == r->replicas)
		i->lease_hits = 0;
	/* It counted when a majority had it: while one still has, nothing is lost. */
	if (left > r->replicas / 2)
		return;
	i->lease_losses++;
	if (++i->lease_hits > r->replicas / 2)
		i->leased = 0;
}

void books_gone(struct world *w, struct host *h, bool by_fault)
{
	for (unsigned int n = 0; n < w->books->count; n++) {
		struct item *i = w->books->item[n];
		unsigned int at = place_of(i, h);
		const struct record *r = disk_find(h->disk, &i->address);

		if (at < i->holders) {
			i->holder[at] = i->holder[--i->holders];
			if (by_fault)
				hit(w, i, r && r->states & (STATE_OWNED | STATE_FOREIGN));
		} else if (by_fault && may_pretend(i, h)) {
			/* What it said of it was false for good. */
			i->hits++;
			i->losses++;
		}
	}
	/* Its leases, too: where a majority of a slot's owners is evicted at once, who comes after them finds nobody to ask. */
	if (by_fault)
		disk_leases_lost(h->disk);
	h->member = false;
	books_changed(w);
}

unsigned int books_false(struct world *w, const struct item *i)
{
	unsigned int n = 0;

	for (unsigned int k = 0; k < w->hosts; k++)
		n += may_pretend(i, w->host[k]) && w->host[k]->member;
	return n;
}

unsigned int books_evicted(struct world *w, const struct item *i)
{
	unsigned int n = 0;

	for (unsigned int k = 0; k < w->hosts; k++) {
		const struct record *r = w->host[k]->evicted ? disk_find(w->host[k]->disk, &i->address) : NULL;

		n += r && !r->rotten && !w->host[k]->member;
	}
	return n;
}

unsigned int books_known(struct world *w, const struct item *i)
{
	unsigned int n = i->losses;

	for (unsigned int k = 0; k < w->hosts; k++) {
		const struct record *r = disk_find(w->host[k]->disk, &i->address);

		/* A liar may believe in one as well, where that is not what he lies about. */
		n -= r && r->rotten && w->host[k]->member && !(k < ASKED_MAX && i->asked >> k & 1);
	}
	return n;
}

bool books_excused(struct world *w, const struct item *i)
{
	return i->hits + books_false(w, i) >= i->promised;
}

/* Of how many must it be?  Of all that there are; of those whom ${by} knows, while news is on its way. */
static const struct ring *acks_table(struct world *w, struct host *by)
{
	struct node_status s;

	if (w->now > w->books->changed + NEWS)
		return books_table(w);
	node_status(by->node, &s);
	return tables_find(w, &s.placement);
}

/* Of those that were evicted, and not everyone has heard of it: what they say counts for him still, and may be false. */
static unsigned int false_leavers(struct world *w, const struct item *i)
{
	unsigned int n = 0;

	for (unsigned int k = 0; k < w->hosts && w->now <= w->books->changed + NEWS; k++)
		n += w->host[k]->evicted && !w->host[k]->member && may_pretend(i, w->host[k]);
	return n;
}

/* Liars who were started, and lie in such a way that nobody has let them in: of them none is asked for. */
static unsigned int never_in(struct world *w, const struct ring *table, struct host *by)
{
	const struct ring *known;
	struct node_status s;
	unsigned int n = 0;

	node_status(by->node, &s);
	known = tables_find(w, &s.placement);
	for (unsigned int k = 0; table && known && k < w->hosts; k++)
		n += w->host[k]->liar && ring_find(table, &w->host[k]->id) >= 0 && ring_find(known, &w->host[k]->id) < 0;
	return n;
}

void books_acked(struct world *w, struct item *i, struct host *by, unsigned int acks, unsigned int losses)
{
	const struct ring *table;
	unsigned int others, have, lied = books_false(w, i) + false_leavers(w, i);
	unsigned int lost = i->losses - losses;

	table = acks_table(w, by);
	others = table ? table->members - (ring_find(table, &by->id) >= 0) : 0;
	others -= never_in(w, table, by);
	if (acks > others)
		acks = others;
	have = i->holders - books_has(i, by);
	if (have + lied + lost < acks)
		world_fail(w, "loss", "%s says that %s is on %u others; it is on %u, %u may lie, %u lost it or have it rotten", by->name,
		    short_of(&i->address), acks, have, lied, lost);
	i->acked = w->now;
	if (acks > i->promised) {
		i->promised = acks;
		i->hits = lost;
	}
}

void books_changed(struct world *w)
{
	if (w->books->table)
		tables_put(w, w->books->table);
	w->books->table = NULL;
	w->books->changed = w->now;
}

const struct ring *books_table(struct world *w)
{
	struct ring_member *m;
	size_t n = 0;

	if (w->books->table)
		return w->books->table;
	m = must(calloc(w->hosts + 1, sizeof(*m)));
	for (unsigned int i = 0; i < w->hosts; i++) {
		struct host *h = w->host[i];

		if (!h->member || h->draining)
			continue;
		m[n].id = h->id;
		m[n].weight = h->weight;
		strcpy(m[n++].zone, h->zone);
	}
	if (n > 0)
		w->books->table = tables_get(w, m, n, w->file.replicas);
	free(m);
	return w->books->table;
}

struct host *books_owner(struct world *w, const struct ring *r, const struct address *a, unsigned int rank)
{
	return host_by_id(w, &r->member[ring_owners(r, ring_slot(a))[rank]].id);
}
