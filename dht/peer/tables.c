#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dht/peer/peer_impl.h"

/*
 * A table of a thousand members takes tens of milliseconds, in which the loop would say nothing.  One of libuv's threads builds it:
 * nothing else of ours is theirs, tables are rare, and one at a time.
 */
struct table_job {
	uv_work_t work;
	struct peer *peer;
	uint64_t ticket;
	struct ring_member *members;
	size_t count;
	struct ring *table;
	int result;
};

static void build(uv_work_t *w)
{
	struct table_job *j = w->data;

	j->result = ring_build(j->members, j->count, j->peer->file.replicas, &j->table);
}

static bool keep(struct peer *p, struct ring *table)
{
	unsigned int size = p->tables_size ? 2 * p->tables_size : 4;
	struct ring **grown;

	if (p->tables == p->tables_size) {
		grown = realloc(p->table, size * sizeof(*grown));
		if (!grown)
			return false;
		p->table = grown;
		p->tables_size = size;
	}
	p->table[p->tables++] = table;
	return true;
}

static void built(uv_work_t *w, int status)
{
	struct table_job *j = w->data;
	struct peer *p = j->peer;
	struct event e = { .kind = EVENT_DONE, .ticket = j->ticket, .result = status < 0 ? status : j->result };

	if (e.result == 0 && keep(p, j->table)) {
		e.table = j->table;
	} else if (e.result == 0) {
		ring_free(j->table);
		e.result = -ENOMEM;
	}
	peer_input(p, &e);
	free(j->members);
	free(j);
}

void tables_build(struct peer *p, const struct effect *e)
{
	struct table_job *j = calloc(1, sizeof(*j));
	struct event failed = { .kind = EVENT_DONE, .ticket = e->ticket, .result = -ENOMEM };

	if (j) {
		*j = (struct table_job){ .work.data = j, .peer = p, .ticket = e->ticket, .count = e->count };
		j->members = malloc((e->count + 1) * sizeof(*j->members));
	}
	if (!j || !j->members) {
		free(j);
		peer_input(p, &failed);
		return;
	}
	memcpy(j->members, e->members, e->count * sizeof(*j->members));
	uv_queue_work(&p->loop, &j->work, build, built);
}

void tables_back(struct peer *p, struct ring *table)
{
	for (unsigned int i = 0; i < p->tables; i++)
		if (p->table[i] == table) {
			p->table[i] = p->table[--p->tables];
			ring_free(table);
			return;
		}
	assert(!"a table that the node has");
}

void tables_free(struct peer *p)
{
	while (p->tables > 0)
		ring_free(p->table[--p->tables]);
	free(p->table);
}
