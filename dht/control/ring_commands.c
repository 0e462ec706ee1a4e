/* The ring's commands that do something, or ask others. */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dht/control/ring_impl.h"
#include "dht/net/limits.h"
#include "dht/net/where.h"
#include "dht/peer/endpoint.h"

#define QUICK_US	(30 * S)	/* for what the node does by itself, or with one round of questions */
#define LEAVE_US	(600 * S)	/* and then it is asked again */
#define LOOK_MS		500		/* how often progress is told */
#define TABLE_LOOKS	6u		/* for the first table */
#define QUIET_LOOKS	4u		/* nothing to do so often in a row: it is over */

struct peer *ring_peer(struct call *c)
{
	struct ring_control *r = c->arg;

	if (!r->peer)
		call_fail(c, -ENOTCONN, "it is no node of a ring: it was started without --ring");
	return r->peer;
}

/* ---- one command of the node's, in a call ---- */

struct asked {
	struct peer_ask ask;
	struct waited waited;
};

static void asked_done(struct peer_ask *a)
{
	struct asked *w = a->user;

	waited_done(&w->waited, a->result);
}

static void asked_start(struct asked *w, struct call *c, struct peer *p, const struct command *command)
{
	memset(&w->ask, 0, sizeof(w->ask));
	w->ask.command = *command;
	w->ask.done = asked_done;
	w->ask.user = w;
	waited_start(&w->waited, c);
	peer_ask(p, &w->ask);
}

/* Nobody waits for it any more. */
static void asked_leave(struct asked *w)
{
	peer_cancel(&w->ask);
	waited_finish(&w->waited);
	chunk_drop(w->ask.chunk);
	chunk_drop(w->ask.blob);
	w->ask.chunk = w->ask.blob = NULL;
}

int ring_ask(struct call *c, struct peer *p, const struct command *command, struct peer_ask *out)
{
	struct asked w;
	int r;

	asked_start(&w, c, p, command);
	r = waited_wait(&w.waited, CHANNEL_FOREVER);
	if (r < 0) {
		asked_leave(&w);
		return r;
	}
	chunk_drop(w.ask.chunk);
	if (out)
		*out = w.ask;
	else
		chunk_drop(w.ask.blob);
	return w.waited.result;
}

/* For a person: what the node's errors mean here. */
static int explain(struct call *c, int r)
{
	if (r == -EHOSTUNREACH)
		return call_fail(c, r, "no other node of the ring can be reached");
	if (r == -ETIMEDOUT)
		return call_fail(c, r, "the ring did not answer in time");
	if (r == -ESHUTDOWN)
		return call_fail(c, r, "this node takes no part in the ring any more: 'dhtctl status' says why");
	return r;
}

static int ask_simply(struct call *c, const struct command *command)
{
	struct peer *p = ring_peer(c);

	return p ? explain(c, ring_ask(c, p, command, NULL)) : -ENOTCONN;
}

/* ---- which node: an id, or the beginning of one, or an address ---- */

struct search {
	const char *text;
	char endpoint[ENDPOINT_TEXT];	/* the same, taken for an address, with its port */
	struct address id;
	unsigned int found;
};

static int match_member(void *arg, const struct report_member *m)
{
	struct search *s = arg;
	char text[ADDRESS_TEXT_LEN + 1];
	bool match = false;

	if (m->state == MEMBER_LEFT || m->state == MEMBER_EVICTED)
		return 0;
	address_format(&m->id, text);
	match = strncmp(text, s->text, strlen(s->text)) == 0;
	for (unsigned int i = 0; i < MEMBER_ADDRESSES && m->address[i][0]; i++)
		match |= strcmp(m->address[i], s->endpoint) == 0;
	if (match) {
		s->id = m->id;
		s->found++;
	}
	return 0;
}

static int find_node(struct call *c, struct peer *p, const char *text, struct address *out)
{
	struct search s = { .text = text };
	struct endpoint e;
	int r;

	if (endpoint_parse(text, PEER_PORT, &e) == 0)
		endpoint_format(&e, s.endpoint);
	r = ring_each_member(p, match_member, &s);
	if (r < 0)
		return r;
	if (s.found == 0)
		return call_fail(c, -ENOENT, "no member is '%s': 'dhtctl peers' lists them", text);
	if (s.found > 1)
		return call_fail(c, -ENOTUNIQ, "'%s' is %u members: give more of the id", text, s.found);
	*out = s.id;
	return 0;
}

