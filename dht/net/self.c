/*
 * Our own record.  ROW_SELF says up to which incarnation all are ours; nothing above it is ever announced, so a life of ours
 * begins above all that the lives before it said.
 *
 * state		| event				| function		| next state
 * SELF_STARTING	| the row is written		| saved()		| SELF_JOINING; SELF_HERE if we are rooted (membership.h)
 * SELF_JOINING		| an exchange has rooted us	| self_joined()		| SELF_HERE: announced
 * SELF_JOINING		| JOIN_COMPLAIN			| timer_due()		| the same; the log says why
 * SELF_STARTING	| the row is written, and says that we have left | saved() | SELF_JOINING: said again, to whoever can be reached
 * SELF_JOINING		| likewise, after an exchange or SELF_FAREWELL | self_joined(), timer_due() | SELF_HERE, then SELF_ENDING at once
 * SELF_JOINING		| likewise, and somebody knows it | self_met()		| stopped
 * SELF_HERE		| a doubt about us		| self_doubted()	| SELF_HERE: announced anew, one higher
 * SELF_HERE		| DRAIN, SET			| self_command()	| SELF_HERE: the row, then announced anew
 * SELF_HERE		| LEAVE				| self_command()	| SELF_ENDING: the row, then a tombstone is gossiped
 * SELF_HERE		| our eviction, by our own user	| self_met()		| SELF_ENDING
 * SELF_ENDING		| it was told, or SELF_ENDING	| timer_due()		| stopped
 * any			| our eviction, from others	| self_met()		| stopped
 * any			| our own record, above ours	| self_met()		| leapt over; or stopped: a clone
 *
 * A clone or a lost row?  A record of ours that beats the one that we have, with an instance that is not ours, comes
 * from a life that we don't know: either one before this whose row was lost (a restored backup), or one of now, on
 * another machine.  The first time we go INCARNATION_LEAP beyond it.  A life that is over said nothing beyond
 * that: none refutes a million times.  So whoever beats the leap with the same instance has seen it, and
 * lives: we stop.  The other one, which sees our leap, goes by the same rule, so of two clones one at least stops
 * within a few rounds of gossip; or both do at once, where one dials the other (link.h: -EEXIST).
 */
#include "dht/net/membership.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <syslog.h>

#include "chunker/bytes.h"

#define ROW_FORMAT 1u
#define ROW_MAX	   (1 + 8 + 1 + 2 * (1 + 1 + RING_ZONE_LEN))
#define ENDING_TICK GOSSIP_EVERY

static const struct catalogue_row_key row_key = { .table = ROW_SELF };

static struct self *of(const struct node *n)
{
	return &n->membership->own;
}

/* ---- the row: what we announced, and by which options ---- */

struct row {
	uint64_t reserved;
	enum member_state state;
	uint8_t weight, option_weight;
	char zone[RING_ZONE_LEN + 1], option_zone[RING_ZONE_LEN + 1];
};

static uint8_t *put_place(uint8_t *p, uint8_t weight, const char *zone)
{
	size_t len = strlen(zone);

	*p++ = weight;
	*p++ = (uint8_t)len;
	memcpy(p, zone, len);
	return p + len;
}

static void get_place(struct reader *r, uint8_t *weight, char zone[RING_ZONE_LEN + 1])
{
	size_t len;
	const uint8_t *p;

	*weight = reader_u8(r);
	len = reader_u8(r);
	p = len <= RING_ZONE_LEN ? reader_take(r, len) : NULL;
	if (!p || *weight == 0 || *weight > RING_WEIGHT_MAX || memchr(p, 0, len)) {
		r->bad = true;
		return;
	}
	memcpy(zone, p, len);
	zone[len] = 0;
}

