/*
 * COMMAND_RETIRE, a volume's end:
 *
 *	state	  event					function	next state
 *	STORING	  it is durable here			ended_here	TELLING
 *	STORING	  it can't be				ended_here	over: the reply is why
 *	TELLING	  a member said OK, or can't be told	told		TELLING, the next member
 *	TELLING	  all members were asked		tell_next	over: the reply is 0; -EAGAIN: of some slot no owner has it;
 *								-EHOSTUNREACH: nobody has
 *
 * Who was not told learns it from his co-owners (lease.h, rule 4): so one owner of each slot is enough.
 */
#include "dht/net/lease.h"

#include <errno.h>
#include <stdlib.h>
#include <syslog.h>

#include "chunker/bytes.h"

struct retiring;

struct ask {
	struct retiring *of;
	struct address id;
	struct call call;
};

struct retiring {
	struct list link;
	struct pending pending;
	uint64_t ticket;
	struct chunk *statement;
	struct lease_ending *ending;
	struct address cursor;		/* the member that was asked last */
	unsigned int others, told;	/* members but ourselves; of them: have it */
	struct address *missed;		/* who has not */
	unsigned int missed_count, missed_size;
	bool unsure;			/* one is missing there, for want of memory */
	struct ask ask[RETIRE_ASKS];
};

struct telling {
	struct list link;
	struct call call;
};

struct chunk *lease_ended(struct node *n, const struct address *volume)
{
	struct catalogue *c = n->options.catalogue;

	return n->leases->retired > 0 ?
	    c->row(c, &(struct catalogue_row_key){ .table = ROW_RETIRED, .key = *volume }) : NULL;
}

/* ---- on the disk ---- */

static void ending_free(struct lease_ending *e)
{
	list_remove(&e->link);
	free(e);
}

static void saved(struct node *n, struct work *w, const struct event *e)
{
	struct lease_ending *x = list_item(w, struct lease_ending, work);
	void (*done)(struct node *, void *, int) = x->done;
	void *user = x->user;
	char text[ADDRESS_TEXT_LEN + 1];

	address_format(&x->volume, text);
	if (e->result) {
		n->leases->retired--;
		node_log(n, LOG_ERR, "the end of volume %s can't be stored: error %d", text, -e->result);
	} else {
		node_log(n, LOG_NOTICE, "volume %s has ended: its leases go", text);
		lease_sweep_again(n);
	}
	ending_free(x);
	if (done)
		done(n, user, e->result);
}

static bool is_ending(struct node *n, const struct address *volume)
{
	for (struct list *l = n->leases->ending.next; l != &n->leases->ending; l = l->next)
		if (address_equal(&list_item(l, struct lease_ending, link)->volume, volume))
			return true;
	return false;
}

int lease_end(struct node *n, const struct wire_slice *statement, void (*done)(struct node *n, void *user, int result),
    void *user, struct lease_ending **out)
{
	struct effect e = { .kind = EFFECT_SAVE, .row = { .table = ROW_RETIRED } };
	struct chunk *known;
	struct retire r;
	struct lease_ending *x;

	if (retire_read(statement->data, statement->len, &n->file.id, &r))
		return -EBADMSG;
	known = lease_ended(n, &r.volume);
	chunk_drop(known);
	if (known)
		return -EALREADY;
	if (is_ending(n, &r.volume))
		return -EBUSY;
	if (n->leases->retired >= RETIRED_MAX)
		return -ENOSPC;
	x = calloc(1, sizeof(*x));
	e.chunk = x ? chunk_copy(statement->data, statement->len) : NULL;
	if (!e.chunk) {
		free(x);
		return -ENOMEM;
	}
	x->volume = e.row.key = r.volume;
	x->done = done;
	x->user = user;
	x->work.done = saved;
	list_append(&n->leases->ending, &x->link);
	n->leases->retired++;
	if (out)
		*out = x;
	work_start(n, &x->work, &e);
	return 0;
}

/* ---- one who has not heard ---- */

static struct message retire_message(const struct chunk *statement)
{
	return (struct message){ .type = WIRE_RETIRE, .statement = { statement->data, statement->len } };
}

static void telling_free(struct node *n, struct telling *t)
{
	list_remove(&t->link);
	n->leases->tellings--;
	free(t);
}

static void heard(struct node *n, struct call *c, int result, const struct message *answer, struct chunk *body)
{
	(void)result;
	(void)answer;
	(void)body;
	telling_free(n, list_item(c, struct telling, call));
}

void lease_end_tell(struct node *n, struct peer *peer, struct chunk *statement)
{
	struct message m = retire_message(statement);
	struct telling *t = n->leases->tellings < RETIRE_ASKS ? calloc(1, sizeof(*t)) : NULL;

	if (!t)
		return;
	t->call.done = heard;
	list_append(&n->leases->telling, &t->link);
	n->leases->tellings++;
	call_start(n, &t->call, peer, &m, NULL, LINK_REPAIR, CALL_QUICK);
}

/* ---- all members ---- */

static void retiring_free(struct node *n, struct retiring *r)
{
	for (unsigned int i = 0; i < RETIRE_ASKS; i++)
		if (call_busy(&r->ask[i].call))
			call_stop(n, &r->ask[i].call);
	if (r->ending)
		r->ending->done = NULL;
	list_remove(&r->link);
	chunk_drop(r->statement);
	free(r->missed);
	free(r);
}

