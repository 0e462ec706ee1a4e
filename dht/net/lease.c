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
 *	WAITING	 it is time, a peer came, another table	again		PUSHING, to those that lack it
 *	WAITING	 the command's time is up		expired		ENDING
 *	ENDING	 the row is gone, or says who has it	written		over
 *	any	 a newer lease of the volume and slot	lease_start	over: -ECANCELED
 *
 * Rows are walked when a peer comes, when the table changes, and after a time that doubles while nothing moves.
 */
#include "dht/net/lease.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"

#define ROW_HEAD_LEN (2 * ADDRESS_LEN + 3u)	/* volume, hash of the lease, slot, number of those who have it */

enum state { NOTING, STORING, PUSHING, WAITING, ENDING };

struct lane {				/* to one owner */
	struct sending *of;
	struct lease_push push;
	bool has;			/* it is there */
	bool through;			/* it is, or nothing will ever make it so */
};

struct sending {
	struct list link;
	enum state state;
	struct address volume;
	uint16_t slot;
	struct pending pending;
	uint64_t ticket;		/* of the command; 0: none, or it was answered */
	bool row;			/* a row tells of it */
	bool all;			/* ENDING: every owner has it */
	struct work work;
	struct timer timer;
	/* NOTING, STORING */
	struct lease lease;
	struct chunk *blob;
	struct address *addresses;
	struct lease_storing *storing;
	/* PUSHING on */
	struct lane lane[RING_REPLICAS_MAX];
	unsigned int lanes;
	struct address who[RING_REPLICAS_MAX];	/* have it, by the row or by themselves */
	unsigned int who_count;
	uint64_t wait;
	void (*done)(struct node *n, void *user, int result);	/* of lease_resend() */
	void *user;
};

struct lease_send {
	struct list all;
	unsigned int count, resent;
	struct timer timer;
	struct address cursor;
	bool walking, rows, any;	/* any: there may be rows.  rows: the walk met one */
	uint64_t wait;
};

static void resend_soon(struct node *n);
static void again(struct node *n, struct timer *t);
static void expired(struct node *n, struct pending *p);
static void written(struct node *n, struct work *w, const struct event *e);

static struct sending *find(struct node *n, const struct address *volume, unsigned int slot)
{
	struct list *all = &n->leases->send->all;

	for (struct list *l = all->next; l != all; l = l->next) {
		struct sending *s = list_item(l, struct sending, link);

		if (s->slot == slot && address_equal(&s->volume, volume))
			return s;
	}
	return NULL;
}

static struct sending *sending_new(struct node *n, const struct address *volume, unsigned int slot)
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

static void sending_free(struct node *n, struct sending *s)
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

static void over(struct node *n, struct sending *s, int result)
{
	void (*done)(struct node *, void *, int) = s->done;
	void *user = s->user;

	answer(n, s, result);
	sending_free(n, s);
	if (done)
		done(n, user, result);
	resend_soon(n);
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

static bool row_read(const struct chunk *row, struct address *volume, uint16_t *slot, struct address *hash)
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

static bool who_has(const struct sending *s, const struct address *id)
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
		over(n, s, all ? 0 : -EAGAIN);
		return;
	}
	blob = all ? NULL : c->lease(c, &s->volume, s->slot);
	if (blob)
		value = row_value(s, blob);
	chunk_drop(blob);
	if (!all && blob && !value)
		over(n, s, -EAGAIN);
	else
		save(n, s, row_key(&s->volume, s->slot), value, written);
}

static void written(struct node *n, struct work *w, const struct event *e)
{
	struct sending *s = list_item(w, struct sending, work);

	(void)e;	/* a row that could not be written asks for too much, never for too little */
	over(n, s, s->all ? 0 : -EAGAIN);
}

/* What the owners' answers come to, once none is awaited. */
static void settle(struct node *n, struct sending *s)
{
	bool self = placement(n) && placement_mine(n, s->slot);
	unsigned int has = self, all = placement(n) ? placement(n)->replicas : 0, through = self;

	for (unsigned int i = 0; i < s->lanes; i++) {
		if (s->lane[i].push.busy)
			return;
		has += s->lane[i].has;
		through += s->lane[i].through;
	}
	if (all > 0 && has >= all / 2 + 1)
		answer(n, s, 0);
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
	lane->through = result == 0 || result == -ESTALE || result == -EEXIST || result == -EKEYREVOKED || result == -ENOENT;
	if (lane->has && !who_has(s, &p->id) && s->who_count < RING_REPLICAS_MAX)
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

		lane->has = lane->through = who_has(s, &owner[i]->id);
		lane->push.id = owner[i]->id;
		lane->push.volume = s->volume;
		lane->push.slot = s->slot;
		lane->push.done = pushed;
		if (!lane->has && peer_reachable(n, owner[i]))
			lease_push(n, &lane->push, s->ticket ? LINK_WRITE : LINK_REPAIR);
	}
	settle(n, s);
}

