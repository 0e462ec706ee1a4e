/*
 * Any sequence of events to a whole node: links that come and go, messages that are right, nearly right or not at all,
 * disks and tables that answer in any order or with errors, commands, and time.  Then all ends well, and must: every
 * command was answered once, nothing is under way any more, and its memory is within its bound all the time.
 */
#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"
#include "dht/net/limits.h"
#include "dht/net/node.h"
#include "dht/net/ringfile.h"
#include "dht/net/signed.h"
#include "tests/lib/memory_catalogue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PEERS	   4u
#define CHUNKS	   8u
#define LINKS	   16u
#define PENDING	   512u
#define ASKED	   64u
#define COMMANDS   64u
#define BLOBS	   9u		/* signed statements */
#define MEMORY_MAX (64u << 20)	/* a fuzzer's node has little to hold: far below what limits.h allows */
#define REST	   (2 * COMMAND_TIMEOUT_MAX)

struct input {
	const uint8_t *p;
	size_t left;
};

struct linked {
	uint32_t number, peer;
};

struct asked {
	uint32_t link, request;
	enum link_priority priority;
};

/* The driver of one node. */
struct driver {
	struct node *n;
	struct memory_catalogue disk;
	uint64_t now;
	struct linked link[LINKS];
	unsigned int links;
	uint32_t numbers;
	struct effect pending[PENDING];	/* that want an answer; chunks held */
	unsigned int pendings;
	struct ring *table[PENDING];	/* that the node has */
	unsigned int tables;
	struct asked asked[ASKED];	/* requests of the node, the newest in a circle */
	unsigned int asks;
	uint64_t ticket[COMMANDS];	/* of commands without a reply */
	unsigned int commands;
	uint64_t tickets;
	bool stopped;
};

/* What does not change from one input to the next. */
static struct {
	struct ring_file file;
	uint8_t key[PEERS + 1][MEMBER_KEY], secret[PEERS + 1][MEMBER_SECRET], admin[MEMBER_SECRET];
	struct address id[PEERS + 1];
	uint8_t records[PEERS * (MEMBER_BLOB_MAX + 2)];
	uint32_t records_len;
	uint8_t bytes[CHUNKS][64];
	struct address address[CHUNKS];
	/* of one volume: leases of one slot, their end, heads, two of each with one number; and an eviction */
	struct address volume, first_head;
	uint8_t blob[BLOBS][SIGNED_MAX], blobs[BLOBS * (SIGNED_MAX + 2)];
	uint32_t blob_len[BLOBS], blobs_len;
	bool made;
} world;

static void add_blob(unsigned int i, const void *bytes, size_t len)
{
	int r;

	memcpy(world.blob[i], bytes, len);
	world.blob_len[i] = (uint32_t)len;
	if (i >= BLOBS - 2)
		return;
	r = wire_blob_put(bytes, len, world.blobs + world.blobs_len, sizeof(world.blobs) - world.blobs_len);
	assert(r > 0);
	world.blobs_len += (uint32_t)r;
}

static void make_blobs(void)
{
	struct lease l = { .slot = (uint16_t)ring_slot(&world.address[0]), .count = 1 };
	struct head h = { .snapshot = { .kind = KIND_SNAPSHOT } };
	struct retire end = { .volume = { { 0 } } };
	const uint8_t *secret = world.secret[1];
	uint8_t out[SIGNED_MAX];
	struct member *m;
	int r;

	memcpy(l.key, world.key[1], sizeof(l.key));
	memcpy(h.key, world.key[1], sizeof(h.key));
	memcpy(end.key, world.key[1], sizeof(end.key));
	volume_id(world.key[1], &world.volume);
	for (unsigned int i = 0; i < 3; i++) {
		l.seq = i < 2 ? i + 1 : 2;
		l.count = i < 2;
		lease_root(world.address, l.count, &l.root);
		add_blob(i, out, lease_sign(&l, &world.file.id, secret, out));
		h.seq = l.seq;
		h.writer = i;
		add_blob(3 + i, out, head_sign(&h, &world.file.id, secret, out));
		if (i == 0) {
			head_hash(world.blob[3], world.blob_len[3], &h.previous);
			world.first_head = h.previous;
		}
	}
	/* One of the first number, too. */
	h = (struct head){ .seq = 1, .writer = 7, .snapshot = { .kind = KIND_SNAPSHOT } };
	memcpy(h.key, world.key[1], sizeof(h.key));
	add_blob(6, out, head_sign(&h, &world.file.id, secret, out));
	add_blob(7, out, retire_sign(&end, &world.file.id, secret, out));
	r = member_evict(&world.file.id, &world.id[PEERS], world.admin, &m);
	assert(r == 0);
	add_blob(8, m->bytes, m->len);
	member_drop(m);
}

