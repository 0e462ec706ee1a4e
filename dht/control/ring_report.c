/* What a node of a ring tells of itself and of the others: status, peers, ring. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dht/control/ring_impl.h"
#include "dht/net/limits.h"
#include "dht/net/report.h"

#define MEMBERS_AT_ONCE 64u

static const char *const states[] = {
	[REPORT_BEGINS] = "looking for the ring",
	[REPORT_JOINS] = "joining",
	[REPORT_HERE] = "here",
	[REPORT_DRAINS] = "draining",
	[REPORT_ENDS] = "out of the ring",
};

static void look_ring(void *arg, struct node *n)
{
	report_ring(n, arg);
}

void ring_look(struct peer *p, struct report_ring *out)
{
	peer_look(p, look_ring, out);
}

struct look_members {
	const struct address *after;
	struct report_member *member;
	size_t count;
};

static void look_members(void *arg, struct node *n)
{
	struct look_members *l = arg;

	l->count = report_members(n, l->after, l->member, MEMBERS_AT_ONCE);
}

int ring_each_member(struct peer *p, int (*each)(void *arg, const struct report_member *m), void *arg)
{
	struct look_members l = { .member = calloc(MEMBERS_AT_ONCE, sizeof(*l.member)) };
	struct address last;
	int r = l.member ? 0 : -ENOMEM;

	while (r == 0) {
		peer_look(p, look_members, &l);
		for (size_t i = 0; r == 0 && i < l.count; i++)
			r = each(arg, &l.member[i]);
		if (l.count < MEMBERS_AT_ONCE)
			break;
		last = l.member[l.count - 1].id;
		l.after = &last;
	}
	free(l.member);
	return r;
}

/* ---- status ---- */

/* Slots by how many of their owners can be reached. */
static void record_copies(struct record *r, const struct report_ring *ring)
{
	unsigned int reduced = 0;

	for (unsigned int i = 2; i < ring->replicas; i++)
		reduced += ring->owned[i];
	record_number(r, "slots_full", ring->replicas > 0 ? ring->owned[ring->replicas] : 0);
	record_number(r, "slots_reduced", reduced);
	record_number(r, "slots_single", ring->replicas > 1 ? ring->owned[1] : 0);
	record_number(r, "slots_none", ring->replicas > 0 ? ring->owned[0] : 0);
	record_number(r, "slots_mine", ring->mine);
	record_number(r, "slots_incomplete", ring->incomplete);
	record_number(r, "slots_held", ring->holds);
}

static void record_disk(struct record *r, const struct peer_status *s)
{
	record_number(r, "records_owned", s->shelf.owned);
	record_number(r, "records_foreign", s->shelf.foreign);
	record_number(r, "records_cached", s->shelf.cached);
	record_number(r, "foreign_bytes", s->shelf.foreign_bytes);
	record_number(r, "cached_bytes", s->shelf.cached_bytes);
	record_number(r, "leases", s->shelf.leases);
	record_number(r, "leased", s->shelf.leased);
}

static void record_net(struct record *r, const struct peer_status *s)
{
	record_number(r, "links", s->node.links);
	record_number(r, "handshakes", s->handshakes);
	record_number(r, "refused", s->refused);
	record_number(r, "received_bytes", s->bytes_in);
	record_number(r, "sent_bytes", s->bytes_out);
	record_number(r, "wrong_answers", s->node.wrong_answers);
	record_number(r, "core_bytes", s->node.memory);
}

/* Of those that answer, the one from which reads take longest. */
static int find_slowest(void *arg, const struct report_member *m)
{
	struct report_member *slowest = arg;

	if (!m->self && !m->down && m->latency_us > slowest->latency_us)
		*slowest = *m;
	return 0;
}

static void record_slowest(struct record *r, struct peer *p)
{
	struct report_member slowest = { .latency_us = 0 };
	char text[ADDRESS_TEXT_LEN + 1];

	ring_each_member(p, find_slowest, &slowest);
	if (slowest.latency_us == 0)
		return;
	address_format(&slowest.id, text);
	record_text(r, "slowest", text);
	record_text(r, "slowest_address", slowest.address[0]);
	record_number(r, "slowest_us", slowest.latency_us);
}

