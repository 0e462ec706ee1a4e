/* Frames of a link: the order of what is sent, credits, limits, and what a peer may not do.  SEED=n replays the random part. */
#include "tests/unit/link_test.h"

static uint64_t seed;

/* splitmix64: Steele, Lea & Flood (2014). */
static uint64_t below(uint64_t *state, uint64_t n)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (z ^ z >> 31) % n;
}

/* A body whose bytes follow from ${number}. */
static struct chunk *body_of(uint32_t number, size_t len)
{
	uint8_t *bytes;
	struct chunk *c = chunk_new(len, &bytes);

	assert_non_null(c);
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(number * 31 + i * 7 + (i >> 8));
	return c;
}

/* An odd ${len} goes as a head and a tail. */
static int send_one(struct pair *p, int from, uint32_t request, enum link_priority priority, size_t len)
{
	struct chunk *body = body_of(request, len), *head = chunk_slice(body, 0, len / 3);
	struct chunk *tail = chunk_slice(body, len / 3, len - len / 3);
	struct link *l = p->end[from].link;
	int rc = len % 2 ? link_send(l, 1 + request % 200, request, priority, head, tail)
			 : link_send(l, 1 + request % 200, request, priority, body, NULL);

	chunk_drop(head);
	chunk_drop(tail);
	chunk_drop(body);
	return rc;
}

static bool receive(struct pair *p, int at, struct link_message *m)
{
	return link_receive(p->end[at].link, m);
}

/* The next message, which must be ${request} as send_one() made it. */
static void expect(struct pair *p, int at, uint32_t request, enum link_priority priority, size_t len)
{
	struct link_message m;
	struct chunk *body = body_of(request, len);

	assert_true(receive(p, at, &m));
	assert_int_equal(m.request, request);
	assert_int_equal(m.type, 1 + request % 200);
	assert_int_equal(m.priority, priority);
	assert_int_equal(m.body->len, len);
	assert_memory_equal(m.body->data, body->data, len);
	if (priority != LINK_CONTROL)
		link_consumed(p->end[at].link, len);
	chunk_drop(m.body);
	chunk_drop(body);
}

/* A frame that a peer without manners might send on a plain link. */
static int push(struct pair *p, unsigned int type, unsigned int flags, uint32_t request, size_t len)
{
	static uint8_t frame[2 + LINK_FRAME_PLAIN + 100];

	memset(frame, 0, sizeof(frame));
	put_le16(frame, (uint16_t)(LINK_FRAME_HEAD + len));
	frame[2] = (uint8_t)type;
	frame[3] = (uint8_t)flags;
	put_le32(frame + 4, request);
	return link_input(p->end[1].link, frame, 2 + LINK_FRAME_HEAD + len);
}

#define MORE 1
#define FLAGS(priority) ((priority) << 4)

static void messages_of_every_length_arrive_whole(void **state)
{
	static const size_t lens[] = {
		0, 1, 2, 3, 100, LINK_FRAME_PLAIN - LINK_FRAME_HEAD - 1, LINK_FRAME_PLAIN - LINK_FRAME_HEAD,
		LINK_FRAME_PLAIN - LINK_FRAME_HEAD + 1, 131073, 262144, WIRE_MESSAGE_MAX - 1, WIRE_MESSAGE_MAX,
	};

	(void)state;
	for (int kind = LINK_NOISE; kind <= LINK_PLAIN; kind++) {
		struct pair p;

		pair_connect(&p, (enum link_kind)kind);
		for (uint32_t i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
			for (int from = 0; from < 2; from++) {
				for (int priority = LINK_READ; priority <= LINK_REPAIR; priority++) {
					assert_int_equal(send_one(&p, from, i, (enum link_priority)priority, lens[i]), 0);
					assert_int_equal(link_queued(p.end[from].link), lens[i]);
					carry_all(&p);
					assert_int_equal(link_queued(p.end[from].link), 0);
					expect(&p, 1 - from, i, (enum link_priority)priority, lens[i]);
				}
			}
		}
		pair_close(&p);
	}
}

