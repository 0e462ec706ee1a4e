/*
 * Records that lie here, and of which not all owners have proved that they have them: what a writer wrote, a spare,
 * what a moved slot leaves behind.  The catalogue keeps the list (STATE_FOREIGN); here a window of it is in memory.
 *
 * record   | event                                          | function         | next
 * told     | foreign_add(); gathered, while inserts go first | take()          | taken
 * FOREIGN  | a sweep comes to it                            | take()           | taken
 * taken    | all that there is room for                     | touch_queue()    | asked (foreign_touch.c)
 * asked    | all its owners answered, or are out of reach   | foreign_ready()  | ready
 * ready    | fewer than MOVES_MAX move                      | start_ready()    | moving (move.c)
 *          | ... but who lacks it said so long ago          | touch_again()    | taken, once more; then it goes first
 * moving   | all owners have proved it: OWNED or CACHED     | foreign_over()   | over
 *          | not all                                        | foreign_over()   | over, left
 *
 * sweep    | event                                          | function         | next
 * idle     | the first table, a new one; a peer that records wait for; too many foreign_add() | sweep_soon() | soon
 *          | a record was left: after a pause               | sweep_soon()     | soon
 * soon     | the timer                                      | sweep()          | sweeping
 * sweeping | the catalogue has no more                      | listed()         | idle, or soon
 */
#include "dht/net/foreign_impl.h"

#include <stdlib.h>
#include <string.h>

#define LIST_STEP 64u		/* addresses that are asked of the catalogue at a time */
#define FEW	  8u		/* fewer than one of so many */

static struct list *bucket(struct node *n, const struct address *a)
{
	return &n->foreign->bucket[a->b[ADDRESS_LEN - 1] % FOREIGN_BUCKETS];
}

static bool is_moving(struct node *n, const struct address *a)
{
	struct list *head = bucket(n, a);

	for (struct list *l = head->next; l != head; l = l->next)
		if (address_equal(&list_item(l, struct move, hash)->address, a))
			return true;
	return false;
}

/* ---- when to sweep ---- */

static void sweep_soon(struct node *n, uint64_t after)
{
	struct foreign *f = n->foreign;
	uint64_t at = n->now + node_jitter(n, after);

	if (f->sweeping)
		f->sweep_again = true;
	else if (!timer_busy(&f->again) || f->again.at > at)
		timer_set(n, &f->again, at);
}

void foreign_again(struct node *n)
{
	n->foreign->pause = FOREIGN_AGAIN_MIN;
	sweep_soon(n, 0);
}

static void sweep(struct node *n, struct timer *t)
{
	struct foreign *f = n->foreign;

	(void)t;
	/* The first table starts one. */
	if (!placement(n))
		return;
	/* Where the last one moved next to nothing, this one will hardly do better: some are always just being written. */
	f->pause = f->pause * 2 < FOREIGN_AGAIN_MAX ? f->pause * 2 : FOREIGN_AGAIN_MAX;
	if (f->done > f->left / FEW)
		f->pause = FOREIGN_AGAIN_MIN;
	f->left = f->done = 0;
	f->sweeping = true;
	f->sweep_again = false;
	memset(&f->cursor, 0, sizeof f->cursor);
	foreign_pump(n);
}

static void listed(struct node *n)
{
	struct foreign *f = n->foreign;

	f->sweeping = false;
	if (f->sweep_again)
		sweep_soon(n, FOREIGN_GATHER);
	else if (f->left)
		sweep_soon(n, f->pause);
}

void foreign_blocked(struct node *n, const struct address *id)
{
	struct foreign *f = n->foreign;

	for (unsigned int i = 0; i < f->blocked_count; i++)
		if (address_equal(&f->blocked[i], id))
			return;
	if (f->blocked_count == FOREIGN_BLOCKED)
		f->blocked_more = true;
	else
		f->blocked[f->blocked_count++] = *id;
}

