/*
 * liar RING_FILE LISTEN JOIN LIE...: a member of a ring that knows its secret, does what makes it a member, and then lies:
 *
 *	bytes		chunks with wrong bytes
 *	kind		right form, another kind than the address has
 *	stored		"stored", "I have it", and it is not so
 *	miss		"not here, and I should know"
 *	slow		each answer to a request comes 700 ms late
 *	silent		no answer to requests at all
 *	garbage		answers with flipped bits
 *	oversized	answers longer than any may be
 *	leases		leases of ever new volumes, some hundreds a second to each
 *	later		only what a later version might say: unknown fields and types, which all have to skip
 *
 * Addresses are "HOST:PORT", numbers.  It says "member ID" when the first has let it in, and to SIGTERM what it was asked.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>

#include "chunker/bytes.h"
#include "dht/net/link.h"
#include "dht/net/ringfile.h"
#include "dht/net/signed.h"

#define CONNS	  64
#define SLOW_US	  700000u
#define LATE_MAX  256
#define FLOOD	  (256u << 10)	/* bytes that are sent before the other end has read some */
#define FLOOD_US  50000u	/* all that verify share this machine: the flood is not to be one of its processor */
#define FLOOD_AT_ONCE 16
#define PAGE	  4096

enum lie {
	LIE_BYTES = 1, LIE_KIND = 2, LIE_STORED = 4, LIE_MISS = 8, LIE_SLOW = 16, LIE_SILENT = 32, LIE_GARBAGE = 64,
	LIE_OVERSIZED = 128, LIE_LEASES = 256, LIE_LATER = 512,
};

static const char *const lie_names[] = {
	"bytes", "kind", "stored", "miss", "slow", "silent", "garbage", "oversized", "leases", "later",
};

struct conn {
	int fd;			/* -1: free */
	struct link *link;
	bool up;
};

struct late {
	uint64_t due;
	struct conn *conn;
	struct link *link;	/* as it was: the place may be another's by then */
	struct link_message question;
};

