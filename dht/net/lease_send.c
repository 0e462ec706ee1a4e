/*
 * A lease on its way to all its owners: for a command, or again, because some lacked it (ROW_LEASING).
 *
 *	state	 event					function	next state
 *	NOTING	 the row is durable: owners lack it	noted		NOTING the volume, if it is new; STORING
 *	STORING	 it is durable here			stored		PUSHING
 *	STORING	 refused, or the disk failed		noted, stored	over: the reply is why
 *	PUSHING	 an owner has it, or can't be told	pushed		PUSHING; when all are through:
 *		 every owner has it				settle		ENDING; the reply is 0
 *		 a majority has it				settle		ENDING; the reply is 0
 *		 fewer, and a command waits			settle		WAITING
 *		 fewer, and none does				settle		ENDING
 *	WAITING	 it is time, or another table		again		PUSHING, to those that lack it
 *	WAITING	 the command's time is up		expired		ENDING
 *	ENDING	 the row is gone, or says who has it	written		over
 *	any	 a newer lease of the volume and slot	sending_start	over: -ECANCELED
 */
#include "dht/net/lease_send.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"

static void again(struct node *n, struct timer *t);
static void expired(struct node *n, struct pending *p);
static void written(struct node *n, struct work *w, const struct event *e);

struct sending *sending_find(struct node *n, const struct address *volume, unsigned int slot)
{
	struct list *all = &n->leases->send->all;

	for (struct list *l = all->next; l != all; l = l->next) {
		struct sending *s = list_item(l, struct sending, link);

		if (s->slot == slot && address_equal(&s->volume, volume))
			return s;
	}
	return NULL;
}

struct sending *sending_new(struct node *n, const struct address *volume, unsigned int slot)
{
	struct sending *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->volume = *volume;
	s->slot = (uint16_t)slot;
	s->pending.expired = expired;
	s->timer.due = again;
	s->wait = AGAIN_MIN;
	for (unsigned int i = 0; i < RING_REPLICAS_MAX; i++)
		s->lane[i].of = s;
	list_append(&n->leases->send->all, &s->link);
	n->leases->send->count++;
	return s;
}

void sending_free(struct node *n, struct sending *s)
{
	for (unsigned int i = 0; i < RING_REPLICAS_MAX; i++)
		lease_push_stop(n, &s->lane[i].push);
	if (work_busy(&s->work))
		work_stop(n, &s->work);
	if (s->storing)
		lease_store_forget(s->storing);
	timer_stop(n, &s->timer);
	list_remove(&s->link);
	n->leases->send->count--;
	n->leases->send->resent -= s->done != NULL;
	chunk_drop(s->blob);
	free(s->addresses);
	free(s);
}

static void answer(struct node *n, struct sending *s, int result)
{
	uint64_t ticket = s->ticket;

	s->ticket = 0;
	if (ticket != 0)
		command_result(n, ticket, result);
}

void sending_over(struct node *n, struct sending *s, int result)
{
	void (*done)(struct node *, void *, int) = s->done;
	void *user = s->user;

	answer(n, s, result);
	sending_free(n, s);
	if (done)
		done(n, user, result);
	lease_resend_soon(n);
}

/* ---- the row ---- */

static struct catalogue_row_key row_key(const struct address *volume, unsigned int slot)
{
	struct catalogue_row_key key = { .table = ROW_LEASING, .key = *volume };

	key.key.b[ADDRESS_LEN - 1] ^= (uint8_t)slot;
	key.key.b[ADDRESS_LEN - 2] ^= (uint8_t)(slot >> 8);
	return key;
}

static void save(struct node *n, struct sending *s, struct catalogue_row_key key, struct chunk *value,
    void (*done)(struct node *n, struct work *w, const struct event *e))
{
	struct effect e = { .kind = EFFECT_SAVE, .row = key, .chunk = value };

	s->work.done = done;
	work_start(n, &s->work, &e);
}

/* What the row is to say of the lease ${blob}.  NULL: no memory. */
static struct chunk *row_value(const struct sending *s, const struct chunk *blob)
{
	struct address hash;
	uint8_t *p;
	struct chunk *c = chunk_new(ROW_HEAD_LEN + s->who_count * ADDRESS_LEN, &p);