static void peer(struct node *n, struct peer *p, bool up)
{
	struct foreign *f = n->foreign;
	bool waited = f && f->blocked_more;

	if (!f || !up)
		return;
	for (unsigned int i = 0; i < f->blocked_count; i++)
		if (address_equal(&f->blocked[i], &p->id)) {
			f->blocked[i] = f->blocked[--f->blocked_count];
			waited = true;
			break;
		}
	if (!waited)
		return;
	f->blocked_more = false;
	f->pause = FOREIGN_AGAIN_MIN / 2;	/* doubled by the sweep */
	sweep_soon(n, FOREIGN_GATHER);
}

/* ---- the window ---- */

/* From now on ${a} is seen to.  False: no room. */
static bool take(struct node *n, const struct address *a, bool swept)
{
	struct foreign *f = n->foreign;
	struct peer *owner[RING_REPLICAS_MAX];
	struct move *m;

	if (is_moving(n, a) || !(chunk_state(n, a) & STATE_ANY))
		return true;
	if (f->count >= FOREIGN_WINDOW || !(m = calloc(1, sizeof *m)))
		return false;
	m->address = *a;
	m->tables = f->tables;
	m->swept = swept;
	m->owners = placement_owners(n, ring_slot(a), owner);
	for (unsigned int i = 0; i < m->owners; i++) {
		m->copy[i].id = owner[i]->id;
		if (peer_reachable(n, owner[i]))
			continue;
		m->copy[i].state = COPY_OUT;
		foreign_blocked(n, &owner[i]->id);
	}
	list_append(bucket(n, a), &m->hash);
	list_append(&f->taken, &m->link);
	f->count++;
	return true;
}

static void take_queued(struct node *n)
{
	struct foreign *f = n->foreign;

	while (f->queued && take(n, &f->queue[f->queue_first], false)) {
		f->queue_first = (f->queue_first + 1) % FOREIGN_WINDOW;
		f->queued--;
	}
}

/* The address behind ${a}; false: there is none. */
static bool step(struct address *a)
{
	for (unsigned int i = ADDRESS_LEN; i-- > 0;)
		if (++a->b[i])
			return true;
	return false;
}

static void take_swept(struct node *n)
{
	struct catalogue *c = n->options.catalogue;
	struct foreign *f = n->foreign;
	struct address found[LIST_STEP];

	while (f->sweeping && f->count < FOREIGN_WINDOW) {
		size_t count = c->list(c, &f->cursor, STATE_FOREIGN, LIST_STEP, found);
		bool more = count == LIST_STEP;

		for (size_t i = 0; i < count; i++) {
			f->cursor = found[i];
			if (!take(n, &found[i], true))
				return;
			more = step(&f->cursor) && more;
		}
		if (!more)
			listed(n);
	}
}

static bool yields(struct node *n)
{
	struct foreign *f = n->foreign;

	if (insert_waiting(n) < FOREIGN_YIELD) {
		f->yielding = 0;
		return false;
	}
	if (!f->yielding)
		f->yielding = n->now;
	return n->now - f->yielding < FOREIGN_PATIENCE;
}

/* What is asked about again keeps its place and goes first: at most MOVES_MAX are, so that no answer grows old in line again. */
static void start_ready(struct node *n)
{
	struct foreign *f = n->foreign;

	while (!list_empty(&f->ready) && f->bytes < MOVES_BYTES) {
		struct move *m = list_item(f->ready.next, struct move, link);

		if (!m->moving && f->moving_count == MOVES_MAX)
			return;
		list_remove(&m->link);
		f->moving_count += !m->moving;
		m->moving = true;
		if (touch_again(n, m))
			continue;
		list_append(&f->moving, &m->link);
		move_start(n, m);
	}
}

void foreign_pump(struct node *n)
{
	struct foreign *f = n->foreign;

	if (!placement(n) || f->pumping)
		return;
	if (yields(n)) {
		if (!timer_busy(&f->gather))
			timer_set(n, &f->gather, n->now + FOREIGN_GATHER);
		return;
	}
	f->pumping = true;
	/* Half a window at a time: a message asks for many. */
	if (f->count <= FOREIGN_WINDOW / 2) {
		if (!timer_busy(&f->gather))
			take_queued(n);
		take_swept(n);
	}
	do {
		touch_queue(n);
		touch_next(n);
		start_ready(n);
	} while (!list_empty(&f->taken));
	/* All of them were over at once.  Others are heard before the next window. */
	if (!f->count && (f->sweeping || f->queued) && !timer_busy(&f->gather))
		timer_set(n, &f->gather, n->now + MS);
	f->pumping = false;
}