/* In the memory that it came in, or was decrypted to: a slice of that. */
static void a_long_frame_is_not_copied(void **state)
{
	static const struct { size_t len; bool slice; } cases[] = {
		{ LINK_BRIEF / 2, false }, { 2 * LINK_BRIEF, true }, { LINK_FRAME_PLAIN - LINK_FRAME_HEAD, true }, { 100000, true },
	};

	(void)state;
	for (int kind = LINK_NOISE; kind <= LINK_PLAIN; kind++) {
		for (uint32_t i = 0; i < 2 * sizeof(cases) / sizeof(*cases); i++) {
			struct link_message m;
			struct pair p;

			pair_connect(&p, (enum link_kind)kind);
			p.piece = i % 2 ? 1000 : 0;
			assert_int_equal(send_one(&p, 0, 1, LINK_WRITE, cases[i / 2].len), 0);
			carry_all(&p);
			assert_true(link_receive(p.end[1].link, &m));
			assert_int_equal(m.body->len, cases[i / 2].len);
			assert_int_equal(m.body->parent != NULL, cases[i / 2].slice);
			chunk_drop(m.body);
			pair_close(&p);
		}
	}
}

static void byte_by_byte_is_the_same_as_all_at_once(void **state)
{
	static const size_t pieces[] = { 0, 1, 2, 7, 65537 };

	(void)state;
	for (size_t i = 0; i < sizeof(pieces) / sizeof(*pieces); i++) {
		struct pair p;

		pair_init(&p, LINK_NOISE);
		p.piece = pieces[i];
		pair_open(&p);
		assert_non_null(link_peer(p.end[0].link));
		assert_int_equal(send_one(&p, 0, 1, LINK_REPAIR, 70001), 0);
		assert_int_equal(send_one(&p, 0, 2, LINK_WRITE, 70000), 0);
		assert_int_equal(send_one(&p, 0, 3, LINK_CONTROL, 70001), 0);
		assert_int_equal(send_one(&p, 0, 4, LINK_READ, 1), 0);
		assert_int_equal(send_one(&p, 0, 5, LINK_READ, 0), 0);
		carry_all(&p);
		expect(&p, 1, 3, LINK_CONTROL, 70001);
		expect(&p, 1, 4, LINK_READ, 1);
		expect(&p, 1, 5, LINK_READ, 0);
		expect(&p, 1, 2, LINK_WRITE, 70000);
		expect(&p, 1, 1, LINK_REPAIR, 70001);
		pair_close(&p);
	}
}

static void what_is_urgent_waits_for_no_more_than_a_frame_or_two(void **state)
{
	struct wire_slice s;
	size_t ahead;
	struct pair p;

	(void)state;
	pair_connect(&p, LINK_NOISE);
	assert_int_equal(send_one(&p, 0, 1, LINK_WRITE, 262144), 0);
	assert_true(link_output(p.end[0].link, &s));
	ahead = s.len;
	assert_true(ahead <= 2 + 65535);
	/* Also when many small ones were waiting. */
	assert_int_equal(send_one(&p, 0, 2, LINK_CONTROL, 11), 0);
	assert_true(carry(&p, 0));
	assert_false(link_receive(p.end[1].link, &(struct link_message){ 0 }));
	assert_true(carry(&p, 0));
	expect(&p, 1, 2, LINK_CONTROL, 11);
	carry_all(&p);
	expect(&p, 1, 1, LINK_WRITE, 262144);
	for (uint32_t i = 0; i < 1000; i++)
		assert_int_equal(send_one(&p, 0, i, LINK_READ, 1001), 0);
	assert_true(link_output(p.end[0].link, &s));
	assert_true(s.len >= LINK_AHEAD && s.len < LINK_AHEAD + 1100);
	pair_close(&p);
}

