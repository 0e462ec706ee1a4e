/*
 * A simulated disk: chunks, and what is under way.
 *
 * An effect becomes an operation, which is carried out whole when its time has come, and answered at once: so there is no moment at which
 * it is half done, but a crash may come before it, and then the dice say what the disk has (disk_crash()).  What concerns one address,
 * or one row, is carried out in order, as node.h says; all else overtakes.  The books are told of each copy that comes and goes.
 */
#include "tests/sim/disk.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "tests/sim/disk_impl.h"
#include "tests/sim/faults.h"
#include "tests/sim/host.h"
#include "tests/sim/plants.h"
#include "tests/sim/trace.h"

#define READ_US	 150u			/* the usual: a solid-state disk ... */
#define SYNC_US	 1500u			/* ... and its fdatasync */
#define TORN	 40u			/* of 100 rows that were being written when the power went */

struct operation {
	struct list link;
	struct disk *disk;
	uint64_t boot, at;
	struct effect effect;		/* its chunks are held here */
	struct address *addresses;	/* of a lease, and the lease itself: the node may go before they are done */
	struct catalogue_lease lease;
	bool dead;			/* its process has gone, and it was decided upon */
};

/* ---- what changes it ---- */

static void release_record(void *item)
{
	struct record *r = item;

	chunk_drop(r->chunk);
	free(r);
}

bool disk_keeps(const struct record *r)
{
	return r->states & (STATE_OWNED | STATE_FOREIGN);
}

void disk_forget(struct disk *d, struct record *r, enum loss how)
{
	sorted_take(&d->records, r->address.b);
	d->used -= r->chunk->len;
	if (!r->rotten)
		books_lost(d->host->world, d->host, &r->address, how, disk_keeps(r));
	release_record(r);
}

void disk_put(struct disk *d, const struct address *a, enum kind kind, struct chunk *c, unsigned int states)
{
	struct world *w = d->host->world;
	struct record *r = disk_find(d, a);
	struct item *i = books_find(w, a);

	/* Good bytes take the place of rotten ones, also where nobody has seen yet that they are. */
	if (r && r->rotten) {
		r->rotten = false;
		chunk_drop(r->chunk);
		r->chunk = NULL;
	} else if (!r) {
		r = must(calloc(1, sizeof(*r)));
		r->address = *a;
		sorted_add(&d->records, r);
		d->used += c->len;
	}
	if (!r->chunk) {
		/* The same bytes, once for all who have them. */
		r->chunk = chunk_hold(i ? i->chunk : c);
		r->kind = (uint8_t)kind;
		books_stored(w, d->host, a);
	}
	/* A write adds, EFFECT_STATES replaces (node.h): FOREIGN that comes later does not take OWNED away. */
	r->states |= states & STATE_ANY;
	if (r->states & (STATE_OWNED | STATE_FOREIGN))
		r->states &= (uint8_t)~STATE_CACHED;
	books_kept(w, a);
}

void disk_drop(struct disk *d, const struct address *a, enum loss how)
{
	struct record *r = disk_find(d, a);

	if (r)
		disk_forget(d, r, how);
}

/* What is only cached goes, in no order that anybody relies on. */
bool disk_make_room(struct disk *d, size_t len)
{
	struct sorted_place p;
	struct record *r;

	while (d->catalogue.space(&d->catalogue) < len) {
		sorted_from(&d->records, NULL, &p);
		while ((r = sorted_next(&d->records, &p)) && !(r->states & STATE_CACHED))
			;
		if (!r)
			return false;
		disk_forget(d, r, LOST_BY_SPACE);
	}
	return true;
}

static bool good_bytes(const struct address *a, enum kind kind, const struct chunk *c)
{
	struct address is;

	if (!kind_valid(kind))
		return false;
	address_of(kind, c->data, c->len, &is);
	return address_equal(&is, a);
}

static int do_write(struct disk *d, const struct effect *e)
{
	bool new, skip;
	int rc = plant_write(d, &skip);

	if (skip)
		return rc;
	if (!good_bytes(&e->address, e->chunk_kind, e->chunk))
		return -EBADMSG;
	/* A liar's disk says that it was written, and shows it to its own node (catalogue.c), which passes it on in good faith. */
	if (d->forgets && !disk_find(d, &e->address)) {
		if (!sorted_find(&d->forgotten, e->address.b)) {
			struct record *r = must(calloc(1, sizeof(*r)));

			r->address = e->address;
			r->states = (uint8_t)(e->states & STATE_ANY);
			sorted_add(&d->forgotten, r);
		}
		return 0;
	}
	new = !disk_find(d, &e->address);
	if (new && !disk_make_room(d, e->chunk->len))
		return -ENOSPC;
	disk_put(d, &e->address, e->chunk_kind, e->chunk, e->states);
	if (new)
		disk_find(d, &e->address)->volume = e->hash;
	return 0;
}