void ring_record(struct call *c, struct peer *p)
{
	const struct ring_file *file = peer_ring(p);
	struct record *r = &c->record;
	struct peer_status status;
	struct report_ring ring;

	peer_status(p, &status);
	ring_look(p, &ring);
	call_record_address(c, "node", &ring.id);
	call_record_address(c, "ring", &file->id);
	record_text(r, "ring_state", states[ring.state]);
	record_truth(r, "keeps_copies", !status.keeps_nothing);
	record_text(r, "ring_over", status.stopped);
	record_truth(r, "ring_open", ring_file_open(file));
	record_number(r, "replicas", ring.replicas);
	record_number(r, "ring_replicas", file->replicas);
	record_number(r, "ring_acks", file->acks);
	record_number(r, "members", ring.members);
	record_number(r, "members_down", ring.down);
	record_number(r, "members_suspect", ring.suspects);
	record_number(r, "members_draining", ring.draining);
	record_truth(r, "maintenance", ring.rests);
	record_number(r, "maintenance_s", ring.rest_s);
	record_number(r, "moving", ring.foreign);
	record_number(r, "repairs", ring.comparing);
	record_copies(r, &ring);
	record_disk(r, &status);
	record_net(r, &status);
	record_slowest(r, p);
	if (ring.left_us > 0)
		record_number(r, "repair_left_s", ring.left_us / S + 1);
}

/* ---- peers, ring ---- */

static const char *state_name(const struct report_member *m)
{
	switch (m->state) {
	case MEMBER_LEFT:
		return "left";
	case MEMBER_EVICTED:
		return "evicted";
	case MEMBER_HERE:
	case MEMBER_DRAINING:
		break;
	}
	if (m->down)
		return m->state == MEMBER_DRAINING ? "down, draining" : "down";
	if (m->suspect)
		return "in doubt";
	return m->state == MEMBER_DRAINING ? "draining" : m->self ? "this node" : "up";
}

static void record_member(struct call *c, const struct report_member *m)
{
	struct record *r = &c->record;

	call_record_address(c, "id", &m->id);
	record_text(r, "address", m->address[0]);
	record_text(r, "zone", m->zone);
	record_number(r, "weight", m->weight);
	record_text(r, "state", state_name(m));
	record_truth(r, "self", m->self);
	record_truth(r, "down", m->down);
	record_truth(r, "linked", m->linked);
	record_truth(r, "maintenance", m->rests);
	record_number(r, "latency_us", m->latency_us);
	if (m->heard)
		record_number(r, "heard_ms", m->heard_us / MS);
	record_number(r, "down_s", m->down_us / S);
	record_number(r, "requests", m->calls);
	record_number(r, "wrong_answers", m->wrong);
	record_number(r, "slots", m->slots);
	record_number(r, "slots_before", m->slots_before);
}

static int tell_member(void *arg, const struct report_member *m)
{
	struct call *c = arg;

	record_member(c, m);
	return call_answer(c, FRAME_RECORD);
}

int command_peers(struct call *c)
{
	struct peer *p = ring_peer(c);

	return p ? ring_each_member(p, tell_member, c) : -ENOTCONN;
}

/* Those that take part in placement, or did a moment ago. */
static int tell_owner(void *arg, const struct report_member *m)
{
	return m->slots > 0 || m->slots_before > 0 || m->state == MEMBER_HERE ? tell_member(arg, m) : 0;
}

/* The ring as a whole, then each member's part. */
int command_ring(struct call *c)
{
	struct peer *p = ring_peer(c);
	char cover[REPORT_COVER + 1] = "";
	struct report_ring ring;
	int r;

	if (!p)
		return -ENOTCONN;
	ring_look(p, &ring);
	for (unsigned int i = 0; ring.replicas > 0 && i < REPORT_COVER; i++)
		cover[i] = (char)('0' + ring.cover[i]);
	call_record_address(c, "ring", &peer_ring(p)->id);
	record_text(&c->record, "cover", cover);
	record_number(&c->record, "replicas", ring.replicas);
	record_number(&c->record, "members", ring.members);
	record_number(&c->record, "members_down", ring.down);
	record_number(&c->record, "slots", RING_SLOTS);
	record_copies(&c->record, &ring);
	r = call_answer(c, FRAME_RECORD);
	return r < 0 ? r : ring_each_member(p, tell_owner, c);
}
