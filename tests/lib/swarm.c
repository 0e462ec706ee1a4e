#include "tests/lib/swarm.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"
#include "dht/net/membership.h"

#define FRAME	   24u			/* bytes around a message: length, head, tag */
#define DISK_DELAY (2 * MS)

struct swarm_event {
	uint64_t at, order;
	unsigned int to, start;		/* start 0: whichever */
	struct event event;		/* EVENT_TIME: its deadline, if that is still it */
};

/* A connection: end 0 dialled.  Its numbers are 2 x its place, and that + 1. */
struct swarm_link {
	unsigned int node[2];
	uint64_t last[2];		/* when what was sent last by each end arrives */
	uint64_t stall, stalled;	/* it stalls from then, until then */
	bool down;
};

static void *must(void *p)
{
	assert(p);
	return p;
}

uint64_t swarm_random(struct swarm *s, uint64_t below)
{
	uint64_t v = s->random += UINT64_C(0x9e3779b97f4a7c15);

	v = (v ^ v >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	v = (v ^ v >> 27) * UINT64_C(0x94d049bb133111eb);
	return (v ^ v >> 31) % below;
}

static uint64_t spread(struct swarm *s, uint64_t mean)
{
	return swarm_random(s, 2 * mean);
}

/* ---- what is to happen: a heap ---- */

static bool before(const struct swarm_event *a, const struct swarm_event *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void plan(struct swarm *s, uint64_t at, unsigned int to, unsigned int start, const struct event *event)
{
	struct swarm_event e = { at, s->order++, to, start, *event };
	size_t i;

	if (s->events == s->event_size) {
		s->event_size = s->event_size ? 2 * s->event_size : 1024;
		s->event = must(realloc(s->event, s->event_size * sizeof(e)));
	}
	for (i = s->events++; i > 0 && before(&e, &s->event[(i - 1) / 2]); i = (i - 1) / 2)
		s->event[i] = s->event[(i - 1) / 2];
	s->event[i] = e;
}

static struct swarm_event first(struct swarm *s)
{
	struct swarm_event out = s->event[0], last = s->event[--s->events];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < s->events) {
		if (child + 1 < s->events && before(&s->event[child + 1], &s->event[child]))
			child++;
		if (before(&last, &s->event[child]))
			break;
		s->event[i] = s->event[child];
		i = child;
	}
	s->event[i] = last;
	return out;
}

/* ---- the network ---- */

static uint64_t delay(const struct swarm *s, unsigned int a, unsigned int b)
{
	uint64_t low = a < b ? a : b, high = a < b ? b : a;
	uint64_t v = (low * s->count + high + 1) * UINT64_C(0x9e3779b97f4a7c15);

	return 1 + (v >> 32) % SWARM_DELAY_MAX;
}

static void reset(struct swarm *s, uint32_t number)
{
	struct swarm_link *l = s->link[number / 2];

	if (l->down)
		return;
	l->down = true;
	for (unsigned int end = 0; end < 2; end++) {
		struct swarm_node *to = &s->node[l->node[end]];
		struct event down = { .kind = EVENT_LINK_DOWN, .link = number / 2 * 2 + end, .result = -ECONNRESET };
		uint64_t at = s->now + (end == number % 2 ? 1 : delay(s, l->node[0], l->node[1]));

		/* After what was sent before, and that of both ends. */
		plan(s, at > l->last[1 - end] ? at : l->last[1 - end] + 1, l->node[end], to->starts, &down);
	}
}

static void dial(struct swarm *s, unsigned int from, const struct effect *e)
{
	unsigned int to = (unsigned int)atoi(e->text + 5);
	struct swarm_node *a = &s->node[from], *b = &s->node[to];
	uint64_t there = s->now + 3 * delay(s, from, to);
	struct event failed = { .kind = EVENT_DONE, .ticket = e->ticket, .result = -ECONNREFUSED };
	struct swarm_link *l;

	assert(to < s->count);
	s->dials++;
	if (b->mute || a->side != b->side) {
		failed.result = -ETIMEDOUT;
		plan(s, s->now + 60 * S, from, a->starts, &failed);
		return;
	}
	if (!b->node || to == from) {
		failed.result = to == from ? -ELOOP : -ECONNREFUSED;
		plan(s, there, from, a->starts, &failed);
		return;
	}
	if (s->links == s->link_size) {
		s->link_size = s->link_size ? 2 * s->link_size : 1024;
		s->link = must(realloc(s->link, s->link_size * sizeof(*s->link)));
	}
	l = s->link[s->links++] = must(calloc(1, sizeof(*l)));
	*l = (struct swarm_link){ .node = { from, to }, .last = { there, there } };
	l->stall = s->stall_every ? s->now + spread(s, s->stall_every) : UINT64_MAX;
	for (unsigned int end = 0; end < 2; end++) {
		struct event up = { .kind = EVENT_LINK_UP, .link = (s->links - 1) * 2 + end, .ticket = end ? 0 : e->ticket,
			.key = s->node[l->node[1 - end]].key };

		plan(s, there, l->node[end], s->node[l->node[end]].starts, &up);
	}
}

/* Whether it stalls is decided when it is used: what it did since is made up for. */
static void stall(struct swarm *s, struct swarm_link *l)
{
	while (l->stall <= s->now) {
		s->stalls++;
		l->stalled = l->stall + spread(s, s->stall_for);
		l->stall = l->stalled + spread(s, s->stall_every);
	}
}

static void send_message(struct swarm *s, unsigned int from, const struct effect *e)
{
	struct swarm_link *l = s->link[e->link / 2];
	unsigned int end = e->link % 2, to = l->node[1 - end];
	struct event arrives = { .kind = EVENT_MESSAGE, .link = e->link ^ 1,
		.message = { e->type, e->request, e->priority, NULL } };
	uint64_t at;

	assert(l->node[end] == from && !e->tail);
	s->messages++;
	s->bytes += e->head->len + FRAME;
	if (l->down || s->node[to].mute)
		return;
	stall(s, l);
	at = (l->stalled > s->now ? l->stalled : s->now) + delay(s, from, to) + s->node[from].slow + s->node[to].slow;
	if (at < l->last[end])
		at = l->last[end];
	l->last[end] = at;
	arrives.message.body = chunk_hold(e->head);
	plan(s, at, to, s->node[to].starts, &arrives);
}

/* ---- nodes ---- */

static void save(struct swarm *s, unsigned int at, const struct effect *e)
{
	struct swarm_node *n = &s->node[at];
	struct event done = { .kind = EVENT_DONE, .ticket = e->ticket };

	if (e->row.table == ROW_SELF) {
		chunk_drop(n->row);
		n->row = e->chunk ? chunk_hold(e->chunk) : NULL;
	}
	plan(s, s->now + DISK_DELAY, at, n->starts, &done);
}

/* A table that says which one it is, and nothing else. */
static void table(struct swarm *s, unsigned int at, const struct effect *e)
{
	struct ring *r = must(calloc(1, sizeof(*r) + sizeof(*r->member)));
	struct event done = { .kind = EVENT_DONE, .ticket = e->ticket, .table = r };

	r->placement = e->hash;
	r->member = (struct ring_member *)(r + 1);	/* none of them, but somewhere */
	plan(s, s->now + DISK_DELAY, at, s->node[at].starts, &done);
}

static void carry_out(struct swarm *s, unsigned int at, const struct effect *e)
{
	struct swarm_node *n = &s->node[at];

	switch (e->kind) {
	case EFFECT_DIAL:
		dial(s, at, e);
		break;
	case EFFECT_SEND:
		send_message(s, at, e);
		break;
	case EFFECT_CLOSE:
		reset(s, e->link);
		break;
	case EFFECT_SAVE:
		save(s, at, e);
		break;
	case EFFECT_TABLE:
		table(s, at, e);
		break;
	case EFFECT_TABLE_FREE:
		free(e->table);
		break;
	case EFFECT_STOP:
		n->stopped = true;
		memcpy(n->why, e->text, sizeof(n->why));
		break;
	case EFFECT_LOG:
		if (s->log)
			s->log(s, at, e->text);
		break;
	default:
		break;		/* credits, replies */
	}
}

static void input(struct swarm *s, unsigned int i, const struct event *event)
{
	struct swarm_node *n = &s->node[i];
	struct effect e;
	uint64_t deadline;

	node_input(n->node, event, s->now);
	while (node_poll(n->node, &e)) {
		carry_out(s, i, &e);
		effect_done(&e);
	}
	deadline = node_deadline(n->node);
	if (deadline < n->wake) {
		n->wake = deadline;
		plan(s, deadline, i, n->starts, &(struct event){ .kind = EVENT_TIME });
	}
}

static void drop(struct event *e)
{
	chunk_drop(e->message.body);
	free(e->table);
}

static void happen(struct swarm *s, struct swarm_event *e)
{
	struct swarm_node *n = &s->node[e->to];

	if (!n->node || n->starts != e->start || (e->event.kind == EVENT_TIME && e->at != n->wake)) {
		drop(&e->event);
		return;
	}
	/* Timers come first afterwards, as they do where a loop looks at the time before its sockets. */
	if (n->paused > s->now) {
		if (e->event.kind == EVENT_TIME)
			n->wake = n->paused;
		plan(s, n->paused + (e->event.kind != EVENT_TIME), e->to, e->start, &e->event);
		return;
	}
	if (e->event.kind == EVENT_TIME)
		n->wake = UINT64_MAX;
	input(s, e->to, &e->event);
}

void swarm_run(struct swarm *s, uint64_t us)
{
	uint64_t until = s->now + us;

	while (s->events > 0 && s->event[0].at <= until) {
		struct swarm_event e = first(s);

		s->now = e.at;
		happen(s, &e);
	}
	s->now = until;
}

/* ---- disks ---- */

static unsigned int row_place(const struct swarm *s, const struct address *id)
{
	unsigned int low = 0, high = s->rows;

	while (low < high) {
		unsigned int middle = (low + high) / 2;

		if (address_compare(&s->row[middle].id, id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct chunk *row(struct catalogue *c, const struct catalogue_row_key *key)
{
	struct swarm_node *n = (struct swarm_node *)c;
	unsigned int i;

	if (key->table == ROW_SELF)
		return n->row ? chunk_hold(n->row) : NULL;
	if (key->table != ROW_MEMBER)
		return NULL;
	i = row_place(n->swarm, &key->key);
	return i < n->swarm->rows && address_equal(&n->swarm->row[i].id, &key->key) ?
	    chunk_hold(n->swarm->row[i].record) : NULL;
}

static bool rows(struct catalogue *c, uint8_t table_id, const struct address *after, struct address *out)
{
	struct swarm *s = ((struct swarm_node *)c)->swarm;
	unsigned int i = after ? row_place(s, after) : 0;

	if (after && i < s->rows && address_equal(&s->row[i].id, after))
		i++;
	if (table_id != ROW_MEMBER || i >= s->rows)
		return false;
	*out = s->row[i].id;
	return true;
}

static struct chunk *record_of(struct swarm *s, const struct swarm_node *n)
{
	struct member fields = { .incarnation = 1, .instance = 1, .generation = 1, .state = MEMBER_HERE, .weight = 1 }, *m;
	struct chunk *c;

	memcpy(fields.address[0], n->address, sizeof(n->address));
	assert(member_sign(&fields, &s->file.id, n->secret, &m) == 0);
	c = must(chunk_copy(m->bytes, m->len));
	member_drop(m);
	return c;
}

/* Of a life before the first, whose record is known. */
static struct chunk *own_row(void)
{
	uint8_t bytes[14] = { 1, 1 };	/* format, incarnation */

	bytes[9] = MEMBER_HERE;
	bytes[10] = bytes[12] = 1;	/* weight and no zone: of the options, and as it was */
	return must(chunk_copy(bytes, sizeof(bytes)));
}

void swarm_known(struct swarm *s, unsigned int count)
{
	assert(s->rows == 0 && count <= s->count);
	s->row = must(calloc(s->count, sizeof(*s->row)));
	for (unsigned int i = 0; i < count; i++) {
		unsigned int at = row_place(s, &s->node[i].id);

		memmove(&s->row[at + 1], &s->row[at], (s->rows++ - at) * sizeof(*s->row));
		s->row[at] = (struct swarm_row){ s->node[i].id, record_of(s, &s->node[i]) };
		s->node[i].row = own_row();
	}
}

/* ---- life ---- */

struct swarm *swarm_new(unsigned int count, uint64_t seed)
{
	struct swarm *s = must(calloc(1, sizeof(*s)));
	uint8_t bytes[32] = { 0 };

	assert(sodium_init() >= 0);
	*s = (struct swarm){ .now = S, .random = seed, .count = count };
	s->node = must(calloc(count, sizeof(*s->node)));
	s->records = must(member_table_new());
	put_le64(bytes, seed);
	crypto_sign_seed_keypair(s->file.admin, s->admin, bytes);
	s->file.replicas = 3;
	s->file.acks = 2;
	s->file.placement_version = 1;
	for (unsigned int i = 0; i < count; i++) {
		struct swarm_node *n = &s->node[i];

		put_le32(bytes + 8, i + 1);
		crypto_sign_seed_keypair(n->key, n->secret, bytes);
		member_id(n->key, &n->id);
		snprintf(n->address, sizeof(n->address), "node:%u", i);
		n->catalogue = (struct catalogue){ .row = row, .rows = rows };
		n->swarm = s;
	}
	return s;
}

void swarm_start(struct swarm *s, unsigned int i)
{
	struct swarm_node *n = &s->node[i];
	const char *seeds[] = { i > 0 ? s->node[0].address : NULL, NULL };
	struct node_options o = {
		.file = &s->file, .weight = 1, .address = { n->address }, .seeds = seeds, .generation = 1,
		.instance = (uint64_t)++n->starts << 32 | (i + 1), .catalogue = &n->catalogue, .records = s->records,
	};

	assert(!n->node);
	o.seed = swarm_random(s, UINT64_MAX);
	memcpy(o.key, n->key, sizeof(o.key));
	memcpy(o.secret, n->secret, sizeof(o.secret));
	n->mute = n->stopped = false;
	n->wake = UINT64_MAX;
	n->paused = 0;
	assert(node_new(&o, &n->node) == 0);
	input(s, i, &(struct event){ .kind = EVENT_START });
}

void swarm_stop(struct swarm *s, unsigned int i, bool mute)
{
	struct swarm_node *n = &s->node[i];

	assert(n->node);
	n->mute = mute;
	for (uint32_t l = 0; l < s->links && !mute; l++)
		if (s->link[l]->node[0] == i || s->link[l]->node[1] == i)
			reset(s, 2 * l + (s->link[l]->node[1] == i));
	/* Its tables are the driver's. */
	for (unsigned int t = 0; placement_earlier(n->node, t); t++)
		free((void *)(uintptr_t)placement_earlier(n->node, t));
	free((void *)(uintptr_t)placement(n->node));
	node_free(n->node);
	n->node = NULL;
}

void swarm_cut(struct swarm *s, unsigned int i, unsigned int side)
{
	s->node[i].side = side;
	for (uint32_t l = 0; l < s->links; l++)
		if (s->node[s->link[l]->node[0]].side != s->node[s->link[l]->node[1]].side)
			reset(s, 2 * l);
}

void swarm_command(struct swarm *s, unsigned int i, struct command *c)
{
	static uint64_t tickets;

	c->ticket = ++tickets;
	if (c->timeout == 0)
		c->timeout = 30 * S;
	input(s, i, &(struct event){ .kind = EVENT_COMMAND, .command = c });
}

void swarm_free(struct swarm *s)
{
	for (unsigned int i = 0; i < s->count; i++) {
		if (s->node[i].node)
			swarm_stop(s, i, true);
		chunk_drop(s->node[i].row);
	}
	for (size_t i = 0; i < s->events; i++)
		drop(&s->event[i].event);
	for (uint32_t i = 0; i < s->links; i++)
		free(s->link[i]);
	for (unsigned int i = 0; i < s->rows; i++)
		chunk_drop(s->row[i].record);
	member_table_free(s->records);
	free(s->event);
	free(s->link);
	free(s->row);
	free(s->node);
	free(s);
}

/* ---- what they know ---- */

static bool runs(const struct swarm *s, unsigned int i)
{
	return s->node[i].node && !s->node[i].stopped;
}

unsigned int swarm_running(const struct swarm *s)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < s->count; i++)
		count += runs(s, i);
	return count;
}

unsigned int swarm_agree(struct swarm *s)
{
	const struct address *digest = NULL;
	unsigned int count = 0;

	for (unsigned int i = 0; i < s->count; i++) {
		struct view *v;

		if (!runs(s, i))
			continue;
		v = &s->node[i].node->membership->view;
		if (!digest)
			digest = view_digest(v);
		count += address_equal(view_digest(v), digest);
	}
	return count;
}

unsigned int swarm_down(struct swarm *s, unsigned int i)
{
	unsigned int count = 0;

	for (unsigned int j = 0; j < s->count; j++)
		count += j != i && runs(s, j) && membership_down_since(s->node[j].node, &s->node[i].id) != 0;
	return count;
}

unsigned int swarm_members(struct swarm *s, unsigned int i)
{
	return view_living(&s->node[i].node->membership->view);
}
