/*
 * The dialogue of A, whose turn it is, and B (or of two who met just now, or whose placements differ):
 *
 *	A  COMPARE	hash of all					nothing comes back where B's is the same
 *	B  COMPARE	hash of all, hash of each part
 *	A  SUMMARY	of the parts that differ, whole
 *	B  SUMMARY	what A lacks, or has an older one of
 *	A  WANT		that, by the batch			B  WANT		what B lacks
 *	B  RECORDS						A  RECORDS
 *
 * Both only pull.  Each says whether it is rooted (membership.h): who is not becomes so when it has all that one has who is.
 * The state, of the pull:
 *
 * state	| event				| function	| next state
 * idle		| SUMMARY of what is new to us	| pull_start()	| pulling, of that peer
 * pulling	| RECORDS			| pulled()	| pulling the next batch, or idle
 * pulling	| EXCHANGE_PULL, its link goes	| pull_stop()	| idle
 * any		| COMPARE, SUMMARY, WANT	| on_*()	| the same; rooted, where nothing is lacking
 */
#include "dht/net/membership.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DOWN_TURN 4u	/* each so manieth exchange is tried with one that is down: it may be us who are cut off */

static struct exchange *of(const struct node *n)
{
	return &n->membership->exchange;
}

static void compare(struct node *n, struct peer *p, bool parts)
{
	struct view *v = &n->membership->view;
	struct message m = { .type = WIRE_COMPARE, .hash = *view_digest(v), .rooted = n->membership->rooted };

	if (parts) {
		m.hashes = view_parts(v);
		m.hash_count = VIEW_PARTS;
		m.has |= WIRE_HAS(FIELD_HASHES);
	}
	peer_tell(n, p, &m);
}

void exchange_with(struct node *n, struct peer *p)
{
	compare(n, p, false);
}

bool exchange_with_strangers(struct node *n)
{
	struct peer *p = NULL;
	bool any = false;

	if (!of(n)->strangers)
		return false;
	while ((p = peer_next(n, p ? &p->id : NULL))) {
		if (p->link != 0 && !membership_entry(n, p)) {
			exchange_with(n, p);
			any = true;
		}
	}
	of(n)->strangers = any;
	return any;
}

static void turn(struct node *n, struct timer *t)
{
	struct exchange *x = of(n);
	struct view_entry *e = NULL;
	struct peer *p;

	if (++x->turn % DOWN_TURN == 0)
		e = swim_pick(n, NULL, PICK_DOWN);
	if (!e)
		e = swim_pick(n, NULL, PICK_ANY);
	p = e ? peer_find(n, &e->member->id) : NULL;
	if (p)
		exchange_with(n, p);
	exchange_with_strangers(n);
	timer_set(n, t, n->now + node_jitter(n, x->turn < EXCHANGE_YOUNG || !n->membership->rooted ? EXCHANGE_EVERY / 6 : EXCHANGE_EVERY));
}

/* ---- what we have ---- */

/* Tell of the members whose bit in ${which} is set; ${have}: the parts that this tells whole. */
static void tell(struct node *n, struct peer *to, const bool *which, unsigned int count, const uint8_t *have)
{
	const struct view *v = &n->membership->view;
	struct message m = { .type = WIRE_SUMMARY, .summaries = count, .rooted = n->membership->rooted };
	uint8_t *bytes = malloc((size_t)count * WIRE_SUMMARY_LEN + 1), *out = bytes;

	if (!bytes)
		return;		/* the next exchange */
	for (unsigned int i = 0; i < v->count; i++) {
		struct wire_summary s;

		if (!which[i])
			continue;
		view_summary(v->entry[i], &s);
		wire_summary_put(&s, out);
		out += WIRE_SUMMARY_LEN;
	}
	m.summary_bytes = bytes;
	if (have) {
		m.have = (struct wire_slice){ have, VIEW_PARTS / 8 };
		m.has |= WIRE_HAS(FIELD_HAVE);
	}
	peer_tell(n, to, &m);
	free(bytes);
}

static bool has_part(const struct message *m, unsigned int part)
{
	return part / 8 < m->have.len && m->have.data[part / 8] >> part % 8 & 1;
}

