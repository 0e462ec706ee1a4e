/*
 * Touches of inserts: one message asks an owner about all that have gathered while the one before was under way.
 *
 * batch     | event                                          | function             | next
 * -         | a touch, and none is under way at its peer     | insert_touch_start() | sent
 *           | ... one is                                     | insert_touch_start() | gathering
 * gathering | one more                                       | insert_touch_start() | gathering; full: sent
 *           | one that is under way there has its answer     | answered()           | sent
 *           | ... or takes its time                          | due()                | sent
 *           | all that were in it were stopped               | insert_touch_stop()  | over
 * sent      | the answer, or none                            | answered()           | over; each is told
 *
 * What gathers waits for one that is sent, which is therefore not stopped where nobody waits for it any more; its peer is there as long.
 */
#include "dht/net/chunks.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct touch_batch {
	struct list link;		/* in its peer's bucket */
	struct insert_touches *all;
	struct peer *peer;
	struct address volume;		/* on whose behalf */
	bool sent;
	struct timer timer;		/* while it gathers */
	uint32_t count;
	struct call call;
	struct insert_touch *touch[INSERT_TOUCHES];	/* NULL: stopped since it was sent */
	struct address address[INSERT_TOUCHES];
};

void insert_touches_init(struct insert_touches *all)
{
	for (unsigned int i = 0; i < INSERT_TOUCH_BUCKETS; i++)
		list_init(&all->bucket[i]);
	all->bytes = 0;
}

static void batch_free(struct node *n, struct touch_batch *b)
{
	timer_stop(n, &b->timer);
	list_remove(&b->link);
	b->all->bytes -= sizeof *b;
	free(b);
}

void insert_touches_free(struct node *n, struct insert_touches *all)
{
	for (unsigned int i = 0; i < INSERT_TOUCH_BUCKETS; i++)
		while (!list_empty(&all->bucket[i])) {
			struct touch_batch *b = list_item(all->bucket[i].next, struct touch_batch, link);

			if (call_busy(&b->call))
				call_stop(n, &b->call);
			batch_free(n, b);
		}
}

static struct list *bucket(struct insert_touches *all, const struct peer *p)
{
	return &all->bucket[p->id.b[0] % INSERT_TOUCH_BUCKETS];
}

/* One for ${p} on the volume's behalf. */
static struct touch_batch *find(struct insert_touches *all, const struct peer *p, const struct address *volume, bool sent)
{
	struct list *head = bucket(all, p);

	for (struct list *l = head->next; l != head; l = l->next) {
		struct touch_batch *b = list_item(l, struct touch_batch, link);

		if (b->sent == sent && b->peer == p && address_equal(&b->volume, volume))
			return b;
	}
	return NULL;
}

static void answered(struct node *n, struct call *c, int result, const struct message *answer, struct chunk *body);

static void send(struct node *n, struct touch_batch *b)
{
	static const struct address nobody;
	struct message m = { .type = WIRE_TOUCH, .addresses = b->address, .address_count = b->count, .volume = b->volume };

	if (!address_equal(&b->volume, &nobody))
		m.has |= WIRE_HAS(FIELD_VOLUME);
	timer_stop(n, &b->timer);
	b->sent = true;
	b->call.done = answered;
	call_start(n, &b->call, b->peer, &m, NULL, LINK_WRITE, CALL_QUICK);
}

static void due(struct node *n, struct timer *t)
{
	send(n, list_item(t, struct touch_batch, timer));
}

static void answered(struct node *n, struct call *c, int result, const struct message *answer, struct chunk *body)
{
	struct touch_batch *b = list_item(c, struct touch_batch, call), *next = find(b->all, b->peer, &b->volume, false);
	bool good = !result && answer->status == WIRE_OK;

	(void)body;
	if (good && answer->have.len < (b->count + 7) / 8) {
		good = false;
		result = -EBADMSG;
	}
	list_remove(&b->link);
	if (next)
		send(n, next);
	for (uint32_t i = 0; i < b->count; i++) {
		struct insert_touch *t = b->touch[i];

		if (!t)
			continue;
		t->batch = NULL;
		t->done(n, t, b->peer, result, answer, good && answer->have.data[i / 8] >> i % 8 & 1);
	}
	batch_free(n, b);
}

int insert_touch_start(struct node *n, struct insert_touches *all, struct insert_touch *t, struct peer *p,
    const struct address *a, const struct address *volume)
{
	struct touch_batch *b = find(all, p, volume, false);

	assert(!t->batch && t->done);
	if (!b) {
		b = calloc(1, sizeof *b);
		if (!b)
			return -ENOMEM;
		b->all = all;
		b->peer = p;
		b->volume = *volume;
		b->timer.due = due;
		timer_set(n, &b->timer, n->now + INSERT_GATHER);
		all->bytes += sizeof *b;
		list_append(bucket(all, p), &b->link);
	}
	t->batch = b;
	t->place = b->count;
	b->touch[b->count] = t;
	b->address[b->count++] = *a;
	if (b->count == INSERT_TOUCHES || !find(all, p, volume, true))
		send(n, b);
	return 0;
}

void insert_touch_stop(struct node *n, struct insert_touch *t)
{
	struct touch_batch *b = t->batch;

	if (!b)
		return;
	t->batch = NULL;
	b->touch[t->place] = NULL;
	if (b->sent)
		return;
	b->count--;
	if (t->place < b->count) {
		b->touch[t->place] = b->touch[b->count];
		b->touch[t->place]->place = t->place;
		b->address[t->place] = b->address[b->count];
	}
	if (b->count == 0)
		batch_free(n, b);
}