static void make_world(void)
{
	uint8_t seed[32] = { 0 };

	assert(sodium_init() >= 0);
	world.file = (struct ring_file){ .replicas = 3, .acks = 2, .placement_version = RING_PLACEMENT_VERSION };
	memset(world.file.id.b, 7, ADDRESS_LEN);
	crypto_sign_seed_keypair(world.file.admin, world.admin, seed);
	for (unsigned int i = 0; i <= PEERS; i++) {
		struct member fields = { .incarnation = 5, .instance = i + 1, .generation = i + 1, .state = MEMBER_HERE, .weight = 1 };
		struct member *m;
		int r;

		seed[0] = (uint8_t)(i + 1);
		crypto_sign_seed_keypair(world.key[i], world.secret[i], seed);
		member_id(world.key[i], &world.id[i]);
		if (i == 0)
			continue;
		strcpy(fields.address[0], "peer:1");
		r = member_sign(&fields, &world.file.id, world.secret[i], &m);
		assert(r == 0);
		r = wire_blob_put(m->bytes, m->len, world.records + world.records_len, sizeof(world.records) - world.records_len);
		assert(r > 0);
		world.records_len += (uint32_t)r;
		member_drop(m);
	}
	for (unsigned int i = 0; i < CHUNKS; i++) {
		memset(world.bytes[i], (int)i + 1, sizeof(world.bytes[i]));
		address_of(KIND_DATA, world.bytes[i], sizeof(world.bytes[i]), &world.address[i]);
	}
	make_blobs();
	world.made = true;
}

static uint8_t take(struct input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->p++;
}

/* ---- effects ---- */

static void forget_link(struct driver *d, uint32_t number)
{
	for (unsigned int i = 0; i < d->links; i++)
		if (d->link[i].number == number) {
			d->link[i] = d->link[--d->links];
			return;
		}
}

static void table_back(struct driver *d, const struct ring *table)
{
	for (unsigned int i = 0; i < d->tables; i++)
		if (d->table[i] == table) {
			ring_free(d->table[i]);
			d->table[i] = d->table[--d->tables];
			return;
		}
	assert(!"a table that it does not have");
}

static void reply(struct driver *d, uint64_t ticket)
{
	for (unsigned int i = 0; i < d->commands; i++)
		if (d->ticket[i] == ticket) {
			d->ticket[i] = d->ticket[--d->commands];
			return;
		}
	assert(!"a second reply, or one to nobody");
}

static void pend(struct driver *d, const struct effect *e)
{
	struct chunk *held[] = { e->chunk, e->blob };

	assert(d->pendings < PENDING && e->ticket != 0);
	for (unsigned int i = 0; i < d->pendings; i++)
		assert(d->pending[i].ticket != e->ticket);
	for (unsigned int i = 0; i < 2; i++)
		if (held[i])
			chunk_hold(held[i]);
	d->pending[d->pendings] = *e;
	/* Members are valid for this call alone: the table is built now, and given later. */
	if (e->kind == EFFECT_TABLE) {
		int r = ring_build(e->members, e->count, world.file.replicas, &d->pending[d->pendings].table);

		d->pending[d->pendings].result = r;
	}
	d->pendings++;
}

static void carry_out(struct driver *d, const struct effect *e)
{
	switch (e->kind) {
	case EFFECT_SEND:
		if (e->request != 0 && e->type != WIRE_ANSWER)
			d->asked[d->asks++ % ASKED] = (struct asked){ e->link, e->request, e->priority };
		break;
	case EFFECT_CLOSE:
	case EFFECT_CONSUMED:
	case EFFECT_LOG:
		break;
	case EFFECT_TABLE_FREE:
		table_back(d, e->table);
		break;
	case EFFECT_REPLY:
		assert(!d->stopped || e->result == -ESHUTDOWN || e->result == 0);
		reply(d, e->ticket);
		break;
	case EFFECT_STOP:
		assert(!d->stopped);
		d->stopped = true;
		break;
	default:
		pend(d, e);
	}
}