static void retiring_over(struct node *n, struct retiring *r, int result)
{
	command_result(n, r->ticket, result);
	retiring_free(n, r);
}

static void miss(struct retiring *r, const struct address *id)
{
	if (r->missed_count == r->missed_size) {
		unsigned int size = r->missed_size > 0 ? 2 * r->missed_size : 16;
		struct address *more = realloc(r->missed, size * sizeof(*more));

		if (!more) {
			r->unsure = true;
			return;
		}
		r->missed = more;
		r->missed_size = size;
	}
	r->missed[r->missed_count++] = *id;
}

static bool missed(const struct retiring *r, const struct address *id)
{
	for (unsigned int i = 0; i < r->missed_count; i++)
		if (address_equal(&r->missed[i], id))
			return true;
	return false;
}

/* Does an owner of each slot have it? */
static bool everywhere(struct node *n, const struct retiring *r)
{
	const struct ring *ring = placement(n);
	bool *lacks = ring && !r->unsure ? calloc(ring->members, sizeof(*lacks)) : NULL;
	unsigned int slot = 0;

	for (unsigned int i = 0; lacks && i < ring->members; i++)
		lacks[i] = missed(r, &ring->member[i].id);
	for (; lacks && slot < RING_SLOTS; slot++) {
		unsigned int rank = 0;

		while (rank < ring->replicas && lacks[ring_owners(ring, slot)[rank]])
			rank++;
		if (rank == ring->replicas)
			break;
	}
	free(lacks);
	return slot == RING_SLOTS;
}

static int result_of(struct node *n, const struct retiring *r)
{
	if (r->others > 0 && r->told == 0)
		return -EHOSTUNREACH;
	return everywhere(n, r) ? 0 : -EAGAIN;
}

/* Those that can't be told now are passed over. */
static struct peer *next_member(struct node *n, struct retiring *r)
{
	const struct member *m;

	while ((m = membership_next(n, &r->cursor))) {
		struct peer *p = peer_find(n, &m->id);

		r->cursor = m->id;
		if (address_equal(&m->id, &n->id) || m->state == MEMBER_LEFT || m->state == MEMBER_EVICTED)
			continue;
		r->others++;
		if (p && peer_reachable(n, p))
			return p;
		miss(r, &r->cursor);
	}
	return NULL;
}

static void tell_next(struct node *n, struct retiring *r)
{
	bool busy = false;

	for (unsigned int i = 0; i < RETIRE_ASKS; i++) {
		struct message m = retire_message(r->statement);
		struct peer *p = call_busy(&r->ask[i].call) ? NULL : next_member(n, r);

		if (p) {
			r->ask[i].id = p->id;
			call_start(n, &r->ask[i].call, p, &m, NULL, LINK_WRITE, CALL_QUICK);
		}
		busy = busy || call_busy(&r->ask[i].call);
	}
	if (!busy)
		retiring_over(n, r, result_of(n, r));
}

static void told(struct node *n, struct call *c, int result, const struct message *answer, struct chunk *body)
{
	struct ask *a = list_item(c, struct ask, call);
	struct retiring *r = a->of;

	(void)body;
	if (!result && answer->status == WIRE_OK)
		r->told++;
	else
		miss(r, &a->id);
	tell_next(n, r);
}

static void ended_here(struct node *n, void *user, int result)
{
	struct retiring *r = user;

	r->ending = NULL;
	if (result)
		retiring_over(n, r, result);
	else
		tell_next(n, r);
}

static void expired(struct node *n, struct pending *p)
{
	(void)n;
	(void)p;	/* it goes on telling */
}

void lease_end_command(struct node *n, const struct command *c)
{
	struct retiring *r = c->blob ? calloc(1, sizeof(*r)) : NULL;
	int err;

	if (!r) {
		command_result(n, c->ticket, c->blob ? -ENOMEM : -EINVAL);
		return;
	}
	r->ticket = c->ticket;
	r->statement = chunk_hold(c->blob);
	r->pending.expired = expired;
	for (unsigned int i = 0; i < RETIRE_ASKS; i++) {
		r->ask[i].of = r;
		r->ask[i].call.done = told;
	}
	list_append(&n->leases->retiring, &r->link);
	command_start(n, &r->pending, c);
	err = lease_end(n, &(struct wire_slice){ c->blob->data, c->blob->len }, ended_here, r, &r->ending);
	if (err == -EALREADY)
		tell_next(n, r);
	else if (err)
		retiring_over(n, r, err == -EBADMSG ? -EINVAL : err);
}

void lease_end_end(struct node *n)
{
	struct leases *l = n->leases;

	while (!list_empty(&l->retiring))
		retiring_free(n, list_item(l->retiring.next, struct retiring, link));
	while (!list_empty(&l->telling)) {
		struct telling *t = list_item(l->telling.next, struct telling, link);

		call_stop(n, &t->call);
		telling_free(n, t);
	}
	while (!list_empty(&l->ending)) {
		struct lease_ending *e = list_item(l->ending.next, struct lease_ending, link);

		work_stop(n, &e->work);
		ending_free(e);
	}
}
