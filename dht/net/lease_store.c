#include "dht/net/lease.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#define PAGE WIRE_ADDRESSES_MAX

int lease_check_part(const struct lease *l, const struct address *before, const struct address *addresses, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct address *last = i > 0 ? &addresses[i - 1] : before;

		if (ring_slot(&addresses[i]) != l->slot || (last && address_compare(last, &addresses[i]) >= 0))
			return -EBADMSG;
	}
	return 0;
}

int lease_check(const struct lease *l, const struct address *addresses, uint32_t count)
{
	struct address root;

	if (l->count > LEASE_ADDRESSES_MAX)
		return -E2BIG;
	if (count != l->count || lease_check_part(l, NULL, addresses, count))
		return -EBADMSG;
	lease_root(addresses, count, &root);
	return address_equal(&root, &l->root) ? 0 : -EBADMSG;
}

static void conflict(struct node *n, const struct lease *l)
{
	char text[ADDRESS_TEXT_LEN + 1];

	/* It is met again with each comparison, and whoever has both may send them as often as he likes. */
	if (n->leases->warned && n->now - n->leases->warned < LEASE_WARN_EVERY)
		return;
	n->leases->warned = n->now;
	address_format(&l->volume, text);
	node_log(n, LOG_ERR, "two leases of volume %s with one number, in slot %u: its machine was cloned; the first one stays",
	    text, l->slot);
}

int lease_rank(struct node *n, const struct lease *l, const struct wire_slice *blob)
{
	struct catalogue *c = n->options.catalogue;
	struct chunk *old, *end = lease_ended(n, &l->volume);
	struct lease here;
	int err = 0;

	chunk_drop(end);
	if (end)
		return -EKEYREVOKED;
	old = c->lease(c, &l->volume, l->slot);
	if (!old)
		return 0;
	if (old->len == blob->len && memcmp(old->data, blob->data, blob->len) == 0)
		err = -EALREADY;
	else if (lease_decode(old->data, old->len, &n->file.id, &here) == 0 && here.seq >= l->seq)
		err = here.seq == l->seq ? -EEXIST : -ESTALE;
	/* A rotten one rules nothing. */
	if ((err == -EEXIST || err == -ESTALE) && lease_open(n, old->data, old->len, &here))
		err = 0;
	chunk_drop(old);
	if (err == -EEXIST)
		conflict(n, l);
	return err;
}

/* The first address behind ${a}; false: there is none. */
static bool address_behind(const struct address *a, struct address *out)
{
	*out = *a;
	for (unsigned int i = ADDRESS_LEN; i-- > 0;)
		if (++out->b[i] != 0)
			return true;
	return false;
}

uint32_t lease_part(struct node *n, const struct address *volume, unsigned int slot, const struct address *after,
    struct address *out)
{
	static const struct address first;
	struct catalogue *c = n->options.catalogue;
	struct address from = first;

	if (after && !address_behind(after, &from))
		return 0;
	return (uint32_t)c->lease_list(c, volume, slot, &from, PAGE, out);
}

/* Whether the lease that is here, read by pages, has what comes next in order. */
struct old_list {
	struct address page[PAGE];
	uint32_t count, at;
};

static const struct address *old_next(struct node *n, const struct lease_storing *s, struct old_list *o)
{
	if (o->at < o->count)
		return &o->page[o->at];
	if (o->count < PAGE)
		return NULL;
	o->count = lease_part(n, &s->row.volume, s->row.slot, &o->page[PAGE - 1], o->page);
	o->at = 0;
	return o->count > 0 ? &o->page[0] : NULL;
}

static bool add_changed(struct lease_storing *s, uint32_t *size, const struct address *a)
{
	if (s->changed_count == *size) {
		uint32_t more = *size ? 2 * *size : 64;
		struct address *grown = realloc(s->changed, more * sizeof(*grown));

		if (!grown)
			return false;
		s->changed = grown;
		*size = more;
	}
	s->changed[s->changed_count++] = *a;
	return true;
}