static void input(struct driver *d, const struct event *event)
{
	struct node_status s;
	struct effect e;

	node_input(d->n, event, d->now);
	while (node_poll(d->n, &e)) {
		carry_out(d, &e);
		effect_done(&e);
	}
	assert(node_deadline(d->n) > d->now);
	node_status(d->n, &s);
	assert(s.memory < MEMORY_MAX);
	assert(s.commands == d->commands);
}

/* ---- events ---- */

static void link_up(struct driver *d, unsigned int peer, uint64_t ticket)
{
	struct event e = { .kind = EVENT_LINK_UP, .link = ++d->numbers, .ticket = ticket, .key = world.key[peer] };

	if (d->links == LINKS)
		return;
	d->link[d->links++] = (struct linked){ e.link, peer };
	input(d, &e);
}

static void link_down(struct driver *d, unsigned int i, int result)
{
	struct event e = { .kind = EVENT_LINK_DOWN, .link = d->link[i].number, .result = result };

	forget_link(d, e.link);
	input(d, &e);
}

static void message(struct driver *d, uint32_t link, unsigned int type, uint32_t request, enum link_priority priority,
    const void *bytes, size_t len)
{
	struct event e = { .kind = EVENT_MESSAGE, .link = link, .message = { type, request, priority, NULL } };

	e.message.body = chunk_copy(bytes, len);
	assert(e.message.body);
	input(d, &e);
}

/* A message of ${type} with all that it may have, as far as ${with} says, and good values. */
static size_t make_message(struct driver *d, unsigned int type, uint8_t with, struct input *in, uint8_t *out, size_t size)
{
	static uint8_t have[CHUNKS], paths[WIRE_PATH_LEN], counts[WIRE_COUNT_LEN], suspicion[WIRE_SUSPICION_LEN];
	static struct wire_hash hashes[16];
	const struct address *some = &world.address[take(in) % CHUNKS];
	unsigned int blob = take(in) % BLOBS;
	struct message m = { .type = type, .request = type >= WIRE_TOUCH, .seq = take(in), .target = world.id[take(in) % (PEERS + 1)] };
	struct wire_suspicion s = { world.id[take(in) % (PEERS + 1)], take(in), world.id[1 + take(in) % PEERS], take(in) & 1 };
	struct wire_path path = { .depth = (uint8_t)(take(in) % 17) };
	struct node_status status;
	int r;

	node_status(d->n, &status);
	have[0] = take(in);
	wire_path_put(&path, paths);
	wire_count_put(take(in), counts);
	wire_suspicion_put(&s, suspicion);
	m.placement = status.placement;
	m.address = *some;
	m.volume = take(in) & 1 ? world.volume : m.target;
	m.hash = m.nonce = take(in) & 1 ? world.first_head : m.target;
	m.records = (struct wire_slice){ world.records, world.records_len };
	m.blobs = (struct wire_slice){ world.blobs, world.blobs_len };
	m.bytes = (struct wire_slice){ world.bytes[take(in) % CHUNKS], sizeof(world.bytes[0]) };
	m.lease = m.statement = m.head = (struct wire_slice){ world.blob[blob], world.blob_len[blob] };
	m.evidence = (struct wire_slice){ world.blob[6], world.blob_len[6] };
	m.have = (struct wire_slice){ have, 1 };
	m.addresses = world.address;
	m.address_count = take(in) % (CHUNKS + 1);
	m.hashes = hashes;
	m.hash_count = type == WIRE_COMPARE ? 0 : 1 + take(in) % 16;
	m.suspicions_bytes = suspicion;
	m.suspicions = 1;
	m.paths_bytes = paths;
	m.path_count = 1;
	m.counts_bytes = counts;
	m.count_count = 1;
	m.count = take(in);
	m.seconds = take(in);
	m.status = take(in) % 13;
	m.slot = take(in) & 1 ? (uint16_t)ring_slot(&world.address[0]) : (uint16_t)(take(in) << 6);
	m.kind = KIND_DATA;
	for (unsigned int f = FIELD_SEQ; f < FIELD_END; f++)
		if (wire_takes(type, f) && (with >> f % 8 & 1))
			m.has |= WIRE_HAS(f);
	m.more = with & 2 && wire_takes(type, FIELD_MORE);
	m.spare = with & 4 && wire_takes(type, FIELD_SPARE);
	m.complete = with & 8 && wire_takes(type, FIELD_COMPLETE);
	r = wire_encode(&m, false, out, size);
	return r < 0 ? 0 : (size_t)r;
}

