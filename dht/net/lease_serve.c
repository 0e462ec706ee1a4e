/*
 * What peers ask about leases.  A lease that comes in parts:
 *
 *	state	    event					function	next state
 *	NONE	    its first part, more to come		collect		COLLECTING
 *	NONE	    its only part				take		STORING; NONE: refused
 *	COLLECTING  the part that was to come			collect		COLLECTING; STORING behind the last
 *	COLLECTING  the first part again			collect		COLLECTING, from there
 *	COLLECTING  another one, or one that is wrong		collect		NONE: WIRE_MISS, WIRE_BAD
 *	COLLECTING  the peer is gone, or silent while others	lease_serve_gone,
 *		    want the room				room		NONE
 *	STORING	    it is durable, or can't be			stored		NONE: WIRE_OK, WIRE_FULL, WIRE_FAULT
 */
#include "dht/net/lease.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct collecting {
	struct list link;		/* oldest first */
	struct address from;
	uint64_t heard;
	struct lease lease;
	uint8_t blob[SIGNED_MAX];
	uint32_t blob_len, count;
	struct address *addresses;
};

static void collecting_free(struct node *n, struct collecting *c)
{
	list_remove(&c->link);
	n->leases->collected--;
	free(c->addresses);
	free(c);
}

static void answer_ended(struct node *n, struct served *s, const struct address *volume)
{
	struct chunk *end = lease_ended(n, volume);
	struct message m = { .status = WIRE_ENDED, .has = WIRE_HAS(FIELD_STATEMENT) };

	if (end) {
		m.statement = (struct wire_slice){ end->data, end->len };
		serve_answer(n, s, &m, NULL);
	} else {
		serve_status(n, s, WIRE_BUSY);
	}
	chunk_drop(end);
}

/* All of it is here, whichever part was sent. */
static void answer_whole(struct node *n, struct served *s)
{
	struct message m = { .status = WIRE_OK, .complete = true };

	serve_answer(n, s, &m, NULL);
}

/* ${err}: of lease_rank() or lease_store(). */
static void refuse(struct node *n, struct served *s, const struct address *volume, int err)
{
	switch (err) {
	case -EALREADY:
		answer_whole(n, s);
		return;
	case -EKEYREVOKED:
		answer_ended(n, s, volume);
		return;
	case -ESTALE:
		serve_status(n, s, WIRE_OLD);
		return;
	case -EEXIST:
		serve_status(n, s, WIRE_CONFLICT);
		return;
	case -ENOSPC:
	case -E2BIG:
		serve_status(n, s, WIRE_FULL);
		return;
	case -EBADMSG:
		serve_status(n, s, WIRE_BAD);
		return;
	case -EBUSY:
	case -ENOMEM:
		serve_status(n, s, WIRE_BUSY);
		return;
	default:
		serve_status(n, s, WIRE_FAULT);
	}
}

static void stored(struct node *n, void *user, int result)
{
	struct served *s = user;

	if (result)
		serve_status(n, s, result == -ENOSPC ? WIRE_FULL : WIRE_FAULT);
	else
		answer_whole(n, s);
}

static bool owns(const struct ring *r, const struct address *id, unsigned int slot)
{
	int member = ring_find(r, id);

	return member >= 0 && ring_owns(r, slot, (unsigned int)member);
}

/* Of a co-owner, now or before, all that he has is fetched anyway: what he sends is not counted as brought by him. */
static bool hands_over(struct node *n, const struct address *id, unsigned int slot)
{
	const struct ring *r = placement(n);

	for (unsigned int i = 0; r; r = placement_earlier(n, i++))
		if (owns(r, id, slot))
			return true;
	return false;
}

/* A whole lease, its addresses malloc'ed and taken over. */
static void take(struct node *n, struct served *s, const struct lease *l, const struct wire_slice *blob,
    struct address *addresses, uint32_t count)
{
	const struct address from = s->peer->id;
	uint32_t room = lease_room(n, &l->volume, l->slot);
	bool brings = room != UINT32_MAX && !hands_over(n, &from, l->slot);
	int err = lease_check(l, addresses, count);

	if (!err && brings && !shares_may(&n->leases->brought, &from, l->slot, room))
		err = -ENOSPC;
	if (!err)
		err = lease_store(n, l, blob, &addresses, stored, s, NULL);
	if (!err && brings)
		shares_took(&n->leases->brought, &from, l->slot);
	free(addresses);
	if (err)
		refuse(n, s, &l->volume, err);
}