static struct {
	struct ring_file file;
	uint8_t key[MEMBER_KEY], secret[MEMBER_SECRET], noise_secret[NOISE_KEY];
	uint64_t instance;
	char address[MEMBER_ADDRESS_LEN + 1];
	struct member *record;
	struct address placement;	/* as others have it: they say so in their requests */
	struct link_pool pool;
	struct aead *aead;
	unsigned int lies;
	unsigned long asked[256], floods;
	bool told;
} me;
static struct conn conns[CONNS];
static struct late late[LATE_MAX];
static unsigned int late_count;
static volatile sig_atomic_t ended;

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void die(const char *what)
{
	fprintf(stderr, "liar: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- what it says ---- */

/* ${m}, and behind its fields what no version has yet; never with FIELD_BYTES, which is the last there can be. */
static void say(struct conn *c, const struct message *m, enum link_priority priority)
{
	static uint8_t out[WIRE_MESSAGE_MAX + 64];
	static const uint8_t unknown[] = { FIELD_END - 2, 3, 'n', 'e', 'w' };
	int len = wire_encode(m, false, out, WIRE_MESSAGE_MAX);
	struct chunk *body;

	if (len < 0)
		return;
	if (me.lies & LIE_LATER && !(m->has & WIRE_HAS(FIELD_BYTES))) {
		memcpy(out + len, unknown, sizeof(unknown));
		len += (int)sizeof(unknown);
	}
	if (me.lies & LIE_GARBAGE && m->type == WIRE_ANSWER)
		for (int i = 0; i < 1 + len / 64; i++)
			out[randombytes_uniform((uint32_t)len)] ^= (uint8_t)(1 + randombytes_uniform(255));
	if (me.lies & LIE_OVERSIZED && m->type == WIRE_ANSWER) {
		memset(out + len, 0xff, (size_t)(WIRE_MESSAGE_MAX - len));
		len = WIRE_MESSAGE_MAX;
	}
	body = chunk_copy(out, (size_t)len);
	if (body)
		link_send(c->link, m->type, m->request, priority, body, NULL);
	chunk_drop(body);
}

static void say_records(struct conn *c, const struct member *m)
{
	uint8_t blobs[PAGE];
	int len = wire_blob_put(m->bytes, m->len, blobs, sizeof(blobs));
	struct message say_it = { .type = WIRE_RECORDS, .records = { blobs, (uint32_t)len } };

	say_it.has = WIRE_HAS(FIELD_RECORDS);
	say(c, &say_it, LINK_CONTROL);
}

static struct member *sign(uint64_t incarnation, const uint8_t key[MEMBER_KEY], const uint8_t secret[MEMBER_SECRET])
{
	struct member fields = { .incarnation = incarnation, .instance = me.instance, .generation = me.instance,
		.state = MEMBER_HERE, .weight = 1, .protocol = WIRE_VERSION, .placement = RING_PLACEMENT_VERSION }, *m;

	memcpy(fields.key, key, MEMBER_KEY);
	strcpy(fields.address[0], me.address);
	if (member_sign(&fields, &me.file.id, secret, &m) < 0)
		die("its record");
	return m;
}

/* A chunk that is not the one that was asked for, or is it under another name. */
static void lie_with_bytes(struct message *a, uint8_t out[WIRE_CHUNK_HEAD + PAGE])
{
	const struct wire_chunk w = { .codec = 0, .raw_len = PAGE };

	wire_chunk_head(&w, out);
	randombytes_buf(out + WIRE_CHUNK_HEAD, PAGE);
	a->bytes = (struct wire_slice){ out, WIRE_CHUNK_HEAD + PAGE };
	a->kind = me.lies & LIE_KIND ? 1 + (uint8_t)randombytes_uniform(4) : KIND_DATA;
	a->has |= WIRE_HAS(FIELD_BYTES) | WIRE_HAS(FIELD_KIND);
}

static void answer(struct conn *c, const struct link_message *q, const struct message *m)
{
	uint8_t bytes[WIRE_CHUNK_HEAD + PAGE], have[WIRE_ADDRESSES_MAX / 8];
	struct message a = { .type = WIRE_ANSWER, .request = q->request, .status = WIRE_BUSY, .has = WIRE_HAS(FIELD_STATUS) };

	if (m->type == WIRE_GET && me.lies & (LIE_BYTES | LIE_KIND)) {
		a.status = WIRE_OK;
		lie_with_bytes(&a, bytes);
	} else if (m->type == WIRE_GET && me.lies & LIE_MISS) {
		a.status = WIRE_MISS;
		a.complete = true;
		a.has |= WIRE_HAS(FIELD_COMPLETE);
	} else if (m->type == WIRE_PUT && me.lies & LIE_STORED) {
		a.status = WIRE_OK;
	} else if (m->type == WIRE_TOUCH && me.lies & LIE_STORED) {
		a.status = WIRE_OK;
		memset(have, 0xff, sizeof(have));
		a.have = (struct wire_slice){ have, (m->address_count + 7) / 8 };
		a.has |= WIRE_HAS(FIELD_HAVE);
	} else if (m->type == WIRE_AUDIT && me.lies & LIE_STORED) {
		a.status = WIRE_OK;
		randombytes_buf(&a.hash, sizeof(a.hash));
		a.has |= WIRE_HAS(FIELD_HASH);
	}
	say(c, &a, q->priority);
}

/* ---- what it hears ---- */

static void tell_of_me(struct conn *c)
{
	struct message all = { .type = WIRE_COMPARE, .rooted = true, .has = WIRE_HAS(FIELD_HASH) | WIRE_HAS(FIELD_ROOTED) };

	say(c, &all, LINK_CONTROL);
	say_records(c, me.record);
	if (me.lies & LIE_LATER) {
		struct chunk *body = chunk_copy("of a later version", 18);

		link_send(c->link, 200, 0, LINK_CONTROL, body, NULL);
		chunk_drop(body);
	}
}

static void control(struct conn *c, const struct message *m)
{
	struct message ack = { .type = WIRE_ACK, .seq = m->seq, .has = WIRE_HAS(FIELD_SEQ) };
	struct wire_suspicion s;

	if (m->type == WIRE_PING || m->type == WIRE_PROBE)
		say(c, &ack, LINK_CONTROL);
	if (m->type == WIRE_WANT || m->type == WIRE_SUMMARY || m->type == WIRE_COMPARE)
		say_records(c, me.record);
	for (unsigned int i = 0; i < m->suspicions; i++) {
		wire_suspicion(m, i, &s);
		if (!address_equal(&s.id, &me.record->id) || s.incarnation < me.record->incarnation)
			continue;
		member_drop(me.record);
		me.record = sign(s.incarnation + 1, me.key, me.secret);
		say_records(c, me.record);
	}
}

static void heard(struct conn *c, struct link_message *q)
{
	struct message m;

	if (wire_decode(q->type, q->request, q->body->data, q->body->len, &m) < 0)
		return;
	if (m.type < 256)
		me.asked[m.type]++;
	if (q->priority == LINK_CONTROL) {
		control(c, &m);
		return;
	}
	if (m.has & WIRE_HAS(FIELD_PLACEMENT))
		me.placement = m.placement;
	if (!wire_is_request(m.type) || me.lies & LIE_SILENT)
		return;
	if (!(me.lies & LIE_SLOW)) {
		answer(c, q, &m);
	} else if (late_count < LATE_MAX) {
		late[late_count] = (struct late){ now_us() + SLOW_US, c, c->link, *q };
		chunk_hold(late[late_count++].question.body);
	}
}

static void answer_late(void)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < late_count; i++) {
		struct late *l = &late[i];
		struct message m;

		if (l->due > now_us() && l->conn->link == l->link) {
			late[kept++] = *l;
			continue;
		}
		if (l->conn->link == l->link && wire_decode(l->question.type, l->question.request,
		    l->question.body->data, l->question.body->len, &m) == 0)
			answer(l->conn, &l->question, &m);
		chunk_drop(l->question.body);
	}
	late_count = kept;
}