/* Of a peer: a request or news, good, or with some bytes changed; or the answer to one of the node's own. */
static void some_message(struct driver *d, struct input *in, bool answer)
{
	static const uint8_t types[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 16, 17, 18, 19, 32, 33, 34, 35, 40, 41, 42, 43, 56, 57, 58, 64 };
	uint8_t choice = take(in), with = take(in), knife = take(in), bytes[4096];
	unsigned int type = answer ? WIRE_ANSWER : types[choice % sizeof(types)];
	const struct asked *a = &d->asked[choice % ASKED];
	enum link_priority priority = wire_is_request(type) ? LINK_READ + choice % 3 : LINK_CONTROL;
	uint32_t request = wire_is_request(type) ? 1u + with : 0, link;
	size_t len;

	if (d->links == 0)
		return;
	link = d->link[choice % d->links].number;
	if (type == WIRE_ANSWER) {
		request = a->request;
		priority = a->priority ? a->priority : LINK_READ;
		link = knife & 0x40 ? link : a->link;
	}
	len = make_message(d, type, with, in, bytes, sizeof(bytes));
	for (unsigned int i = 0; i < (knife & 3u) && len > 0; i++)
		bytes[take(in) * 16u % len] ^= take(in);
	if (knife & 0x80)
		len = len * take(in) / 255;
	message(d, link, type, request, priority, bytes, len);
}

static void raw_message(struct driver *d, struct input *in)
{
	uint8_t to = take(in), type = take(in), how = take(in);
	size_t len = take(in);

	if (d->links == 0)
		return;
	len = len < in->left ? len : in->left;
	message(d, d->link[to % d->links].number, type, how & 0x0f, how >> 6, in->p, len);
	in->p += len;
	in->left -= len;
}

/* The ${i}-th effect that waits is answered: as it should be, or with an error. */
static void done(struct driver *d, unsigned int i, int error)
{
	struct effect e = d->pending[i];
	struct event answer = { .kind = EVENT_DONE, .ticket = e.ticket, .result = error };
	struct chunk *read = NULL;

	d->pending[i] = d->pending[--d->pendings];
	if (e.kind == EFFECT_TABLE) {
		answer.result = e.result ? e.result : error;
		answer.table = answer.result ? NULL : e.table;
		if (answer.table)
			d->table[d->tables++] = answer.table;
		else
			ring_free(e.table);
	} else if (e.kind == EFFECT_DIAL) {
		answer.result = error ? error : -ECONNREFUSED;
	} else if (!error) {
		memory_catalogue_apply(&d->disk, &e, &answer);
		read = answer.chunk;
	}
	e.table = NULL;
	input(d, &answer);
	chunk_drop(read);
	effect_done(&e);
}

static void some_done(struct driver *d, struct input *in)
{
	static const int errors[] = { 0, 0, 0, 0, -EIO, -ENOSPC, -EBADMSG, -ENOENT };
	uint8_t which = take(in), how = take(in);
	unsigned int i;
	uint64_t ticket;

	if (d->pendings == 0)
		return;
	i = which % d->pendings;
	if (d->pending[i].kind != EFFECT_DIAL || how & 1) {
		done(d, i, errors[how / 2 % 8]);
		return;
	}
	ticket = d->pending[i].ticket;
	d->pending[i] = d->pending[--d->pendings];
	link_up(d, how / 2 % (PEERS + 1), ticket);
}