static void push_again(struct node *n, struct sending *s)
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
		over(n, s, result);
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
		over(n, s, err == -EEXIST ? -EUCLEAN : err);
}

static void noted(struct node *n, struct work *w, const struct event *e)
{
	struct sending *s = list_item(w, struct sending, work);
	struct chunk *mark;

	if (e->result) {
		over(n, s, e->result);
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
		over(n, s, -ENOMEM);
}

/* 0, or why there is nothing to begin. */
static int lease_start(struct node *n, const struct command *c, const struct lease *l)
{
	struct sending *s = find(n, &l->volume, l->slot);
	struct wire_slice blob = { c->blob->data, c->blob->len };
	struct chunk *value;
	int err = lease_rank(n, l, &blob);

	if (err && err != -EALREADY)
		return err == -EEXIST ? -EUCLEAN : err;
	if (s && (s->state == NOTING || s->state == STORING))
		return -EBUSY;
	if (s)
		over(n, s, -ECANCELED);
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

void lease_command(struct node *n, const struct command *c)
{
	struct lease l;
	int err;

	if (c->kind == COMMAND_RETIRE) {
		lease_end_command(n, c);
		return;
	}
	err = !c->blob || lease_read(c->blob->data, c->blob->len, &n->file.id, &l) ? -EINVAL : 0;
	if (!err)
		err = lease_check(&l, c->addresses, c->count);
	if (!err)
		err = lease_start(n, c, &l);
	if (err)
		command_result(n, c->ticket, err == -EBADMSG ? -EINVAL : err);
}

bool lease_is_ours(struct node *n, const struct address *volume)
{
	struct catalogue *c = n->options.catalogue;
	struct chunk *row = c->row(c, &(struct catalogue_row_key){ .table = ROW_VOLUME, .key = *volume });

	chunk_drop(row);
	return row;
}

/* ---- again ---- */

bool lease_resend(struct node *n, const struct address *volume, unsigned int slot,
    void (*done)(struct node *n, void *user, int result), void *user)
{
	struct lease_send *x = n->leases->send;
	struct sending *s;

	if (x->resent >= LEASES_RESENT_MAX || find(n, volume, slot) || !(s = sending_new(n, volume, slot)))
		return false;
	s->done = done;
	s->user = user;
	x->resent++;
	s->state = WAITING;
	timer_set(n, &s->timer, n->now);
	return true;
}

static void resent(struct node *n, void *user, int result)
{
	(void)user;
	if (result == 0)
		n->leases->send->wait = LEASES_AGAIN_MIN;
}

/* Those of the row that have this very lease still count; does any other owner answer? */
static bool row_wants(struct node *n, const struct chunk *row, struct sending *s, const struct address *hash)
{
	struct catalogue *c = n->options.catalogue;
	struct chunk *blob = c->lease(c, &s->volume, s->slot);
	struct peer *owner[RING_REPLICAS_MAX];
	unsigned int owners = placement_owners(n, s->slot, owner), lack = 0;
	struct address now;

	if (!blob)
		return true;	/* nothing to send: the row goes */
	head_hash(blob->data, blob->len, &now);
	chunk_drop(blob);
	if (address_equal(&now, hash)) {
		s->who_count = row->data[2 * ADDRESS_LEN + 2];
		memcpy(s->who, row->data + ROW_HEAD_LEN, s->who_count * ADDRESS_LEN);
	}
	for (unsigned int i = 0; i < owners; i++) {
		bool has = who_has(s, &owner[i]->id);

		lack += !has;
		if (!has && peer_reachable(n, owner[i]))
			return true;
	}
	return lack == 0;
}

static void resend_row(struct node *n, const struct chunk *row)
{
	struct address volume, hash;
	struct sending *s;
	uint16_t slot;

	if (!row_read(row, &volume, &slot, &hash) || find(n, &volume, slot) || !lease_resend(n, &volume, slot, resent, NULL))
		return;
	s = find(n, &volume, slot);
	s->row = true;
	if (!row_wants(n, row, s, &hash))
		sending_free(n, s);
}

static void resend_walk(struct node *n, struct timer *t)
{
	struct lease_send *x = n->leases->send;
	struct catalogue *c = n->options.catalogue;
	struct address next;

	if (!placement(n)) {
		timer_set(n, t, n->now + LEASES_AGAIN_MIN);
		return;
	}
	for (unsigned int i = 0; i < LEASES_SWEPT; i++) {
		struct chunk *row;

		if (x->resent >= LEASES_RESENT_MAX)
			return;		/* goes on when one of them is over */
		if (!c->rows(c, ROW_LEASING, x->walking ? &x->cursor : NULL, &next)) {
			x->any = x->rows || x->count > 0;
			x->walking = x->rows = false;
			x->wait = x->wait < LEASES_AGAIN_MAX / 2 ? 2 * x->wait : LEASES_AGAIN_MAX;
			if (x->any)
				timer_set(n, t, n->now + node_jitter(n, x->wait));
			return;
		}
		x->walking = x->rows = true;
		x->cursor = next;
		row = c->row(c, &(struct catalogue_row_key){ .table = ROW_LEASING, .key = next });
		if (row)
			resend_row(n, row);
		chunk_drop(row);
	}
	timer_set(n, t, n->now + 1 * MS);
}

/* Goes on with a walk that waited for room, or sees to it that there will be one. */
static void resend_soon(struct node *n)
{
	struct lease_send *x = n->leases->send;
	uint64_t at = n->now + (x->walking ? 1 : x->wait);

	if (x->any && (!timer_busy(&x->timer) || x->timer.at > at))
		timer_set(n, &x->timer, at);
}

/* ---- the machine ---- */

static void start(struct node *n)
{
	struct catalogue *c = n->options.catalogue;
	struct leases *l = calloc(1, sizeof(*l));
	struct lease_send *x = l ? calloc(1, sizeof(*x)) : NULL;
	struct address at, *after = NULL;

	if (!x) {
		free(l);
		node_stop(n, "no memory");
		return;
	}
	list_init(&l->storing);
	list_init(&l->ending);
	list_init(&l->collecting);
	list_init(&l->pulls);
	list_init(&l->telling);
	list_init(&l->retiring);
	list_init(&x->all);
	x->timer.due = resend_walk;
	x->wait = LEASES_AGAIN_MIN;
	x->any = true;
	l->send = x;
	n->leases = l;
	while (c->rows(c, ROW_RETIRED, after, &at)) {
		after = &at;
		l->retired++;
	}
	resend_soon(n);
	lease_sweep_start(n);
}

static void all_again(struct node *n)
{
	struct lease_send *x = n->leases->send;
	struct list *l, *next;

	for (l = x->all.next; l != &x->all; l = next) {
		struct sending *s = list_item(l, struct sending, link);

		next = l->next;
		if (s->state == PUSHING || s->state == WAITING)
			push_again(n, s);
	}
	x->wait = LEASES_AGAIN_MIN;
	resend_soon(n);
}

static void table(struct node *n)
{
	if (!n->leases)
		return;
	all_again(n);
	lease_sweep_again(n);
}

static void peer(struct node *n, struct peer *p, bool up)
{
	struct lease_send *x = n->leases ? n->leases->send : NULL;

	if (!x)
		return;
	if (!up) {
		lease_serve_gone(n, &p->id);
		return;
	}
	x->wait = LEASES_AGAIN_MIN;
	resend_soon(n);
}

static void end(struct node *n)
{
	struct leases *l = n->leases;

	if (!l)
		return;
	while (!list_empty(&l->send->all))
		sending_free(n, list_item(l->send->all.next, struct sending, link));
	timer_stop(n, &l->send->timer);
	lease_sweep_end(n);
	lease_pull_end(n);
	lease_serve_gone(n, NULL);
	lease_end_end(n);
	lease_store_end(n);
	free(l->send);
	free(l);
	n->leases = NULL;
}

static size_t memory(struct node *n)
{
	const struct leases *l = n->leases;

	return l ? sizeof(*l) + sizeof(*l->send) + l->send->count * sizeof(struct sending) +
	    l->held * 2 * sizeof(struct address) + l->collected * LEASE_ADDRESSES_MAX * sizeof(struct address) : 0;
}

const struct machine lease_machine = {
	.name = "lease", .start = start, .table = table, .peer = peer, .request = lease_serve, .end = end, .memory = memory,
};