/* A lease of a volume that has never been heard of, of an address that nobody has. */
static void flood_lease(struct conn *c)
{
	struct message m = { .type = WIRE_LEASE, .request = (uint32_t)++me.floods, .placement = me.placement };
	uint8_t secret[MEMBER_SECRET], signed_bytes[SIGNED_MAX];
	struct address a;
	struct lease l = { .seq = 1, .count = 1 };

	crypto_sign_keypair(l.key, secret);
	randombytes_buf(&a, sizeof(a));
	l.slot = (uint16_t)(a.b[0] << 6 | a.b[1] >> 2);
	lease_root(&a, 1, &l.root);
	m.lease = (struct wire_slice){ signed_bytes, (uint32_t)lease_sign(&l, &me.file.id, secret, signed_bytes) };
	m.addresses = &a;
	m.address_count = 1;
	m.has = WIRE_HAS(FIELD_PLACEMENT) | WIRE_HAS(FIELD_LEASE) | WIRE_HAS(FIELD_COUNT) | WIRE_HAS(FIELD_ADDRESSES);
	say(c, &m, LINK_WRITE);
}

static void flood(struct conn *c)
{
	for (int i = 0; i < FLOOD_AT_ONCE && link_queued(c->link) < FLOOD; i++)
		flood_lease(c);
}

/* ---- connections ---- */

static void hang_up(struct conn *c)
{
	close(c->fd);
	link_free(c->link);
	*c = (struct conn){ .fd = -1 };
}

static struct conn *take(int fd, bool initiator)
{
	struct link_options o = { .initiator = initiator, .file = &me.file, .key = me.key, .secret = me.secret,
		.noise_secret = me.noise_secret, .pool = &me.pool, .aead = me.aead, .instance = me.instance, .now = now_us() };

	randombytes_buf(o.random, sizeof(o.random));
	for (struct conn *c = conns; c < conns + CONNS; c++) {
		if (c->fd >= 0)
			continue;
		if (link_new(&o, &c->link) < 0)
			die("a link");
		c->fd = fd;
		fcntl(fd, F_SETFL, O_NONBLOCK);
		return c;
	}
	close(fd);
	return NULL;
}

static void send_all(struct conn *c)
{
	struct wire_slice out;
	ssize_t n;

	while (c->fd >= 0 && link_output(c->link, &out)) {
		n = send(c->fd, out.data, out.len, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			hang_up(c);
			return;
		}
		link_sent(c->link, (size_t)n);
	}
}

static void receive(struct conn *c)
{
	uint8_t bytes[65536];
	ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);
	struct link_message q;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || link_input(c->link, bytes, (size_t)n) < 0) {
		hang_up(c);
		return;
	}
	if (!c->up && link_peer(c->link)) {
		c->up = true;
		tell_of_me(c);
	}
	while (link_receive(c->link, &q)) {
		heard(c, &q);
		if (q.priority != LINK_CONTROL)
			link_consumed(c->link, q.body->len);
		chunk_drop(q.body);
	}
	if (c->up && !me.told) {
		char text[ADDRESS_TEXT_LEN + 1];

		address_format(&me.record->id, text);
		printf("member %s\n", text);
		fflush(stdout);
		me.told = true;
	}
}

