/*
 * COMMAND_HEAD and COMMAND_SWAP (heads.h).
 *
 *	state	 event					function	next state
 *	-	 COMMAND_HEAD				head_command	READING
 *	-	 COMMAND_SWAP				head_command	KEEPING its head
 *	READING	 all owners have answered, or can't:	read_over
 *		 fewer than a majority					WAITING
 *		 two of one seq						KEEPING both
 *		 none anywhere						over: -ENOENT
 *		 a newest						KEEPING it
 *	KEEPING	 it is durable here			kept		WRITING; over: 0, when all have it
 *	KEEPING	 two of one seq				kept		WARNING: the reply is -EUCLEAN
 *	KEEPING	 here is a newer one, or the disk failed kept		over: -ESTALE, why
 *	WRITING	 a majority has it			write_over	WRITING: the reply is 0; over, when all are through
 *	WRITING	 an owner shows two of one seq		wrote		KEEPING both
 *	both	 another table				table		the same, anew
 *	WRITING	 all are through, some know a newer one	write_over	over: -ESTALE; READING, of COMMAND_HEAD
 *	WRITING	 all are through, fewer than a majority	write_over	WAITING
 *	WAITING	 it is time				again		READING; WRITING
 *	WARNING	 all owners know, or can't be told	warned		over
 *	any	 the command's time is up		expired		over, but from WARNING, which goes on
 */
#include "dht/net/heads.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dht/net/lease.h"

enum state { READING, KEEPING, WRITING, WAITING, WARNING };

struct lane {				/* to one owner */
	struct asking *of;
	struct call call;
	struct address id;
	bool told;			/* it answered what counts: READING: it has none, or ${head}; WRITING: it has it */
	bool full;
	bool chained;			/* it was sent what lies between */
	struct chunk *head;
	uint64_t seq;
};

struct asking {
	struct list link;
	struct pending pending;
	uint64_t ticket;		/* 0: answered */
	bool swap;
	enum state state;
	struct address volume;
	struct lane lane[RING_REPLICAS_MAX];
	unsigned int lanes;
	bool self;			/* we are an owner, and know what counts: our own answer, as a lane's: */
	bool self_told, self_full;
	struct chunk *self_head;
	uint64_t self_seq;
	struct head_change *changing[2];	/* of ROW_HEAD_SEEN, of ROW_HEAD */
	struct chunk *head, *evidence;	/* what is kept and written; another one of its seq */
	struct head h;			/* ${head} */
	bool stale, ended;
	bool everywhere;		/* READING: all who answered have it */
	struct timer timer;
	uint64_t wait;
};

static void read_all(struct node *n, struct asking *a);
static void write_all(struct node *n, struct asking *a);
static void keep(struct node *n, struct asking *a);

/* ---- lifetime ---- */

static void stop_lanes(struct node *n, struct asking *a)
{
	for (unsigned int i = 0; i < RING_REPLICAS_MAX; i++) {
		struct lane *l = &a->lane[i];

		if (call_busy(&l->call))
			call_stop(n, &l->call);
		chunk_drop(l->head);
		l->head = NULL;
	}
	for (unsigned int i = 0; i < 2; i++)
		if (a->changing[i])
			head_change_forget(a->changing[i]);
	a->changing[0] = a->changing[1] = NULL;
	chunk_drop(a->self_head);
	a->self_head = NULL;
	timer_stop(n, &a->timer);
}

static void ask_free(struct node *n, struct asking *a)
{
	stop_lanes(n, a);
	list_remove(&a->link);
	n->heads->ask_count--;
	chunk_drop(a->head);
	chunk_drop(a->evidence);
	free(a);
}

static void answer(struct node *n, struct asking *a, int result)
{
	struct effect reply = { .result = result };
	uint64_t ticket = a->ticket;

	if (ticket == 0)
		return;
	a->ticket = 0;
	if (result == 0 || result == -EUCLEAN)
		reply.blob = chunk_hold(a->head);
	if (result == -EUCLEAN)
		reply.chunk = chunk_hold(a->evidence);
	command_reply(n, ticket, &reply);
}

static void over(struct node *n, struct asking *a, int result)
{
	answer(n, a, result);
	ask_free(n, a);
}

static void expired(struct node *n, struct pending *p)
{
	struct asking *a = list_item(p, struct asking, pending);

	a->ticket = 0;
	if (a->state != WARNING && !a->evidence)
		ask_free(n, a);
}