static bool read_row(struct node *n, struct row *out)
{
	struct catalogue *c = n->options.catalogue;
	struct chunk *chunk = c->row(c, &row_key);
	struct reader r;

	if (!chunk)
		return false;
	r = reader_of(chunk->data, chunk->len);
	if (reader_u8(&r) != ROW_FORMAT)
		r.bad = true;
	out->reserved = reader_le64(&r);
	out->state = reader_u8(&r);
	get_place(&r, &out->option_weight, out->option_zone);
	get_place(&r, &out->weight, out->zone);
	if (out->state < MEMBER_HERE || out->state > MEMBER_LEFT || r.left > 0)
		r.bad = true;
	chunk_drop(chunk);
	if (r.bad)
		node_log(n, LOG_ERR, "our own row can't be read; others will tell what we said before");
	return !r.bad;
}

static struct chunk *write_row(struct node *n, uint64_t reserved)
{
	const struct self *s = of(n);
	uint8_t bytes[ROW_MAX], *p = bytes;

	*p++ = ROW_FORMAT;
	put_le64(p, reserved);
	p += 8;
	*p++ = (uint8_t)s->fields.state;
	p = put_place(p, n->options.weight, n->options.zone ? n->options.zone : "");
	p = put_place(p, s->fields.weight, s->fields.zone);
	return chunk_copy(bytes, (size_t)(p - bytes));
}

static void save(struct node *n)
{
	struct self *s = of(n);
	uint64_t above = s->fields.incarnation > s->reserved ? s->fields.incarnation : s->reserved;
	struct effect e = { .kind = EFFECT_SAVE, .row = row_key };

	if (s->saving) {
		s->again = true;
		return;
	}
	s->again = false;
	s->saving = above + INCARNATION_BLOCK;
	e.chunk = write_row(n, s->saving);
	if (!e.chunk) {
		s->saving = 0;
		timer_set(n, &s->timer, n->now + S);
		return;
	}
	work_start(n, &s->save, &e);
}

/* ---- the record ---- */

static int sign(struct node *n)
{
	struct member *m;
	int rc = member_sign(&of(n)->fields, &n->file.id, n->options.secret, &m);

	if (rc)
		return rc;
	member_drop(n->self);
	n->self = m;
	return 0;
}

/* Say what the fields say, if the row covers it and it is time to say anything. */
static void announce(struct node *n)
{
	struct self *s = of(n);

	if (!s->announce || s->state < SELF_HERE || s->fields.incarnation > s->reserved)
		return;
	if (sign(n) || membership_put(n, n->self, true)) {
		timer_set(n, &s->timer, n->now + S);	/* no memory now */
		return;
	}
	s->announce = false;
	s->announced = n->now;
	if (s->reserved - s->fields.incarnation < INCARNATION_BLOCK / 2)
		save(n);
	if (s->fields.state == MEMBER_LEFT) {
		s->state = SELF_ENDING;
		s->announced = n->now;
		timer_set(n, &s->timer, n->now + ENDING_TICK);
	}
}

static void go_beyond(struct node *n, uint64_t incarnation)
{
	struct self *s = of(n);

	s->fields.incarnation = incarnation + 1;
	s->announce = true;
	if (s->fields.incarnation > s->reserved)
		save(n);
	announce(n);
}

bool self_doubted(struct node *n, uint64_t incarnation)
{
	struct self *s = of(n);

	if (s->state != SELF_HERE || incarnation != n->self->incarnation || s->announce)
		return s->state != SELF_HERE || incarnation >= n->self->incarnation;
	if (n->now < s->announced + REFUTE_EVERY) {
		if (!timer_busy(&s->timer))
			timer_set(n, &s->timer, s->announced + REFUTE_EVERY);
		return true;
	}
	swim_worse(n);
	go_beyond(n, incarnation);
	return true;
}

/* ---- joining ---- */

static void here(struct node *n)
{
	struct self *s = of(n);

	timer_stop(n, &s->timer);
	s->state = SELF_HERE;
	s->announce = true;
	announce(n);
	/* Whoever began when we did waits for one who is rooted. */
	exchange_with_strangers(n);
}

void self_joined(struct node *n)
{
	if (of(n)->state == SELF_JOINING)
		here(n);
}