static int do_read(struct disk *d, const struct effect *e, struct event *done)
{
	struct record *r = disk_find(d, &e->address);

	if (!r)
		return -ENOENT;
	if (r->rotten) {
		/* Set aside: not there from now on. */
		disk_forget(d, r, LOST_BY_FAULT);
		return -EBADMSG;
	}
	done->chunk = plant_read(d, r->chunk);
	done->chunk = done->chunk ? done->chunk : chunk_hold(r->chunk);
	done->chunk_kind = r->kind;
	done->hash = r->volume;
	return 0;
}

static int do_states(struct disk *d, const struct effect *e)
{
	struct record *r = disk_find(d, &e->address);

	if (!r)
		r = sorted_find(&d->forgotten, e->address.b);
	if (!r)
		return -ENOENT;
	if (e->states & STATE_ANY) {
		r->states = (uint8_t)(e->states & STATE_ANY);
		books_kept(d->host->world, &e->address);
	} else if (planted(d->host->world, PLANT_KEEP_UNLEASED)) {
		return 0;
	} else if (disk_find(d, &e->address)) {
		disk_forget(d, r, LOST_BY_NODE);
	} else {
		free(sorted_take(&d->forgotten, e->address.b));
	}
	return 0;
}

static int do_prove(struct disk *d, const struct effect *e, struct event *done)
{
	struct record *r = disk_find(d, &e->address);
	crypto_generichash_state state_of;

	/* No proof without the bytes: it fails as a read does, and what is rotten is set aside as well. */
	if (!r || r->rotten)
		return do_read(d, e, done);
	crypto_generichash_init(&state_of, NULL, 0, ADDRESS_LEN);
	crypto_generichash_update(&state_of, e->hash.b, ADDRESS_LEN);
	crypto_generichash_update(&state_of, r->chunk->data, r->chunk->len);
	crypto_generichash_final(&state_of, done->hash.b, ADDRESS_LEN);
	return 0;
}

static int carry_out(struct operation *o, struct event *done)
{
	struct disk *d = o->disk;
	const struct effect *e = &o->effect;

	switch (e->kind) {
	case EFFECT_READ:
		return do_read(d, e, done);
	case EFFECT_WRITE:
		return do_write(d, e);
	case EFFECT_STATES:
		return do_states(d, e);
	case EFFECT_CHECK:
		return planted(d->host->world, PLANT_WRONG_BYTE) || good_bytes(&e->address, e->chunk_kind, e->chunk) ? 0 :
		    -EBADMSG;
	case EFFECT_PROVE:
		return do_prove(d, e, done);
	case EFFECT_SAVE:
		return disk_save(d, e);
	case EFFECT_LEASE:
		if (o->lease.blob && !disk_make_room(d, o->lease.blob->len + o->lease.count * ADDRESS_LEN))
			return -ENOSPC;
		disk_lease(d, &o->lease);
		return 0;
	default:
		assert(!"an effect on the disk");
		return -EINVAL;
	}
}

/* ---- operations ---- */

static void free_operation(struct operation *o)
{
	list_remove(&o->link);
	o->disk->operation_count--;
	chunk_drop(o->effect.chunk);
	chunk_drop(o->lease.blob);
	free(o->addresses);
	free(o);
}

static void fire_operation(struct world *w, void *arg, uint64_t unused)
{
	struct operation *o = arg;
	struct host *h = o->disk->host;
	struct event done = { .kind = EVENT_DONE, .ticket = o->effect.ticket };

	(void)unused;
	if (!o->dead && host_ready(h) > w->now) {
		world_plan(w, host_ready(h), fire_operation, o, 0);
		return;
	}
	if (!o->dead) {
		done.result = carry_out(o, &done);
		trace(w, h, TRACE_DISK, o->effect.kind, (uint64_t)(int64_t)done.result, "disk %d %s: %d",
		    (int)o->effect.kind, short_of(&o->effect.address), done.result);
		host_done(h, o->boot, &done);
		chunk_drop(done.chunk);
	}
	free_operation(o);
}

static bool same_thing(const struct effect *a, const struct effect *b)
{
	if ((a->kind == EFFECT_SAVE) != (b->kind == EFFECT_SAVE))
		return false;
	if (a->kind == EFFECT_SAVE)
		return a->row.table == b->row.table && address_equal(&a->row.key, &b->row.key);
	return (a->kind == EFFECT_LEASE && b->kind == EFFECT_LEASE) || address_equal(&a->address, &b->address);
}

