#include "tests/lib/netkit.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"
#include "dht/net/node_impl.h"

/* What is to happen, in the order of (at, order). */
struct netkit_event {
	struct netkit_event *next;
	uint64_t at, order;
	unsigned int to, start;		/* of a node, as it was started so many times */
	struct event event;
	struct effect disk;		/* kind EVENT_DONE: of the disk, applied when it is done */
	uint8_t key[MEMBER_KEY];
};

/* Both ends of a connection: [0] dialled. */
struct netkit_link {
	struct netkit_link *next;
	unsigned int node[2];
	uint32_t number[2];
	bool down;
};

/* A table that a node has. */
struct netkit_table {
	struct netkit_table *next;
	struct ring *ring;
	unsigned int node;
};

struct netkit_reply {
	struct netkit_reply *next;
	struct effect effect;
};

static void *must(void *p)
{
	assert(p);
	return p;
}

/* ---- the trace: what a node wants done, byte for byte ---- */

static void trace_chunk(struct netkit *k, const struct chunk *c)
{
	uint32_t len = c ? c->len : UINT32_MAX;

	crypto_generichash_update(&k->trace, (const uint8_t *)&len, sizeof(len));
	if (c)
		crypto_generichash_update(&k->trace, c->data, c->len);
}

static void trace(struct netkit *k, unsigned int at, const struct effect *e)
{
	const uint64_t numbers[] = {
		k->now, at, e->kind, e->ticket, e->link, e->request, e->count, e->type, e->priority, (uint64_t)e->result,
		e->states, e->chunk_kind, e->row.table,
	};

	crypto_generichash_update(&k->trace, (const uint8_t *)numbers, sizeof(numbers));
	crypto_generichash_update(&k->trace, e->address.b, ADDRESS_LEN);
	crypto_generichash_update(&k->trace, e->hash.b, ADDRESS_LEN);
	crypto_generichash_update(&k->trace, e->row.key.b, ADDRESS_LEN);
	crypto_generichash_update(&k->trace, (const uint8_t *)e->text, strlen(e->text));
	trace_chunk(k, e->chunk);
	trace_chunk(k, e->head);
	trace_chunk(k, e->tail);
	trace_chunk(k, e->blob);
}

void netkit_trace(const struct netkit *k, struct address *out)
{
	crypto_generichash_state copy = k->trace;

	crypto_generichash_final(&copy, out->b, ADDRESS_LEN);
}

/* ---- what is to happen ---- */

static struct netkit_event *plan(struct netkit *k, uint64_t delay, unsigned int to, enum event_kind kind)
{
	struct netkit_event *e = must(calloc(1, sizeof(*e))), **at = &k->events;

	e->at = k->now + delay;
	e->order = k->order++;
	e->to = to;
	e->start = k->node[to].starts;
	e->event.kind = kind;
	while (*at && (*at)->at <= e->at)
		at = &(*at)->next;
	e->next = *at;
	*at = e;
	return e;
}

static void hold(struct effect *e)
{
	struct chunk *all[] = { e->chunk, e->head, e->tail, e->blob };

	for (unsigned int i = 0; i < 4; i++)
		if (all[i])
			chunk_hold(all[i]);
}

static struct netkit_link *link_find(struct netkit *k, uint32_t number, unsigned int *end)
{
	for (struct netkit_link *l = k->links; l; l = l->next)
		for (*end = 0; *end < 2; ++*end)
			if (l->number[*end] == number)
				return l;
	return NULL;
}

static void reset(struct netkit *k, struct netkit_link *l)
{
	if (l->down)
		return;
	l->down = true;
	for (unsigned int i = 0; i < 2; i++) {
		struct netkit_event *e = plan(k, k->delay, l->node[i], EVENT_LINK_DOWN);

		e->event.link = l->number[i];
		e->event.result = -ECONNRESET;
	}
}

static void dial(struct netkit *k, unsigned int from, const struct effect *e)
{
	unsigned int to = strncmp(e->text, "node:", 5) == 0 ? (unsigned int)atoi(e->text + 5) : k->count;
	struct netkit_link *l;

	k->dials++;
	if (to >= k->count || to == from || !k->node[to].node || k->cut[from * k->count + to]) {
		struct netkit_event *failed = plan(k, k->delay, from, EVENT_DONE);

		failed->event.ticket = e->ticket;
		failed->event.result = to == from ? -ELOOP : -ECONNREFUSED;
		return;
	}
	l = must(calloc(1, sizeof(*l)));
	*l = (struct netkit_link){ k->links, { from, to }, { ++k->numbers, ++k->numbers }, false };
	k->links = l;
	for (unsigned int i = 0; i < 2; i++) {
		struct netkit_event *up = plan(k, k->delay, l->node[i], EVENT_LINK_UP);

		up->event.link = l->number[i];
		up->event.ticket = i == 0 ? e->ticket : 0;
		memcpy(up->key, k->node[l->node[1 - i]].key, MEMBER_KEY);
	}
}

