/*
 * Who has which of the foreign records?  One message asks an owner for all that it should have.
 *
 * touch   | event                | function      | next
 * -       | records were taken   | touch_queue() | in line, one for each of their owners
 * in line | fewer than FOREIGN_TOUCHES run | touch_next() | asked
 * asked   | a bit for each record| touched_all() | over; a record whose owners have all answered: foreign_ready()
 *         | anything else        | touched_all() | over; it is out, for all of them
 */
#include "dht/net/foreign_impl.h"

#include <errno.h>
#include <stdlib.h>

struct touch {
	struct list link;
	struct address id;
	struct call call;
	uint32_t count;
	struct place {
		struct move *move;
		struct copy *copy;
	} *place;
	struct address *address;
};

static size_t touch_size(const struct touch *t)
{
	return sizeof *t + t->count * (sizeof *t->place + sizeof *t->address);
}

static void touch_free(struct node *n, struct touch *t)
{
	n->foreign->touch_bytes -= touch_size(t);
	list_remove(&t->link);
	free(t->place);
	free(t->address);
	free(t);
}

/* ${have}: a bit each, or NULL: nothing is known. */
static void touch_over(struct node *n, struct touch *t, const uint8_t *have)
{
	for (uint32_t i = 0; i < t->count; i++) {
		struct move *m = t->place[i].move;
		struct copy *copy = t->place[i].copy;

		if (!have)
			copy->state = COPY_OUT;
		else
			copy->state = have[i / 8] >> i % 8 & 1 ? COPY_SAYS : COPY_LACKS;
		if (copy->state == COPY_LACKS && !m->lacked)
			m->lacked = n->now;
		if (!move_has(m, COPY_ASKED))
			foreign_ready(n, m);
	}
	touch_free(n, t);
}

static void touched_all(struct node *n, struct call *c, int result, const struct message *answer, struct chunk *body)
{
	struct touch *t = list_item(c, struct touch, call);
	bool good = !result && answer->status == WIRE_OK && answer->have.len >= (t->count + 7) / 8;

	(void)body;
	n->foreign->touching_count--;
	if (result == -EHOSTUNREACH || result == -ETIMEDOUT)
		foreign_blocked(n, &t->id);
	touch_over(n, t, good ? answer->have.data : NULL);
	foreign_pump(n);
}

/* How many of the records of ${from} and those behind it is the owner ${id} to be asked about?  They go into ${t}, if
 * there is one. */
static uint32_t collect(struct list *moves, struct list *from, const struct address *id, struct touch *t)
{
	uint32_t count = 0;

	for (struct list *l = from; l != moves && count < WIRE_ADDRESSES_MAX; l = l->next) {
		struct move *m = list_item(l, struct move, link);

		for (unsigned int i = 0; i < m->owners; i++) {
			struct copy *copy = &m->copy[i];

			if (copy->state != COPY_ASKED || copy->queued || !address_equal(&copy->id, id))
				continue;
			if (t) {
				copy->queued = true;
				t->place[count] = (struct place){ m, copy };
				t->address[count] = m->address;
			}
			count++;
		}
	}
	return count;
}

static bool touch_new(struct node *n, struct list *moves, struct list *from, const struct address *id)
{
	struct touch *t = calloc(1, sizeof *t);

	if (!t)
		return false;
	t->id = *id;
	t->count = collect(moves, from, id, NULL);
	t->place = calloc(t->count, sizeof *t->place);
	t->address = calloc(t->count, sizeof *t->address);
	if (!t->place || !t->address) {
		free(t->place);
		free(t->address);
		free(t);
		return false;
	}
	collect(moves, from, id, t);
	list_append(&n->foreign->touches, &t->link);
	n->foreign->touch_bytes += touch_size(t);
	return true;
}

void touch_queue(struct node *n)
{
	struct foreign *f = n->foreign;

	for (struct list *l = f->taken.next; l != &f->taken; l = l->next) {
		struct move *m = list_item(l, struct move, link);

		for (unsigned int i = 0; i < m->owners; i++) {
			struct copy *copy = &m->copy[i];

			if (copy->state == COPY_ASKED && !copy->queued && !touch_new(n, &f->taken, l, &copy->id))
				copy->state = COPY_OUT;
		}
	}
	while (!list_empty(&f->taken)) {
		struct move *m = list_item(f->taken.next, struct move, link);

		list_remove(&m->link);
		list_append(&f->asked, &m->link);
		if (!move_has(m, COPY_ASKED))
			foreign_ready(n, m);
	}
}

/* Once: where one owner always answers late, the others' answers are always old. */
bool touch_again(struct node *n, struct move *m)
{
	if (m->again || !m->lacked || n->now - m->lacked < FOREIGN_FRESH)
		return false;
	m->again = true;
	for (unsigned int i = 0; i < m->owners; i++)
		if (m->copy[i].state == COPY_LACKS) {
			m->copy[i].state = COPY_ASKED;
			m->copy[i].queued = false;
		}
	list_append(&n->foreign->taken, &m->link);
	return true;
}

void touch_next(struct node *n)
{
	struct foreign *f = n->foreign;

	while (!list_empty(&f->touches) && f->touching_count < FOREIGN_TOUCHES) {
		struct touch *t = list_item(f->touches.next, struct touch, link);
		struct message m = { .type = WIRE_TOUCH, .addresses = t->address, .address_count = t->count };
		struct peer *p = peer_find(n, &t->id);

		if (!p) {
			touch_over(n, t, NULL);
			continue;
		}
		list_remove(&t->link);
		list_append(&f->touching, &t->link);
		f->touching_count++;
		t->call.done = touched_all;
		call_start(n, &t->call, p, &m, NULL, LINK_REPAIR, CALL_TIMEOUT);
	}
}

static void end_all(struct node *n, struct list *touches)
{
	while (!list_empty(touches)) {
		struct touch *t = list_item(touches->next, struct touch, link);

		if (call_busy(&t->call))
			call_stop(n, &t->call);
		touch_free(n, t);
	}
}

void touch_end(struct node *n)
{
	end_all(n, &n->foreign->touches);
	end_all(n, &n->foreign->touching);
}