	if (!c)
		return NULL;
	head_hash(blob->data, blob->len, &hash);
	memcpy(p, s->volume.b, ADDRESS_LEN);
	memcpy(p + ADDRESS_LEN, hash.b, ADDRESS_LEN);
	put_le16(p + 2 * ADDRESS_LEN, s->slot);
	p[2 * ADDRESS_LEN + 2] = (uint8_t)s->who_count;
	memcpy(p + ROW_HEAD_LEN, s->who, s->who_count * ADDRESS_LEN);
	return c;
}

bool sending_row_read(const struct chunk *row, struct address *volume, uint16_t *slot, struct address *hash)
{
	if (row->len < ROW_HEAD_LEN || row->data[2 * ADDRESS_LEN + 2] > RING_REPLICAS_MAX ||
	    row->len != ROW_HEAD_LEN + row->data[2 * ADDRESS_LEN + 2] * ADDRESS_LEN)
		return false;
	memcpy(volume->b, row->data, ADDRESS_LEN);
	memcpy(hash->b, row->data + ADDRESS_LEN, ADDRESS_LEN);
	*slot = get_le16(row->data + 2 * ADDRESS_LEN);
	return *slot < RING_SLOTS;
}

/* ---- to the owners ---- */

bool sending_has(const struct sending *s, const struct address *id)
{
	for (unsigned int i = 0; i < s->who_count; i++)
		if (address_equal(&s->who[i], id))
			return true;
	return false;
}

static void end_start(struct node *n, struct sending *s, bool all)
{
	struct catalogue *c = n->options.catalogue;
	struct chunk *blob, *value = NULL;

	s->state = ENDING;
	s->all = all;
	if (!s->row) {
		sending_over(n, s, all ? 0 : -EAGAIN);
		return;
	}
	blob = all ? NULL : c->lease(c, &s->volume, s->slot);
	if (blob)
		value = row_value(s, blob);
	chunk_drop(blob);
	if (!all && blob && !value)
		sending_over(n, s, -EAGAIN);
	else
		save(n, s, row_key(&s->volume, s->slot), value, written);
}

static void written(struct node *n, struct work *w, const struct event *e)
{
	struct sending *s = list_item(w, struct sending, work);

	(void)e;	/* a row that could not be written asks for too much, never for too little */
	sending_over(n, s, s->all ? 0 : -EAGAIN);
}

/* What the owners' answers come to, once none is awaited. */
static void settle(struct node *n, struct sending *s)
{
	bool self = placement(n) && placement_mine(n, s->slot);
	unsigned int full = 0, has = self, all = placement(n) ? placement(n)->replicas : 0, through = self;

	for (unsigned int i = 0; i < s->lanes; i++) {
		if (s->lane[i].push.busy)
			return;
		has += s->lane[i].has;
		through += s->lane[i].through;
		full += s->lane[i].full;
	}
	if (all > 0 && has >= all / 2 + 1)
		answer(n, s, 0);
	else if (all > 0 && full > all - (all / 2 + 1))
		answer(n, s, -ENOSPC);
	if (s->ticket == 0) {
		end_start(n, s, all > 0 && through == all);
		return;
	}
	s->state = WAITING;
	timer_set(n, &s->timer, n->now + node_jitter(n, s->wait));
	s->wait = s->wait < AGAIN_MAX / 2 ? 2 * s->wait : AGAIN_MAX;
}

static void pushed(struct node *n, struct lease_push *p, int result)
{
	struct lane *lane = list_item(p, struct lane, push);
	struct sending *s = lane->of;

	lane->has = result == 0;
	lane->full = result == -ENOSPC;
	lane->through = result == 0 || result == -ESTALE || result == -EEXIST || result == -EKEYREVOKED || result == -ENOENT;
	if (lane->has && !sending_has(s, &p->id) && s->who_count < RING_REPLICAS_MAX)
		s->who[s->who_count++] = p->id;
	if (lane->through && !lane->has)
		answer(n, s, result == -EEXIST ? -EUCLEAN : result == -ENOENT ? -EKEYREVOKED : result);
	settle(n, s);
}

