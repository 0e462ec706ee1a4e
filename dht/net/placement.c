/*
 * The table:
 *
 * state	| event					| function		| next state
 * resting	| a member changed what placement knows	| placement_changed()	| gathering
 * gathering	| PLACEMENT_GATHER			| build()		| building; resting where nothing was missed and the hash is the
 *		|					|			| same, or before the first where we have not said yet that we are here
 * building	| the table is there			| built()		| resting: all machines are told
 * building	| another change			| placement_changed()	| building, and gathering after it
 * building	| it failed				| built()		| gathering, for longer
 *
 * The old table goes on to serve until the new one is there.  Behind the present table stand those since all our slots
 * were complete, those that were present in the last PLACEMENT_LINGER, for others may be behind, and all while the heads of a slot
 * wait for its owners before: what is not yet where the present one says is where one of them said.
 *
 * A slot of ours, under the present table:
 *
 * state	| event					| function		| next state
 * not ours	| a new table gives it to us		| take_over()		| incomplete
 * incomplete	| all that the other owners have is here | placement_set_complete() | complete
 * any		| a new table takes it away		| take_over()		| not ours
 * complete	| a table that leaves it to us		| take_over()		| complete: it got all that was put meanwhile
 * complete	| another store generation		| read_row()		| incomplete: what was here is gone
 * complete	| the table that follows what was missed	| forget()	| incomplete: others may have owned it meanwhile
 *
 * Missed is what others did while this process was not there: a record that places differently, or of a member that we did not
 * know, before our view was that of most others for the first time.  A slot may have gone and come back in it: its other
 * owners would take our word for leases that we never saw, and delete.
 *
 * The founder of a ring begins with all slots complete, for there is nobody who could have anything else: who has no
 * seeds, has forgotten nothing, knows no member, never had a row of slots, and whose first table is of himself alone.  Should a record of
 * ours with another store generation turn up, this was a mistake: placement_store_lost().
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "chunker/bytes.h"
#include "dht/net/node_impl.h"

#define ROW_FORMAT 1u
#define ROW_HEAD   9u			/* format, generation */
#define BITS_LEN   (RING_SLOTS / 8)
#define NOT_THERE  (-1)
#define PACE_LONG  (120 * S)		/* over which the pace of repair is taken */

struct placement {
	struct ring *table;
	struct ring *earlier[PLACEMENTS_MAX];	/* newest first */
	uint64_t ended[PLACEMENTS_MAX];		/* since when each of them is not the present one */
	unsigned int earlier_count;
	int self;			/* our number in the table */
	struct ring_member *members;	/* of the table that is being built */
	struct work building;
	struct timer gather, linger;
	bool keep;			/* the earlier tables: placement_keep_earlier() */
	bool changed;			/* while one is built */
	bool away;			/* since the start: what comes may be of before it */
	bool missed;			/* and some of it was */

	uint8_t mine[BITS_LEN];		/* by the present table */
	uint8_t complete[BITS_LEN];
	uint8_t was_complete[BITS_LEN];	/* when a table took it away, last or before; not given up since */
	unsigned int incomplete;	/* slots of ours */
	unsigned int completed;		/* that were it, since ${paced} */
	uint64_t paced;
	bool founder;			/* could be */
	struct work saving;
	struct timer save_timer;
	bool unsaved;
};

static const struct catalogue_row_key row_key = { .table = ROW_COMPLETE };

/* ---- which slots are complete, and its row ---- */

static bool bit(const struct placement *p, unsigned int slot)
{
	return p->complete[slot / 8] >> slot % 8 & 1;
}

static void save_later(struct node *n, uint64_t us)
{
	struct placement *p = n->placement;

	p->unsaved = true;
	if (!work_busy(&p->saving) && !timer_busy(&p->save_timer))
		timer_set(n, &p->save_timer, n->now + us);
}

static void save(struct node *n, struct timer *t)
{
	struct placement *p = n->placement;
	struct effect e = { .kind = EFFECT_SAVE, .row = row_key };
	uint8_t *bytes;

	(void)t;
	e.chunk = chunk_new(ROW_HEAD + BITS_LEN, &bytes);
	if (!e.chunk) {
		save_later(n, S);
		return;
	}
	bytes[0] = ROW_FORMAT;
	put_le64(bytes + 1, n->options.generation);
	memcpy(bytes + ROW_HEAD, p->complete, BITS_LEN);
	p->unsaved = false;
	work_start(n, &p->saving, &e);
}