static void send_message(struct netkit *k, unsigned int from, const struct effect *e)
{
	unsigned int end;
	struct netkit_link *l = link_find(k, e->link, &end);
	struct link_message m = { e->type, e->request, e->priority, NULL };
	uint8_t *body;

	if (!l || l->down)
		return;
	m.body = must(chunk_new(e->head->len + (e->tail ? e->tail->len : 0), &body));
	memcpy(body, e->head->data, e->head->len);
	if (e->tail)
		memcpy(body + e->head->len, e->tail->data, e->tail->len);
	k->messages++;
	k->bytes += m.body->len;
	if (k->filter && !k->filter(k, from, l->node[1 - end], &m)) {
		chunk_drop(m.body);
		return;
	}
	struct netkit_event *arrives = plan(k, k->delay, l->node[1 - end], EVENT_MESSAGE);

	arrives->event.link = l->number[1 - end];
	arrives->event.message = m;
}

static void build_table(struct netkit *k, unsigned int at, const struct effect *e)
{
	struct netkit_event *done = plan(k, k->disk_delay, at, EVENT_DONE);

	done->event.ticket = e->ticket;
	done->event.result = ring_build(e->members, e->count, k->file.replicas, &done->event.table);
}

static void table_given(struct netkit *k, unsigned int at, struct ring *ring)
{
	struct netkit_table *t = must(calloc(1, sizeof(*t)));

	*t = (struct netkit_table){ k->tables, ring, at };
	k->tables = t;
}

/* ${ring}, or with NULL all that the node has. */
static void table_back(struct netkit *k, unsigned int at, struct ring *ring)
{
	struct netkit_table **i = &k->tables, *t;

	while ((t = *i)) {
		if (t->node != at || (ring && t->ring != ring)) {
			i = &t->next;
			continue;
		}
		*i = t->next;
		ring_free(t->ring);
		free(t);
	}
}

static void reply(struct netkit *k, const struct effect *e)
{
	struct netkit_reply *r = must(calloc(1, sizeof(*r)));

	assert(!netkit_reply(k, e->ticket));
	*r = (struct netkit_reply){ k->replies, *e };
	hold(&r->effect);
	k->replies = r;
}

static void carry_out(struct netkit *k, unsigned int at, const struct effect *e)
{
	struct netkit_link *l;
	unsigned int end;

	trace(k, at, e);
	if (k->effect && !k->effect(k, at, e))
		return;
	switch (e->kind) {
	case EFFECT_DIAL:
		dial(k, at, e);
		break;
	case EFFECT_SEND:
		send_message(k, at, e);
		break;
	case EFFECT_CONSUMED:
		break;
	case EFFECT_CLOSE:
		l = link_find(k, e->link, &end);
		if (l)
			reset(k, l);
		break;
	case EFFECT_TABLE:
		build_table(k, at, e);
		break;
	case EFFECT_TABLE_FREE:
		table_back(k, at, e->table);
		break;
	case EFFECT_REPLY:
		reply(k, e);
		break;
	case EFFECT_LOG:
		if (getenv("NETKIT_LOG"))
			printf("# %llu.%06llu node %u: %s\n", (unsigned long long)k->now / S, (unsigned long long)k->now % S, at,
			    e->text);
		break;
	case EFFECT_STOP:
		k->node[at].stopped = true;
		memcpy(k->node[at].why, e->text, sizeof(e->text));
		break;
	default: {
		struct netkit_event *disk = plan(k, k->disk_delay, at, EVENT_DONE);

		disk->disk = *e;
		hold(&disk->disk);
	}
	}
}

static void input(struct netkit *k, unsigned int i, const struct event *event)
{
	struct effect e;

	node_input(k->node[i].node, event, k->now);
	while (node_poll(k->node[i].node, &e)) {
		carry_out(k, i, &e);
		effect_done(&e);
	}
}

static void event_free(struct netkit_event *e)
{
	chunk_drop(e->event.message.body);
	ring_free(e->event.table);
	effect_done(&e->disk);
	free(e);
}

static void happen(struct netkit *k, struct netkit_event *e)
{
	struct netkit_node *n = &k->node[e->to];
	struct chunk *read = NULL;

	if (n->node && n->starts == e->start) {
		if (e->event.kind == EVENT_LINK_UP)
			e->event.key = e->key;
		if (e->disk.ticket != 0) {
			memory_catalogue_apply(&n->disk, &e->disk, &e->event);
			read = e->event.chunk;
		}
		if (e->event.table)
			table_given(k, e->to, e->event.table);
		input(k, e->to, &e->event);
		e->event.message.body = NULL;
		e->event.table = NULL;
	}
	chunk_drop(read);
	event_free(e);
}

