/*
 * Rows of heads on the disk, and what peers ask of them.  A change of a row:
 *
 *	state	event						function		next state
 *	-	no other change of this row is under way	head_change_start	SAVING; TELLING: nothing to save
 *	-	another one is					head_change_start	IN LINE
 *	IN LINE	the one before it is over			over			SAVING, TELLING
 *	SAVING	the row is durable, or can't be written		saved			over: ${done} is called
 *	TELLING	the next microsecond				tell			over: likewise
 *	any	nobody waits any more				head_change_forget	as it was
 */
#include "dht/net/heads.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "chunker/bytes.h"
#include "dht/net/lease.h"

/* ---- changes ---- */

struct chunk *heads_row(struct node *n, enum catalogue_table table, const struct address *volume, struct head_row *row)
{
	struct catalogue *c = n->options.catalogue;
	struct chunk *bytes = c->row(c, &(struct catalogue_row_key){ .table = (uint8_t)table, .key = *volume });

	if (head_row_read(bytes, row) == 0)
		return bytes;
	/* To go on as if there were none would let a second head of a seq be taken: who asks must see the difference. */
	node_log(n, LOG_ERR, "the row of a volume's heads is damaged");
	row->count = 0;
	row->forked = true;
	row->fork[0] = row->fork[1] = (struct head_item){ .seq = 0 };
	if (table == ROW_HEAD)
		heads_row_lost(n, volume);
	return bytes;
}

static bool damaged(const struct head_row *r)
{
	return r->forked && r->fork[0].blob.len == 0;
}

struct head_change *head_change_new(enum catalogue_table table, const struct address *volume)
{
	struct head_change *c = calloc(1, sizeof(*c));

	if (c) {
		list_init(&c->link);
		c->table = table;
		c->volume = *volume;
	}
	return c;
}

static void change_free(struct node *n, struct head_change *c)
{
	timer_stop(n, &c->soon);
	list_remove(&c->link);
	n->heads->change_count--;
	for (unsigned int i = 0; i < 3; i++)
		chunk_drop(c->hold[i]);
	free(c);
}

void head_change_forget(struct head_change *c)
{
	c->done = NULL;
}

/* Is ${c} a new row on its way to the disk, which is not there yet? */
static bool arrives(struct node *n, const struct head_change *c)
{
	struct catalogue *cat = n->options.catalogue;
	struct chunk *row;

	if (!c->saved || !c->added || c->table == ROW_HEAD_SEEN)
		return c->saved && c->added;	/* what is seen is counted when it was written */
	row = cat->row(cat, &(struct catalogue_row_key){ .table = (uint8_t)c->table, .key = c->volume });
	chunk_drop(row);
	return !row;
}

/* New rows beside that of ${c} that will count against the same bound. */
static unsigned int arriving(struct node *n, const struct head_change *c)
{
	unsigned int count = 0;

	for (struct list *l = n->heads->changes.next; l != &n->heads->changes; l = l->next) {
		const struct head_change *other = list_item(l, struct head_change, link);

		count += other != c && other->table == c->table &&
		    (c->table == ROW_HEAD_SEEN || ring_slot(&other->volume) == ring_slot(&c->volume)) && arrives(n, other);
	}
	return count;
}

/* How many more volumes there is room for.  Rows of one slot lie together, because a volume's slot is that of its id. */
static uint32_t room(struct node *n, const struct head_change *c)
{
	struct catalogue *cat = n->options.catalogue;
	struct address at, start;
	uint32_t slot = ring_slot(&c->volume), count = arriving(n, c), most = HEAD_VOLUMES_MAX;
	bool more;

	if (c->table == ROW_HEAD_SEEN) {
		count += n->heads->seen;
		most = HEAD_SEEN_MAX;
	} else {
		memset(&start, 0, sizeof(start));
		put_be64(start.b, (uint64_t)slot << (64 - RING_SLOT_BITS));
		for (more = cat->rows(cat, ROW_HEAD, &start, &at); more && ring_slot(&at) == slot && count < most; count++)
			more = cat->rows(cat, ROW_HEAD, &at, &at);
	}
	return count < most ? most - count : 0;
}

/* One more volume: may it come? */
static bool may_add(struct node *n, const struct head_change *c)
{
	static const struct address nobody;
	uint32_t left = room(n, c);

	if (address_equal(&c->from, &nobody) || !left)
		return left > 0;
	if (!shares_may(&n->heads->brought, &c->from, ring_slot(&c->volume), left))
		return false;
	shares_took(&n->heads->brought, &c->from, ring_slot(&c->volume));
	return true;
}