static struct sockaddr_in parse(const char *text)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	const char *colon = strchr(text, ':');
	char host[INET_ADDRSTRLEN] = "";

	if (colon && (size_t)(colon - text) < sizeof(host)) {
		memcpy(host, text, (size_t)(colon - text));
		at.sin_port = htons((uint16_t)atoi(colon + 1));
	}
	if (inet_pton(AF_INET, host, &at.sin_addr) != 1) {
		fprintf(stderr, "liar: %s: write HOST:PORT\n", text);
		exit(2);
	}
	return at;
}

static void dial(const struct sockaddr_in *to)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0) {
		close(fd);
		return;
	}
	take(fd, true);
}

static int listen_at(const struct sockaddr_in *at)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)at, sizeof(*at)) < 0 || listen(fd, 64) < 0)
		die("listen");
	return fd;
}

/* ---- its life ---- */

static void read_ring(const char *path)
{
	char text[RING_FILE_MAX], why[RING_FILE_WHY];
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));

	if (n < 0)
		die(path);
	close(fd);
	if (ring_file_parse(text, (size_t)n, &me.file, why) < 0) {
		fprintf(stderr, "liar: %s: %s\n", path, why);
		exit(1);
	}
}

static void begin(int argc, char **argv)
{
	if (argc < 4) {
		fprintf(stderr, "usage: liar RING_FILE LISTEN JOIN LIE...\n");
		exit(2);
	}
	for (int i = 4; i < argc; i++)
		for (size_t n = 0; n < sizeof(lie_names) / sizeof(*lie_names); n++)
			if (strcmp(argv[i], lie_names[n]) == 0)
				me.lies |= 1u << n;
	if (sodium_init() < 0 || aead_new(&me.aead) < 0)
		exit(1);
	read_ring(argv[1]);
	crypto_sign_keypair(me.key, me.secret);
	randombytes_buf(me.noise_secret, sizeof(me.noise_secret));
	randombytes_buf(&me.instance, sizeof(me.instance));
	me.pool.max = LINK_POOL;
	list_init(&me.pool.waiting);
	snprintf(me.address, sizeof(me.address), "%s", argv[2]);
	me.record = sign(1, me.key, me.secret);
	for (int i = 0; i < CONNS; i++)
		conns[i].fd = -1;
}

static void turn(int listener)
{
	struct pollfd p[CONNS + 1] = { { .fd = listener, .events = POLLIN } };
	struct wire_slice out;
	static uint64_t flooded;
	bool floods;

	for (int i = 0; i < CONNS; i++)
		p[i + 1] = (struct pollfd){ conns[i].fd,
			conns[i].fd >= 0 && link_output(conns[i].link, &out) ? POLLIN | POLLOUT : POLLIN, 0 };
	poll(p, CONNS + 1, 50);
	if (p[0].revents)
		take(accept4(listener, NULL, NULL, SOCK_CLOEXEC), false);
	answer_late();
	floods = me.lies & LIE_LEASES && now_us() - flooded > FLOOD_US;
	if (floods)
		flooded = now_us();
	for (int i = 0; i < CONNS; i++) {
		if (conns[i].fd >= 0 && p[i + 1].fd == conns[i].fd && p[i + 1].revents)
			receive(&conns[i]);
		if (conns[i].up && floods)
			flood(&conns[i]);
		send_all(&conns[i]);
	}
}

static void end(int signal)
{
	(void)signal;
	ended = 1;
}

int main(int argc, char **argv)
{
	struct sockaddr_in at, to;
	uint64_t dialled = 0;
	int listener;

	begin(argc, argv);
	at = parse(argv[2]);
	to = parse(argv[3]);
	listener = listen_at(&at);
	signal(SIGTERM, end);
	while (!ended) {
		bool alone = true;

		for (int i = 0; i < CONNS; i++)
			alone = alone && conns[i].fd < 0;
		if (alone && now_us() - dialled > 1000000) {
			dialled = now_us();
			dial(&to);
		}
		turn(listener);
	}
	for (unsigned int i = 0; i < 256; i++)
		if (me.asked[i])
			printf("%s %lu\n", wire_type_name(i), me.asked[i]);
	printf("floods %lu\n", me.floods);
	return 0;
}