static void again(struct node *n, struct timer *t)
{
	struct asking *a = list_item(t, struct asking, timer);

	if (a->swap)
		write_all(n, a);
	else
		read_all(n, a);
}

static void wait(struct node *n, struct asking *a)
{
	if (a->ticket == 0) {
		ask_free(n, a);
		return;
	}
	a->state = WAITING;
	timer_set(n, &a->timer, n->now + node_jitter(n, a->wait));
	a->wait = a->wait < AGAIN_MAX / 2 ? 2 * a->wait : AGAIN_MAX;
}

/* ---- what all states share ---- */

static bool busy(const struct asking *a)
{
	for (unsigned int i = 0; i < a->lanes; i++)
		if (call_busy(&a->lane[i].call))
			return true;
	return a->changing[1] != NULL;
}

/* The owners of now; none has been asked. */
static void open_lanes(struct node *n, struct asking *a)
{
	unsigned int slot = ring_slot(&a->volume);
	struct peer *owner[RING_REPLICAS_MAX];

	stop_lanes(n, a);
	a->lanes = placement(n) ? placement_owners(n, slot, owner) : 0;
	for (unsigned int i = 0; i < a->lanes; i++)
		a->lane[i] = (struct lane){ .of = a, .id = owner[i]->id };
	a->self = heads_complete(n, slot);
	a->self_told = a->self_full = false;
	a->self_seq = 0;
}

static unsigned int owners(struct node *n)
{
	return placement(n) ? placement(n)->replicas : RING_REPLICAS_MAX;
}

static bool majority(struct node *n, unsigned int count)
{
	return count >= owners(n) / 2 + 1;
}

/* ${m} says that the volume is over, and proves it. */
static bool take_end(struct node *n, struct asking *a, const struct message *m)
{
	struct retire r;

	if (retire_read(m->statement.data, m->statement.len, &n->file.id, &r) || !address_equal(&r.volume, &a->volume))
		return false;
	lease_end(n, &m->statement, NULL, NULL, NULL);
	a->ended = true;
	return true;
}

static bool read_head(struct node *n, const struct asking *a, const struct wire_slice *blob, struct head *out)
{
	return !head_read(blob->data, blob->len, &n->file.id, out) && address_equal(&out->volume, &a->volume);
}

static bool same(const struct chunk *c, const struct wire_slice *s)
{
	return c && c->len == s->len && !memcmp(c->data, s->data, s->len);
}

/* Two of one seq: both become what is to be kept. */
static void forked(struct node *n, struct asking *a, const struct wire_slice *one, const struct wire_slice *two)
{
	struct chunk *head = chunk_copy(one->data, one->len), *evidence = chunk_copy(two->data, two->len);

	if (!head || !evidence) {
		chunk_drop(head);
		chunk_drop(evidence);
		over(n, a, -ENOMEM);
		return;
	}
	chunk_drop(a->head);
	chunk_drop(a->evidence);
	a->head = head;
	a->evidence = evidence;
	keep(n, a);
}

static struct wire_slice slice_of(const struct chunk *c)
{
	return (struct wire_slice){ c->data, c->len };
}

/* Does the answer prove two of one seq? */
static bool is_fork(struct node *n, const struct asking *a, const struct message *m)
{
	struct head one, two;

	return m->head.len > 0 && m->evidence.len > 0 && read_head(n, a, &m->head, &one) && read_head(n, a, &m->evidence, &two) &&
	    one.seq == two.seq && (m->head.len != m->evidence.len || memcmp(m->head.data, m->evidence.data, m->head.len) != 0);
}

static void distrust(struct node *n, const struct lane *l, const char *what)
{
	struct peer *peer = peer_find(n, &l->id);

	if (peer)
		peer_wrong(n, peer, what);
}

/* ---- READING ---- */

/* Of all that was told: the newest, and how many owners have it.  Two of one seq: true. */
static bool newest_of(const struct asking *a, struct chunk **best, uint64_t *seq, unsigned int *has, struct chunk **other)
{
	*best = NULL;
	*seq = 0;
	*has = 0;
	for (unsigned int i = 0; i <= a->lanes; i++) {
		struct chunk *head = i < a->lanes ? a->lane[i].head : a->self_head;
		uint64_t its = i < a->lanes ? a->lane[i].seq : a->self_seq;
		struct wire_slice blob;

		if (!head || its < *seq)
			continue;
		blob = slice_of(head);
		if (its == *seq && !same(*best, &blob)) {
			*other = head;
			return true;
		}
		*has = its == *seq ? *has + 1 : 1;
		*best = head;
		*seq = its;
	}
	return false;
}

