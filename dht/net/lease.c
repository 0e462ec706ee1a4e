/*
 * The machine of leases, and the walk over the notes (ROW_LEASING) of those that not all owners have yet: when a peer comes, when
 * the table changes, and after a time that doubles while nothing moves.
 *
 *	state	 event					function		next state
 *	RESTING	 a peer came, another table, it is time	resend_walk		WALKING
 *	WALKING	 LEASES_RESENT_MAX are on their way	resend_walk		WALKING, when one of them is over
 *	WALKING	 a note of which some owner answers	resend_row		WALKING: it is sent (lease_send.c)
 *	WALKING	 behind the last			resend_walk		RESTING
 */
#include "dht/net/lease_send.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int lease_open(struct node *n, const uint8_t *bytes, size_t len, struct lease *out)
{
	struct address hash, *seen;
	int err;

	head_hash(bytes, len, &hash);
	seen = &n->leases->verified[hash.b[0] % LEASES_VERIFIED];
	if (address_equal(seen, &hash))
		return lease_decode(bytes, len, &n->file.id, out);
	err = lease_read(bytes, len, &n->file.id, out);
	if (!err)
		*seen = hash;
	return err;
}

void lease_command(struct node *n, const struct command *c)
{
	struct lease l;
	int err;

	if (c->kind == COMMAND_RETIRE) {
		lease_end_command(n, c);
		return;
	}
	err = !c->blob || lease_open(n, c->blob->data, c->blob->len, &l) ? -EINVAL : 0;
	if (!err)
		err = lease_check(&l, c->addresses, c->count);
	if (!err)
		err = sending_start(n, c, &l);
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

	if (x->resent >= LEASES_RESENT_MAX || sending_find(n, volume, slot) || !(s = sending_new(n, volume, slot)))
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
		bool has = sending_has(s, &owner[i]->id);

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

	if (!sending_row_read(row, &volume, &slot, &hash) || sending_find(n, &volume, slot) || !lease_resend(n, &volume, slot, resent, NULL))
		return;
	s = sending_find(n, &volume, slot);
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
void lease_resend_soon(struct node *n)
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
	lease_resend_soon(n);
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
			sending_again(n, s);
	}
	x->wait = LEASES_AGAIN_MIN;
	lease_resend_soon(n);
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
	lease_resend_soon(n);
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
	shares_free(&l->brought);
	free(l);
	n->leases = NULL;
}

static size_t memory(struct node *n)
{
	const struct leases *l = n->leases;

	return l ? sizeof(*l) + sizeof(*l->send) + l->send->count * sizeof(struct sending) +
	    l->held * 2 * sizeof(struct address) + l->pulled * sizeof(struct address) + l->collected * LEASE_ADDRESSES_MAX * sizeof(struct address) +
	    shares_memory(&l->brought) : 0;
}

const struct machine lease_machine = {
	.name = "lease", .start = start, .table = table, .peer = peer, .request = lease_serve, .end = end, .memory = memory,
};
