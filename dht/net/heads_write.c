/* KEEPING, WRITING and WARNING: first here, then at all owners (heads.c). */
#include "dht/net/heads_ask.h"

#include <errno.h>

/* ---- WARNING ---- */

/* Another one of this volume goes on telling, or too many do. */
static bool needless(struct node *n, const struct asking *a)
{
	for (struct list *l = n->heads->asks.next; l != &n->heads->asks; l = l->next) {
		const struct asking *other = list_item(l, const struct asking, link);

		if (other != a && other->state == WARNING && other->ticket == 0 && address_equal(&other->volume, &a->volume))
			return true;
	}
	return n->heads->ask_count > HEAD_LINGER;
}

/* Who could not be told now is told later: by himself he would take one more head of one of the two. */
static void warned_one(struct node *n, struct asking *a)
{
	bool all = placement(n) != NULL;

	if (ask_busy(a) || a->changing[0])
		return;
	ask_answer(n, a, -EUCLEAN);
	for (unsigned int i = 0; i < a->lanes; i++)
		all = all && a->lane[i].told;
	if (all && placement_mine(n, ring_slot(&a->volume)))
		all = a->self_told;
	if (all || needless(n, a)) {
		ask_free(n, a);
		return;
	}
	timer_set(n, &a->timer, n->now + node_jitter(n, a->wait));
	a->wait = a->wait < HEADS_AGAIN_MAX / 2 ? 2 * a->wait : HEADS_AGAIN_MAX;
}

static void warned(struct node *n, struct call *c, int result, const struct message *m, struct chunk *body)
{
	struct lane *l = list_item(c, struct lane, call);

	(void)body;
	l->told = !result && (m->status == WIRE_CONFLICT || m->status == WIRE_ENDED || m->status == WIRE_BAD);
	warned_one(n, l->of);
}

static void warned_self(struct node *n, struct head_change *c)
{
	struct asking *a = c->user;

	a->changing[1] = NULL;
	a->self_told = c->status == WIRE_CONFLICT || c->status == WIRE_ENDED;
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
	c->head = head_slice(a->head);
	if (a->evidence) {
		c->hold[1] = chunk_hold(a->evidence);
		c->evidence = head_slice(a->evidence);
	}
	c->user = a;
	c->done = done;
	a->changing[table == ROW_HEAD] = c;
	return c;
}

