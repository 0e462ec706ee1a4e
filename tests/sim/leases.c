/*
 * Leases: what volumes want to keep, said slot by slot.  See load.h.
 *
 * From when a lease is acknowledged, what it holds must be kept.  From when one is sent that leaves an item out, the item may go: the new
 * lease may have reached an owner though its answer was lost.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/load_impl.h"
#include "tests/sim/trace.h"

#define LEASE_US     (30 * S)
#define CHANGES_HOME 5u		/* of 100 leases */

void leases_open(struct world *w, struct volume *v)
{
	(void)w;
	sorted_init(&v->slots, 2);
}

static void free_slot(void *slot)
{
	free(((struct slot_lease *)slot)->item);
	free(slot);
}

void leases_close(struct volume *v)
{
	sorted_free(&v->slots, free_slot);
	free(v->item);
}

static struct slot_lease *slot_of(struct volume *v, const struct item *i)
{
	unsigned int slot = ring_slot(&i->address);
	uint8_t key[2] = { (uint8_t)(slot >> 8), (uint8_t)slot };
	struct slot_lease *s = sorted_find(&v->slots, key);

	if (!s) {
		s = must(calloc(1, sizeof(*s)));
		memcpy(s->key, key, sizeof(key));
		s->slot = (uint16_t)slot;
		sorted_add(&v->slots, s);
	}
	return s;
}

/* ${array}, with room for one more than ${count}: its size is the next power of two. */
static struct item **grown(struct item **array, unsigned int count)
{
	if (count == 0 || (count & (count - 1)) == 0)
		array = must(realloc(array, (count ? 2 * count : 1) * sizeof(struct item *)));
	return array;
}

void lease_want(struct volume *v, struct item *i)
{
	struct slot_lease *s = slot_of(v, i);

	if (i->wanted)
		return;
	v->item = grown(v->item, v->items);
	v->item[v->items++] = i;
	s->item = grown(s->item, s->items);
	s->item[s->items++] = i;
	i->wanted = true;
	s->dirty = true;
}

void lease_drop(struct world *w, struct volume *v)
{
	struct item *i;

	if (v->items == 0)
		return;
	i = v->item[dice_below(&w->load->dice, v->items)];
	if (!i->wanted || !i->acked)
		return;
	i->wanted = false;
	slot_of(v, i)->dirty = true;
	trace(w, NULL, TRACE_USER, v->number, 0, "volume %u drops %s", v->number, short_of(&i->address));
}

static int by_address(const void *a, const void *b)
{
	return address_compare(&(*(struct item *const *)a)->address, &(*(struct item *const *)b)->address);
}

static struct item **wanted(const struct slot_lease *s, unsigned int *count)
{
	struct item **out = must(calloc(s->items + 1, sizeof(struct item *)));
	unsigned int n = 0;

	for (unsigned int i = 0; i < s->items; i++)
		if (s->item[i]->wanted)
			out[n++] = s->item[i];
	qsort(out, n, sizeof(struct item *), by_address);
	*count = n;
	return out;
}

/* Until it is acknowledged, the one before may hold, or this one may. */
static void loosen(const struct slot_lease *s)
{
	for (unsigned int i = 0; i < s->items; i++)
		if (!s->item[i]->wanted)
			s->item[i]->leased = 0;
}

/* A volume has one machine, which its user changes now and then. */
static struct host *home(struct world *w, struct volume *v)
{
	if (!v->home || dice_percent(&w->load->dice, CHANGES_HOME) || v->home->gone || !v->home->member || v->home->liar)
		v->home = host_any(w, &w->load->dice);
	return v->home && v->home->node && !v->home->leaving && v->home->busy_until <= w->now ? v->home : NULL;
}

void lease_send(struct world *w, struct volume *v, struct slot_lease *s)
{
	struct host *h = home(w, v);
	struct lease lease = { .slot = s->slot };
	struct command c = { 0 };
	struct request *r;
	struct address *addresses;
	uint8_t blob[SIGNED_MAX];
	size_t len;

	if (!h)
		return;
	r = request_new(w, h, COMMAND_LEASE, LEASE_US);
	r->volume = v;
	r->slot = s;
	r->items = wanted(s, &r->count);
	r->seq = ++s->seq;
	s->busy = true;
	loosen(s);
	addresses = must(calloc(r->count + 1, sizeof(*addresses)));
	for (unsigned int i = 0; i < r->count; i++) {
		addresses[i] = r->items[i]->address;
		r->items[i]->lease_asked = r->items[i]->lease_losses;
	}
	memcpy(lease.key, v->key, sizeof(lease.key));
	lease.seq = r->seq;
	lease.count = r->count;
	lease_root(addresses, r->count, &lease.root);
	len = lease_sign(&lease, &w->file.id, v->secret, blob);
	c.blob = must(chunk_copy(blob, len));
	c.addresses = addresses;
	c.count = r->count;
	request_send(w, r, &c);
	chunk_drop(c.blob);
	free(addresses);
}

void lease_gone(struct request *r)
{
	r->slot->busy = false;
}

static bool holds(const struct request *r, const struct item *i)
{
	for (unsigned int k = 0; k < r->count; k++)
		if (r->items[k] == i)
			return true;
	return false;
}

void lease_reply(struct world *w, struct request *r, const struct effect *e)
{
	struct slot_lease *s = r->slot;

	w->load->figures.leases++;
	s->busy = false;
	if (e->result != 0) {
		w->load->figures.leases_failed++;
		return;
	}
	if (r->seq != s->seq)
		return;
	s->acked = s->seq;
	s->dirty = false;
	for (unsigned int k = 0; k < s->items; k++) {
		struct item *i = s->item[k];

		if (!holds(r, i)) {
			i->dropped = i->dropped ? i->dropped : w->now;
		} else {
			books_leased(w, i, r->host);
		}
		/* What was said while this one was under way. */
		s->dirty |= holds(r, i) != i->wanted;
	}
}

bool lease_some(struct world *w, struct volume *v)
{
	struct sorted_place p;
	struct slot_lease *s;
	size_t skip = v->slots.count ? dice_below(&w->load->dice, v->slots.count) : 0;

	if (!home(w, v))
		return false;
	/* From a place at random: so that no slot waits for all the others. */
	for (unsigned int turn = 0; turn < 2; turn++) {
		sorted_from(&v->slots, turn || !skip ? NULL : ((struct slot_lease *)sorted_at(&v->slots, skip))->key, &p);
		while ((s = sorted_next(&v->slots, &p)))
			if (s->dirty && !s->busy) {
				lease_send(w, v, s);
				return true;
			}
	}
	return false;
}