/* How much of ${bytes} that were sent was repair, while ${other} had always more to send. */
static uint64_t repair_share(enum link_priority other, size_t other_len, size_t repair_len)
{
	uint64_t got[LINK_PRIORITIES] = { 0 }, sent[LINK_PRIORITIES] = { 0 };
	struct pair p;

	pair_connect(&p, LINK_PLAIN);
	while (got[other] < 20u << 20) {
		struct link_message m;

		for (; sent[other] < got[other] + 300000; sent[other] += other_len)
			assert_int_equal(send_one(&p, 0, 7, other, other_len), 0);
		for (; sent[LINK_REPAIR] < got[LINK_REPAIR] + 300000; sent[LINK_REPAIR] += repair_len)
			assert_int_equal(send_one(&p, 0, 8, LINK_REPAIR, repair_len), 0);
		carry(&p, 0);
		while (receive(&p, 1, &m)) {
			got[m.priority] += m.body->len;
			if (m.priority != LINK_CONTROL)
				link_consumed(p.end[1].link, m.body->len);
			chunk_drop(m.body);
		}
		carry(&p, 1);
	}
	/* Parts of messages count. */
	for (int i = LINK_READ; i < LINK_PRIORITIES; i++)
		got[i] += p.end[1].link->partial[i].len;
	pair_close(&p);
	return 1000 * got[LINK_REPAIR] / (got[LINK_REPAIR] + got[other]);
}

static void repair_has_its_share_and_no_more(void **state)
{
	static const size_t lens[] = { 100, 3000, 65513, 262144 };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		for (size_t j = 0; j < 4; j++) {
			uint64_t share = repair_share(j % 2 ? LINK_READ : LINK_WRITE, lens[i], lens[j]);

			/* It is owed a frame before it gets the first. */
			assert_in_range(share, 10 * LINK_REPAIR_SHARE - 4, 10 * LINK_REPAIR_SHARE);
		}
	}
}

static void repair_has_all_where_nothing_else_waits(void **state)
{
	struct pair p;

	(void)state;
	pair_connect(&p, LINK_PLAIN);
	assert_int_equal(send_one(&p, 0, 1, LINK_REPAIR, 262144), 0);
	carry_all(&p);
	expect(&p, 1, 1, LINK_REPAIR, 262144);
	pair_close(&p);
}

static void without_credit_nothing_but_control_goes(void **state)
{
	struct link *l;
	struct pair p;
	size_t sent;

	(void)state;
	pair_connect(&p, LINK_PLAIN);
	l = p.end[0].link;
	for (uint32_t i = 0; i < 40; i++)
		assert_int_equal(send_one(&p, 0, i, LINK_READ, 100001), 0);
	carry_all(&p);
	/* Nobody consumes: the link's window, and what is held, end at LINK_CREDIT. */
	sent = 40 * 100001 - link_queued(l);
	assert_int_equal(l->credit, 0);
	assert_int_equal(p.end[1].link->granted, 0);
	assert_int_equal(p.end[1].link->unread, sent);
	assert_in_range(sent, LINK_CREDIT - LINK_GRANT_MIN, LINK_CREDIT);
	assert_int_equal(p.end[1].pool.granted, sent - LINK_CREDIT_MIN);
	assert_int_equal(send_one(&p, 0, 99, LINK_CONTROL, 1001), 0);
	assert_int_equal(send_one(&p, 0, 98, LINK_WRITE, 0), 0);
	carry_all(&p);
	assert_int_equal(link_queued(l), 40 * 100001 - sent);
	for (uint32_t i = 0; i < sent / 100001; i++)
		expect(&p, 1, i, LINK_READ, 100001);
	expect(&p, 1, 99, LINK_CONTROL, 1001);
	expect(&p, 1, 98, LINK_WRITE, 0);
	carry_all(&p);
	for (uint32_t i = (uint32_t)(sent / 100001); i < 40; i++) {
		expect(&p, 1, i, LINK_READ, 100001);
		carry_all(&p);
	}
	assert_int_equal(link_queued(l), 0);
	pair_close(&p);
}

static void credit_that_was_not_granted_breaks_the_protocol(void **state)
{
	(void)state;
	for (int over = 0; over < 2; over++) {
		struct pair p;
		uint32_t left;
		int rc = 0;

		pair_connect(&p, LINK_PLAIN);
		/* Nothing is told to this peer: it counts for itself. */
		for (left = p.end[1].link->granted; left > 1000; left -= 1000)
			assert_int_equal(push(&p, 5, FLAGS(LINK_WRITE), 1, 1000), 0);
		rc = push(&p, 5, FLAGS(LINK_WRITE), 1, left + (size_t)over);
		assert_int_equal(rc, over ? -EPROTO : 0);
		assert_string_equal(link_why(p.end[1].link), over ? "more than it was granted" : "");
		pair_close(&p);
	}
}