/* The node whose time is due first, or the count; never later than ${until}. */
static unsigned int due(struct netkit *k, uint64_t until, uint64_t *at)
{
	unsigned int first = k->count;

	*at = until;
	for (unsigned int i = 0; i < k->count; i++) {
		uint64_t deadline = k->node[i].node ? node_deadline(k->node[i].node) : UINT64_MAX;

		if (deadline <= *at && (first == k->count || deadline < *at)) {
			*at = deadline;
			first = i;
		}
	}
	return first;
}

/* One thing happens, or ${until} has come: false. */
static bool step(struct netkit *k, uint64_t until)
{
	struct netkit_event *e = k->events;
	uint64_t at;
	unsigned int i = due(k, until, &at);

	if (e && e->at <= at) {
		k->events = e->next;
		k->now = e->at > k->now ? e->at : k->now;
		happen(k, e);
		return true;
	}
	k->now = at > k->now ? at : k->now;
	if (i == k->count)
		return false;
	input(k, i, &(struct event){ .kind = EVENT_TIME });
	return true;
}

void netkit_run(struct netkit *k, uint64_t us)
{
	uint64_t until = k->now + us;

	while (step(k, until))
		;
}

bool netkit_until(struct netkit *k, bool (*over)(struct netkit *k), uint64_t us)
{
	uint64_t until = k->now + us;

	while (!over(k))
		if (!step(k, until))
			return over(k);
	return true;
}

static bool settled(struct netkit *k)
{
	struct node_status s, first = { .members = 0 };

	for (unsigned int i = 0; i < k->count; i++) {
		if (!k->node[i].node || k->node[i].stopped)
			continue;
		node_status(k->node[i].node, &s);
		if (first.members == 0)
			first = s;
		if (!s.complete || !address_equal(&s.placement, &first.placement))
			return false;
	}
	return true;
}

bool netkit_settle(struct netkit *k)
{
	/* The first moments look settled: nobody knows of anybody. */
	netkit_run(k, 2 * S);
	return netkit_until(k, settled, 120 * S);
}

/* ---- nodes ---- */

struct netkit *netkit_new(unsigned int count, uint64_t seed)
{
	struct netkit *k = must(calloc(1, sizeof(*k)));
	uint8_t bytes[32] = { 0 };

	assert(sodium_init() >= 0);
	*k = (struct netkit){ .now = S, .seed = seed, .count = count, .delay = 200, .disk_delay = 500 };
	k->node = must(calloc(count, sizeof(*k->node)));
	k->cut = must(calloc(count * count, sizeof(*k->cut)));
	crypto_generichash_init(&k->trace, NULL, 0, ADDRESS_LEN);
	put_le64(bytes, seed);
	crypto_sign_seed_keypair(k->file.admin, k->admin, bytes);
	memset(k->file.id.b, 7, ADDRESS_LEN);
	k->file.replicas = count < 3 ? (uint8_t)count : 3;
	k->file.acks = k->file.replicas < 2 ? k->file.replicas : 2;
	k->file.placement_version = 1;
	for (unsigned int i = 0; i < count; i++) {
		struct netkit_node *n = &k->node[i];

		bytes[8] = (uint8_t)(i + 1);
		crypto_sign_seed_keypair(n->key, n->secret, bytes);
		member_id(n->key, &n->id);
		memory_catalogue_init(&n->disk, UINT64_C(1) << 40);
		n->generation = seed << 8 | (i + 1);
		snprintf(n->address, sizeof(n->address), "node:%u", i);
	}
	return k;
}

void netkit_start(struct netkit *k, unsigned int i)
{
	struct netkit_node *n = &k->node[i];
	const char *seeds[5] = { i > 0 ? k->node[0].address : NULL };
	struct node_options o = {
		.file = &k->file, .weight = n->weight ? n->weight : 1, .zone = n->zone ? n->zone : "",
		.address = { n->address }, .seeds = seeds, .instance = (uint64_t)++n->starts << 32 | (i + 1),
		.generation = n->generation, .seed = k->seed * 1000 + n->starts * 100 + i, .catalogue = &n->disk.catalogue,
	};

	assert(!n->node);
	o.newborn = n->newborn && n->starts == 1;
	o.forgot = n->forgot;
	n->stopped = false;
	if (n->seeds[0])
		memcpy(seeds, n->seeds, sizeof(n->seeds));
	memcpy(o.key, n->key, sizeof(o.key));
	memcpy(o.secret, n->secret, sizeof(o.secret));
	assert(node_new(&o, &n->node) == 0);
	input(k, i, &(struct event){ .kind = EVENT_START });
}

