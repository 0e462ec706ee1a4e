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

static void returned(struct peer_ask *ask)
{
	struct away *a = ask->user;

	chunk_drop(ask->blob);
	work_returned(a->all->work, a, ask->result, ask->chunk, ask->count, peer_ring(a->all->peer)->replicas);
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

int away_fetch(struct aways *a, const struct dht_op *op, struct chunk **packed)
{
	struct peer_ask ask = { .command = command_for(a, WORK_LOOKUP, op) };
	int rc = peer_ask_now(a->peer, &ask);

	chunk_drop(ask.blob);
	*packed = ask.chunk;
	return rc;
}
