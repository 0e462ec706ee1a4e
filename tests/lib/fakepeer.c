#include "tests/lib/fakepeer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sodium.h>

#include "dht/net/ringfile.h"
#include "dht/net/signed.h"

#define WAIT_S 20		/* in vain, and the test fails */
#define KINDS  64u

enum { WAITS = 1, TAKEN, ANSWERED };

struct peer {
	struct store *store;
	struct shelf *shelf;
	struct ring_file file;
	pthread_t thread;
	pthread_mutex_t lock;		/* covers what follows */
	pthread_cond_t changed;
	struct list asks;		/* not answered */
	struct peer_ask *ready;		/* the test has answered it, and waits */
	unsigned int asked[KINDS], cancelled, looks;
	int (*reply)(struct peer_ask *a);
	bool confirms, forgets, stopping;
};

static void wait_for(struct peer *p)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_S;
	if (pthread_cond_timedwait(&p->changed, &p->lock, &until) == ETIMEDOUT)
		fail_msg("waited for in vain");
}

/* ---- what the core does ---- */

static void note_insert(struct peer *p, const struct peer_ask *a)
{
	struct shelf_change c = { .kind = SHELF_ADD, .address = a->command.address, .volume = a->command.volume,
		.states = p->confirms && a->result == 0 ? STATE_CACHED : STATE_FOREIGN, .bytes = a->command.chunk->len };

	if (p->confirms && a->result == 0) {
		assert_int_equal(shelf_commit(p->shelf, &c, 1), 0);
		c.kind = SHELF_STATES;
	}
	assert_int_equal(shelf_commit(p->shelf, &c, 1), 0);
}

static void note_lease(struct peer *p, const struct peer_ask *a)
{
	struct lease l;
	struct catalogue_lease row = { .blob = a->command.blob, .addresses = a->command.addresses, .count = a->command.count };
	struct shelf_change c = { .kind = SHELF_LEASE, .lease = &row };
	struct address root;

	assert_int_equal(lease_read(a->command.blob->data, a->command.blob->len, &p->file.id, &l), 0);
	lease_root(a->command.addresses, a->command.count, &root);
	assert_true(address_equal(&root, &l.root) && l.count == a->command.count);
	row.volume = l.volume;
	row.slot = l.slot;
	row.seq = l.seq;
	assert_int_equal(shelf_commit(p->shelf, &c, 1), 0);
}

/* With the lock, which is given up for the call. */
static void answer(struct peer *p, struct peer_ask *a)
{
	bool mine = p->ready == a;

	list_remove(&a->link);
	a->state = ANSWERED;
	pthread_mutex_unlock(&p->lock);
	if (a->result != -ECANCELED && a->command.kind == COMMAND_INSERT && !p->forgets)
		note_insert(p, a);
	if (a->result != -ECANCELED && a->result != -EBUSY && a->command.kind == COMMAND_LEASE)
		note_lease(p, a);
	a->done(a);
	pthread_mutex_lock(&p->lock);
	if (mine)
		p->ready = NULL;
	pthread_cond_broadcast(&p->changed);
}

/* Under the lock: the next that can be answered. */
static struct peer_ask *choose(struct peer *p)
{
	for (struct list *l = p->asks.next; l != &p->asks; l = l->next) {
		struct peer_ask *a = list_item(l, struct peer_ask, link);

		if (a == p->ready)
			return a;
		if (a->cancelled || p->stopping) {
			a->result = -ECANCELED;
			return a;
		}
		if (p->reply && a->state == WAITS) {
			a->result = p->reply(a);
			if (a->result != FAKEPEER_LEAVE)
				return a;
		}
	}
	return NULL;
}