static void saved(struct node *n, struct work *w, const struct event *e)
{
	struct placement *p = n->placement;

	(void)w;
	if (e->result)
		node_log(n, LOG_ERR, "the row of complete slots can't be written: %s", strerror(-e->result));
	if (e->result || p->unsaved)
		save_later(n, e->result ? SAVE_AGAIN : COMPLETE_GATHER);
}

static void read_row(struct node *n)
{
	struct catalogue *c = n->options.catalogue;
	struct placement *p = n->placement;
	struct chunk *row = c->row(c, &row_key);
	struct address id;

	p->founder = !row && node_founds(n) && !c->rows(c, ROW_MEMBER, NULL, &id);
	if (!row)
		return;
	/* Of another generation: it speaks of a store that is no more. */
	if (row->len == ROW_HEAD + BITS_LEN && row->data[0] == ROW_FORMAT &&
	    get_le64(row->data + 1) == n->options.generation)
		memcpy(p->complete, row->data + ROW_HEAD, BITS_LEN);
	chunk_drop(row);
}

bool placement_complete(struct node *n, unsigned int slot)
{
	assert(slot < RING_SLOTS);
	return placement_mine(n, slot) && bit(n->placement, slot);
}

bool placement_was_alone(struct node *n)
{
	const struct placement *p = n->placement;
	unsigned int i = 0;

	while (p && !p->table && i < BITS_LEN && p->complete[i] == 0xff)
		i++;
	return i == BITS_LEN;
}

/* All is where it should be, as far as we know; others may be behind. */
static void settled(struct node *n)
{
	struct placement *p = n->placement;

	if (p->earlier_count > 0 && !p->keep)
		timer_set(n, &p->linger, p->ended[p->earlier_count - 1] + PLACEMENT_LINGER);
}

void placement_keep_earlier(struct node *n, bool keep)
{
	struct placement *p = n->placement;

	if (keep == p->keep)
		return;
	p->keep = keep;
	if (keep)
		timer_stop(n, &p->linger);
	else if (p->incomplete == 0)
		settled(n);
}

bool placement_was_complete(struct node *n, unsigned int slot)
{
	assert(slot < RING_SLOTS);
	return n->placement->was_complete[slot / 8] >> slot % 8 & 1;
}

void placement_given_up(struct node *n, unsigned int slot)
{
	assert(slot < RING_SLOTS);
	n->placement->was_complete[slot / 8] &= (uint8_t)~(1u << slot % 8);
}

bool placement_all_complete(struct node *n)
{
	return placement(n) && n->placement->incomplete == 0;
}

static void pace_begin(struct node *n)
{
	n->placement->completed = 0;
	n->placement->paced = n->now;
}

/* What is long past counts for half each time. */
static void count_completed(struct node *n)
{
	struct placement *p = n->placement;
	uint64_t past = n->now - p->paced;

	if (past > PACE_LONG) {
		p->completed /= 2;
		p->paced += past / 2;
	}
	p->completed++;
}

uint64_t placement_left(struct node *n)
{
	const struct placement *p = n->placement;

	return p->completed > 0 ? p->incomplete * (n->now - p->paced) / p->completed : 0;
}

void placement_set_complete(struct node *n, unsigned int slot)
{
	struct placement *p = n->placement;

	assert(slot < RING_SLOTS);
	if (!placement_mine(n, slot) || bit(p, slot))
		return;
	p->complete[slot / 8] |= (uint8_t)(1u << slot % 8);
	p->incomplete--;
	count_completed(n);
	save_later(n, COMPLETE_GATHER);
	if (p->incomplete == 0)
		settled(n);
}

static void forget(struct node *n)
{
	struct placement *p = n->placement;

	memset(p->complete, 0, sizeof(p->complete));
	memset(p->was_complete, 0, sizeof(p->was_complete));
	p->incomplete = 0;
	for (unsigned int slot = 0; slot < RING_SLOTS; slot++)
		p->incomplete += placement_mine(n, slot);
	timer_stop(n, &p->linger);
	p->unsaved = true;
	pace_begin(n);
}

void placement_missed(struct node *n)
{
	struct placement *p = n->placement;

	if (!p || !p->away)
		return;
	p->missed = true;
	placement_changed(n);
}

void placement_met(struct node *n)
{
	if (n->placement)
		n->placement->away = false;
}

void placement_store_lost(struct node *n)
{
	struct placement *p = n->placement;

	/* Membership may meet it before we have started. */
	if (!p || !p->founder)
		return;
	p->founder = false;
	forget(n);
	save_later(n, 0);
	node_log(n, LOG_WARNING, "this node's store was another one before: its slots are filled anew");
}

