#include "tests/lib/corekit.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"

static struct core *core;	/* the only one: what is stood in for has no other way to it */

/* ---- what the services ask of the rest of a node ---- */

static int number(const struct address *id)
{
	for (unsigned int i = 0; i < CORE_MEMBERS; i++)
		if (address_equal(&core->member[i].id, id))
			return (int)i;
	return -1;
}

const struct member *membership_find(struct node *n, const struct address *id)
{
	int i = number(id);

	(void)n;
	return i >= 0 && core->member[i].state && core->member[i].state < MEMBER_LEFT ? &core->member[i] : NULL;
}

bool membership_gone(struct node *n, const struct address *id)
{
	int i = number(id);

	(void)n;
	return i >= 0 && core->member[i].state >= MEMBER_LEFT;
}

enum health membership_health(struct node *n, const struct address *id)
{
	return membership_find(n, id) ? core->health[number(id)] : PEER_DOWN;
}

void membership_heard(struct node *n, struct peer *from)
{
	(void)n;
	core->last = from;
	core->heard++;
}

void membership_peer(struct node *n, struct peer *p, bool up)
{
	(void)n;
	(void)p;
	core->changes += up;
}

void membership_message(struct node *n, struct peer *from, const struct message *m)
{
	(void)n;
	(void)m;
	core->last = from;
	core->messages++;
}

void membership_differs(struct node *n, struct peer *from)
{
	(void)n;
	core->last = from;
	core->differs++;
}

void membership_cloned(struct node *n, const char *where)
{
	core->cloned++;
	node_stop(n, where);
}

const struct address *placement_hash(struct node *n)
{
	(void)n;
	return &core->placement;
}

const struct ring *placement(struct node *n)
{
	/* Nobody looks into it. */
	return core->no_table ? NULL : (const struct ring *)n;
}

void machines_peer(struct node *n, struct peer *p, bool up)
{
	(void)n;
	core->ups += up;
	core->downs += !up;
	if (core->on_peer)
		core->on_peer(core, p, up);
}

bool machines_request(struct node *n, struct served *s, const struct message *m)
{
	(void)m;
	core->requests++;
	if (core->unknown)
		return false;
	if (core->answers) {
		serve_status(n, s, WIRE_OK);
		return true;
	}
	assert(core->serving < CORE_SERVED);
	core->served[core->serving++] = s;
	return true;
}

void leases_changed(struct node *n, const struct address *addresses, uint32_t count)
{
	(void)n;
	(void)addresses;
	core->stored += count;
}

static void command(struct node *n, const struct command *c)
{
	(void)n;
	core->command = *c;
	core->commands++;
}

void insert_command(struct node *n, const struct command *c)
{
	command(n, c);
}

void fetch_command(struct node *n, const struct command *c)
{
	command(n, c);
}

void lease_command(struct node *n, const struct command *c)
{
	command(n, c);
}

void head_command(struct node *n, const struct command *c)
{
	command(n, c);
}

void leave_command(struct node *n, const struct command *c)
{
	command(n, c);
}

void repair_command(struct node *n, const struct command *c)
{
	command(n, c);
}

void membership_command(struct node *n, const struct command *c)
{
	command(n, c);
}

/* ---- its life ---- */

void core_key(unsigned int i, uint8_t out[MEMBER_KEY])
{
	memset(out, 0, MEMBER_KEY);
	put_le32(out, i + 1);
}

/* Keys are taken until enough ids lie on either side of ours. */
static void make_members(struct core *k)
{
	unsigned int below = 0, above = 0;

	for (unsigned int i = 0; below + above < CORE_MEMBERS; i++) {
		struct member m = { .len = 0 };
		bool smaller;
		unsigned int at;

		core_key(1000000 + i, m.key);
		member_id(m.key, &m.id);
		smaller = address_compare(&m.id, &k->n->id) < 0;
		if ((smaller ? below : above) == CORE_MEMBERS / 2)
			continue;
		below += smaller;
		above += !smaller;
		for (at = below + above - 1; at > 0 && address_compare(&k->member[at - 1].id, &m.id) > 0; at--)
			k->member[at] = k->member[at - 1];
		k->member[at] = m;
	}
}

struct core *core_new(const char *const *seeds)
{
	int (*const parts[])(struct node *) = {
		effects_new, works_new, commands_new, peers_new, links_new, dials_new, calls_new, serve_new,
	};
	struct node *n = calloc(1, sizeof(*n));