static void *loop(void *arg)
{
	struct peer *p = arg;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		struct peer_ask *a = choose(p);

		if (p->looks > 0) {
			p->looks = 0;
			pthread_cond_broadcast(&p->changed);
		}
		if (a)
			answer(p, a);
		else if (p->stopping)
			break;
		else
			pthread_cond_wait(&p->changed, &p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* ---- peer.h ---- */

void peer_ask(struct peer *p, struct peer_ask *a)
{
	pthread_mutex_lock(&p->lock);
	a->peer = p;
	a->state = WAITS;
	a->cancelled = false;
	a->result = 0;
	a->count = 0;
	a->chunk = a->blob = NULL;
	list_init(&a->link);
	list_append(&p->asks, &a->link);
	assert_true((unsigned int)a->command.kind < KINDS);
	p->asked[a->command.kind]++;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

void peer_cancel(struct peer_ask *a)
{
	struct peer *p = a->peer;

	pthread_mutex_lock(&p->lock);
	if (a->state != ANSWERED && !a->cancelled)
		p->cancelled++;
	a->cancelled = true;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

struct now {
	struct peer *peer;
	bool over;
};

static void now_done(struct peer_ask *a)
{
	struct now *n = a->waiter;

	pthread_mutex_lock(&n->peer->lock);
	n->over = true;
	pthread_cond_broadcast(&n->peer->changed);
	pthread_mutex_unlock(&n->peer->lock);
}

int peer_ask_now(struct peer *p, struct peer_ask *a)
{
	struct now n = { .peer = p };

	a->waiter = &n;
	a->done = now_done;
	peer_ask(p, a);
	pthread_mutex_lock(&p->lock);
	while (!n.over)
		wait_for(p);
	pthread_mutex_unlock(&p->lock);
	return a->result;
}

struct shelf *peer_shelf(struct peer *p)
{
	return p->shelf;
}

bool peer_make_room(struct peer *p)
{
	(void)p;
	return false;
}

const struct ring_file *peer_ring(const struct peer *p)
{
	return &p->file;
}

bool peer_alone(struct peer *p)
{
	(void)p;
	return false;
}

/* As the real one: the loop is waited for. */
void peer_status(struct peer *p, struct peer_status *out)
{
	memset(out, 0, sizeof(*out));
	pthread_mutex_lock(&p->lock);
	p->looks++;
	pthread_cond_broadcast(&p->changed);
	while (p->looks > 0)
		wait_for(p);
	pthread_mutex_unlock(&p->lock);
	shelf_totals(p->shelf, &out->shelf);
}

int peer_open(const struct peer_options *o, struct peer **out, char *why, size_t why_size)
{
	(void)why, (void)why_size;
	*out = fakepeer_open(o->dir, o->store);
	return 0;
}

int peer_close(struct peer *p)
{
	return fakepeer_close(p);
}

/* ---- for the test ---- */

struct peer *fakepeer_open(const char *dir, struct store *store)
{
	struct peer *p = calloc(1, sizeof(*p));
	struct ring_file_random random;
	uint8_t admin[MEMBER_SECRET];
	char why[512];

	assert_true(sodium_init() >= 0);
	memset(&random, 7, sizeof(random));
	assert_int_equal(ring_file_create(&random, false, 3, 2, &p->file, admin), 0);
	p->store = store;
	assert_int_equal(shelf_open(dir, store, &p->shelf, why, sizeof(why)), 0);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->changed, NULL);
	list_init(&p->asks);
	assert_int_equal(pthread_create(&p->thread, NULL, loop, p), 0);
	return p;
}

int fakepeer_close(struct peer *p)
{
	int rc;

	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	pthread_join(p->thread, NULL);
	rc = shelf_close(p->shelf);
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->changed);
	free(p);
	return rc;
}

static void open_both(struct fakepeer *f)
{
	char why[512];

	assert_int_equal(store_open(&f->files.options, false, NULL, NULL, NULL, &f->store, why, sizeof(why)), 0);
	f->peer = fakepeer_open(f->files.dir, f->store);
}

void fakepeer_begin(struct fakepeer *f)
{
	memset(f, 0, sizeof(*f));
	dhttest_begin(&f->files);
	open_both(f);
}

static void close_both(struct fakepeer *f)
{
	assert_int_equal(fakepeer_close(f->peer), 0);
	assert_int_equal(store_close(f->store), 0);
}

void fakepeer_reopen(struct fakepeer *f)
{
	close_both(f);
	open_both(f);
}

void fakepeer_end(struct fakepeer *f)
{
	close_both(f);
	dhttest_end(&f->files);
}

static struct peer_ask *find(struct peer *p, enum command_kind kind)
{
	for (struct list *l = p->asks.next; l != &p->asks; l = l->next) {
		struct peer_ask *a = list_item(l, struct peer_ask, link);

		if (a->command.kind == kind && a->state == WAITS)
			return a;
	}
	return NULL;
}

struct peer_ask *fakepeer_next(struct peer *p, enum command_kind kind)
{
	struct peer_ask *a;

	pthread_mutex_lock(&p->lock);
	while (!(a = find(p, kind)))
		wait_for(p);
	a->state = TAKEN;
	pthread_mutex_unlock(&p->lock);
	return a;
}

void fakepeer_answer(struct peer *p, struct peer_ask *a, int result, struct chunk *blob)
{
	pthread_mutex_lock(&p->lock);
	a->result = result;
	a->blob = blob ? chunk_hold(blob) : NULL;
	p->ready = a;
	pthread_cond_broadcast(&p->changed);
	while (p->ready)
		wait_for(p);
	pthread_mutex_unlock(&p->lock);
}

unsigned int fakepeer_asked(struct peer *p, enum command_kind kind)
{
	unsigned int n;

	pthread_mutex_lock(&p->lock);
	n = p->asked[kind];
	pthread_mutex_unlock(&p->lock);
	return n;
}

unsigned int fakepeer_cancelled(struct peer *p)
{
	unsigned int n;

	pthread_mutex_lock(&p->lock);
	n = p->cancelled;
	pthread_mutex_unlock(&p->lock);
	return n;
}

void fakepeer_auto(struct peer *p, int (*reply)(struct peer_ask *a))
{
	pthread_mutex_lock(&p->lock);
	p->reply = reply;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

void fakepeer_confirm(struct peer *p, bool yes)
{
	pthread_mutex_lock(&p->lock);
	p->confirms = yes;
	pthread_mutex_unlock(&p->lock);
}

void fakepeer_forgets(struct peer *p, bool yes)
{
	pthread_mutex_lock(&p->lock);
	p->forgets = yes;
	pthread_mutex_unlock(&p->lock);
}