/* What was shown here before is as good as an answer, but is no owner's. */
static int add_seen(struct node *n, struct asking *a, struct chunk **best, uint64_t *seq, unsigned int *has)
{
	struct head_row row;
	struct chunk *bytes = heads_row(n, ROW_HEAD_SEEN, &a->volume, &row);
	const struct head_item *seen = head_row_newest(&row);
	struct wire_slice blob;
	int result = 0;

	if (row.forked && row.fork[0].blob.len == 0) {
		result = -EIO;
	} else if (row.forked) {
		forked(n, a, &row.fork[0].blob, &row.fork[1].blob);
		result = -EUCLEAN;
	} else if (seen && seen->seq >= *seq && !same(*best, &seen->blob)) {
		if (seen->seq == *seq) {
			blob = slice_of(*best);
			forked(n, a, &blob, &seen->blob);
			result = -EUCLEAN;
		} else {
			chunk_drop(a->self_head);
			a->self_head = *best = chunk_copy(seen->blob.data, seen->blob.len);
			*seq = seen->seq;
			*has = 0;
			result = *best ? 0 : -ENOMEM;
		}
	}
	chunk_drop(bytes);
	return result;
}

static void read_over(struct node *n, struct asking *a)
{
	struct chunk *best, *other;
	struct wire_slice one, two;
	uint64_t seq;
	unsigned int has, told = a->self_told;
	int err;

	if (a->ended) {
		over(n, a, -EKEYREVOKED);
		return;
	}
	for (unsigned int i = 0; i < a->lanes; i++)
		told += a->lane[i].told;
	if (newest_of(a, &best, &seq, &has, &other)) {
		one = slice_of(best);
		two = slice_of(other);
		forked(n, a, &one, &two);
		return;
	}
	if (!majority(n, told)) {
		wait(n, a);
		return;
	}
	err = add_seen(n, a, &best, &seq, &has);
	if (err == -EUCLEAN)
		return;
	if (!err && !best)
		err = -ENOENT;
	one = best ? slice_of(best) : (struct wire_slice){ NULL, 0 };
	if (!err && !read_head(n, a, &one, &a->h))
		err = -EIO;	/* of our own disk: all others were verified */
	if (err) {
		over(n, a, err);
		return;
	}
	a->everywhere = has == told && majority(n, has);
	chunk_drop(a->head);
	a->head = chunk_hold(best);
	keep(n, a);
}

static void read_one(struct node *n, struct call *c, int result, const struct message *m, struct chunk *body)
{
	struct lane *l = list_item(c, struct lane, call);
	struct asking *a = l->of;
	struct head h;

	(void)body;
	if (!result && is_fork(n, a, m)) {
		forked(n, a, &m->head, &m->evidence);
		return;
	}
	if (!result && m->status == WIRE_ENDED) {
		take_end(n, a, m);
	} else if (!result && m->status == WIRE_MISS) {
		l->told = true;
	} else if (!result && m->status == WIRE_OK) {
		if (m->head.len > 0 && read_head(n, a, &m->head, &h)) {
			l->head = chunk_copy(m->head.data, m->head.len);
			l->seq = h.seq;
			l->told = l->head != NULL;
		} else {
			distrust(n, l, "a bad head");
		}
	}
	if (!busy(a))
		read_over(n, a);
}

/* True: two of one seq are here already, and that is settled. */
static bool read_self(struct node *n, struct asking *a)
{
	struct head_row row;
	struct chunk *bytes = heads_row(n, ROW_HEAD, &a->volume, &row);
	const struct head_item *newest = head_row_newest(&row);

	bool fork = row.forked && row.fork[0].blob.len > 0;

	if (newest && !row.forked) {
		a->self_head = chunk_copy(newest->blob.data, newest->blob.len);
		a->self_seq = newest->seq;
	}
	a->self_told = !row.forked && (!newest || a->self_head);
	if (fork)
		forked(n, a, &row.fork[0].blob, &row.fork[1].blob);
	chunk_drop(bytes);
	return fork;
}