static void tell_parts(struct node *n, struct peer *to, const struct message *theirs)
{
	struct view *v = &n->membership->view;
	const struct wire_hash *ours = view_parts(v);
	uint8_t have[VIEW_PARTS / 8] = { 0 };
	bool *which = calloc(v->count + 1, sizeof(bool));
	unsigned int count = 0;

	if (!which)
		return;
	for (unsigned int i = 0; i < VIEW_PARTS; i++)
		if (memcmp(&ours[i], &theirs->hashes[i], sizeof(ours[i])) != 0)
			have[i / 8] |= (uint8_t)(1u << i % 8);
	for (unsigned int i = 0; i < v->count; i++) {
		unsigned int part = view_part(&v->entry[i]->member->id);

		which[i] = have[part / 8] >> part % 8 & 1;
		count += which[i];
	}
	tell(n, to, which, count, have);
	free(which);
}

/* We have all that somebody had, who is ${rooted}.  Who was alone in its ring needs no more than a sign that nobody it can reach knows
 * better. */
static void agreed(struct node *n, bool rooted)
{
	if (rooted || n->membership->rooted || placement_was_alone(n))
		membership_root(n);
}

/* Two who were both away agree, too: so most must have been heard. */
static bool met_most(struct node *n)
{
	const struct membership *ms = n->membership;
	unsigned int heard = 0, others = 0;

	for (unsigned int i = 0; i < ms->view.count; i++) {
		const struct view_entry *e = ms->view.entry[i];

		if (e == ms->self || view_gone(e))
			continue;
		heard += e->heard != 0;
		others++;
	}
	return 2 * heard >= others;
}

static void on_compare(struct node *n, struct peer *from, const struct message *m)
{
	struct view *v = &n->membership->view;

	if (m->hash_count == 0)
		gossip_state(n, from);
	if (address_equal(view_digest(v), &m->hash)) {
		agreed(n, m->rooted);
		if (met_most(n))
			placement_met(n);
		return;
	}
	if (m->hash_count == VIEW_PARTS)
		tell_parts(n, from, m);
	else
		compare(n, from, true);
}

/* ---- what we lack ---- */

static void pull_stop(struct node *n)
{
	struct exchange *x = of(n);

	timer_stop(n, &x->pull_timer);
	free(x->wanted);
	x->wanted = NULL;
	x->count = x->at = 0;
}

static void pull_late(struct node *n, struct timer *t)
{
	(void)t;
	pull_stop(n);
}

/* Records come by themselves, too, so their number tells nothing.  One of a life of ours before this one is not kept. */
static bool pulled_all(struct node *n)
{
	const struct exchange *x = of(n);

	for (unsigned int i = 0; i < x->count; i++)
		if (!address_equal(&x->wanted[i], &n->id) && !view_find(&n->membership->view, &x->wanted[i]))
			return false;
	return true;
}

static void pull_next(struct node *n)
{
	struct exchange *x = of(n);
	struct message m = { .type = WIRE_WANT, .addresses = x->wanted + x->at };
	struct peer *p = peer_find(n, &x->from);

	if (!p || x->at == x->count) {
		bool all = p && pulled_all(n);

		pull_stop(n);
		if (all)
			agreed(n, x->rooted);
		return;
	}
	m.address_count = x->count - x->at < EXCHANGE_BATCH ? x->count - x->at : EXCHANGE_BATCH;
	x->at += m.address_count;
	timer_set(n, &x->pull_timer, n->now + EXCHANGE_PULL);
	peer_tell(n, p, &m);
}

/* Takes over ${wanted}. */
static void pull_start(struct node *n, struct peer *from, bool rooted, struct address *wanted, unsigned int count)
{
	struct exchange *x = of(n);

	if (x->wanted || count == 0) {
		free(wanted);
		if (count == 0)
			agreed(n, rooted);
		return;
	}
	x->wanted = wanted;
	x->count = count;
	x->at = 0;
	x->from = from->id;
	x->rooted = rooted;
	pull_next(n);
}

enum difference { SAME = 0, THEIRS = 1, OURS = 2 };

static enum difference differ(const struct view_entry *e, const struct wire_summary *theirs)
{
	struct wire_summary ours;