/* N links of one node, whose pool is empty from the beginning, in the middle of long messages, all at once. */
static void an_empty_pool_slows_links_down_and_stops_none(void **state)
{
	enum { LINKS = 24 };
	static struct pair p[LINKS];
	struct link_pool pool = { .max = 0 };
	unsigned int whole = 0, rounds = 0;
	uint64_t most = 0;
	struct end *e;

	(void)state;
	for (int i = 0; i < LINKS; i++) {
		pair_init(&p[i], LINK_PLAIN);
		pair_open(&p[i]);
		/* All share the one pool. */
		link_credit_end(p[i].end[1].link);
		p[i].end[1].link->pool = &pool;
		list_init(&pool.waiting);
		p[i].end[1].link->granted = p[i].end[1].link->window = LINK_CREDIT_MIN;
		p[i].end[0].link->credit = LINK_CREDIT_MIN;
	}
	for (int i = 0; i < LINKS; i++)
		for (uint32_t j = LINK_READ; j <= LINK_REPAIR; j++)
			assert_int_equal(send_one(&p[i], 0, j, (enum link_priority)j, 262145), 0);
	for (int i = 0; i < LINKS; i++)
		carry_all(&p[i]);
	/* From here on only those are served that the pool names, or whose bytes were consumed. */
	while (whole < LINKS * 3 && rounds++ < 10000) {
		for (int i = 0; i < LINKS; i++) {
			struct link_message m;

			while (receive(&p[i], 1, &m)) {
				link_consumed(p[i].end[1].link, m.body->len);
				chunk_drop(m.body);
				whole++;
				carry_all(&p[i]);
			}
		}
		while ((e = link_pool_next(&pool)))
			for (int i = 0; i < LINKS; i++)
				if (&p[i].end[1] == e)
					carry_all(&p[i]);
		most = pool.granted > most ? pool.granted : most;
	}
	assert_int_equal(whole, LINKS * 3);
	/* One at a time overdrew. */
	assert_true(most > 0);
	assert_true(most <= 3 * 262145 + LINK_CREDIT_MIN);
	for (int i = 0; i < LINKS; i++) {
		link_free(p[i].end[1].link);
		link_free(p[i].end[0].link);
	}
	assert_int_equal(pool.granted, 0);
	assert_true(list_empty(&pool.waiting));
}

static void no_number_of_links_can_empty_the_pool(void **state)
{
	enum { LINKS = 1200 };
	static struct link *links[LINKS];
	struct link_pool pool = { .max = LINK_POOL };
	struct pair p;

	(void)state;
	pair_init(&p, LINK_PLAIN);
	for (int i = 0; i < LINKS; i++) {
		struct link_options o = {
			.kind = LINK_PLAIN, .file = &p.end[0].file, .key = p.end[0].key, .pool = &pool,
		};
		struct wire_slice s;

		assert_int_equal(link_new(&o, &links[i]), 0);
		assert_true(link_output(links[i], &s));
		assert_in_range(links[i]->granted, LINK_CREDIT_MIN, LINK_CREDIT_FIRST);
		assert_true(pool.granted < pool.max);
	}
	assert_int_equal(links[0]->granted, LINK_CREDIT_FIRST);
	for (int i = 0; i < LINKS; i++)
		link_free(links[i]);
	assert_int_equal(pool.granted, 0);
}