static struct collecting *find(struct node *n, const struct address *from, const struct wire_slice *blob)
{
	for (struct list *l = n->leases->collecting.next; l != &n->leases->collecting; l = l->next) {
		struct collecting *c = list_item(l, struct collecting, link);

		if (address_equal(&c->from, from) && c->blob_len == blob->len && memcmp(c->blob, blob->data, blob->len) == 0)
			return c;
	}
	return NULL;
}

/* Place for one more: a peer has two at most, and who has been silent for a call's time gives way. */
static bool room(struct node *n, const struct address *from)
{
	struct list *all = &n->leases->collecting, *l, *next;
	unsigned int of_peer = 0;

	for (l = all->next; l != all; l = next) {
		struct collecting *c = list_item(l, struct collecting, link);

		next = l->next;
		if (n->now - c->heard > CALL_TIMEOUT)
			collecting_free(n, c);
		else
			of_peer += address_equal(&c->from, from);
	}
	return of_peer < 2 && n->leases->collected < LEASES_COLLECTED_MAX;
}

static struct collecting *collecting_new(struct node *n, const struct address *from, const struct lease *l,
    const struct wire_slice *blob)
{
	struct collecting *c = room(n, from) ? calloc(1, sizeof(*c)) : NULL;

	if (!c)
		return NULL;
	assert(blob->len <= sizeof(c->blob));
	c->from = *from;
	c->lease = *l;
	memcpy(c->blob, blob->data, blob->len);
	c->blob_len = blob->len;
	list_append(&n->leases->collecting, &c->link);
	n->leases->collected++;
	return c;
}

