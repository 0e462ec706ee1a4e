/*
 * corebench: what a chunk costs the protocol core: its processor time, and where it goes.
 *
 *     build/corebench [MEGABYTES [CHUNK_BYTES]]
 *
 * First a link alone.  Then a ring of a writer and three owners in one process, R = 3 and W = 2, with real links between
 * them (handshakes and ciphers), a disk in memory, and a clock that goes on when nothing is left to be done.  The
 * writer inserts chunks that none of its slots has, forgets them, and fetches them again.  What a socket does is stood in for by one
 * copy into a buffer for reading; one thread does all.
 */
#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "chunker/bytes.h"
#include "dht/net/limits.h"
#include "dht/net/node.h"
#include "dht/net/ringfile.h"
#include "tests/lib/memory_catalogue.h"

#define NODES	   4u
#define LINKS	   64u		/* ends of connections, ever: few dial twice */
#define UNDER_WAY  32u		/* commands at a time */
#define READ_BYTES 65536u	/* a read of the socket */

enum part { HANDSHAKE, ENCRYPT, DECRYPT, NODE, DISK, OTHER, PARTS };

static const char *const part_names[PARTS] = {
	"handshakes", "encrypt (link_send, link_output)", "decrypt (link_input, link_receive)", "codec and state machines",
	"disk and hashes", "the bench itself",
};

/* One end of a connection. */
struct end {
	struct link *link;		/* NULL: none */
	struct end *other;
	unsigned int node;
	uint32_t number;
	uint64_t dial;			/* the ticket; 0: it was dialled */
	bool up, full;
};

struct todo {
	struct todo *next;
	unsigned int node;
	struct event event;
	struct effect disk;
	uint8_t key[MEMBER_KEY];
};

struct machine {
	struct node *node;
	struct memory_catalogue disk;
	struct link_pool pool;
	uint8_t key[MEMBER_KEY], secret[MEMBER_SECRET], noise[NOISE_KEY];
	char address[16];
};

struct item {
	struct address address;
	struct chunk *chunk;
};

static struct machine machine[NODES];
static struct end ends[LINKS];
static unsigned int end_count;
static struct ring_file ring_file;
static struct aead *aead;
static struct todo *first, **last = &first;
static uint64_t now = S, tickets;
static unsigned int replies, failed;
static const struct ring *table;	/* the writer's */

/* ---- time ---- */

/* Of the writer, and of the owners together. */
static double spent[2][PARTS], lap_at;
static enum part lap_part = OTHER;
static unsigned int lap_role;