static void read_all(struct node *n, struct asking *a)
{
	a->state = READING;
	a->stale = false;
	open_lanes(n, a);
	if (a->self && read_self(n, a))
		return;
	for (unsigned int i = 0; i < a->lanes; i++) {
		struct message m = { .type = WIRE_HEAD, .volume = a->volume };
		struct peer *peer = peer_find(n, &a->lane[i].id);

		a->lane[i].call.done = read_one;
		if (peer && peer_reachable(n, peer))
			call_start(n, &a->lane[i].call, peer, &m, NULL, LINK_READ, CALL_QUICK);
	}
	if (!busy(a))
		read_over(n, a);
}

/* ---- WARNING ---- */

static void warned_one(struct node *n, struct asking *a)
{
	if (!busy(a) && !a->changing[0])
		over(n, a, -EUCLEAN);
}

static void warned(struct node *n, struct call *c, int result, const struct message *m, struct chunk *body)
{
	(void)result;
	(void)m;
	(void)body;
	warned_one(n, list_item(c, struct lane, call)->of);
}

static void warned_self(struct node *n, struct head_change *c)
{
	struct asking *a = c->user;

	a->changing[1] = NULL;
	warned_one(n, a);
}

/* ---- KEEPING ---- */

static struct head_change *change_new(struct asking *a, enum catalogue_table table,
    void (*done)(struct node *n, struct head_change *c))
{
	struct head_change *c = head_change_new(table, &a->volume);

	if (!c)
		return NULL;
	c->hold[0] = chunk_hold(a->head);
	c->head = slice_of(a->head);
	if (a->evidence) {
		c->hold[1] = chunk_hold(a->evidence);
		c->evidence = slice_of(a->evidence);
	}
	c->user = a;
	c->done = done;
	a->changing[table == ROW_HEAD] = c;
	return c;
}

/* Both heads go to all owners: whoever writes next will meet one of them. */
static void warn_all(struct node *n, struct asking *a)
{
	struct wire_slice head = slice_of(a->head);
	struct head_change *c;
	struct head h;

	open_lanes(n, a);
	a->state = WARNING;
	if (!read_head(n, a, &head, &h)) {
		over(n, a, -EIO);
		return;
	}
	for (unsigned int i = 0; i < a->lanes; i++) {
		struct message m = { .type = WIRE_SWAP, .volume = a->volume, .hash = h.previous, .head = head,
			.evidence = slice_of(a->evidence), .has = WIRE_HAS(FIELD_EVIDENCE) };
		struct peer *peer = peer_find(n, &a->lane[i].id);

		a->lane[i].call.done = warned;
		if (peer && peer_reachable(n, peer))
			call_start(n, &a->lane[i].call, peer, &m, NULL, LINK_WRITE, CALL_QUICK);
	}
	c = placement(n) && placement_mine(n, ring_slot(&a->volume)) ? change_new(a, ROW_HEAD, warned_self) : NULL;
	if (c)
		head_change_start(n, c);
	warned_one(n, a);
}

static void kept(struct node *n, struct head_change *c)
{
	struct asking *a = c->user;

	a->changing[0] = NULL;
	/* Also where the disk refused: the owners keep it. */
	if (a->evidence) {
		warn_all(n, a);
		return;
	}
	if (c->status == WIRE_CONFLICT && c->row->forked) {
		forked(n, a, &c->row->fork[0].blob, &c->row->fork[1].blob);
		return;
	}
	switch (c->status) {
	case WIRE_OK:
		if (a->everywhere)
			over(n, a, 0);
		else
			write_all(n, a);
		return;
	case WIRE_CONFLICT:
	case WIRE_OLD:
		if (a->swap)
			over(n, a, -ESTALE);
		else
			wait(n, a);	/* another command here was shown a newer one meanwhile */
		return;
	case WIRE_FULL:
		over(n, a, -ENOSPC);
		return;
	default:
		over(n, a, -EIO);
	}
}

static void keep(struct node *n, struct asking *a)
{
	struct head_change *c;

	stop_lanes(n, a);
	a->state = KEEPING;
	c = change_new(a, ROW_HEAD_SEEN, kept);
	if (!c) {
		over(n, a, -ENOMEM);
		return;
	}
	/* A reader, or a writer who has read elsewhere, goes on from what it is shown. */
	c->jump = true;
	head_change_start(n, c);
}