void foreign_ready(struct node *n, struct move *m)
{
	struct list *ready = &n->foreign->ready;

	list_remove(&m->link);
	list_append(m->moving ? ready->next : ready, &m->link);
}

void foreign_over(struct node *n, struct move *m, bool left)
{
	struct foreign *f = n->foreign;
	bool foreign = chunk_state(n, &m->address) & STATE_FOREIGN;

	f->moving_count -= m->moving;
	if (m->shipment)
		move_stop(n, m);
	f->done += !left && !foreign && m->swept;
	/* What is not FOREIGN was pushed for the good of others: whoever finds it lacking again says so again.  One that was
	 * settled, and is FOREIGN, has become so again since. */
	if (foreign) {
		f->left++;
		if (!f->sweeping)
			sweep_soon(n, f->pause);
	}
	list_remove(&m->link);
	list_remove(&m->hash);
	f->count--;
	free(m);
}

void foreign_add(struct node *n, const struct address *a)
{
	struct foreign *f = n->foreign;

	if (!f)
		return;
	if (f->queued == FOREIGN_WINDOW) {
		sweep_soon(n, FOREIGN_GATHER);
		return;
	}
	f->queue[(f->queue_first + f->queued++) % FOREIGN_WINDOW] = *a;
	if (!timer_busy(&f->gather))
		timer_set(n, &f->gather, n->now + node_jitter(n, FOREIGN_GATHER));
}

unsigned int foreign_count(struct node *n)
{
	struct foreign *f = n->foreign;
	struct catalogue *c = n->options.catalogue;
	struct address first;
	unsigned int known = f ? f->count + f->queued + f->left : 0;

	return known ? known : (unsigned int)c->list(c, NULL, STATE_FOREIGN, 1, &first);
}

/* ---- the machine ---- */

static void gathered(struct node *n, struct timer *t)
{
	(void)t;
	foreign_pump(n);
}

static void table(struct node *n)
{
	/* What is under way ends under the table that it began with, and settles nothing. */
	n->foreign->tables++;
	n->foreign->pause = FOREIGN_AGAIN_MIN / 2;
	sweep_soon(n, FOREIGN_GATHER);
}

static void start(struct node *n)
{
	struct foreign *f = n->foreign = calloc(1, sizeof *f);

	if (!f) {
		node_stop(n, "no memory");
		return;
	}
	for (unsigned int i = 0; i < FOREIGN_BUCKETS; i++)
		list_init(&f->bucket[i]);
	list_init(&f->taken);
	list_init(&f->asked);
	list_init(&f->ready);
	list_init(&f->moving);
	list_init(&f->touches);
	list_init(&f->touching);
	f->pause = FOREIGN_AGAIN_MIN;
	f->gather.due = gathered;
	f->again.due = sweep;
}

static void end_all(struct node *n, struct list *moves)
{
	while (!list_empty(moves))
		foreign_over(n, list_item(moves->next, struct move, link), false);
}

static void end(struct node *n)
{
	struct foreign *f = n->foreign;

	if (!f)
		return;
	touch_end(n);
	end_all(n, &f->taken);
	end_all(n, &f->asked);
	end_all(n, &f->ready);
	end_all(n, &f->moving);
	timer_stop(n, &f->gather);
	timer_stop(n, &f->again);
	free(f);
	n->foreign = NULL;
}

static size_t memory(struct node *n)
{
	struct foreign *f = n->foreign;

	return f ? sizeof *f + f->count * sizeof(struct move) + f->touch_bytes + f->held : 0;
}

const struct machine foreign_machine = {
	.name = "foreign",
	.start = start,
	.table = table,
	.peer = peer,
	.end = end,
	.memory = memory,
};