/* What the old list has and the new one has not, or the reverse: both are in order. */
static int find_changed(struct node *n, struct lease_storing *s)
{
	struct catalogue *c = n->options.catalogue;
	struct old_list *o = malloc(sizeof(*o));
	const struct address *old, *new = s->addresses, *end = s->addresses + s->row.count;
	uint32_t size = 0;
	int err = 0;

	if (!o)
		return -ENOMEM;
	o->at = 0;
	o->count = lease_part(n, &s->row.volume, s->row.slot, NULL, o->page);
	while (!err && ((old = old_next(n, s, o)) || new < end)) {
		int order = !old ? 1 : new == end ? -1 : address_compare(old, new);

		if (order != 0 && !add_changed(s, &size, order < 0 ? old : new))
			err = -ENOMEM;
		/* What is not here can't be deleted; whoever puts it touches it. */
		if (order > 0 && c->state(c, new) & STATE_ANY)
			touched(n, new);
		o->at += order <= 0;
		new += order >= 0;
	}
	free(o);
	return err;
}

static void storing_free(struct node *n, struct lease_storing *s)
{
	n->leases->held -= s->row.count;
	list_remove(&s->link);
	chunk_drop(s->row.blob);
	free(s->addresses);
	free(s->changed);
	free(s);
}

/* Mostly all is here, or is about to be: some are enough to tell. */
static void look_for_lacking(struct node *n, const struct lease_storing *s)
{
	struct catalogue *c = n->options.catalogue;
	uint32_t some = s->changed_count < LEASE_LOOK ? s->changed_count : LEASE_LOOK;

	if (!s->row.blob || !placement_mine(n, s->row.slot))
		return;
	for (uint32_t i = 0; i < some; i++) {
		unsigned int states = c->state(c, &s->changed[i]);

		if (!(states & STATE_ANY) && c->leased(c, &s->changed[i])) {
			repair_lacks(n, s->row.slot);
			return;
		}
	}
}

static void stored(struct node *n, struct work *w, const struct event *e)
{
	struct lease_storing *s = list_item(w, struct lease_storing, work);
	void (*done)(struct node *, void *, int) = s->done;
	struct chunk *end = lease_ended(n, &s->row.volume);
	void *user = s->user;
	int result = e->result;
	struct address volume;
	unsigned int slot;

	if (result)
		node_log(n, LOG_ERR, "a lease can't be stored: error %d", -result);
	else
		leases_changed(n, s->changed, s->changed_count);
	if (!result)
		look_for_lacking(n, s);
	/* Its volume ended meanwhile, and the sweep may have passed already. */
	if (!result && s->row.blob && end)
		lease_sweep_again(n);
	chunk_drop(end);
	volume = s->row.volume;
	slot = s->row.slot;
	storing_free(n, s);
	lease_pull_stored(n, &volume, slot);
	if (done)
		done(n, user, result);
}

bool lease_is_storing(struct node *n, const struct address *volume, unsigned int slot)
{
	for (struct list *l = n->leases->storing.next; l != &n->leases->storing; l = l->next) {
		const struct lease_storing *s = list_item(l, const struct lease_storing, link);

		if (s->row.slot == slot && address_equal(&s->row.volume, volume))
			return true;
	}
	return false;
}

static bool slot_is_storing(struct node *n, unsigned int slot)
{
	for (struct list *l = n->leases->storing.next; l != &n->leases->storing; l = l->next)
		if (list_item(l, const struct lease_storing, link)->row.slot == slot)
			return true;
	return false;
}

static bool is_stored(struct node *n, const struct address *volume, unsigned int slot)
{
	struct catalogue *c = n->options.catalogue;
	struct chunk *old = c->lease(c, volume, slot);

	chunk_drop(old);
	return old != NULL;
}