static void lengths_are_bounded_before_memory_is_taken(void **state)
{
	static const struct {
		enum link_kind kind;
		uint32_t len;
		int rc;
	} cases[] = {
		{ LINK_PLAIN, LINK_FRAME_HEAD - 1, -EPROTO }, { LINK_PLAIN, LINK_FRAME_HEAD, 0 },
		{ LINK_PLAIN, LINK_FRAME_PLAIN, 0 }, { LINK_PLAIN, LINK_FRAME_PLAIN + 1, -EPROTO },
		{ LINK_NOISE, LINK_FRAME_HEAD + NOISE_TAG - 1, -EPROTO }, { LINK_NOISE, LINK_FRAME_HEAD + NOISE_TAG, 0 },
		{ LINK_NOISE, 65535, 0 }, { LINK_NOISE, 0, -EPROTO }, { LINK_PLAIN, 0, -EPROTO },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint8_t head[3] = { (uint8_t)cases[i].len, (uint8_t)(cases[i].len >> 8) };
		struct pair p;

		pair_connect(&p, cases[i].kind);
		assert_int_equal(link_input(p.end[1].link, head, 1), 0);
		assert_int_equal(link_input(p.end[1].link, head + 1, 1), cases[i].rc);
		assert_null(p.end[1].link->in);
		assert_int_equal(link_input(p.end[1].link, head + 2, 1), cases[i].rc);
		assert_int_equal(p.end[1].link->in != NULL, cases[i].rc == 0);
		pair_close(&p);
	}
}

static void messages_are_bounded_on_both_sides(void **state)
{
	struct pair p;
	int rc = 0;
	size_t n;

	(void)state;
	pair_connect(&p, LINK_PLAIN);
	assert_int_equal(send_one(&p, 0, 1, LINK_READ, WIRE_MESSAGE_MAX + 1), -EMSGSIZE);
	assert_int_equal(send_one(&p, 0, 1, LINK_CONTROL, LINK_CONTROL_MAX + 1), -EMSGSIZE);
	assert_int_equal(send_one(&p, 0, 1, LINK_CONTROL, LINK_CONTROL_MAX), 0);
	carry_all(&p);
	expect(&p, 1, 1, LINK_CONTROL, LINK_CONTROL_MAX);
	for (n = 0; n < LINK_CONTROL_MAX; n += 65536 - 4096)
		assert_int_equal(push(&p, 5, FLAGS(LINK_CONTROL) | MORE, 1, n + 65536 - 4096 < LINK_CONTROL_MAX ? 65536 - 4096
		    : LINK_CONTROL_MAX - n), 0);
	assert_true(p.end[1].link->partial[LINK_CONTROL].size <= LINK_CONTROL_MAX);
	assert_int_equal(push(&p, 5, FLAGS(LINK_CONTROL) | MORE, 1, 1), -EPROTO);
	pair_close(&p);

	pair_connect(&p, LINK_PLAIN);
	p.end[1].link->granted = 1u << 20;
	for (n = 0; n < WIRE_MESSAGE_MAX; n += 32768)
		assert_int_equal(push(&p, 5, FLAGS(LINK_READ) | MORE, 1, 32768), 0);
	rc = push(&p, 5, FLAGS(LINK_READ), 1, 1);
	assert_int_equal(rc, -EPROTO);
	assert_string_equal(link_why(p.end[1].link), "a message that is too long");
	p.end[1].link->granted = 0;
	pair_close(&p);
}

