#include "dht/away.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "dht/peer/peer.h"

struct away {
	struct aways *all;
	struct list link;
	struct peer_ask ask;
	uint64_t answers;	/* when it was asked */
	bool again;		/* cancelled by us: to be asked anew */
	bool stopped;		/* cancelled by who asked */
	bool over;		/* who waits for it has the result */
};

/* ---- what is asked, and for how long ---- */

/* Under the lock. */
static unsigned int patience_ms(const struct aways *a)
{
	if (a->given_up)
		return AWAY_NONE_MS;
	return a->ending && a->timeout_ms > AWAY_LAST_MS ? AWAY_LAST_MS : a->timeout_ms;
}

/* Under the lock. */
static void ask(struct away *a)
{
	struct aways *all = a->all;

	a->again = false;
	a->answers = all->answers;
	a->ask.command.timeout = patience_ms(all) * UINT64_C(1000);
	list_append(&all->asked, &a->link);
	peer_ask(all->peer, &a->ask);
}

/* Under the lock: what is asked is asked anew, for as long as there is patience now. */
static void hurry(struct aways *a)
{
	for (struct list *l = a->asked.next; l != &a->asked; l = l->next) {
		list_item(l, struct away, link)->again = true;
		peer_cancel(&list_item(l, struct away, link)->ask);
	}
}

/* Under the lock. */
static void give_up(struct aways *a)
{
	if (a->given_up)
		return;
	a->ending = a->given_up = true;
	hurry(a);
}

static void begin(struct away *a, struct aways *all, enum work_verb verb, const struct dht_op *op)
{
	a->all = all;
	a->ask.user = a;
	a->ask.command = (struct command){
		.kind = verb == WORK_REPLICAS ? COMMAND_CONFIRM : COMMAND_FETCH, .address = op->address, .chunk_kind = op->kind,
	};
}

/* ---- answers ---- */

/* A chunk of another kind than was asked for is not the one that was asked for: as store_get() has it. */
static void judge_kind(struct peer_ask *ask)
{
	enum kind asked = ask->command.chunk_kind;

	if (!ask->chunk || asked == KIND_ANY || asked == ask->chunk_kind)
		return;
	chunk_drop(ask->chunk);
	ask->chunk = NULL;
	ask->result = -ENOENT;
}

/* What a reader is told: of the ring only that it could not be asked. */
static int judge_error(const struct peer_ask *ask)
{
	int r = ask->result;

	if (ask->command.kind != COMMAND_FETCH || r >= 0 || r == -ENOENT || r == -EBADMSG || r == -ETIMEDOUT || r == -ENOMEM || r == -ECANCELED)
		return r;
	return -EIO;
}

/* False: it is asked anew. */
static bool is_over(struct away *a)
{
	struct aways *all = a->all;
	int r = a->ask.result;
	bool over;

	pthread_mutex_lock(&all->lock);
	list_remove(&a->link);
	if (r == 0 || r == -ENOENT || r == -EBADMSG)
		all->answers++;
	/* Asked before the end, its time was another. */
	if (r == -ETIMEDOUT && all->ending && !a->again && all->answers == a->answers)
		give_up(all);
	over = r != -ECANCELED || !a->again || a->stopped;
	if (!over)
		ask(a);
	pthread_mutex_unlock(&all->lock);
	return over;
}

static void returned(struct peer_ask *p)
{
	struct away *a = p->user;
	struct away_result r;

	if (!is_over(a))
		return;
	chunk_drop(p->blob);
	judge_kind(p);
	r = (struct away_result){ judge_error(p), p->chunk_kind, p->chunk, p->count, peer_ring(a->all->peer)->replicas };
	work_returned(a->all->work, a, &r);
	free(a);
}

/* ---- for work ---- */

static struct away *start(void *arg, enum work_verb verb, const struct dht_op *op)
{
	struct away *a = calloc(1, sizeof(*a));
	struct aways *all = arg;

	if (!a)
		return NULL;
	begin(a, all, verb, op);
	a->ask.done = returned;
	pthread_mutex_lock(&all->lock);
	ask(a);
	pthread_mutex_unlock(&all->lock);
	return a;
}

static void stop(void *arg, struct away *a)
{
	struct aways *all = arg;

	pthread_mutex_lock(&all->lock);
	a->stopped = true;
	peer_cancel(&a->ask);
	pthread_mutex_unlock(&all->lock);
}

struct work_far away_far(struct aways *a)
{
	return (struct work_far){ .start = start, .stop = stop, .arg = a };
}

/* ---- in the calling thread ---- */

static void fetched(struct peer_ask *p)
{
	struct away *a = p->user;
	struct aways *all = a->all;

	if (!is_over(a))
		return;
	pthread_mutex_lock(&all->lock);
	a->over = true;
	pthread_cond_broadcast(&all->over);
	pthread_mutex_unlock(&all->lock);
}

int away_fetch(struct aways *all, struct dht_op *op, struct chunk **packed)
{
	struct away a = { .over = false };

	begin(&a, all, WORK_LOOKUP, op);
	a.ask.done = fetched;
	pthread_mutex_lock(&all->lock);
	ask(&a);
	while (!a.over)
		pthread_cond_wait(&all->over, &all->lock);
	pthread_mutex_unlock(&all->lock);
	chunk_drop(a.ask.blob);
	judge_kind(&a.ask);
	*packed = a.ask.chunk;
	if (a.ask.result == 0)
		op->kind = a.ask.chunk_kind;
	return judge_error(&a.ask);
}

/* ---- beginning and end ---- */

void aways_init(struct aways *a, struct peer *peer, struct work *work, unsigned int timeout_ms)
{
	*a = (struct aways){ .peer = peer, .work = work, .timeout_ms = timeout_ms };
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->over, NULL);
	list_init(&a->asked);
}

void aways_free(struct aways *a)
{
	assert(list_empty(&a->asked));
	pthread_cond_destroy(&a->over);
	pthread_mutex_destroy(&a->lock);
}

void aways_ending(struct aways *a)
{
	pthread_mutex_lock(&a->lock);
	if (!a->ending) {
		a->ending = true;
		hurry(a);
	}
	pthread_mutex_unlock(&a->lock);
}

void aways_end(struct aways *a)
{
	pthread_mutex_lock(&a->lock);
	give_up(a);
	pthread_mutex_unlock(&a->lock);
}