static void complain(struct node *n)
{
	const char *why = "nobody named by --join answers and knows it; if all who did are lost, start one without --join, to found it";

	if (!n->options.seeds[0])
		why = "no member has come, and this node's notes of them are lost: name one (--join)";
	node_log(n, LOG_WARNING, "not in the ring yet after %llu s: %s", (unsigned long long)((n->now - n->started) / S), why);
	timer_set(n, &of(n)->timer, n->now + JOIN_COMPLAIN);
}

static void reply_all(struct node *n, int result)
{
	struct self *s = of(n);

	for (unsigned int i = 0; i < s->waits; i++)
		command_result(n, s->waiting[i], result);
	s->waits = 0;
}

static void saved(struct node *n, struct work *w, const struct event *e)
{
	struct self *s = of(n);
	uint64_t reserved = s->saving;

	(void)w;
	s->saving = 0;
	if (e->result) {
		node_log(n, LOG_ERR, "our own row can't be written: %s", strerror(-e->result));
		reply_all(n, e->result);
		timer_set(n, &s->timer, n->now + S);
		return;
	}
	s->reserved = reserved;
	if (s->again) {
		save(n);
		return;
	}
	if (s->state == SELF_STARTING) {
		s->state = SELF_JOINING;
		/* The life before this one may have ended before it told anyone that it left: an exchange comes first. */
		if (n->membership->rooted && s->fields.state != MEMBER_LEFT)
			here(n);
		else
			exchange_with_strangers(n);
	}
	if (s->state == SELF_JOINING)
		timer_set(n, &s->timer, n->now + (s->fields.state == MEMBER_LEFT ? SELF_FAREWELL : JOIN_COMPLAIN));
	announce(n);
	reply_all(n, 0);
}

/* ---- the end ---- */

static void stop(struct node *n)
{
	struct self *s = of(n);

	if (s->ending)
		command_result(n, s->ending, 0);
	s->ending = 0;
	node_stop_for(n, s->fields.state == MEMBER_LEFT && !s->left_before ? 0 : -EKEYREVOKED,
	    s->fields.state == MEMBER_LEFT ? "it has left the ring, for ever: begin with a new key (move node.key in its store away)" : "it was evicted from the ring: begin with a new key (move node.key in its store away)");
}

static void timer_due(struct node *n, struct timer *t)
{
	struct self *s = of(n);

	if (s->state == SELF_ENDING) {
		if (gossip_over(n) || n->now >= s->announced + SELF_ENDING_MAX)
			stop(n);
		else
			timer_set(n, t, n->now + ENDING_TICK);
	} else if (s->fields.incarnation > s->reserved || s->state == SELF_STARTING) {
		save(n);
	} else if (s->state == SELF_JOINING && s->fields.state == MEMBER_LEFT) {
		here(n);
	} else if (s->state == SELF_JOINING) {
		complain(n);
	} else if (s->announce) {
		announce(n);
	} else {
		self_doubted(n, n->self->incarnation);
	}
}

/* ---- meeting ourselves ---- */

static void beaten(struct node *n, const struct member *m)
{
	struct self *s = of(n);
	bool known = s->leaps == SELF_LEAPS || m->incarnation > UINT64_MAX - 2 * (uint64_t)INCARNATION_LEAP;

	for (unsigned int i = 0; i < s->leaps; i++)
		known |= s->leapt[i] == m->instance;
	if (known) {
		membership_cloned(n, m->address[0][0] ? m->address[0] : "an unknown address");
		return;
	}
	s->leapt[s->leaps++] = m->instance;
	node_log(n, LOG_WARNING, "a record of ours is newer than what we know to have said: our row was lost, or this is a clone");
	go_beyond(n, m->incarnation + INCARNATION_LEAP);
}