static enum wire_status status_of(enum head_learned learned)
{
	switch (learned) {
	case HEAD_SAME:
	case HEAD_NEWS:
		return WIRE_OK;
	case HEAD_OLD:
		return WIRE_OLD;
	default:
		return WIRE_CONFLICT;
	}
}

/* False: it is not a head of this volume. */
static bool verify(struct node *n, const struct head_change *c, const struct wire_slice *blob, struct head *out)
{
	return !head_read(blob->data, blob->len, &n->file.id, out) && address_equal(&out->volume, &c->volume);
}

static enum wire_status learn_blobs(struct node *n, struct head_change *c, struct head_row *row)
{
	struct wire_slice blob;
	struct head h;
	uint32_t at = 0;
	bool first = true;

	for (unsigned int i = 0; i < HEAD_HISTORY && wire_blob(&c->blobs, &at, &blob); i++, first = false) {
		enum head_learned learned;

		if (!verify(n, c, &blob, &h))
			return WIRE_BAD;
		learned = head_row_learn(row, &h, &blob, c->jump || first);
		c->saved |= learned == HEAD_NEWS;
		if (learned == HEAD_FORK || learned == HEAD_OTHER)
			return WIRE_CONFLICT;
	}
	return WIRE_OK;
}

/* What comes of ${c}, in ${row}; c->saved: it is another row now. */
static enum wire_status apply(struct node *n, struct head_change *c, struct head_row *row)
{
	struct head h, other;
	enum wire_status status;
	enum head_learned learned;

	if (damaged(row))
		return WIRE_FAULT;
	if (row->forked)
		return WIRE_CONFLICT;
	if (!verify(n, c, &c->head, &h))
		return WIRE_BAD;
	if (c->evidence.len > 0) {
		if (!verify(n, c, &c->evidence, &other) || other.seq != h.seq ||
		    (c->evidence.len == c->head.len && !memcmp(c->evidence.data, c->head.data, c->head.len)))
			return WIRE_BAD;
		head_row_fork(row, &c->head, &c->evidence, h.seq);
		c->saved = true;
		return WIRE_CONFLICT;
	}
	status = learn_blobs(n, c, row);
	if (status == WIRE_OK) {
		learned = head_row_learn(row, &h, &c->head, c->jump);
		c->saved |= learned == HEAD_NEWS;
		status = status_of(learned);
	}
	c->saved |= row->forked;
	if (row->forked)
		node_log(n, LOG_ERR, "a volume has two heads of number %llu: two writers use its key; both are stopped",
		    (unsigned long long)row->fork[0].seq);
	return status;
}

static void over(struct node *n, struct head_change *c);

static void saved(struct node *n, struct work *w, const struct event *e)
{
	struct head_change *c = list_item(w, struct head_change, work);

	if (e->result)
		c->status = e->result == -ENOSPC ? WIRE_FULL : e->result == -EBUSY ? WIRE_BUSY : WIRE_FAULT;
	else if (c->added && c->table == ROW_HEAD_SEEN)
		n->heads->seen++;
	over(n, c);
}

static void tell(struct node *n, struct timer *t)
{
	over(n, list_item(t, struct head_change, soon));
}

static void run(struct node *n, struct head_change *c)
{
	struct effect e = { .kind = EFFECT_SAVE, .row = { .table = (uint8_t)c->table, .key = c->volume } };
	struct head_row row;
	struct chunk *was = heads_row(n, c->table, &c->volume, &row);
	struct chunk *end = c->table == ROW_HEAD ? lease_ended(n, &c->volume) : NULL;

	c->added = !was;
	c->status = end ? WIRE_ENDED : apply(n, c, &row);
	if (c->saved && c->added && !may_add(n, c)) {
		c->status = WIRE_FULL;
		c->saved = false;
	}
	if (c->saved)
		e.chunk = head_row_write(&row);
	if (e.chunk) {
		work_start(n, &c->work, &e);
	} else {
		if (c->saved)
			c->status = WIRE_BUSY;
		timer_set(n, &c->soon, n->now);
	}
	chunk_drop(end);
	chunk_drop(was);
}

static bool same_row(const struct head_change *a, const struct head_change *b)
{
	return a->table == b->table && address_equal(&a->volume, &b->volume);
}

/* The first of its row; NULL: none. */
static struct head_change *first_of(struct node *n, const struct head_change *c)
{
	for (struct list *l = n->heads->changes.next; l != &n->heads->changes; l = l->next) {
		struct head_change *other = list_item(l, struct head_change, link);

		if (same_row(other, c))
			return other;
	}
	return NULL;
}