static int add_part(struct collecting *c, const struct message *m)
{
	const struct address *before = c->count > 0 ? &c->addresses[c->count - 1] : NULL;
	struct address *grown;

	if (c->count + m->address_count > c->lease.count || m->address_count == 0 ||
	    lease_check_part(&c->lease, before, m->addresses, m->address_count))
		return -EBADMSG;
	grown = realloc(c->addresses, (c->count + m->address_count) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	c->addresses = grown;
	memcpy(grown + c->count, m->addresses, m->address_count * sizeof(*grown));
	c->count += m->address_count;
	return 0;
}

static void collect(struct node *n, struct served *s, const struct lease *l, const struct message *m)
{
	struct collecting *c = find(n, &s->peer->id, &m->lease);
	struct address *addresses;
	uint32_t count;
	int err;

	if (!c && m->count == 0)
		c = collecting_new(n, &s->peer->id, l, &m->lease);
	if (!c) {
		serve_status(n, s, m->count == 0 ? WIRE_BUSY : WIRE_MISS);
		return;
	}
	c->heard = n->now;
	if (m->count == 0)
		c->count = 0;
	if (m->count != c->count) {
		collecting_free(n, c);
		serve_status(n, s, WIRE_MISS);
		return;
	}
	err = add_part(c, m);
	if (err) {
		collecting_free(n, c);
		refuse(n, s, &l->volume, err);
	} else if (m->more) {
		serve_status(n, s, WIRE_OK);
	} else {
		addresses = c->addresses;
		count = c->count;
		c->addresses = NULL;
		collecting_free(n, c);
		take(n, s, l, &m->lease, addresses, count);
	}
}

static void serve_lease(struct node *n, struct served *s, const struct message *m)
{
	struct collecting *c = s->peer ? find(n, &s->peer->id, &m->lease) : NULL;
	struct address *addresses;
	struct lease l;
	int err = 0;

	/* A signature that was checked with the first part is not checked again. */
	if (c)
		l = c->lease;
	else
		err = lease_open(n, m->lease.data, m->lease.len, &l);
	if (!err && l.count > LEASE_ADDRESSES_MAX)
		err = -E2BIG;
	if (!err && !placement_mine(n, l.slot)) {
		serve_status(n, s, WIRE_NOT_OWNER);
		return;
	}
	if (!err)
		err = lease_rank(n, &l, &m->lease);
	if (err) {
		refuse(n, s, &l.volume, err);
		return;
	}
	if (m->more || m->count > 0) {
		if (s->peer)
			collect(n, s, &l, m);
		else
			serve_status(n, s, WIRE_BUSY);
		return;
	}
	addresses = malloc((m->address_count + !m->address_count) * sizeof(*addresses));
	if (!addresses) {
		serve_status(n, s, WIRE_BUSY);
		return;
	}
	if (m->address_count > 0)
		memcpy(addresses, m->addresses, m->address_count * sizeof(*addresses));
	take(n, s, &l, &m->lease, addresses, m->address_count);
}

static void retired(struct node *n, void *user, int result)
{
	serve_status(n, user, result ? WIRE_FAULT : WIRE_OK);
}

/* May its peer bring one more end? */
static bool may_end(struct node *n, const struct served *s)
{
	return shares_may(&n->leases->brought, &s->peer->id, LEASE_SHARE_ENDS, RETIRED_MAX - n->leases->retired);
}

static void serve_retire(struct node *n, struct served *s, const struct message *m)
{
	const struct address from = s->peer->id;
	struct chunk *known = NULL;
	struct retire r;
	int err = retire_read(m->statement.data, m->statement.len, &n->file.id, &r);

	if (!err && (known = lease_ended(n, &r.volume)))
		err = -EALREADY;
	else if (!err && !may_end(n, s))
		err = -ENOSPC;
	else if (!err && !(err = lease_end(n, &m->statement, retired, s, NULL)))
		shares_took(&n->leases->brought, &from, LEASE_SHARE_ENDS);
	chunk_drop(known);
	if (err == -EALREADY)
		serve_status(n, s, WIRE_OK);
	else if (err)
		refuse(n, s, NULL, err);
}

/* Of the only lease of a slot few addresses go along: who lacks it need not ask again. */
static uint32_t along(struct node *n, const struct address *volume, unsigned int slot, struct address *out)
{
	struct address part[WIRE_ADDRESSES_MAX];
	uint32_t count = lease_part(n, volume, slot, NULL, part);

	if (count > LEASE_ALONG)
		return 0;
	memcpy(out, part, count * sizeof(*out));
	return count;
}

/* The leases of a slot, by volume, as many as a message takes. */
static void serve_leases(struct node *n, struct served *s, const struct message *m)
{
	struct catalogue *c = n->options.catalogue;
	struct address at, volume;
	const struct address *after = NULL;
	struct message out = { .status = WIRE_OK, .has = WIRE_HAS(FIELD_BLOBS) };
	uint8_t *blobs = malloc(WIRE_BLOBS_MAX);
	struct address few[LEASE_ALONG];
	uint32_t len = 0, leases = 0;

	if (!blobs) {
		serve_status(n, s, WIRE_BUSY);
		return;
	}
	if (m->has & WIRE_HAS(FIELD_VOLUME)) {
		at = m->volume;
		after = &at;
	}
	while (c->lease_next(c, m->slot, after, &volume)) {
		struct chunk *blob = c->lease(c, &volume, m->slot);
		int put = blob ? wire_blob_put(blob->data, blob->len, blobs + len, WIRE_BLOBS_MAX - len) : 0;

		chunk_drop(blob);
		if (put < 0) {
			out.more = true;
			break;
		}
		len += (uint32_t)put;
		leases++;
		at = volume;
		after = &at;
	}
	out.blobs = (struct wire_slice){ blobs, len };
	out.complete = placement_mine(n, m->slot) && placement_complete(n, m->slot);
	if (leases == 1)
		out.address_count = along(n, &at, m->slot, few);
	if (out.address_count > 0) {
		out.has |= WIRE_HAS(FIELD_ADDRESSES);
		out.addresses = few;
	}
	serve_answer(n, s, &out, NULL);
	free(blobs);
}

/* One lease: its addresses behind ${address}. */
static void serve_leased(struct node *n, struct served *s, const struct message *m)
{
	struct catalogue *c = n->options.catalogue;
	struct address part[WIRE_ADDRESSES_MAX];
	struct message out = { .status = WIRE_OK, .has = WIRE_HAS(FIELD_LEASE) | WIRE_HAS(FIELD_ADDRESSES),
		.addresses = part };
	struct chunk *blob = c->lease(c, &m->volume, m->slot);

	if (!blob) {
		serve_status(n, s, WIRE_MISS);
		return;
	}
	out.address_count = lease_part(n, &m->volume, m->slot, m->has & WIRE_HAS(FIELD_ADDRESS) ? &m->address : NULL, part);
	out.more = out.address_count == WIRE_ADDRESSES_MAX;
	out.lease = (struct wire_slice){ blob->data, blob->len };
	serve_answer(n, s, &out, NULL);
	chunk_drop(blob);
}

bool lease_serve(struct node *n, struct served *s, const struct message *m)
{
	switch (m->type) {
	case WIRE_LEASE:
		serve_lease(n, s, m);
		return true;
	case WIRE_RETIRE:
		serve_retire(n, s, m);
		return true;
	case WIRE_LEASES:
		serve_leases(n, s, m);
		return true;
	case WIRE_LEASED:
		serve_leased(n, s, m);
		return true;
	default:
		return false;
	}
}

void lease_serve_gone(struct node *n, const struct address *id)
{
	struct list *all = &n->leases->collecting, *l, *next;

	for (l = all->next; l != all; l = next) {
		struct collecting *c = list_item(l, struct collecting, link);

		next = l->next;
		if (!id || address_equal(&c->from, id))
			collecting_free(n, c);
	}
}