/* ---- WRITING ---- */

static void write_over(struct node *n, struct asking *a)
{
	unsigned int has = a->self_told, full = a->self_full;

	for (unsigned int i = 0; i < a->lanes; i++) {
		has += a->lane[i].told;
		full += a->lane[i].full;
	}
	if (majority(n, has))
		answer(n, a, 0);
	if (busy(a)) {
		if (a->ticket == 0 && n->heads->ask_count > HEAD_LINGER)
			ask_free(n, a);
		return;
	}
	if (a->ticket == 0)
		ask_free(n, a);
	else if (a->ended)
		over(n, a, -EKEYREVOKED);
	else if (a->stale && a->swap)
		over(n, a, -ESTALE);
	else if (full > 0 && majority(n, has + full))
		over(n, a, -ENOSPC);
	else
		wait(n, a);
}

static void write_one(struct node *n, struct asking *a, struct lane *l, bool chain);

/* It has another one, and shows which.  True: all is settled by that. */
static bool conflict(struct node *n, struct asking *a, struct lane *l, const struct message *m)
{
	struct wire_slice mine = slice_of(a->head);
	struct head h = { .seq = 0 };

	if (is_fork(n, a, m)) {
		forked(n, a, &m->head, &m->evidence);
		return true;
	}
	if (m->head.len > 0 && !read_head(n, a, &m->head, &h)) {
		distrust(n, l, "a bad head");
		return false;
	}
	if (h.seq == a->h.seq && !same(a->head, &m->head)) {
		forked(n, a, &mine, &m->head);
		return true;
	}
	if (h.seq >= a->h.seq)
		a->stale = true;
	else if (!l->chained)
		write_one(n, a, l, true);
	else if (h.seq + 1 == a->h.seq)
		a->stale = true;	/* it goes on from one that nobody here has */
	return false;
}

static void wrote(struct node *n, struct call *c, int result, const struct message *m, struct chunk *body)
{
	struct lane *l = list_item(c, struct lane, call);
	struct asking *a = l->of;

	(void)body;
	if (!result) {
		switch (m->status) {
		case WIRE_OK:
			l->told = true;
			break;
		case WIRE_OLD:
			a->stale = true;
			break;
		case WIRE_FULL:
			l->full = true;
			break;
		case WIRE_ENDED:
			take_end(n, a, m);
			break;
		case WIRE_CONFLICT:
			if (conflict(n, a, l, m))
				return;
			break;
		default:
			break;
		}
	}
	write_over(n, a);
}

static void wrote_self(struct node *n, struct head_change *c)
{
	struct asking *a = c->user;

	a->changing[1] = NULL;
	if (c->status == WIRE_CONFLICT && c->row->forked) {
		forked(n, a, &c->row->fork[0].blob, &c->row->fork[1].blob);
		return;
	}
	a->self_told = c->status == WIRE_OK;
	a->self_full = c->status == WIRE_FULL;
	a->stale |= c->status == WIRE_OLD || c->status == WIRE_CONFLICT;
	a->ended |= c->status == WIRE_ENDED;
	write_over(n, a);
}

/* The heads before it that are known here. */
static uint32_t chain_of(struct node *n, const struct asking *a, uint8_t out[WIRE_BLOBS_MAX])
{
	struct wire_slice head = slice_of(a->head);
	struct head_row row;
	struct chunk *bytes = heads_row(n, ROW_HEAD_SEEN, &a->volume, &row);
	uint32_t len = 0;

	/* Of an older one only what comes before it is of use. */
	while (row.count > 0 && !row.forked && row.item[row.count - 1].seq > a->h.seq)
		row.count--;
	if (!row.forked && head_row_has(&row, &head, a->h.seq))
		len = head_row_before(&row, out);
	chunk_drop(bytes);
	return len;
}

static void write_one(struct node *n, struct asking *a, struct lane *l, bool chain)
{
	struct message m = { .type = WIRE_SWAP, .volume = a->volume, .hash = a->h.previous, .head = slice_of(a->head) };
	struct peer *peer = peer_find(n, &l->id);
	uint8_t blobs[WIRE_BLOBS_MAX];

	l->call.done = wrote;
	l->chained = chain;
	if (!peer || !peer_reachable(n, peer))
		return;
	if (chain) {
		m.blobs = (struct wire_slice){ blobs, chain_of(n, a, blobs) };
		m.has = WIRE_HAS(FIELD_BLOBS);
	}
	call_start(n, &l->call, peer, &m, NULL, LINK_WRITE, CALL_QUICK);
}