static double clock_of(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* From now on the time goes to ${part} of that node. */
static void lap(unsigned int node, enum part part)
{
	double t = clock_of(CLOCK_MONOTONIC);

	spent[lap_role][lap_part] += t - lap_at;
	lap_at = t;
	lap_part = part;
	lap_role = node > 0;
}

static void laps_start(void)
{
	memset(spent, 0, sizeof(spent));
	lap_at = clock_of(CLOCK_MONOTONIC);
	lap_part = OTHER;
}

/* The clock goes on for others, too, so the parts are shares of the processor time.  The link and the core are what one thread of a
 * node does; hashes are for other threads. */
static void laps_print(const char *what, double cpu, unsigned int chunks, size_t len)
{
	double sum = 0, core[2] = { 0 }, us;

	lap(0, OTHER);
	for (unsigned int i = 0; i < PARTS; i++)
		sum += spent[0][i] + spent[1][i];
	us = cpu * 1e6 / sum / chunks;
	printf("\n%s: %u chunks of %zu bytes, %.1f us each in all\n", what, chunks, len, cpu * 1e6 / chunks);
	printf("  %-36s %12s %14s\n", "", "the writer", "3 owners");
	for (unsigned int i = HANDSHAKE; i < PARTS; i++)
		printf("  %-36s %9.1f us %11.1f us\n", part_names[i], spent[0][i] * us, spent[1][i] * us);
	for (unsigned int role = 0; role < 2; role++)
		for (unsigned int i = HANDSHAKE; i <= NODE; i++)
			core[role] += spent[role][i] * us;
	printf("  %-36s %7.0f MB/s %9.0f MB/s\n", "one thread for links and core, a node", (double)len / core[0],
	    (double)len / core[1] * (NODES - 1));
}

static void *must(void *p)
{
	if (!p) {
		perror("corebench");
		exit(1);
	}
	return p;
}

/* ---- what is to happen ---- */

static struct todo *plan(unsigned int node, enum event_kind kind)
{
	struct todo *t = must(calloc(1, sizeof(*t)));

	t->node = node;
	t->event.kind = kind;
	*last = t;
	last = &t->next;
	return t;
}

static struct end *end_new(unsigned int node, bool initiator, uint64_t dial)
{
	struct machine *m = &machine[node];
	struct link_options o = {
		.kind = LINK_NOISE, .initiator = initiator, .file = &ring_file, .key = m->key, .secret = m->secret,
		.noise_secret = m->noise, .pool = &m->pool, .aead = aead, .instance = node + 1, .now = now,
	};
	struct end *e = &ends[end_count++];

	assert(end_count <= LINKS);
	randombytes_buf(o.random, sizeof(o.random));
	o.user = e;
	*e = (struct end){ .node = node, .number = end_count, .dial = dial };
	if (link_new(&o, &e->link))
		must(NULL);
	return e;
}

static void dial(unsigned int from, const struct effect *e)
{
	unsigned int to = (unsigned int)atoi(e->text + strlen("node:"));
	struct end *a, *b;

	if (to == from || !machine[to].node) {
		struct todo *t = plan(from, EVENT_DONE);

		t->event.ticket = e->ticket;
		t->event.result = -111;
		return;
	}
	a = end_new(from, true, e->ticket);
	b = end_new(to, false, 0);
	a->other = b;
	b->other = a;
}

static void end_close(struct end *e)
{
	struct end *both[2] = { e, e->other };

	for (unsigned int i = 0; i < 2; i++) {
		if (!both[i]->link)
			continue;
		link_free(both[i]->link);
		both[i]->link = NULL;
		plan(both[i]->node, EVENT_LINK_DOWN)->event.link = both[i]->number;
	}
}

static void reply(const struct effect *e)
{
	replies++;
	failed += e->result != 0;
}

static void hold(const struct effect *e)
{
	struct chunk *all[] = { e->chunk, e->head, e->tail, e->blob };

	for (unsigned int i = 0; i < 4; i++)
		if (all[i])
			chunk_hold(all[i]);
}

static struct end *end_of(uint32_t number)
{
	struct end *e = number <= end_count ? &ends[number - 1] : NULL;

	return e && e->link ? e : NULL;
}

static void carry_out(unsigned int node, const struct effect *e)
{
	struct end *l = e->link ? end_of(e->link) : NULL;
	struct todo *t;

	switch (e->kind) {
	case EFFECT_DIAL:
		dial(node, e);
		break;
	case EFFECT_SEND:
		lap(node, ENCRYPT);
		if (l)
			link_send(l->link, e->type, e->request, e->priority, e->head, e->tail);
		break;
	case EFFECT_CONSUMED:
		lap(node, DECRYPT);
		if (l)
			link_consumed(l->link, e->count);
		break;
	case EFFECT_CLOSE:
		if (l)
			end_close(l);
		break;
	case EFFECT_TABLE:
		t = plan(node, EVENT_DONE);
		t->event.ticket = e->ticket;
		t->event.result = ring_build(e->members, e->count, ring_file.replicas, &t->event.table);
		if (node == 0)
			table = t->event.table;
		break;
	case EFFECT_TABLE_FREE:
		ring_free(e->table);
		break;
	case EFFECT_REPLY:
		reply(e);
		break;
	case EFFECT_LOG:
		if (getenv("CORE_LOG"))
			printf("# node %u: %s\n", node, e->text);
		break;
	case EFFECT_STOP:
		fprintf(stderr, "corebench: node %u stops: %s\n", node, e->text);
		exit(1);
	default:
		t = plan(node, EVENT_DONE);
		t->disk = *e;
		hold(e);
	}
}

static void input(unsigned int node, const struct event *event)
{
	struct effect e;

	lap(node, NODE);
	node_input(machine[node].node, event, now);
	while (node_poll(machine[node].node, &e)) {
		lap(node, OTHER);
		carry_out(node, &e);
		lap(node, NODE);
		effect_done(&e);
	}
	lap(node, OTHER);
}

/* ---- links ---- */

static void received(struct end *e)
{
	struct link_message m;

	if (!e->up && link_peer(e->link)) {
		struct event up = { .kind = EVENT_LINK_UP, .link = e->number, .ticket = e->dial, .key = link_peer(e->link) };

		e->up = true;
		input(e->node, &up);
	}
	lap(e->node, DECRYPT);
	while (e->link && link_receive(e->link, &m)) {
		struct event event = { .kind = EVENT_MESSAGE, .link = e->number, .message = m };

		lap(e->node, OTHER);
		input(e->node, &event);
		lap(e->node, DECRYPT);
	}
	lap(e->node, OTHER);
}

static void told_full(struct end *e)
{
	if (!e->link || !e->up || link_full(e->link) == e->full)
		return;
	e->full = !e->full;
	input(e->node, &(struct event){ .kind = e->full ? EVENT_LINK_FULL : EVENT_LINK_ROOM, .link = e->number });
}

/* What ${e} has to send, once.  False: nothing. */
static bool pass_on(struct end *e)
{
	static uint8_t buffer[READ_BYTES];
	bool handshake = e->link && !e->up;
	struct wire_slice out;
	int rc;

	if (!e->link)
		return false;
	told_full(e);
	lap(e->node, handshake ? HANDSHAKE : ENCRYPT);
	if (!link_output(e->link, &out)) {
		lap(e->node, OTHER);
		return false;
	}
	lap(e->node, OTHER);
	if (out.len > sizeof(buffer))
		out.len = sizeof(buffer);
	memcpy(buffer, out.data, out.len);
	lap(e->node, handshake ? HANDSHAKE : ENCRYPT);
	link_sent(e->link, out.len);
	lap(e->other->node, handshake ? HANDSHAKE : DECRYPT);
	rc = link_input(e->other->link, buffer, out.len);
	lap(e->node, OTHER);
	if (rc) {
		fprintf(stderr, "corebench: a link failed: %s\n", link_why(e->other->link));
		exit(1);
	}
	received(e->other);
	return true;
}

static bool links_turn(void)
{
	bool any = false;

	for (unsigned int i = 0; i < end_count; i++)
		any |= pass_on(&ends[i]);
	return any;
}

/* ---- all ---- */

static void happen(struct todo *t)
{
	struct chunk *read;

	if (t->disk.ticket) {
		lap(t->node, DISK);
		memory_catalogue_apply(&machine[t->node].disk, &t->disk, &t->event);
		lap(t->node, OTHER);
	}
	read = t->event.chunk;
	input(t->node, &t->event);
	chunk_drop(read);
	effect_done(&t->disk);
	free(t);
}

/* All that can be done now; then the clock goes on to what is due next, but not beyond ${until}.  False: it has come. */
static bool step(uint64_t until)
{
	uint64_t next = until;
	unsigned int due = NODES;
	bool any = false;

	while (first) {
		struct todo *t = first;

		first = t->next;
		if (!first)
			last = &first;
		happen(t);
		any = true;
	}
	if (links_turn() || any)
		return true;
	for (unsigned int i = 0; i < NODES; i++)
		if (machine[i].node && node_deadline(machine[i].node) < next) {
			next = node_deadline(machine[i].node);
			due = i;
		}
	now = next > now ? next : now;
	if (due == NODES)
		return false;
	input(due, &(struct event){ .kind = EVENT_TIME });
	return true;
}

static void run(uint64_t us)
{
	uint64_t until = now + us;

	while (step(until))
		;
}

static void machine_init(unsigned int i)
{
	struct machine *m = &machine[i];

	m->pool.max = LINK_POOL;
	crypto_sign_keypair(m->key, m->secret);
	randombytes_buf(m->noise, sizeof(m->noise));
	memory_catalogue_init(&m->disk, UINT64_C(1) << 40);
	snprintf(m->address, sizeof(m->address), "node:%u", i);
}

static void start(unsigned int i)
{
	static const char *const seeds[] = { "node:0", NULL }, *const none[] = { NULL };
	struct machine *m = &machine[i];
	struct node_options o = {
		.file = &ring_file, .weight = 1, .zone = "", .address = { m->address }, .seeds = i ? seeds : none,
		.instance = i + 1, .generation = i + 1, .seed = i + 1, .catalogue = &m->disk.catalogue,
	};

	memcpy(o.key, m->key, sizeof(o.key));
	memcpy(o.secret, m->secret, sizeof(o.secret));
	if (node_new(&o, &m->node))
		must(NULL);
	input(i, &(struct event){ .kind = EVENT_START });
}

static bool is_mine(const struct address *a)
{
	struct address id;

	member_id(machine[0].key, &id);
	return ring_owns(table, ring_slot(a), (unsigned int)ring_find(table, &id));
}

/* In a slot that others own. */
static void item_new(struct item *item, size_t len)
{
	uint8_t *bytes;

	item->chunk = must(chunk_new(len, &bytes));
	randombytes_buf(bytes, len);
	do {
		randombytes_buf(bytes, len < 16 ? len : 16);
		address_of(KIND_DATA, bytes, len, &item->address);
	} while (is_mine(&item->address));
}

static void commands(const char *what, enum command_kind kind, const struct item *item, unsigned int count, size_t len)
{
	double cpu = clock_of(CLOCK_PROCESS_CPUTIME_ID);
	unsigned int begun = 0;

	laps_start();
	replies = failed = 0;
	while (replies < count) {
		while (begun < count && begun - replies < UNDER_WAY) {
			struct command c = {
				.kind = kind, .ticket = ++tickets, .timeout = 60 * S, .address = item[begun].address,
				.chunk_kind = KIND_DATA, .chunk = kind == COMMAND_INSERT ? item[begun].chunk : NULL, .acks = 2,
			};

			input(0, &(struct event){ .kind = EVENT_COMMAND, .command = &c });
			begun++;
		}
		step(now + S);
	}
	laps_print(what, clock_of(CLOCK_PROCESS_CPUTIME_ID) - cpu, count, len);
	if (failed)
		printf("  %u FAILED\n", failed);
}

/* ---- a link alone ---- */

static void link_alone(size_t bytes, size_t len)
{
	unsigned int count = (unsigned int)(bytes / len) + 1;
	struct end *a = end_new(0, true, 0), *b = end_new(1, false, 0);
	static uint8_t buffer[READ_BYTES], head_bytes[100];
	struct chunk *head = must(chunk_copy(head_bytes, sizeof(head_bytes))), *tail;
	struct link_message m;
	struct wire_slice out;
	uint8_t *data;
	double cpu;

	tail = must(chunk_new(len, &data));
	randombytes_buf(data, len);
	laps_start();
	for (unsigned int i = 0; i < 20; i++) {
		struct end *from = i % 2 ? b : a, *to = i % 2 ? a : b;

		while (link_output(from->link, &out)) {
			if (link_input(to->link, out.data, out.len))
				must(NULL);
			link_sent(from->link, out.len);
		}
	}
	lap(0, OTHER);
	printf("a handshake, both sides: %.0f us\n", spent[0][OTHER] * 1e6);
	cpu = clock_of(CLOCK_PROCESS_CPUTIME_ID);
	laps_start();
	for (unsigned int i = 0; i < count; i++) {
		lap(0, ENCRYPT);
		link_send(a->link, WIRE_PUT, 1, LINK_WRITE, head, tail);
		while (lap(0, ENCRYPT), link_output(a->link, &out)) {
			lap(0, OTHER);
			out.len = out.len < READ_BYTES ? out.len : READ_BYTES;
			memcpy(buffer, out.data, out.len);
			lap(0, ENCRYPT);
			link_sent(a->link, out.len);
			lap(0, DECRYPT);
			if (link_input(b->link, buffer, out.len))
				must(NULL);
			while (link_receive(b->link, &m)) {
				link_consumed(b->link, m.body->len);
				chunk_drop(m.body);
			}
			while (link_output(b->link, &out)) {
				if (link_input(a->link, out.data, out.len))
					must(NULL);
				link_sent(b->link, out.len);
			}
		}
	}
	lap(0, OTHER);
	cpu = clock_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	double all = spent[0][ENCRYPT] + spent[0][DECRYPT] + spent[0][OTHER], megabytes = (double)count * (double)len / 1e6;
	printf("a link alone: seal %.0f MB/s, open %.0f MB/s, both %.0f MB/s\n", megabytes / (spent[0][ENCRYPT] / all * cpu),
	    megabytes / (spent[0][DECRYPT] / all * cpu), megabytes / ((spent[0][ENCRYPT] + spent[0][DECRYPT]) / all * cpu));
	chunk_drop(head);
	chunk_drop(tail);
	link_free(a->link);
	link_free(b->link);
	end_count = 0;
}

/* The ciphers and the hash by themselves: nothing above can be faster. */
static void ceiling(void)
{
	struct noise_cipher seal = { .aead = aead, .keyed = true }, open = { .aead = aead, .keyed = true };
	static uint8_t buffer[LINK_FRAME_PLAIN + NOISE_TAG];
	struct address a;
	double at[4];
	unsigned int rounds = 2000;
	double bytes = (double)LINK_FRAME_PLAIN * rounds / 1e6, t[2] = { 0 };

	for (unsigned int i = 0; i < rounds; i++) {
		at[0] = clock_of(CLOCK_PROCESS_CPUTIME_ID);
		noise_seal(&seal, buffer, LINK_FRAME_PLAIN, buffer);
		at[1] = clock_of(CLOCK_PROCESS_CPUTIME_ID);
		if (noise_open(&open, buffer, sizeof(buffer), buffer))
			must(NULL);
		at[2] = clock_of(CLOCK_PROCESS_CPUTIME_ID);
		t[0] += at[1] - at[0];
		t[1] += at[2] - at[1];
	}
	at[2] = clock_of(CLOCK_PROCESS_CPUTIME_ID);
	for (unsigned int i = 0; i < rounds; i++)
		address_of(KIND_DATA, buffer, LINK_FRAME_PLAIN, &a);
	at[3] = clock_of(CLOCK_PROCESS_CPUTIME_ID);
	printf("the cipher alone: seal %.0f MB/s, open %.0f MB/s; the hash of an address: %.0f MB/s\n", bytes / t[0], bytes / t[1],
	    bytes / (at[3] - at[2]));
}

int main(int argc, char **argv)
{
	size_t megabytes = argc > 1 ? (size_t)atoi(argv[1]) : 100, len = argc > 2 ? (size_t)atoi(argv[2]) : 65536;
	unsigned int count = (unsigned int)(megabytes * 1000000 / (len ? len : 1)) + 1;
	struct ring_file_random random;
	uint8_t admin[MEMBER_SECRET];
	struct item *item;

	if (!megabytes || !len || len > 262144) {
		fprintf(stderr, "corebench: [MEGABYTES [CHUNK_BYTES]]\n");
		return 2;
	}
	if (sodium_init() < 0 || aead_new(&aead) < 0)
		return 1;
	randombytes_buf(&random, sizeof(random));
	if (ring_file_create(&random, false, 3, 2, &ring_file, admin))
		return 1;
	for (unsigned int i = 0; i < NODES; i++)
		machine_init(i);
	ceiling();
	link_alone(megabytes * 1000000, len);
	for (unsigned int i = 0; i < NODES; i++) {
		start(i);
		run(2 * S);
	}
	run(60 * S);
	item = must(calloc(count, sizeof(*item)));
	for (unsigned int i = 0; i < count; i++)
		item_new(&item[i], len);
	commands("insert, W = 2 and on to R = 3", COMMAND_INSERT, item, count, len);
	run(30 * S);
	memory_catalogue_free(&machine[0].disk);
	memory_catalogue_init(&machine[0].disk, 0);	/* no room to cache: nothing of a fetch is written */
	commands("fetch", COMMAND_FETCH, item, count, len);
	for (unsigned int i = 0; i < count; i++)
		chunk_drop(item[i].chunk);
	free(item);
	return 0;
}
