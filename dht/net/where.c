/*
 * COMMAND_WHERE: who of those that are to have an address has it, now.
 *
 * state   | event                                    | function        | next
 * -       | COMMAND_WHERE, and a copy is here        | where_command() | PROVING: our own answer to a fresh nonce
 *         | ... and none is here                     | where_command() | ASKING: what others answer is their word
 *         | ... and there is no table yet            | where_command() | -: -EAGAIN
 * PROVING | there it is, or our copy is bad          | proving()       | ASKING: all at once that can be reached
 * ASKING  | the last of them is in                   | proved()        | over: 0, and a line for each
 * any     | its time is up                           | expired()       | over: -ETIMEDOUT
 */
#include "dht/net/where.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dht/net/chunks.h"

#define LINE_LEN  (ADDRESS_LEN + 2)	/* id, owner, state */
#define LINES_MAX (RING_REPLICAS_MAX + FETCH_SPARES + 1)

struct where {
	struct list link;
	struct pending pending;
	struct address address, nonce;
	struct work work;
	bool unknown;			/* no good copy is here */
	struct address expected;
	unsigned int lines, waiting;
	struct where_one {
		struct where *where;
		struct where_line line;
		struct proof proof;
	} one[LINES_MAX];
};

bool where_read(const struct chunk *blob, unsigned int i, struct where_line *out)
{
	const uint8_t *p;

	if ((uint64_t)(i + 1) * LINE_LEN > blob->len)
		return false;
	p = blob->data + (size_t)i * LINE_LEN;
	memcpy(out->id.b, p, ADDRESS_LEN);
	out->owner = p[ADDRESS_LEN];
	out->state = (enum where_state)p[ADDRESS_LEN + 1];
	return true;
}

static void where_free(struct node *n, struct where *w)
{
	work_stop(n, &w->work);
	for (unsigned int i = 0; i < w->lines; i++)
		if (call_busy(&w->one[i].proof.call))
			proof_stop(n, &w->one[i].proof);
	list_remove(&w->link);
	free(w);
}

static void reply(struct node *n, struct where *w)
{
	struct effect e = { 0 };
	uint8_t *p;

	e.blob = chunk_new(w->lines * LINE_LEN, &p);
	e.result = e.blob ? 0 : -ENOMEM;
	for (unsigned int i = 0; e.blob && i < w->lines; i++, p += LINE_LEN) {
		const struct where_line *l = &w->one[i].line;

		memcpy(p, l->id.b, ADDRESS_LEN);
		p[ADDRESS_LEN] = l->owner;
		p[ADDRESS_LEN + 1] = (uint8_t)l->state;
		e.count += l->state == WHERE_PROVED || l->state == WHERE_SAYS;
	}
	command_reply(n, w->pending.ticket, &e);
	where_free(n, w);
}

static void proved(struct node *n, struct proof *p, enum verdict verdict)
{
	static const enum where_state state[] = {
		[PROOF_GOOD] = WHERE_PROVED, [PROOF_WRONG] = WHERE_WRONG, [PROOF_LACKS] = WHERE_LACKS,
		[PROOF_NONE] = WHERE_SILENT, [PROOF_SAYS] = WHERE_SAYS,
	};
	struct where_one *one = list_item(p, struct where_one, proof);
	struct where *w = one->where;

	one->line.state = state[verdict];
	if (--w->waiting == 0)
		reply(n, w);
}

static void ask(struct node *n, struct where *w)
{
	for (unsigned int i = 0; i < w->lines; i++) {
		struct where_one *one = &w->one[i];
		struct peer *peer = one->line.state ? NULL : peer_find(n, &one->line.id);

		if (one->line.state)
			continue;
		if (!peer || !peer_reachable(n, peer)) {
			one->line.state = WHERE_DOWN;
			continue;
		}
		one->where = w;
		one->proof.unknown = w->unknown;
		one->proof.expected = w->expected;
		one->proof.done = proved;
		w->waiting++;
		proof_start(n, &one->proof, peer, &w->address, &w->nonce, LINK_READ);
	}
	if (!w->waiting)
		reply(n, w);
}

static void add_line(struct where *w, const struct address *id, bool owner, enum where_state state)
{
	w->one[w->lines++].line = (struct where_line){ .id = *id, .owner = owner, .state = state };
}

/* Our own line is known at once, the others are to be asked for theirs. */
static void add_lines(struct node *n, struct where *w, enum where_state ours)
{
	const struct ring *ring = placement(n);
	uint16_t walk[LINES_MAX - 1];
	unsigned int count = ring_walk(ring, ring_slot(&w->address), walk, ring->replicas + FETCH_SPARES);
	bool self = false;

	for (unsigned int i = 0; i < count; i++) {
		const struct address *id = &ring->member[walk[i]].id;
		bool is_self = address_equal(id, &n->id);

		add_line(w, id, i < ring->replicas, is_self ? ours : 0);
		self |= is_self;
	}
	if (!self && ours != WHERE_LACKS)
		add_line(w, &n->id, false, ours);
}

static void proving(struct node *n, struct work *work, const struct event *e)
{
	struct where *w = list_item(work, struct where, work);
	bool stays = chunk_state(n, &w->address) & (STATE_OWNED | STATE_FOREIGN);

	if (e->result && e->result != -ENOENT)
		fetch_heal(n, &w->address);
	w->unknown = e->result != 0;
	w->expected = e->hash;
	add_lines(n, w, e->result ? WHERE_LACKS : stays ? WHERE_PROVED : WHERE_CACHED);
	ask(n, w);
}

static void expired(struct node *n, struct pending *p)
{
	where_free(n, list_item(p, struct where, pending));
}

void where_command(struct node *n, const struct command *c)
{
	struct where *w = calloc(1, sizeof(*w));

	if (!w || !placement(n)) {
		command_result(n, c->ticket, w ? -EAGAIN : -ENOMEM);
		free(w);
		return;
	}
	w->address = c->address;
	proof_nonce(n, &w->nonce);
	w->work.done = proving;
	w->pending.expired = expired;
	list_append(fetch_wheres(n), &w->link);
	command_start(n, &w->pending, c);
	if (chunk_state(n, &c->address) & STATE_ANY) {
		proof_local(n, &w->work, &w->address, &w->nonce);
		return;
	}
	w->unknown = true;
	add_lines(n, w, WHERE_LACKS);
	ask(n, w);
}

size_t where_memory(struct node *n)
{
	struct list *all = fetch_wheres(n);
	size_t sum = 0;

	for (struct list *l = all->next; l != all; l = l->next)
		sum += sizeof(struct where);
	return sum;
}

void where_end(struct node *n)
{
	struct list *all = fetch_wheres(n);

	while (!list_empty(all))
		where_free(n, list_item(all->next, struct where, link));
}