static void a_peer_that_breaks_the_rules_of_frames_is_dropped(void **state)
{
	static const struct {
		unsigned int first, first_flags, first_request, second, second_flags, second_request;
		size_t len;
		int rc;
	} cases[] = {
		/* A message inside another of its priority; of another priority it may be. */
		{ 5, FLAGS(LINK_READ) | MORE, 1, 5, FLAGS(LINK_READ), 2, 9, -EPROTO },
		{ 5, FLAGS(LINK_READ) | MORE, 1, 6, FLAGS(LINK_READ), 1, 9, -EPROTO },
		{ 5, FLAGS(LINK_READ) | MORE, 1, 6, FLAGS(LINK_WRITE), 2, 9, 0 },
		{ 5, FLAGS(LINK_READ) | MORE, 1, 5, FLAGS(LINK_READ), 1, 9, 0 },
		{ 5, FLAGS(LINK_READ) | MORE, 1, 5, FLAGS(LINK_READ), 1, 0, 0 },
		/* An empty part. */
		{ 5, FLAGS(LINK_READ), 1, 5, FLAGS(LINK_READ) | MORE, 2, 0, -EPROTO },
		/* A second hello; a grant of nothing, or too short for one.  Unknown flags and types are taken. */
		{ 5, FLAGS(LINK_READ), 1, LINK_HELLO, 0, 0, 9, -EPROTO },
		{ 5, FLAGS(LINK_READ), 1, LINK_GRANT, 0, 0, 4, -EPROTO },
		{ 5, FLAGS(LINK_READ), 1, LINK_GRANT, 0, 0, 3, -EPROTO },
		{ 5, FLAGS(LINK_READ), 1, 254, FLAGS(LINK_READ) | 0xce, 1, 9, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct pair p;

		pair_connect(&p, LINK_PLAIN);
		assert_int_equal(push(&p, cases[i].first, cases[i].first_flags, cases[i].first_request, 9), 0);
		assert_int_equal(push(&p, cases[i].second, cases[i].second_flags, cases[i].second_request, cases[i].len),
		    cases[i].rc);
		assert_int_equal(link_why(p.end[1].link)[0] != 0, cases[i].rc != 0);
		pair_close(&p);
	}
}

static void grants_are_bounded(void **state)
{
	uint8_t frame[2 + LINK_FRAME_HEAD + 4] = { LINK_FRAME_HEAD + 4, 0, LINK_GRANT };
	struct pair p;

	(void)state;
	pair_connect(&p, LINK_PLAIN);
	put_le32(frame + 2 + LINK_FRAME_HEAD, LINK_CREDIT_SANE - p.end[1].link->credit);
	assert_int_equal(link_input(p.end[1].link, frame, sizeof(frame)), 0);
	put_le32(frame + 2 + LINK_FRAME_HEAD, 1);
	assert_int_equal(link_input(p.end[1].link, frame, sizeof(frame)), -EPROTO);
	assert_string_equal(link_why(p.end[1].link), "a grant that makes no sense");
	pair_close(&p);
}

static void old_control_is_dropped_but_not_what_has_begun(void **state)
{
	struct link *l;
	struct pair p;

	(void)state;
	pair_connect(&p, LINK_PLAIN);
	l = p.end[0].link;
	assert_int_equal(send_one(&p, 0, 1, LINK_CONTROL, 100001), 0);
	assert_true(carry(&p, 0));		/* its first frame */
	for (uint32_t i = 2; i < 12; i++)
		assert_int_equal(send_one(&p, 0, i, LINK_CONTROL, 65537), 0);
	assert_true(l->queued_control <= LINK_CONTROL_MAX);
	carry_all(&p);
	expect(&p, 1, 1, LINK_CONTROL, 100001);
	for (uint32_t i = 9; i < 12; i++)
		expect(&p, 1, i, LINK_CONTROL, 65537);
	assert_int_equal(l->queued_control, 0);
	assert_int_equal(link_queued(l), 0);
	pair_close(&p);
}

static void a_link_that_failed_says_nothing_more(void **state)
{
	struct wire_slice s;
	struct pair p;

	(void)state;
	pair_connect(&p, LINK_PLAIN);
	assert_int_equal(send_one(&p, 1, 1, LINK_READ, 100), 0);
	assert_int_equal(push(&p, LINK_HELLO, 0, 0, 9), -EPROTO);
	assert_false(link_output(p.end[1].link, &s));
	assert_int_equal(send_one(&p, 1, 2, LINK_READ, 100), -ENOTCONN);
	assert_int_equal(push(&p, 5, FLAGS(LINK_READ), 1, 9), -EPROTO);
	assert_false(link_receive(p.end[1].link, &(struct link_message){ 0 }));
	pair_close(&p);
}

/* While there was no credit, control went on and on: that is not made up for at the cost of readers. */
static void repair_that_had_to_wait_does_not_take_all_afterwards(void **state)
{
	struct link_message m;
	struct link *l;
	struct pair p;
	size_t before = 0;

	(void)state;
	pair_connect(&p, LINK_PLAIN);
	l = p.end[0].link;
	l->credit = 0;
	for (uint32_t i = 0; i < 16; i++) {
		assert_int_equal(send_one(&p, 0, i, LINK_REPAIR, 60001), 0);
		assert_int_equal(send_one(&p, 0, i, LINK_READ, 60001), 0);
	}
	for (uint32_t i = 0; i < 200; i++) {
		assert_int_equal(send_one(&p, 0, i, LINK_CONTROL, 60001), 0);
		assert_true(carry(&p, 0));
		expect(&p, 1, i, LINK_CONTROL, 60001);
	}
	l->credit = p.end[1].link->granted = 2u << 20;
	while (carry(&p, 0))
		;
	while (receive(&p, 1, &m)) {
		before += m.priority == LINK_REPAIR && m.request < 16;
		if (m.priority == LINK_READ && m.request == 7)
			assert_in_range(before, 1, 3);
		link_consumed(p.end[1].link, m.body->len);
		chunk_drop(m.body);
	}
	assert_int_equal(before, 16);
	carry_all(&p);
	pair_close(&p);
}

static void a_full_queue_stays_full_until_there_is_room(void **state)
{
	struct link *l;
	struct pair p;

	(void)state;
	pair_connect(&p, LINK_PLAIN);
	l = p.end[0].link;
	p.end[0].link->credit = 10u << 20;
	p.end[1].link->granted = 10u << 20;
	for (uint32_t i = 0; i < 16; i++) {
		assert_false(link_full(l));
		assert_int_equal(send_one(&p, 0, i, LINK_WRITE, 65536), 0);
	}
	assert_int_equal(link_queued(l), LINK_QUEUE_FULL);
	assert_true(link_full(l));
	while (link_queued(l) > LINK_QUEUE_ROOM) {
		assert_true(link_full(l));
		carry(&p, 0);
	}
	assert_false(link_full(l));
	p.end[1].link->granted = 0;
	pair_close(&p);
}

static void keys_change_at_the_same_frame_on_both_sides(void **state)
{
	(void)state;
	for (uint32_t wrong = 0; wrong < 2; wrong++) {
		uint8_t before[NOISE_KEY];
		struct pair p;

		pair_connect(&p, LINK_NOISE);
		p.end[0].link->rekey_frames = 4;
		p.end[1].link->rekey_frames = 4 + wrong;
		memcpy(before, p.end[0].link->send.key, NOISE_KEY);
		for (uint32_t i = 0; i < 50 && !p.end[0].rc && !p.end[1].rc; i++) {
			/* Both at once: the frames cross. */
			assert_int_equal(send_one(&p, 0, i, LINK_READ, 11), 0);
			assert_int_equal(send_one(&p, 1, i, LINK_WRITE, 13), 0);
			carry_all(&p);
			if (wrong)
				continue;
			expect(&p, 1, i, LINK_READ, 11);
			expect(&p, 0, i, LINK_WRITE, 13);
			assert_memory_equal(p.end[0].link->send.key, p.end[1].link->receive.key, NOISE_KEY);
			assert_memory_equal(p.end[1].link->send.key, p.end[0].link->receive.key, NOISE_KEY);
		}
		assert_true(wrong ? p.end[0].rc == -EBADMSG || p.end[1].rc == -EBADMSG : !p.end[0].rc && !p.end[1].rc);
		assert_memory_not_equal(before, p.end[0].link->send.key, NOISE_KEY);
		pair_close(&p);
	}
}

static void frames_replayed_reordered_or_changed_are_refused(void **state)
{
	(void)state;
	for (int how = 0; how < 3; how++) {
		uint8_t first[200], second[200];
		struct wire_slice s;
		size_t one, two;
		struct pair p;

		pair_connect(&p, LINK_NOISE);
		assert_int_equal(send_one(&p, 0, 1, LINK_READ, 11), 0);
		assert_true(link_output(p.end[0].link, &s));
		memcpy(first, s.data, one = s.len);
		link_sent(p.end[0].link, s.len);
		assert_int_equal(send_one(&p, 0, 2, LINK_READ, 11), 0);
		assert_true(link_output(p.end[0].link, &s));
		memcpy(second, s.data, two = s.len);
		link_sent(p.end[0].link, s.len);
		if (how == 0) {
			assert_int_equal(link_input(p.end[1].link, second, two), -EBADMSG);
		} else {
			assert_int_equal(link_input(p.end[1].link, first, one), 0);
			second[two - 1] ^= 1;
			assert_int_equal(how == 1 ? link_input(p.end[1].link, first, one)
			    : link_input(p.end[1].link, second, two), -EBADMSG);
		}
		pair_close(&p);
	}
}

/* Messages of all sorts, both ways, in any pieces: each priority's come whole, once and in their order. */
static void random_traffic_arrives_whole_and_in_order(void **state)
{
	unsigned int rounds = getenv("SOAK") ? 2000 : 60;

	(void)state;
	for (unsigned int round = 0; round < rounds; round++) {
		uint32_t sent[2][LINK_PRIORITIES] = { { 0 } }, got[2][LINK_PRIORITIES] = { { 0 } };
		uint64_t random = seed + round;
		struct pair p;

		pair_init(&p, below(&random, 2) ? LINK_NOISE : LINK_PLAIN);
		pair_open(&p);
		p.end[0].link->rekey_frames = p.end[1].link->rekey_frames = 2 + (uint32_t)below(&random, 9);
		for (int step = 0; step < 400; step++) {
			int i = (int)below(&random, 2);
			enum link_priority priority = (enum link_priority)below(&random, LINK_PRIORITIES);
			uint64_t kind = below(&random, 8);
			size_t len = kind == 0 ? below(&random, 200000) : kind == 1 ? below(&random, 2) : below(&random, 3000);
			struct link_message m;

			if (priority == LINK_CONTROL)
				len %= 2000;
			/* The request's number tells its place and its length. */
			assert_int_equal(send_one(&p, i, (uint32_t)(sent[i][priority]++ << 18 | len), priority, len), 0);
			p.piece = below(&random, 4) ? below(&random, 3000) : 0;
			for (uint64_t n = below(&random, 9); n > 0; n--)
				carry(&p, (int)below(&random, 2));
			if (step == 399)
				carry_all(&p);
			for (int at = 0; at < 2; at++) {
				while (receive(&p, at, &m)) {
					struct chunk *body = body_of(m.request, m.body->len);

					assert_int_equal(m.request & 0x3ffff, m.body->len);
					assert_int_equal(m.request >> 18, got[at][m.priority]++);
					assert_memory_equal(m.body->data, body->data, m.body->len);
					if (m.priority != LINK_CONTROL)
						link_consumed(p.end[at].link, m.body->len);
					chunk_drop(body);
					chunk_drop(m.body);
					if (step == 399)
						carry_all(&p);
				}
			}
		}
		for (int i = 0; i < 2; i++) {
			assert_int_equal(p.end[i].rc, 0);
			assert_memory_equal(sent[i], got[1 - i], sizeof(sent[i]));
		}
		pair_close(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_of_every_length_arrive_whole),
		cmocka_unit_test(a_long_frame_is_not_copied),
		cmocka_unit_test(byte_by_byte_is_the_same_as_all_at_once),
		cmocka_unit_test(what_is_urgent_waits_for_no_more_than_a_frame_or_two),
		cmocka_unit_test(repair_has_its_share_and_no_more),
		cmocka_unit_test(repair_has_all_where_nothing_else_waits),
		cmocka_unit_test(without_credit_nothing_but_control_goes),
		cmocka_unit_test(credit_that_was_not_granted_breaks_the_protocol),
		cmocka_unit_test(an_empty_pool_slows_links_down_and_stops_none),
		cmocka_unit_test(no_number_of_links_can_empty_the_pool),
		cmocka_unit_test(lengths_are_bounded_before_memory_is_taken),
		cmocka_unit_test(messages_are_bounded_on_both_sides),
		cmocka_unit_test(a_peer_that_breaks_the_rules_of_frames_is_dropped),
		cmocka_unit_test(grants_are_bounded),
		cmocka_unit_test(old_control_is_dropped_but_not_what_has_begun),
		cmocka_unit_test(a_link_that_failed_says_nothing_more),
		cmocka_unit_test(repair_that_had_to_wait_does_not_take_all_afterwards),
		cmocka_unit_test(a_full_queue_stays_full_until_there_is_room),
		cmocka_unit_test(keys_change_at_the_same_frame_on_both_sides),
		cmocka_unit_test(frames_replayed_reordered_or_changed_are_refused),
		cmocka_unit_test(random_traffic_arrives_whole_and_in_order),
	};
	if (sodium_init() < 0)
		return 1;
	seed = suite_seed(20240611);
	return suite_run(tests);
}