static void write_self(struct node *n, struct asking *a)
{
	struct head_change *c = change_new(a, ROW_HEAD, wrote_self);
	uint8_t *blobs;
	uint32_t len;

	if (!c)
		return;
	c->hold[2] = chunk_new(WIRE_BLOBS_MAX, &blobs);
	len = c->hold[2] ? chain_of(n, a, blobs) : 0;
	c->blobs = (struct wire_slice){ blobs, len };
	head_change_start(n, c);
}

static void write_all(struct node *n, struct asking *a)
{
	open_lanes(n, a);
	a->state = WRITING;
	a->stale = false;
	if (a->self)
		write_self(n, a);
	for (unsigned int i = 0; i < a->lanes; i++)
		write_one(n, a, &a->lane[i], false);
	write_over(n, a);
}

/* ---- commands ---- */

void head_command(struct node *n, const struct command *c)
{
	struct chunk *end = lease_ended(n, &c->address);
	struct wire_slice blob = { c->blob ? c->blob->data : NULL, c->blob ? c->blob->len : 0 };
	struct asking *a = end ? NULL : calloc(1, sizeof(*a));

	chunk_drop(end);
	if (!a) {
		command_result(n, c->ticket, end ? -EKEYREVOKED : -ENOMEM);
		return;
	}
	list_append(&n->heads->asks, &a->link);
	n->heads->ask_count++;
	a->volume = c->address;
	a->swap = c->kind == COMMAND_SWAP;
	a->ticket = c->ticket;
	a->pending.expired = expired;
	a->timer.due = again;
	a->wait = AGAIN_MIN;
	if (!a->swap) {
		command_start(n, &a->pending, c);
		read_all(n, a);
	} else if (blob.len == 0 || !read_head(n, a, &blob, &a->h) || !address_equal(&a->h.previous, &c->previous)) {
		over(n, a, -EINVAL);
	} else {
		command_start(n, &a->pending, c);
		a->head = chunk_hold(c->blob);
		keep(n, a);
	}
}

/* ---- the machine ---- */

static void start(struct node *n)
{
	struct catalogue *c = n->options.catalogue;
	struct heads *h = calloc(1, sizeof(*h));
	struct address at;
	bool more;

	if (!h) {
		node_stop(n, "no memory");
		return;
	}
	list_init(&h->changes);
	list_init(&h->asks);
	n->heads = h;
	for (more = c->rows(c, ROW_HEAD_SEEN, NULL, &at); more; more = c->rows(c, ROW_HEAD_SEEN, &at, &at))
		h->seen++;
	if (heads_pull_start(n))
		node_stop(n, "no memory");
}

/* What owners of another table said is void: a majority is one of one table. */
static void table(struct node *n)
{
	struct list *l, *next;

	if (!n->heads || !n->heads->pull)
		return;
	heads_pull_table(n);
	for (l = n->heads->asks.next; l != &n->heads->asks; l = next) {
		struct asking *a = list_item(l, struct asking, link);

		next = l->next;
		if (a->state == READING)
			read_all(n, a);
		else if (a->state == WRITING)
			write_all(n, a);
	}
}

static void peer(struct node *n, struct peer *p, bool up)
{
	(void)p;
	if (up && n->heads && n->heads->pull)
		heads_pull_peer(n);
}

static void end(struct node *n)
{
	struct heads *h = n->heads;

	if (!h)
		return;
	while (!list_empty(&h->asks))
		ask_free(n, list_item(h->asks.next, struct asking, link));
	heads_store_end(n);
	heads_pull_end(n);
	free(h);
	n->heads = NULL;
}

static size_t memory(struct node *n)
{
	const struct heads *h = n->heads;

	return h ? sizeof(*h) + h->ask_count * sizeof(struct asking) + h->change_count * sizeof(struct head_change) +
	    heads_pull_memory(n) : 0;
}

const struct machine heads_machine = {
	.name = "heads", .start = start, .table = table, .peer = peer, .request = heads_serve, .end = end, .memory = memory,
};