	/* One that a failed test left behind is let go. */
	assert(n && sodium_init() >= 0);
	core = calloc(1, sizeof(*core));
	assert(core);
	core->n = n;
	n->options.seeds = seeds;
	n->now = n->started = S;
	n->running = true;
	memset(n->id.b, 0x80, ADDRESS_LEN);
	memset(core->placement.b, 1, ADDRESS_LEN);
	random_seed(n, 1);
	make_members(core);
	for (unsigned int i = 0; i < sizeof(parts) / sizeof(*parts); i++)
		assert(parts[i](n) == 0);
	peers_start(n);
	dials_start(n);
	return core;
}

static void gather(struct core *k)
{
	struct effect e;

	while (effects_poll(k->n, &e)) {
		assert(k->effects < CORE_EFFECTS);
		k->effect[k->effects++] = e;
	}
}

void core_forget(struct core *k)
{
	gather(k);
	for (unsigned int i = 0; i < k->effects; i++)
		effect_done(&k->effect[i]);
	k->effects = 0;
}

void core_free(struct core *k)
{
	struct node *n = k->n;

	commands_stop(n);
	core_forget(k);
	serve_free(n);
	calls_free(n);
	peers_free(n);
	links_free(n);
	dials_free(n);
	commands_free(n);
	works_free(n);
	effects_free(n);
	assert(n->timer_count == 0 && !n->timers);
	free(n);
	free(k);
	core = NULL;
}

struct peer *core_member(struct core *k, unsigned int i, unsigned int addresses)
{
	struct member *m = &k->member[i];

	m->state = MEMBER_HERE;
	memset(m->address, 0, sizeof(m->address));
	for (unsigned int a = 0; a < addresses; a++)
		snprintf(m->address[a], sizeof(m->address[a]), "%u:%u", i, a);
	return peer_find(k->n, &m->id);
}

/* ---- events ---- */

void core_run(struct core *k, uint64_t us)
{
	uint64_t until = k->n->now + us;

	while (timers_next(k->n) <= until) {
		k->n->now = timers_next(k->n);
		timers_run(k->n);
		gather(k);
	}
	k->n->now = until;
	gather(k);
}

bool core_take(struct core *k, enum effect_kind kind, struct effect *out)
{
	gather(k);
	for (unsigned int i = 0; i < k->effects; i++)
		if (k->effect[i].kind == kind) {
			*out = k->effect[i];
			memmove(&k->effect[i], &k->effect[i + 1], (--k->effects - i) * sizeof(*out));
			return true;
		}
	return false;
}

unsigned int core_count(const struct core *k, enum effect_kind kind)
{
	unsigned int count = 0;

	gather(core);
	for (unsigned int i = 0; i < k->effects; i++)
		count += k->effect[i].kind == kind;
	return count;
}

uint32_t core_key_up(struct core *k, const uint8_t key[MEMBER_KEY], uint64_t ticket)
{
	struct event e = { .kind = EVENT_LINK_UP, .link = ++k->links, .key = key, .ticket = ticket };

	links_up(k->n, &e);
	gather(k);
	return e.link;
}

uint32_t core_up(struct core *k, unsigned int i, uint64_t ticket)
{
	return core_key_up(k, k->member[i].key, ticket);
}

void core_down(struct core *k, uint32_t link, int result)
{
	links_down(k->n, &(struct event){ .kind = EVENT_LINK_DOWN, .link = link, .result = result });
	gather(k);
}

void core_done(struct core *k, uint64_t ticket, int result)
{
	works_done(k->n, &(struct event){ .kind = EVENT_DONE, .ticket = ticket, .result = result });
	gather(k);
}

void core_full(struct core *k, uint32_t link, bool full)
{
	links_room(k->n, link, full);
	gather(k);
}

uint32_t core_dialled(struct core *k, unsigned int i)
{
	struct effect e;

	assert(core_take(k, EFFECT_DIAL, &e));
	return core_up(k, i, e.ticket);
}

void core_bytes(struct core *k, uint32_t link, unsigned int type, uint32_t request, enum link_priority priority,
    const void *bytes, size_t len)
{
	struct link_message in = { type, request, priority, chunk_copy(bytes, len) };
	struct peer_link *l = links_find(k->n, link);

	assert(in.body);
	if (l && !l->closing)
		serve_message(k->n, l, &in);
	else
		chunk_drop(in.body);
	gather(k);
}

void core_message(struct core *k, uint32_t link, struct message *m, enum link_priority priority)
{
	size_t size = wire_size(m, false);
	uint8_t *bytes = malloc(size + 1);

	assert(bytes && wire_encode(m, false, bytes, size) == (int)size);
	core_bytes(k, link, m->type, m->request, priority, bytes, size);
	free(bytes);
}

void core_answer(struct core *k, const struct effect *sent, enum wire_status status)
{
	struct message m = { .type = WIRE_ANSWER, .request = sent->request, .status = (uint16_t)status };

	core_message(k, sent->link, &m, sent->priority);
}