void netkit_start_all(struct netkit *k)
{
	for (unsigned int i = 0; i < k->count; i++)
		netkit_start(k, i);
}

struct netkit *netkit_ring(unsigned int count, uint64_t seed)
{
	struct netkit *k = netkit_new(count, seed);

	netkit_start_all(k);
	if (!netkit_settle(k))
		assert(!"settled");
	netkit_run(k, 5 * S);
	return k;
}

void netkit_wipe(struct netkit *k, unsigned int i)
{
	struct netkit_node *n = &k->node[i];

	assert(!n->node);
	memory_catalogue_free(&n->disk);
	memory_catalogue_init(&n->disk, UINT64_C(1) << 40);
	n->generation += 0x10000;
}

void netkit_crash(struct netkit *k, unsigned int i)
{
	assert(k->node[i].node);
	for (struct netkit_link *l = k->links; l; l = l->next)
		if (l->node[0] == i || l->node[1] == i)
			reset(k, l);
	node_free(k->node[i].node);
	k->node[i].node = NULL;
	table_back(k, i, NULL);
}

void netkit_restart(struct netkit *k, unsigned int i)
{
	netkit_crash(k, i);
	netkit_start(k, i);
}

void netkit_lose_disk(struct netkit *k)
{
	netkit_crash(k, 0);
	netkit_wipe(k, 0);
	k->node[0].seeds[0] = k->node[1].address;
	netkit_start(k, 0);
}

unsigned int netkit_rows(const struct netkit *k, unsigned int i, enum catalogue_table table)
{
	struct catalogue *c = &k->node[i].disk.catalogue;
	unsigned int count = 0;
	struct address at;

	for (bool more = c->rows(c, (uint8_t)table, NULL, &at); more; more = c->rows(c, (uint8_t)table, &at, &at))
		count++;
	return count;
}

void netkit_cut(struct netkit *k, unsigned int a, unsigned int b, bool cut)
{
	k->cut[a * k->count + b] = k->cut[b * k->count + a] = cut;
	for (struct netkit_link *l = k->links; cut && l; l = l->next)
		if ((l->node[0] == a && l->node[1] == b) || (l->node[0] == b && l->node[1] == a))
			reset(k, l);
}

void netkit_cut_off(struct netkit *k, unsigned int i, bool cut)
{
	for (unsigned int j = 0; j < k->count; j++)
		if (i != j)
			netkit_cut(k, i, j, cut);
}

bool netkit_owns(const struct netkit *k, unsigned int i, unsigned int slot)
{
	return k->node[i].node && placement_mine(k->node[i].node, slot);
}

unsigned int netkit_nth(const struct netkit *k, unsigned int slot, bool owner, unsigned int rank)
{
	for (unsigned int i = 0; i < k->count; i++)
		if (k->node[i].node && netkit_owns(k, i, slot) == owner && rank-- == 0)
			return i;
	assert(!"so many there are");
	return 0;
}

void netkit_free(struct netkit *k)
{
	for (unsigned int i = 0; i < k->count; i++)
		if (k->node[i].node)
			netkit_crash(k, i);
	while (k->events) {
		struct netkit_event *e = k->events;

		k->events = e->next;
		event_free(e);
	}
	while (k->links) {
		struct netkit_link *l = k->links;

		k->links = l->next;
		free(l);
	}
	while (k->replies) {
		struct netkit_reply *r = k->replies;

		k->replies = r->next;
		effect_done(&r->effect);
		free(r);
	}
	for (unsigned int i = 0; i < k->count; i++)
		memory_catalogue_free(&k->node[i].disk);
	free(k->node);
	free(k->cut);
	free(k);
}

/* ---- commands ---- */

uint64_t netkit_command(struct netkit *k, unsigned int i, struct command *c)
{
	c->ticket = ++k->tickets;
	if (c->timeout == 0)
		c->timeout = 30 * S;
	input(k, i, &(struct event){ .kind = EVENT_COMMAND, .command = c });
	return c->ticket;
}

const struct effect *netkit_reply(struct netkit *k, uint64_t ticket)
{
	for (struct netkit_reply *r = k->replies; r; r = r->next)
		if (r->effect.ticket == ticket)
			return &r->effect;
	return NULL;
}

static bool answered(struct netkit *k)
{
	return netkit_reply(k, k->tickets) != NULL;
}

const struct effect *netkit_ask(struct netkit *k, unsigned int i, struct command *c)
{
	uint64_t ticket = netkit_command(k, i, c);
	/* A moment more than its timeout: the node answers before that. */
	bool over = netkit_until(k, answered, c->timeout + S);

	assert(over);
	return netkit_reply(k, ticket);
}