/* ---- tables ---- */

static void give_back(struct node *n, struct ring *r)
{
	struct effect e = { .kind = EFFECT_TABLE_FREE, .table = r };

	node_effect(n, &e);
}

static void linger_over(struct node *n, struct timer *t)
{
	struct placement *p = n->placement;

	(void)t;
	while (p->earlier_count > 0 && p->ended[p->earlier_count - 1] + PLACEMENT_LINGER <= n->now)
		give_back(n, p->earlier[--p->earlier_count]);
	settled(n);
}

/* The present table becomes an earlier one.  The last of them stays in any case: by it nearly all was in its place. */
static void step_back(struct node *n)
{
	struct placement *p = n->placement;
	unsigned int last = PLACEMENTS_MAX - 1;

	timer_stop(n, &p->linger);
	if (p->earlier_count == PLACEMENTS_MAX) {
		give_back(n, p->earlier[last - 1]);
		p->earlier[last - 1] = p->earlier[last];
		p->ended[last - 1] = p->ended[last];
		p->earlier_count--;
	}
	memmove(p->earlier + 1, p->earlier, p->earlier_count * sizeof(struct ring *));
	memmove(p->ended + 1, p->ended, p->earlier_count * sizeof(p->ended[0]));
	p->earlier[0] = p->table;
	p->ended[0] = n->now;
	p->earlier_count++;
}

/* Machines ask for all slots, one by one, and for that of each record. */
static void find_mine(struct placement *p)
{
	memset(p->mine, 0, sizeof(p->mine));
	for (unsigned int slot = 0; p->self != NOT_THERE && slot < RING_SLOTS; slot++)
		if (ring_owns(p->table, slot, (unsigned int)p->self))
			p->mine[slot / 8] |= (uint8_t)(1u << slot % 8);
}

static void take_over(struct node *n, struct ring *table)
{
	struct placement *p = n->placement;
	bool first = !p->table;

	if (!first)
		step_back(n);
	p->table = table;
	p->self = ring_find(table, &n->id);
	find_mine(p);
	if (first && p->founder && p->self != NOT_THERE && table->members == 1) {
		memset(p->complete, 0xff, sizeof(p->complete));
		p->unsaved = true;
	} else if (first) {
		p->founder = false;
	}
	if (p->missed) {
		node_log(n, LOG_INFO, "others changed the ring while this node was away: its slots are compared anew");
		forget(n);
		p->missed = false;
	}
	p->incomplete = 0;
	for (unsigned int slot = 0; slot < RING_SLOTS; slot++) {
		if (placement_mine(n, slot)) {
			p->incomplete += !bit(p, slot);
		} else if (bit(p, slot)) {
			p->was_complete[slot / 8] |= (uint8_t)(1u << slot % 8);
			p->complete[slot / 8] &= (uint8_t)~(1u << slot % 8);
			p->unsaved = true;
		}
	}
	pace_begin(n);
	if (p->unsaved)
		save_later(n, 0);
	if (p->incomplete == 0)
		settled(n);
	machines_table(n);
}

static void built(struct node *n, struct work *w, const struct event *e)
{
	struct placement *p = n->placement;

	(void)w;
	free(p->members);
	p->members = NULL;
	if (e->result || !e->table) {
		node_log(n, LOG_ERR, "the ring's table can't be built: %s", strerror(-e->result));
		timer_set(n, &p->gather, n->now + S);
		return;
	}
	take_over(n, e->table);
	if (p->changed)
		timer_set(n, &p->gather, n->now + PLACEMENT_GATHER);
	p->changed = false;
}

static size_t collect(struct node *n, struct ring_member *out)
{
	size_t count = 0;
	const struct member *m;

	for (m = membership_next(n, NULL); m; m = membership_next(n, &m->id)) {
		if (m->state != MEMBER_HERE)
			continue;
		if (out)
			member_place(m, &out[count]);
		count++;
	}
	return count;
}