/* To all owners of now that lack it. */
static void push_all(struct node *n, struct sending *s)
{
	struct peer *owner[RING_REPLICAS_MAX];

	s->state = PUSHING;
	s->lanes = placement(n) ? placement_owners(n, s->slot, owner) : 0;
	for (unsigned int i = 0; i < s->lanes; i++) {
		struct lane *lane = &s->lane[i];

		lane->full = false;
		lane->has = lane->through = sending_has(s, &owner[i]->id);
		lane->push.id = owner[i]->id;
		lane->push.volume = s->volume;
		lane->push.slot = s->slot;
		lane->push.done = pushed;
		if (!lane->has && peer_reachable(n, owner[i]))
			lease_push(n, &lane->push, s->ticket ? LINK_WRITE : LINK_REPAIR);
	}
	settle(n, s);
}

void sending_again(struct node *n, struct sending *s)
{
	for (unsigned int i = 0; i < s->lanes; i++)
		lease_push_stop(n, &s->lane[i].push);
	timer_stop(n, &s->timer);
	push_all(n, s);
}

static void again(struct node *n, struct timer *t)
{
	push_all(n, list_item(t, struct sending, timer));
}

static void expired(struct node *n, struct pending *p)
{
	struct sending *s = list_item(p, struct sending, pending);

	s->ticket = 0;
	if (s->state == WAITING) {
		timer_stop(n, &s->timer);
		end_start(n, s, false);
	}
}

/* ---- of a command ---- */

static void stored(struct node *n, void *user, int result)
{
	struct sending *s = user;

	s->storing = NULL;
	if (result)
		sending_over(n, s, result);
	else
		push_all(n, s);
}

static void store(struct node *n, struct sending *s)
{
	const struct wire_slice blob = { s->blob->data, s->blob->len };
	int err = lease_store(n, &s->lease, &blob, &s->addresses, stored, s, &s->storing);

	s->state = STORING;
	if (err == -EALREADY)
		push_all(n, s);
	else if (err)
		sending_over(n, s, err == -EEXIST ? -EUCLEAN : err);
}

static void noted(struct node *n, struct work *w, const struct event *e)
{
	struct sending *s = list_item(w, struct sending, work);
	struct chunk *mark;

	if (e->result) {
		sending_over(n, s, e->result);
		return;
	}
	if (lease_is_ours(n, &s->volume)) {
		store(n, s);
		return;
	}
	mark = chunk_copy("", 1);
	if (mark)
		save(n, s, (struct catalogue_row_key){ .table = ROW_VOLUME, .key = s->volume }, mark, noted);
	else
		sending_over(n, s, -ENOMEM);
}

/* 0, or why there is nothing to begin. */
int sending_start(struct node *n, const struct command *c, const struct lease *l)
{
	struct sending *s = sending_find(n, &l->volume, l->slot);
	struct wire_slice blob = { c->blob->data, c->blob->len };
	struct chunk *value;
	int err = lease_rank(n, l, &blob);

	if (err && err != -EALREADY)
		return err == -EEXIST ? -EUCLEAN : err;
	if (s && (s->state == NOTING || s->state == STORING))
		return -EBUSY;
	if (s)
		sending_over(n, s, -ECANCELED);
	if (n->leases->send->count >= LEASES_SENT_MAX)
		return -EBUSY;
	s = sending_new(n, &l->volume, l->slot);
	if (!s)
		return -ENOMEM;
	s->lease = *l;
	s->blob = chunk_hold(c->blob);
	s->addresses = malloc((c->count + !c->count) * sizeof(*s->addresses));
	value = s->addresses ? row_value(s, s->blob) : NULL;
	if (!value) {
		sending_free(n, s);
		return -ENOMEM;
	}
	if (c->count > 0)
		memcpy(s->addresses, c->addresses, c->count * sizeof(*s->addresses));
	s->row = true;
	s->ticket = c->ticket;
	command_start(n, &s->pending, c);
	n->leases->send->any = true;
	save(n, s, row_key(&s->volume, s->slot), value, noted);
	return 0;
}