/* What dhtctl needs to sign for this ring: its file but for the secret; and a member's whole id. */
static int command_identity(struct call *c)
{
	struct peer *p = ring_peer(c);
	const char *node = call_text(c, "node");
	char admin[2 * MEMBER_KEY + 1];
	struct address id;
	int r = p ? 0 : -ENOTCONN;

	if (r == 0 && node)
		r = find_node(c, p, node, &id);
	if (r < 0)
		return r;
	call_record_address(c, "ring", &peer_ring(p)->id);
	record_text(&c->record, "admin", sodium_bin2hex(admin, sizeof(admin), peer_ring(p)->admin, MEMBER_KEY));
	record_number(&c->record, "ring_replicas", peer_ring(p)->replicas);
	record_number(&c->record, "ring_acks", peer_ring(p)->acks);
	if (node)
		call_record_address(c, "node", &id);
	return call_answer(c, FRAME_RECORD);
}

/* ---- where ---- */

static const char *const copies[] = {
	[WHERE_PROVED] = "has it, proved", [WHERE_SAYS] = "has it, by its word", [WHERE_LACKS] = "lacks it",
	[WHERE_WRONG] = "has something else", [WHERE_SILENT] = "no answer", [WHERE_DOWN] = "down",
	[WHERE_CACHED] = "has it for now",
};

struct look_member {
	const struct address *id;
	struct report_member member;
	bool found;
};

static void look_member(void *arg, struct node *n)
{
	struct look_member *l = arg;

	l->found = report_member(n, l->id, &l->member);
}

static int tell_where(struct call *c, struct peer *p, const struct where_line *line)
{
	struct look_member l = { .id = &line->id };
	bool known = line->state >= WHERE_PROVED && line->state <= WHERE_CACHED;

	peer_look(p, look_member, &l);
	call_record_address(c, "id", &line->id);
	record_text(&c->record, "address", l.found ? l.member.address[0] : "");
	record_text(&c->record, "zone", l.found ? l.member.zone : "");
	record_truth(&c->record, "owner", line->owner);
	record_truth(&c->record, "has", line->state == WHERE_PROVED || line->state == WHERE_SAYS);
	record_text(&c->record, "copy", known ? copies[line->state] : "?");
	return call_answer(c, FRAME_RECORD);
}

/* The first table comes a moment after the node has begun, or after it has found the ring. */
static int ask_where(struct call *c, struct peer *p, const struct command *command, struct peer_ask *answer)
{
	int r = ring_ask(c, p, command, answer);

	for (unsigned int i = 0; r == -EAGAIN && i < TABLE_LOOKS; i++) {
		r = call_pause(c, LOOK_MS);
		if (r == 0)
			r = ring_ask(c, p, command, answer);
	}
	return r == -EAGAIN ? call_fail(c, r, "no member of the ring has answered yet, so its owners are not known") : r;
}

static int command_where(struct call *c)
{
	struct command command = { .kind = COMMAND_WHERE, .timeout = QUICK_US };
	struct peer *p = ring_peer(c);
	struct where_line line;
	struct peer_ask answer;
	int r = p ? call_address(c, "address", &command.address) : -ENOTCONN;

	if (r < 0)
		return r;
	r = ask_where(c, p, &command, &answer);
	if (r < 0)
		return explain(c, r);
	for (unsigned int i = 0; r == 0 && where_read(answer.blob, i, &line); i++)
		r = tell_where(c, p, &line);
	chunk_drop(answer.blob);
	return r;
}

/* ---- long ones ---- */

static int tell_progress(struct call *c, const char *phase, uint64_t done, uint64_t total)
{
	record_text(&c->record, "phase", phase);
	record_number(&c->record, "done", done);
	record_number(&c->record, "total", total);
	return call_answer(c, FRAME_PROGRESS);
}

/* All that is still to be done for this node's slots: to get, to give, to compare. */
static uint64_t left_to_repair(const struct report_ring *r)
{
	return (uint64_t)r->incomplete + r->holds + r->foreign + r->comparing + r->due;
}

static int command_repair(struct call *c)
{
	const struct command command = { .kind = COMMAND_REPAIR, .timeout = QUICK_US };
	struct peer *p = ring_peer(c);
	uint64_t most = 0, left = 1;
	struct report_ring ring;
	unsigned int quiet = 0;
	int r = p ? explain(c, ring_ask(c, p, &command, NULL)) : -ENOTCONN;

	while (r == 0 && quiet < QUIET_LOOKS) {
		r = call_pause(c, LOOK_MS);
		if (r < 0)
			break;
		ring_look(p, &ring);
		left = left_to_repair(&ring);
		most = left > most ? left : most;
		/* What waits for those that are down can't be waited for. */
		quiet = ring.comparing + ring.due == 0 && (left == 0 || ring.down > 0) ? quiet + 1 : 0;
		r = tell_progress(c, "repaired", most - left, most);
	}
	if (r < 0)
		return r;
	record_number(&c->record, "slots_incomplete", ring.incomplete);
	record_number(&c->record, "slots_held", ring.holds);
	record_number(&c->record, "moving", ring.foreign);
	record_number(&c->record, "members_down", ring.down);
	record_number(&c->record, "bad", left > 0);
	return call_answer(c, FRAME_RECORD);
}