static void some_command(struct driver *d, struct input *in)
{
	uint8_t kind = take(in), which = take(in) % CHUNKS, time = take(in);
	struct command c = {
		.kind = kind % (COMMAND_MAINTENANCE + 1), .ticket = ++d->tickets, .timeout = UINT64_C(1) << time % 28,
		.address = world.address[which], .chunk_kind = KIND_DATA, .addresses = world.address, .count = which % 2,
		.acks = take(in) % 4, .weight = take(in) % 65, .zone = "z", .volume = world.volume,
	};
	unsigned int blob = take(in) % BLOBS;
	struct event e = { .kind = EVENT_COMMAND, .command = &c };

	if (d->commands == COMMANDS)
		return;
	if (c.kind == COMMAND_HEAD)
		c.address = world.volume;
	if (blob & 1)
		c.previous = world.first_head;
	c.chunk = chunk_copy(world.bytes[which], sizeof(world.bytes[which]));
	c.blob = chunk_copy(world.blob[blob], world.blob_len[blob]);
	assert(c.chunk && c.blob);
	d->ticket[d->commands++] = c.ticket;
	input(d, &e);
	chunk_drop(c.chunk);
	chunk_drop(c.blob);
}

static void some_time(struct driver *d, struct input *in)
{
	uint8_t how = take(in);
	uint64_t due = node_deadline(d->n);

	if (how & 0x80)
		d->now += UINT64_C(1) << how % 34;
	else if (due != UINT64_MAX)
		d->now = due;
	input(d, &(struct event){ .kind = EVENT_TIME });
}

static void one_event(struct driver *d, struct input *in)
{
	uint8_t op = take(in);
	struct event e = { .kind = op & 0x10 ? EVENT_LINK_FULL : EVENT_LINK_ROOM };

	switch (op % 16) {
	case 0:
		link_up(d, op / 16 % (PEERS + 1), 0);
		break;
	case 1:
		if (d->links > 0)
			link_down(d, op / 16 % d->links, op == 0xf1 ? -EEXIST : -ECONNRESET);
		break;
	case 2:
	case 3:
	case 4:
		some_message(d, in, false);
		break;
	case 5:
	case 6:
		some_message(d, in, true);
		break;
	case 7:
		raw_message(d, in);
		break;
	case 8:
	case 9:
	case 10:
		some_done(d, in);
		break;
	case 11:
		if (d->links == 0)
			break;
		e.link = d->link[op / 32 % d->links].number;
		input(d, &e);
		break;
	case 12:
		some_command(d, in);
		break;
	default:
		some_time(d, in);
	}
}

/* Links go, disks do their work, hours pass: nothing may be left. */
static void all_ends(struct driver *d)
{
	uint64_t until = d->now + REST;
	struct node_status s;

	while (d->links > 0)
		link_down(d, 0, -ECONNRESET);
	/* Until it stands still: each command is over, and what the disk was to do is done. */
	for (unsigned int steps = 0; steps < 400000; steps++) {
		if (d->pendings > 0) {
			done(d, 0, 0);
		} else if (d->commands == 0) {
			break;
		} else if (node_deadline(d->n) != UINT64_MAX && node_deadline(d->n) < until) {
			d->now = node_deadline(d->n);
			input(d, &(struct event){ .kind = EVENT_TIME });
		} else {
			break;
		}
	}
	assert(d->commands == 0 && d->pendings == 0);
	node_status(d->n, &s);
	assert(d->stopped || s.links == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct driver d;
	struct node_options o = {
		.file = &world.file, .weight = 1, .address = { "us:1" }, .instance = 1, .generation = 1, .seed = 1,
		.seeds = (const char *const[]){ "peer:1", NULL }, .catalogue = &d.disk.catalogue,
	};
	struct input in = { data, size };

	if (!world.made)
		make_world();
	d = (struct driver){ .now = S };
	memory_catalogue_init(&d.disk, 1 << 20);
	memcpy(o.key, world.key[0], sizeof(o.key));
	memcpy(o.secret, world.secret[0], sizeof(o.secret));
	if (node_new(&o, &d.n) != 0)
		abort();
	input(&d, &(struct event){ .kind = EVENT_START });
	while (in.left > 0)
		one_event(&d, &in);
	all_ends(&d);
	node_free(d.n);
	while (d.tables > 0)
		ring_free(d.table[--d.tables]);
	memory_catalogue_free(&d.disk);
	return 0;
}