void self_met(struct node *n, struct member *m)
{
	struct self *s = of(n);

	if (s->state == SELF_ENDING || address_equal(&m->hash, &n->self->hash))
		return;
	if (m->state != MEMBER_EVICTED && m->generation != s->fields.generation)
		placement_store_lost(n);
	if (m->state == MEMBER_EVICTED)
		node_stop_for(n, -EKEYREVOKED, "it was evicted from the ring: begin with a new key (move node.key in its store away)");
	else if (m->state == MEMBER_LEFT && s->fields.state == MEMBER_LEFT)
		stop(n);	/* they know: it was told before the crash */
	else if (!member_newer(m, n->self) || m->instance == s->fields.instance)
		return;
	else if (m->state == MEMBER_LEFT)
		node_stop_for(n, -EKEYREVOKED, "it has left the ring, for ever: begin with a new key (move node.key in its store away)");
	else if (m->incarnation >= s->fields.incarnation)	/* we may be about to say more than we have said */
		beaten(n, m);
}

void self_evicted(struct node *n)
{
	struct self *s = of(n);

	s->fields.state = MEMBER_EVICTED;
	s->state = SELF_ENDING;
	s->announced = n->now;
	timer_set(n, &s->timer, n->now + ENDING_TICK);
}

/* ---- commands ---- */

static int change(struct node *n, const struct command *c)
{
	struct member *f = &of(n)->fields;

	if (of(n)->state == SELF_ENDING || f->state == MEMBER_LEFT)
		return -ESHUTDOWN;
	switch (c->kind) {
	case COMMAND_DRAIN:
		f->state = c->count ? MEMBER_DRAINING : MEMBER_HERE;
		return 0;
	case COMMAND_LEAVE:
		f->state = MEMBER_LEFT;
		return 0;
	default:
		assert(c->kind == COMMAND_SET);
		if (c->weight > RING_WEIGHT_MAX || (c->zone && !member_zone_valid(c->zone)))
			return -EINVAL;
		if (c->weight)
			f->weight = c->weight;
		if (c->zone)
			strcpy(f->zone, c->zone);
		return 0;
	}
}

void self_command(struct node *n, const struct command *c)
{
	struct self *s = of(n);
	int rc = s->waits == SELF_WAITING_MAX ? -EBUSY : change(n, c);

	if (rc) {
		if (c->ticket)
			command_result(n, c->ticket, rc);
		return;
	}
	if (c->kind == COMMAND_LEAVE)
		s->ending = c->ticket;
	else if (c->ticket)
		s->waiting[s->waits++] = c->ticket;
	s->fields.incarnation++;
	s->announce = true;
	save(n);
}

/* ---- start and end ---- */

void self_start(struct node *n)
{
	const struct node_options *o = &n->options;
	struct self *s = of(n);
	struct row row = { .reserved = 0 };
	const char *zone = o->zone ? o->zone : "";

	s->timer.due = timer_due;
	s->save.done = saved;
	s->fields = (struct member){ .instance = o->instance, .generation = o->generation, .state = MEMBER_HERE,
		.weight = o->weight };
	assert(strlen(zone) <= RING_ZONE_LEN);
	strcpy(s->fields.zone, zone);
	for (unsigned int i = 0; i < MEMBER_ADDRESSES && o->address[i]; i++) {
		assert(strlen(o->address[i]) <= MEMBER_ADDRESS_LEN);
		strcpy(s->fields.address[i], o->address[i]);
	}
	if (read_row(n, &row)) {
		s->fields.state = row.state;
		/* What was set by command stays, unless the option was changed meanwhile. */
		if (row.option_weight == o->weight)
			s->fields.weight = row.weight;
		if (strcmp(row.option_zone, zone) == 0)
			strcpy(s->fields.zone, row.zone);
	}
	s->reserved = row.reserved;
	s->fields.incarnation = row.reserved + 1;
	s->left_before = s->fields.state == MEMBER_LEFT;
	if (s->left_before)
		node_log(n, LOG_WARNING, "this node has left the ring, for ever: it says so once more, and stops");
	if (sign(n)) {
		node_stop(n, "its record can't be signed: no memory, or an address that is no text");
		return;
	}
	save(n);
}

void self_end(struct node *n)
{
	struct self *s = of(n);

	timer_stop(n, &s->timer);
	work_stop(n, &s->save);
	member_drop(n->self);
	n->self = NULL;
}