static uint64_t how_long(struct disk *d, const struct effect *e)
{
	uint64_t usual = e->kind == EFFECT_READ || e->kind == EFFECT_PROVE ? READ_US : SYNC_US;

	if (e->kind == EFFECT_CHECK)
		return 20;
	return (usual / 2 + dice_below(&d->host->dice, usual)) * d->slow;
}

void disk_start(struct disk *d, struct effect *e)
{
	struct operation *o = must(calloc(1, sizeof(*o)));

	o->disk = d;
	o->boot = d->host->boot;
	o->effect = *e;
	if (e->chunk)
		chunk_hold(e->chunk);
	if (e->kind == EFFECT_LEASE) {
		o->lease = *e->lease;
		if (o->lease.blob)
			chunk_hold(o->lease.blob);
		o->addresses = must(malloc((o->lease.count + 1) * sizeof(*o->addresses)));
		if (o->lease.count > 0)
			memcpy(o->addresses, o->lease.addresses, o->lease.count * sizeof(*o->addresses));
		o->lease.addresses = o->addresses;
		o->effect.lease = &o->lease;
	}
	o->at = d->host->world->now + how_long(d, e);
	/* What concerns the same thing goes in order. */
	for (struct list *l = d->operations.prev; l != &d->operations; l = l->prev) {
		struct operation *before = list_item(l, struct operation, link);

		if (!before->dead && before->at > o->at && same_thing(&before->effect, e))
			o->at = before->at;
	}
	if (d->doomed && (e->kind == EFFECT_SAVE || e->kind == EFFECT_LEASE)) {
		d->doomed = false;
		faults_power(d->host, d->host->world->now + dice_below(&d->host->dice, o->at - d->host->world->now));
	}
	list_append(&d->operations, &o->link);
	d->operation_count++;
	world_plan(d->host->world, o->at, fire_operation, o, 0);
}

void disk_crash(struct disk *d, bool power)
{
	struct dice *dice = &d->host->dice;

	for (struct list *l = d->operations.next; l != &d->operations; l = l->next) {
		struct operation *o = list_item(l, struct operation, link);
		struct event done = { .kind = EVENT_DONE };

		if (o->dead)
			continue;
		o->dead = true;
		/* A torn chunk is the same as a lost one: recovery verifies what lies behind the last sync. */
		if (o->effect.kind == EFFECT_READ || o->effect.kind == EFFECT_PROVE || dice_percent(dice, power ? 60 : 20))
			continue;
		if (carry_out(o, &done) == 0 && power && dice_percent(dice, TORN))
			disk_tear(d, &o->effect);
		chunk_drop(done.chunk);
	}
}

void disk_honest(struct disk *d)
{
	d->forgets = false;
	sorted_free(&d->forgotten, free);
}

static void clear(struct disk *d)
{
	sorted_free(&d->records, release_record);
	sorted_free(&d->rows, disk_release_row);
	sorted_free(&d->leases, disk_release_lease);
	sorted_free(&d->leased, free);
	sorted_free(&d->forgotten, free);
	d->used = 0;
}

void disk_wipe(struct disk *d)
{
	struct sorted_place p;
	struct record *r;

	sorted_from(&d->records, NULL, &p);
	while ((r = sorted_next(&d->records, &p)))
		if (!r->rotten)
			books_lost(d->host->world, d->host, &r->address, LOST_BY_FAULT, disk_keeps(r));
	disk_leases_lost(d);
	clear(d);
	d->host->founds = false;
	d->generation = dice_next(&d->host->dice);
}

struct disk *disk_new(struct host *h)
{
	struct disk *d = must(calloc(1, sizeof(*d)));

	catalogue_init(&d->catalogue);
	d->host = h;
	d->slow = 1;
	d->capacity = UINT64_MAX / 4;
	d->generation = dice_next(&h->dice);
	list_init(&d->operations);
	sorted_init(&d->records, ADDRESS_LEN);
	sorted_init(&d->forgotten, ADDRESS_LEN);
	sorted_init(&d->rows, ROW_KEY);
	sorted_init(&d->leases, LEASE_KEY);
	sorted_init(&d->leased, ADDRESS_LEN);
	return d;
}

void disk_free(struct disk *d)
{
	while (!list_empty(&d->operations))
		free_operation(list_item(d->operations.next, struct operation, link));
	clear(d);
	free(d);
}