/* The row is read anew: it is what it has become. */
static void over(struct node *n, struct head_change *c)
{
	struct head_change *next;
	struct head_row row;
	struct chunk *bytes;

	list_remove(&c->link);
	next = first_of(n, c);
	if (next)
		run(n, next);
	if (c->done) {
		bytes = heads_row(n, c->table, &c->volume, &row);
		c->row = &row;
		c->done(n, c);
		chunk_drop(bytes);
	}
	change_free(n, c);
}

void head_change_start(struct node *n, struct head_change *c)
{
	bool first = !first_of(n, c);

	c->work.done = saved;
	c->soon.due = tell;
	list_append(&n->heads->changes, &c->link);
	n->heads->change_count++;
	if (first)
		run(n, c);
}

void heads_store_end(struct node *n)
{
	while (!list_empty(&n->heads->changes)) {
		struct head_change *c = list_item(n->heads->changes.next, struct head_change, link);

		work_stop(n, &c->work);
		change_free(n, c);
	}
}

/* ---- what peers ask ---- */

static void answer(struct node *n, struct served *s, enum wire_status status, const struct head_row *row)
{
	const struct head_item *newest = head_row_newest(row);
	struct message m = { .status = status };

	if (damaged(row)) {
		m.status = WIRE_FAULT;
	} else if (row->forked) {
		m.status = WIRE_CONFLICT;
		m.head = row->fork[0].blob;
		m.evidence = row->fork[1].blob;
		m.has = WIRE_HAS(FIELD_HEAD) | WIRE_HAS(FIELD_EVIDENCE);
	} else if (newest) {
		m.head = newest->blob;
		m.has = WIRE_HAS(FIELD_HEAD);
	}
	serve_answer(n, s, &m, NULL);
}

static void answer_ended(struct node *n, struct served *s, const struct chunk *end)
{
	struct message m = { .status = WIRE_ENDED, .has = WIRE_HAS(FIELD_STATEMENT) };

	m.statement = (struct wire_slice){ end->data, end->len };
	serve_answer(n, s, &m, NULL);
}

/* Is it ours to say?  Otherwise it is answered here.  ${proof}: two heads of one number show for themselves what is the case, whatever else
 * we may not know yet; and who found them may not be there when we do. */
static bool ours(struct node *n, struct served *s, const struct address *volume, bool proof)
{
	struct chunk *end = lease_ended(n, volume);
	unsigned int slot = ring_slot(volume);

	if (end)
		answer_ended(n, s, end);
	else if (!placement_mine(n, slot))
		serve_status(n, s, WIRE_NOT_OWNER);
	else if (!proof && !heads_complete(n, slot))
		serve_status(n, s, WIRE_BUSY);
	else
		return true;
	chunk_drop(end);
	return false;
}

static void changed(struct node *n, struct head_change *c)
{
	struct served *s = c->user;
	struct chunk *end = c->status == WIRE_ENDED ? lease_ended(n, &c->volume) : NULL;

	if (end)
		answer_ended(n, s, end);
	else if (c->status == WIRE_OK || c->status == WIRE_CONFLICT || c->status == WIRE_OLD)
		answer(n, s, c->status, c->row);
	else
		serve_status(n, s, c->status);
	chunk_drop(end);
}

static void serve_swap(struct node *n, struct served *s, const struct message *m)
{
	struct head_change *c;
	struct head h;

	if (!ours(n, s, &m->volume, m->evidence.len > 0))
		return;
	if (head_read(m->head.data, m->head.len, &n->file.id, &h) || !address_equal(&h.volume, &m->volume) ||
	    !address_equal(&h.previous, &m->hash)) {
		serve_status(n, s, WIRE_BAD);
		return;
	}
	c = head_change_new(ROW_HEAD, &m->volume);
	if (!c) {
		serve_status(n, s, WIRE_BUSY);
		return;
	}
	c->head = m->head;
	c->evidence = m->evidence;
	c->blobs = m->blobs;
	c->from = s->peer->id;
	c->user = s;
	c->done = changed;
	head_change_start(n, c);
}

static void serve_head(struct node *n, struct served *s, const struct message *m)
{
	struct head_row row;
	struct chunk *bytes;

	if (!ours(n, s, &m->volume, false))
		return;
	bytes = heads_row(n, ROW_HEAD, &m->volume, &row);
	if (bytes)
		answer(n, s, WIRE_OK, &row);
	else
		serve_status(n, s, WIRE_MISS);
	chunk_drop(bytes);
}

bool heads_serve(struct node *n, struct served *s, const struct message *m)
{
	switch (m->type) {
	case WIRE_HEAD:
		serve_head(n, s, m);
		return true;
	case WIRE_SWAP:
		serve_swap(n, s, m);
		return true;
	case WIRE_HEADS:
		heads_serve_pull(n, s, m);
		return true;
	default:
		return false;
	}
}