static void build(struct node *n, struct timer *t)
{
	struct placement *p = n->placement;
	struct effect e = { .kind = EFFECT_TABLE };
	size_t count = collect(n, NULL);
	struct address hash;
	int rc;

	if (count == 0)
		return;		/* not even we: the last table goes on to serve */
	/* A table without us, until we have said again that we are here, would take all our slots from us. */
	if (!p->table && !membership_find(n, &n->id))
		return;
	p->members = malloc(count * sizeof(*p->members));
	if (!p->members) {
		timer_set(n, t, n->now + S);
		return;
	}
	collect(n, p->members);
	rc = ring_placement(p->members, count, n->file.replicas, &hash);
	if (rc == 0 && (p->missed || !p->table || !address_equal(&p->table->placement, &hash))) {
		e.members = p->members;
		e.count = (uint32_t)count;
		e.hash = hash;
		work_start(n, &p->building, &e);
		return;
	}
	if (rc)
		node_log(n, LOG_ERR, "the ring can't be placed: %s", strerror(-rc));
	free(p->members);
	p->members = NULL;
}

void placement_changed(struct node *n)
{
	struct placement *p = n->placement;

	if (!p)
		return;		/* not started: placement_start() looks at what is there */
	if (work_busy(&p->building))
		p->changed = true;
	else if (!timer_busy(&p->gather))
		timer_set(n, &p->gather, n->now + PLACEMENT_GATHER);
}

/* ---- what others ask ---- */

const struct ring *placement(struct node *n)
{
	return n->placement->table;
}

const struct address *placement_hash(struct node *n)
{
	static const struct address none;

	return n->placement->table ? &n->placement->table->placement : &none;
}

const struct ring *placement_earlier(struct node *n, unsigned int i)
{
	return i < n->placement->earlier_count ? n->placement->earlier[i] : NULL;
}

const struct ring *placement_before(struct node *n)
{
	const struct placement *p = n->placement;

	return p->incomplete > 0 && p->earlier_count > 0 ? p->earlier[p->earlier_count - 1] : NULL;
}

bool placement_mine(struct node *n, unsigned int slot)
{
	assert(slot < RING_SLOTS);
	return n->placement->mine[slot / 8] >> slot % 8 & 1;
}

static bool add_peer(struct node *n, unsigned int member, struct peer **out)
{
	struct placement *p = n->placement;

	if ((int)member == p->self)
		return false;
	*out = peer_find(n, &p->table->member[member].id);
	return *out != NULL;
}

unsigned int placement_owners(struct node *n, unsigned int slot, struct peer **out)
{
	const struct ring *r = n->placement->table;
	unsigned int count = 0;

	for (unsigned int i = 0; r && i < r->replicas; i++)
		count += add_peer(n, ring_owners(r, slot)[i], &out[count]);
	return count;
}

unsigned int placement_walk(struct node *n, unsigned int slot, struct peer **out, unsigned int max)
{
	const struct ring *r = n->placement->table;
	uint16_t walk[PLACEMENT_WALK_MAX + 1];
	unsigned int on_walk, count = 0;

	if (!r)
		return 0;
	assert(max <= PLACEMENT_WALK_MAX);
	on_walk = ring_walk(r, slot, walk, max + 1);	/* we may be one of them */
	for (unsigned int i = 0; i < on_walk && count < max; i++)
		count += add_peer(n, walk[i], &out[count]);
	return count;
}

size_t placement_memory(struct node *n)
{
	const struct placement *p = n->placement;
	size_t bytes = sizeof(*p);

	/* Tables are the driver's, which may share them; they are counted as if each were ours alone. */
	if (p->table)
		bytes += ring_memory(p->table);
	for (unsigned int i = 0; i < p->earlier_count; i++)
		bytes += ring_memory(p->earlier[i]);
	return bytes;
}

/* ---- start and end ---- */

static bool knows_others(struct node *n)
{
	const struct member *m = NULL;

	while ((m = membership_next(n, m ? &m->id : NULL)))
		if (!address_equal(&m->id, &n->id) && membership_find(n, &m->id))
			return true;
	return false;
}

void placement_start(struct node *n)
{
	struct placement *p = calloc(1, sizeof(*p));

	n->placement = p;
	if (!p) {
		node_stop(n, "no memory");
		return;
	}
	p->self = NOT_THERE;
	p->building.done = built;
	p->saving.done = saved;
	p->gather.due = build;
	p->linger.due = linger_over;
	p->save_timer.due = save;
	read_row(n);
	p->away = n->membership && knows_others(n);
	if (n->membership && membership_next(n, NULL))
		timer_set(n, &p->gather, n->now);
}

void placement_end(struct node *n)
{
	struct placement *p = n->placement;

	if (!p)
		return;
	timer_stop(n, &p->gather);
	timer_stop(n, &p->linger);
	timer_stop(n, &p->save_timer);
	work_stop(n, &p->building);
	work_stop(n, &p->saving);
	free(p->members);
	free(p);
	n->placement = NULL;
}