	if (!e)
		return THEIRS;
	view_summary(e, &ours);
	if (ours.incarnation != theirs->incarnation)
		return ours.incarnation > theirs->incarnation ? OURS : THEIRS;
	/* The larger bytes win, but these are hashes: so both go over, and who is wrong learns it. */
	return memcmp(ours.hash, theirs->hash, sizeof(ours.hash)) == 0 ? SAME : THEIRS | OURS;
}

static void on_summary(struct node *n, struct peer *from, const struct message *m)
{
	struct view *v = &n->membership->view;
	bool *seen = calloc(v->count + 1, sizeof(bool)), *which = calloc(v->count + 1, sizeof(bool));
	struct address *wanted = malloc((m->summaries + 1) * sizeof(*wanted));
	unsigned int wants = 0, tells = 0;

	if (!seen || !which || !wanted) {
		free(wanted);
		goto out;
	}
	for (unsigned int i = 0; i < m->summaries; i++) {
		struct wire_summary s;
		enum difference d;
		unsigned int at;

		wire_summary(m, i, &s);
		at = view_from(v, &s.id);
		if (at < v->count && !address_equal(&v->entry[at]->member->id, &s.id))
			at = v->count;
		seen[at] = true;
		d = differ(at < v->count ? v->entry[at] : NULL, &s);
		if (d & THEIRS)
			wanted[wants++] = s.id;
		which[at] |= (d & OURS) != 0;
	}
	for (unsigned int i = 0; i < v->count; i++) {
		which[i] |= !seen[i] && has_part(m, view_part(&v->entry[i]->member->id));
		tells += which[i];
	}
	/* What answers a summary is not answered by another one. */
	if (tells > 0 && (m->has & WIRE_HAS(FIELD_HAVE)))
		tell(n, from, which, tells, NULL);
	pull_start(n, from, m->rooted, wanted, wants);
out:
	free(seen);
	free(which);
}

static void on_want(struct node *n, struct peer *from, const struct message *m)
{
	struct message answer = { .type = WIRE_RECORDS };
	uint8_t *bytes = malloc(WIRE_BLOBS_MAX);

	if (!bytes)
		return;
	answer.records.data = bytes;
	for (unsigned int i = 0; i < m->address_count; i++) {
		const struct view_entry *e = view_find(&n->membership->view, &m->addresses[i]);
		int len;

		if (!e)
			continue;
		len = wire_blob_put(e->member->bytes, e->member->len, bytes + answer.records.len,
		    WIRE_BLOBS_MAX - answer.records.len);
		if (len < 0)
			break;		/* who asks for more than fits asks again */
		answer.records.len += (uint32_t)len;
	}
	answer.has |= WIRE_HAS(FIELD_RECORDS);
	peer_tell(n, from, &answer);
	free(bytes);
}

static void on_records(struct node *n, struct peer *from, const struct message *m)
{
	struct exchange *x = of(n);
	/* Many at once are what we missed while we were away, and the others were not. */
	bool news = x->count <= EXCHANGE_NEWS;
	bool pulled = x->wanted && address_equal(&x->from, &from->id);

	if (!membership_adopt_all(n, from, &m->records, news)) {
		if (pulled)
			pull_stop(n);
	} else if (pulled && x->wanted) {
		pull_next(n);
	}
}

void exchange_message(struct node *n, struct peer *from, const struct message *m)
{
	switch (m->type) {
	case WIRE_COMPARE:
		on_compare(n, from, m);
		break;
	case WIRE_SUMMARY:
		on_summary(n, from, m);
		break;
	case WIRE_WANT:
		on_want(n, from, m);
		break;
	default:
		on_records(n, from, m);
	}
}

void exchange_lost(struct node *n, const struct address *id)
{
	struct exchange *x = of(n);

	if (x->wanted && address_equal(&x->from, id))
		pull_stop(n);
}

void exchange_start(struct node *n)
{
	struct exchange *x = of(n);

	x->timer.due = turn;
	x->pull_timer.due = pull_late;
	timer_set(n, &x->timer, n->now + node_random(n, EXCHANGE_EVERY / 6));
}

void exchange_end(struct node *n)
{
	timer_stop(n, &of(n)->timer);
	pull_stop(n);
}
