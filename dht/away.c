#include "dht/away.h"

#include <errno.h>
#include <stdlib.h>

#include "dht/peer/peer.h"

struct away {
	struct aways *all;
	struct peer_ask ask;
};

static struct command command_for(const struct aways *a, enum work_verb verb, const struct dht_op *op)
{
	return (struct command){
		.kind = verb == WORK_REPLICAS ? COMMAND_CONFIRM : COMMAND_FETCH, .timeout = a->timeout_ms * UINT64_C(1000),
		.address = op->address, .chunk_kind = op->kind,
	};
}

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

static void returned(struct peer_ask *ask)
{
	struct away *a = ask->user;
	struct away_result r;

	chunk_drop(ask->blob);
	judge_kind(ask);
	ask->result = judge_error(ask);
	r = (struct away_result){ ask->result, ask->chunk_kind, ask->chunk, ask->count, peer_ring(a->all->peer)->replicas };
	work_returned(a->all->work, a, &r);
	free(a);
}

static struct away *start(void *arg, enum work_verb verb, const struct dht_op *op)
{
	struct away *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->all = arg;
	a->ask.command = command_for(a->all, verb, op);
	a->ask.done = returned;
	a->ask.user = a;
	peer_ask(a->all->peer, &a->ask);
	return a;
}

static void stop(void *arg, struct away *a)
{
	(void)arg;
	peer_cancel(&a->ask);
}

struct work_far away_far(struct aways *a)
{
	return (struct work_far){ .start = start, .stop = stop, .arg = a };
}

int away_fetch(struct aways *a, struct dht_op *op, struct chunk **packed)
{
	struct peer_ask ask = { .command = command_for(a, WORK_LOOKUP, op) };

	peer_ask_now(a->peer, &ask);
	chunk_drop(ask.blob);
	judge_kind(&ask);
	ask.result = judge_error(&ask);
	*packed = ask.chunk;
	if (ask.result == 0)
		op->kind = ask.chunk_kind;
	return ask.result;
}