/* All are counted only for the first lease of a volume in a slot; those on their way to the disk, too. */
uint32_t lease_room(struct node *n, const struct address *volume, unsigned int slot)
{
	struct catalogue *c = n->options.catalogue;
	struct address at, *after = NULL;
	uint32_t volumes = 0;

	if (is_stored(n, volume, slot))
		return UINT32_MAX;
	for (struct list *l = n->leases->storing.next; l != &n->leases->storing; l = l->next) {
		const struct lease_storing *s = list_item(l, const struct lease_storing, link);

		volumes += s->row.slot == slot && s->row.blob && !is_stored(n, &s->row.volume, slot);
	}
	while (volumes < LEASE_VOLUMES_MAX && c->lease_next(c, slot, after, &at)) {
		after = &at;
		volumes++;
	}
	return volumes < LEASE_VOLUMES_MAX ? LEASE_VOLUMES_MAX - volumes : 0;
}

/* ${s} with row, addresses and call back: to the disk.  It is freed, but for its addresses, where that fails. */
static int storing_start(struct node *n, struct lease_storing *s, struct lease_storing **out)
{
	struct effect e = { .kind = EFFECT_LEASE, .lease = &s->row };
	int err = find_changed(n, s);

	if (err) {
		s->addresses = NULL;
		chunk_drop(s->row.blob);
		free(s->changed);
		free(s);
		return err;
	}
	s->row.addresses = s->addresses;
	s->work.done = stored;
	n->leases->held += s->row.count;
	trie_slots_remove(&n->leases->known, s->row.slot);
	list_append(&n->leases->storing, &s->link);
	if (out)
		*out = s;
	work_start(n, &s->work, &e);
	return 0;
}

int lease_store(struct node *n, const struct lease *l, const struct wire_slice *blob, struct address **addresses,
    void (*done)(struct node *n, void *user, int result), void *user, struct lease_storing **out)
{
	int err = lease_rank(n, l, blob);
	struct lease_storing *s;

	if (err)
		return err;
	if (lease_is_storing(n, &l->volume, l->slot) || n->leases->held + l->count > LEASES_HELD_MAX)
		return -EBUSY;
	if (!lease_room(n, &l->volume, l->slot))
		return -ENOSPC;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->row = (struct catalogue_lease){ .volume = l->volume, .slot = l->slot, .seq = l->seq, .count = l->count,
		.blob = chunk_copy(blob->data, blob->len) };
	s->done = done;
	s->user = user;
	s->addresses = *addresses;
	if (!s->row.blob) {
		free(s);
		return -ENOMEM;
	}
	err = storing_start(n, s, out);
	if (!err)
		*addresses = NULL;
	return err;
}

int lease_remove(struct node *n, const struct address *volume, unsigned int slot,
    void (*done)(struct node *n, void *user, int result), void *user, struct lease_storing **out)
{
	struct catalogue *c = n->options.catalogue;
	struct chunk *old = c->lease(c, volume, slot);
	struct lease_storing *s;

	chunk_drop(old);
	if (!old)
		return -ENOENT;
	if (lease_is_storing(n, volume, slot))
		return -EBUSY;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->row = (struct catalogue_lease){ .volume = *volume, .slot = (uint16_t)slot };
	s->done = done;
	s->user = user;
	return storing_start(n, s, out);
}

/*
 * Peers ask for all slots of a quarter at a time, most of which have none: so the catalogue is asked once after each change.
 * While one is on its way to the disk nobody knows whether it has come there.
 */
bool lease_any(struct node *n, unsigned int slot)
{
	struct catalogue *c = n->options.catalogue;
	struct leases *l = n->leases;
	struct address volume;
	bool any;

	if (trie_slots_have(&l->known, slot))
		return trie_slots_have(&l->any, slot);
	any = c->lease_next(c, slot, NULL, &volume);
	trie_slots_remove(&l->any, slot);
	if (any)
		trie_slots_add(&l->any, slot);
	if (!slot_is_storing(n, slot))
		trie_slots_add(&l->known, slot);
	return any;
}

void lease_store_forget(struct lease_storing *s)
{
	s->done = NULL;
}

void lease_store_end(struct node *n)
{
	while (!list_empty(&n->leases->storing)) {
		/* No call back comes any more, and nothing is carried out. */
		storing_free(n, list_item(n->leases->storing.next, struct lease_storing, link));
	}
}