/* Both heads go to all owners: whoever writes next will meet one of them. */
void ask_warn(struct node *n, struct asking *a)
{
	struct wire_slice head = head_slice(a->head);
	struct head_change *c;
	struct head h;

	ask_open(n, a);
	a->state = WARNING;
	if (!ask_head(n, a, &head, &h)) {
		ask_over(n, a, -EIO);
		return;
	}
	for (unsigned int i = 0; i < a->lanes; i++) {
		struct message m = { .type = WIRE_SWAP, .volume = a->volume, .hash = h.previous, .head = head,
			.evidence = head_slice(a->evidence), .has = WIRE_HAS(FIELD_EVIDENCE) };
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

/* The newest that was seen here is none that the owners' newest goes on from: who has the one that is can prove it. */
static void challenge(struct node *n, struct asking *a, const struct head_row *row)
{
	const struct wire_slice *seen = &head_row_newest(row)->blob;
	struct chunk *head = chunk_copy(seen->data, seen->len);

	if (!head || !ask_head(n, a, seen, &a->h)) {
		chunk_drop(head);
		ask_over(n, a, head ? -EIO : -ENOMEM);
		return;
	}
	chunk_drop(a->head);
	a->head = head;
	ask_write(n, a);
}

static void kept(struct node *n, struct head_change *c)
{
	struct asking *a = c->user;

	a->changing[0] = NULL;
	/* Also where the disk refused: the owners keep it. */
	if (a->evidence) {
		a->wait = AGAIN_MIN;
		ask_warn(n, a);
		return;
	}
	if (c->status == WIRE_CONFLICT && c->row->forked) {
		ask_forked(n, a, &c->row->fork[0].blob, &c->row->fork[1].blob);
		return;
	}
	switch (c->status) {
	case WIRE_OK:
		if (a->everywhere)
			ask_over(n, a, 0);
		else
			ask_write(n, a);
		return;
	case WIRE_CONFLICT:
	case WIRE_OLD:
		if (a->swap)
			ask_over(n, a, -ESTALE);
		else if (c->status == WIRE_CONFLICT)
			challenge(n, a, c->row);
		else
			ask_wait(n, a);	/* another command here was shown a newer one meanwhile */
		return;
	case WIRE_FULL:
		ask_over(n, a, -ENOSPC);
		return;
	default:
		ask_over(n, a, -EIO);
	}
}

void ask_keep(struct node *n, struct asking *a)
{
	struct head_change *c;

	ask_stop(n, a);
	a->state = KEEPING;
	c = change_new(a, ROW_HEAD_SEEN, kept);
	if (!c) {
		ask_over(n, a, -ENOMEM);
		return;
	}
	/* A reader, or a writer who has read elsewhere, goes on from what it is shown. */
	c->jump = true;
	head_change_start(n, c);
}

/* ---- WRITING ---- */

/* Has another command of our user's been shown a newer one meanwhile?  He is not to go back. */
static bool seen_newer(struct node *n, const struct asking *a)
{
	struct head_row row;
	struct chunk *bytes = heads_row(n, ROW_HEAD_SEEN, &a->volume, &row);
	const struct head_item *seen = head_row_newest(&row);
	bool newer = seen && seen->seq > a->h.seq;

	chunk_drop(bytes);
	return newer;
}

static void write_over(struct node *n, struct asking *a)
{
	unsigned int has = a->self_told, full = a->self_full;

	for (unsigned int i = 0; i < a->lanes; i++) {
		has += a->lane[i].told;
		full += a->lane[i].full;
	}
	if (ask_majority(n, has) && !a->swap && a->ticket != 0 && seen_newer(n, a)) {
		ask_read(n, a);
		return;
	}
	if (ask_majority(n, has))
		ask_answer(n, a, 0);
	if (ask_busy(a)) {
		if (a->ticket == 0 && n->heads->ask_count > HEAD_LINGER)
			ask_free(n, a);
		return;
	}
	if (a->ticket == 0)
		ask_free(n, a);
	else if (a->ended)
		ask_over(n, a, -EKEYREVOKED);
	else if (a->stale && a->swap)
		ask_over(n, a, -ESTALE);
	else if (full > 0 && ask_majority(n, has + full))
		ask_over(n, a, -ENOSPC);
	else
		ask_wait(n, a);
}

static void write_one(struct node *n, struct asking *a, struct lane *l, bool chain);

/* It has another one, and shows which.  True: all is settled by that. */
static bool conflict(struct node *n, struct asking *a, struct lane *l, const struct message *m)
{
	struct wire_slice mine = head_slice(a->head);
	struct head h = { .seq = 0 };

	if (ask_is_fork(n, a, m)) {
		ask_forked(n, a, &m->head, &m->evidence);
		return true;
	}
	if (m->head.len > 0 && !ask_head(n, a, &m->head, &h)) {
		ask_distrust(n, l, "a bad head");
		return false;
	}
	if (h.seq == a->h.seq && !head_same(a->head, &m->head)) {
		ask_forked(n, a, &mine, &m->head);
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
			ask_ended(n, a, m);
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
		ask_forked(n, a, &c->row->fork[0].blob, &c->row->fork[1].blob);
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
	struct wire_slice head = head_slice(a->head);
	struct head_row row;
	struct chunk *bytes = heads_row(n, ROW_HEAD_SEEN, &a->volume, &row);
	uint32_t len = 0;

	/* Of an older one only what comes before it is of use. */
	while (row.count > 0 && !row.forked && row.item[row.count - 1].seq > a->h.seq)
		row.count--;
	if (!row.forked && head_row_has(&row, &head, a->h.seq))
		len = head_row_before(&row, out);
	/* A reader's head was some owner's: it is a chain of one.  A writer must know what his goes on from. */
	if (len == 0 && !a->swap)
		len = (uint32_t)wire_blob_put(head.data, head.len, out, WIRE_BLOBS_MAX);
	chunk_drop(bytes);
	return len;
}

static void write_one(struct node *n, struct asking *a, struct lane *l, bool chain)
{
	struct message m = { .type = WIRE_SWAP, .volume = a->volume, .hash = a->h.previous, .head = head_slice(a->head) };
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
	uint8_t *blobs = NULL;
	uint32_t len;

	if (!c)
		return;
	c->hold[2] = chunk_new(WIRE_BLOBS_MAX, &blobs);
	len = c->hold[2] ? chain_of(n, a, blobs) : 0;
	c->blobs = (struct wire_slice){ blobs, len };
	head_change_start(n, c);
}

void ask_write(struct node *n, struct asking *a)
{
	ask_open(n, a);
	a->state = WRITING;
	a->stale = false;
	if (a->self)
		write_self(n, a);
	for (unsigned int i = 0; i < a->lanes; i++)
		write_one(n, a, &a->lane[i], false);
	write_over(n, a);
}
