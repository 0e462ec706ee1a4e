/*
 * COMMAND_HEAD and COMMAND_SWAP (heads.h).
 *
 *	state	 event					function	next state
 *	-	 COMMAND_HEAD				head_command	READING (heads_read.c)
 *	-	 COMMAND_SWAP				head_command	KEEPING its head (heads_write.c)
 *	READING	 all owners have answered, or can't:	read_over
 *		 fewer than a majority					WAITING
 *		 two of one seq						KEEPING both
 *		 none anywhere						over: -ENOENT
 *		 a newest						KEEPING it
 *	KEEPING	 it is durable here			kept		WRITING; over: 0, when all have it
 *	KEEPING	 two of one seq				kept		WARNING: the reply is -EUCLEAN
 *	KEEPING	 here is a newer one, or the disk failed kept		over: -ESTALE, why; WAITING, of COMMAND_HEAD
 *	KEEPING	 here is one that it does not go on from kept		over: -ESTALE; WRITING that one, of COMMAND_HEAD
 *	WRITING	 a majority has it			write_over	WRITING: the reply is 0; over, when all are through
 *	WRITING	 likewise, and here is a newer one	write_over	READING, of COMMAND_HEAD
 *	WRITING	 an owner shows two of one seq		wrote		KEEPING both
 *	both	 another table				table		the same, anew
 *	WRITING	 all are through, some know a newer one	write_over	over: -ESTALE; READING, of COMMAND_HEAD
 *	WRITING	 all are through, fewer than a majority	write_over	WAITING
 *	WAITING	 it is time				again		READING; WRITING
 *	WARNING	 all owners know			warned_one	the reply, if there was none; over
 *	WARNING	 some can't be told now			warned_one	likewise; WARNING, and again in a while, as one of HEAD_LINGER
 *	any	 the command's time is up		expired		over, but from WARNING, which goes on
 */
#include "dht/net/heads_ask.h"

#include <errno.h>
#include <stdlib.h>

#include "dht/net/lease.h"

/* ---- lifetime ---- */

void ask_stop(struct node *n, struct asking *a)
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

void ask_free(struct node *n, struct asking *a)
{
	ask_stop(n, a);
	list_remove(&a->link);
	n->heads->ask_count--;
	chunk_drop(a->head);
	chunk_drop(a->evidence);
	free(a);
}

void ask_answer(struct node *n, struct asking *a, int result)
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

void ask_over(struct node *n, struct asking *a, int result)
{
	ask_answer(n, a, result);
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

	if (a->state == WARNING)
		ask_warn(n, a);
	else if (a->swap)
		ask_write(n, a);
	else
		ask_read(n, a);
}

void ask_wait(struct node *n, struct asking *a)
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

bool ask_busy(const struct asking *a)
{
	for (unsigned int i = 0; i < a->lanes; i++)
		if (call_busy(&a->lane[i].call))
			return true;
	return a->changing[1] != NULL;
}

/* The owners of now; none has been asked. */
void ask_open(struct node *n, struct asking *a)
{
	unsigned int slot = ring_slot(&a->volume);
	struct peer *owner[RING_REPLICAS_MAX];

	ask_stop(n, a);
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

bool ask_majority(struct node *n, unsigned int count)
{
	return count >= owners(n) / 2 + 1;
}

/* ${m} says that the volume is over, and proves it. */
bool ask_ended(struct node *n, struct asking *a, const struct message *m)
{
	struct retire r;

	if (retire_read(m->statement.data, m->statement.len, &n->file.id, &r) || !address_equal(&r.volume, &a->volume))
		return false;
	lease_end(n, &m->statement, NULL, NULL, NULL);
	a->ended = true;
	return true;
}

bool ask_head(struct node *n, const struct asking *a, const struct wire_slice *blob, struct head *out)
{
	return !head_read(blob->data, blob->len, &n->file.id, out) && address_equal(&out->volume, &a->volume);
}

/* Two of one seq: both become what is to be kept. */
void ask_forked(struct node *n, struct asking *a, const struct wire_slice *one, const struct wire_slice *two)
{
	struct chunk *head = chunk_copy(one->data, one->len), *evidence = chunk_copy(two->data, two->len);

	if (!head || !evidence) {
		chunk_drop(head);
		chunk_drop(evidence);
		ask_over(n, a, -ENOMEM);
		return;
	}
	chunk_drop(a->head);
	chunk_drop(a->evidence);
	a->head = head;
	a->evidence = evidence;
	ask_keep(n, a);
}

/* Does the answer prove two of one seq? */
bool ask_is_fork(struct node *n, const struct asking *a, const struct message *m)
{
	struct head one, two;

	return m->head.len > 0 && m->evidence.len > 0 && ask_head(n, a, &m->head, &one) && ask_head(n, a, &m->evidence, &two) &&
	    one.seq == two.seq && (m->head.len != m->evidence.len || memcmp(m->head.data, m->evidence.data, m->head.len) != 0);
}

void ask_distrust(struct node *n, const struct lane *l, const char *what)
{
	struct peer *peer = peer_find(n, &l->id);

	if (peer)
		peer_wrong(n, peer, what);
}

/* ---- commands ---- */

void head_command(struct node *n, const struct command *c)
{
	struct chunk *end = lease_ended(n, &c->address);
	struct wire_slice blob = { c->blob ? c->blob->data : NULL, c->blob ? c->blob->len : 0 };
	bool full = n->heads->change_count >= HEAD_CHANGES_MAX;
	struct asking *a = end || full ? NULL : calloc(1, sizeof(*a));

	chunk_drop(end);
	if (!a) {
		command_result(n, c->ticket, end ? -EKEYREVOKED : full ? -EBUSY : -ENOMEM);
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
		ask_read(n, a);
	} else if (blob.len == 0 || !ask_head(n, a, &blob, &a->h) || !address_equal(&a->h.previous, &c->previous)) {
		ask_over(n, a, -EINVAL);
	} else {
		command_start(n, &a->pending, c);
		a->head = chunk_hold(c->blob);
		ask_keep(n, a);
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
			ask_read(n, a);
		else if (a->state == WRITING)
			ask_write(n, a);
	}
}

static void peer(struct node *n, struct peer *p, bool up)
{
	if (up && n->heads && n->heads->pull)
		heads_pull_peer(n, p);
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
	shares_free(&h->brought);
	free(h);
	n->heads = NULL;
}

static size_t memory(struct node *n)
{
	const struct heads *h = n->heads;

	return h ? sizeof(*h) + h->ask_count * sizeof(struct asking) + h->change_count * sizeof(struct head_change) +
	    shares_memory(&h->brought) + heads_pull_memory(n) : 0;
}

const struct machine heads_machine = {
	.name = "heads", .start = start, .table = table, .peer = peer, .request = heads_serve, .end = end, .memory = memory,
};