static int drain(struct call *c, uint32_t out)
{
	const struct command command = { .kind = COMMAND_DRAIN, .timeout = QUICK_US, .count = out };

	return ask_simply(c, &command);
}

static int command_drain(struct call *c)
{
	return drain(c, 1);
}

static int command_undrain(struct call *c)
{
	return drain(c, 0);
}

/* Until ${w} has its answer; how far the handing over is, is told meanwhile. */
static int watch_leave(struct call *c, struct peer *p, struct asked *w, uint64_t *most)
{
	struct report_ring ring;
	int r;

	while ((r = waited_wait(&w->waited, LOOK_MS)) == -ETIMEDOUT) {
		uint64_t left;

		ring_look(p, &ring);
		left = (uint64_t)ring.holds + ring.mine + ring.foreign;
		*most = left > *most ? left : *most;
		r = tell_progress(c, "handed over", *most - left, *most);
		if (r < 0)
			break;
	}
	if (r == 0)
		return w->waited.result;
	asked_leave(w);
	return r;
}

/* It goes on draining when its time is up, and so when nobody waits for it here. */
static int command_leave(struct call *c)
{
	const struct command command = { .kind = COMMAND_LEAVE, .timeout = LEAVE_US };
	struct peer *p = ring_peer(c);
	uint64_t most = 0;
	struct asked w;
	int r = p ? -ETIMEDOUT : -ENOTCONN;

	while (r == -ETIMEDOUT) {
		asked_start(&w, c, p, &command);
		r = watch_leave(c, p, &w, &most);
	}
	if (r == -EHOSTUNREACH)
		return call_fail(c, r, "there is no other node to which this one could leave what it keeps");
	if (r == -EALREADY)
		return call_fail(c, r, "it is leaving already");
	return r;
}

static int command_maintenance(struct call *c)
{
	struct command command = { .kind = COMMAND_MAINTENANCE, .timeout = call_number(c, "seconds") * S };
	struct peer *p = ring_peer(c);
	const char *node = call_text(c, "node");
	int r = p ? 0 : -ENOTCONN;

	if (r == 0 && (command.timeout == 0 || command.timeout > MAINTENANCE_LONGEST * S))
		return call_fail(c, -EINVAL, "maintenance lasts up to %u hours", MAINTENANCE_LONGEST / 3600);
	if (r == 0 && node)
		r = find_node(c, p, node, &command.address);
	if (r == 0)
		r = ask_simply(c, &command);
	if (r == -EALREADY)
		return call_fail(c, r, "there is maintenance for as long already: it ends by itself, and not before its time");
	if (r == -ENOSPC)
		return call_fail(c, r, "there is maintenance of too many members at once");
	return r;
}

/* ---- what was signed elsewhere ---- */

/* The argument "statement", of hex digits. */
static int read_statement(struct call *c, struct chunk **out)
{
	const char *text = call_text(c, "statement");
	size_t len = text ? strlen(text) / 2 : 0;
	uint8_t *bytes;

	if (len == 0 || len > WIRE_BLOB_MAX)
		return call_fail(c, -EINVAL, "there is no statement");
	*out = chunk_new((uint32_t)len, &bytes);
	if (!*out)
		return -ENOMEM;
	if (sodium_hex2bin(bytes, len, text, 2 * len, NULL, NULL, NULL) == 0)
		return 0;
	chunk_drop(*out);
	return call_fail(c, -EINVAL, "the statement is malformed");
}

static int tell_ring(struct call *c, struct command *command)
{
	int r = read_statement(c, &command->blob);

	if (r < 0)
		return r;
	r = ask_simply(c, command);
	chunk_drop(command->blob);
	return r;
}

static int command_evict(struct call *c)
{
	struct command command = { .kind = COMMAND_EVICT, .timeout = QUICK_US };
	int r = tell_ring(c, &command);

	if (r == -EBADMSG || r == -EINVAL)
		return call_fail(c, r, "the statement is not signed with this ring's admin key");
	return r;
}

static int command_retire(struct call *c)
{
	struct command command = { .kind = COMMAND_RETIRE, .timeout = 2 * QUICK_US };
	int r = tell_ring(c, &command);

	if (r == -EAGAIN)
		return call_fail(c, r, "it is noted here, but some owners could not be told: say it again when they are back");
	if (r == -EHOSTUNREACH)
		return call_fail(c, r, "it is noted here, but nobody else could be told: say it again when the ring can be reached");
	return r;
}

const struct call_command ring_commands[] = {
	{ "peers", command_peers },
	{ "ring", command_ring },
	{ "identity", command_identity },
	{ "where", command_where },
	{ "repair", command_repair },
	{ "drain", command_drain },
	{ "undrain", command_undrain },
	{ "leave", command_leave },
	{ "maintenance", command_maintenance },
	{ "evict", command_evict },
	{ "retire", command_retire },
	{ 0 },
};
