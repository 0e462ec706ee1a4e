/*
 * The way into the view, and its rows on the disk.
 *
 * record  | event                                      | function               | next
 * -       | a signed one of an id that is new          | membership_put()       | known: probed, and a row of it is to be written
 *         | ... but MEMBERS_MAX are known              | full()                 | -; the log says so
 * known   | a newer one                                | membership_put()       | known; what was doubted of the older is forgotten
 *         | an older one, or the same                  | membership_adopt()     | as it was: its signature is not even looked at
 * any     | one that is malformed or forged            | membership_adopt_all() | as it was; who sent it loses standing and links
 * any     | one with our own id                        | membership_adopt()     | as it was: self.c answers it
 *
 * row     | event                                      | function               | next
 * unsaved | we are rooted; fewer than SAVES_MAX run     | save_some()            | saving
 * saving  | durable                                    | saved()                | saved; unsaved, where it has changed since
 *         | the disk failed                            | saved()                | unsaved, looked at SAVE_AGAIN later
 * saved   | a start                                    | restore_row()          | known, if it still holds: a disk may rot
 *
 * Who is not rooted writes none: its next life would take those whom it met for the ring.  Our own record has a row of its own (self.c).
 */
#include "dht/net/membership.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#define COMPLAIN_EVERY (60u * S)	/* that the view is full */

struct view_entry *membership_entry(struct node *n, struct peer *p)
{
	if (p->entry)
		return p->entry;
	p->entry = view_find(&n->membership->view, &p->id);
	/* Its record may have come by the link itself. */
	if (p->entry)
		p->entry->linked = p->link != 0;
	return p->entry;
}

const char *membership_name(const struct view_entry *e)
{
	return e->member->address[0][0] ? e->member->address[0] : "a node without an address";
}

/* ---- rows: what a restart begins with ---- */

static void save_some(struct node *n);

static void saved(struct node *n, struct work *w, const struct event *e)
{
	struct saver *s = list_item(w, struct saver, work);
	struct membership *ms = n->membership;
	struct view_entry *entry = s->entry;

	s->entry = NULL;
	if (e->result) {
		node_log(n, LOG_ERR, "the row of %s can't be written: %s", membership_name(entry), strerror(-e->result));
		if (list_empty(&entry->unsaved))
			list_append(&ms->unsaved, &entry->unsaved);
		timer_set(n, &ms->save_again, n->now + SAVE_AGAIN);
		return;
	}
	save_some(n);
}

static void save_some(struct node *n)
{
	struct membership *ms = n->membership;

	for (unsigned int i = 0; i < SAVES_MAX && ms->rooted && !list_empty(&ms->unsaved); i++) {
		struct view_entry *e = list_item(ms->unsaved.next, struct view_entry, unsaved);
		struct effect save = { .kind = EFFECT_SAVE, .row = { ROW_MEMBER, e->member->id } };

		if (ms->saver[i].entry)
			continue;
		save.chunk = chunk_copy(e->member->bytes, e->member->len);
		if (!save.chunk) {
			timer_set(n, &ms->save_again, n->now + SAVE_AGAIN);
			return;
		}
		list_remove(&e->unsaved);
		ms->saver[i].entry = e;
		work_start(n, &ms->saver[i].work, &save);
	}
}

static void save_later(struct node *n, struct timer *t)
{
	(void)t;
	save_some(n);
}

void membership_root(struct node *n)
{
	if (!n->membership->rooted) {
		n->membership->rooted = true;
		save_some(n);
	}
	self_joined(n);
}

static void restore_row(struct node *n, const struct address *id)
{
	struct catalogue *c = n->options.catalogue;
	struct chunk *row = c->row(c, &(struct catalogue_row_key){ ROW_MEMBER, *id });
	struct view_entry *e;
	struct member *m;

	if (!row)
		return;
	if (member_read(row->data, row->len, &n->file.id, n->options.records, &m)) {
		node_log(n, LOG_WARNING, "a member's row can't be read: others will tell");
	} else {
		if (!address_equal(&m->id, id) || !member_verify(m, &n->file))
			node_log(n, LOG_WARNING, "a member's row does not hold: others will tell");
		else if (address_equal(id, &n->id))
			self_met(n, m);
		else
			view_put(&n->membership->view, m, &e);
		member_drop(m);
	}
	chunk_drop(row);
}

static void restore(struct node *n)
{
	struct catalogue *c = n->options.catalogue;
	struct address id;
	bool more;

	for (more = c->rows(c, ROW_MEMBER, NULL, &id); more; more = c->rows(c, ROW_MEMBER, &id, &id))
		restore_row(n, &id);
}

/* ---- records ---- */

/* Those who drain own nothing, so for placement they are gone; who changes only his address moves no slot. */
static bool places_differently(const struct member *old, const struct member *m)
{
	bool was = old && old->state == MEMBER_HERE, is = m->state == MEMBER_HERE;

	return was != is || (is && (old->weight != m->weight || strcmp(old->zone, m->zone) != 0));
}

static void log_change(struct node *n, const struct member *old, const struct view_entry *e)
{
	const struct member *m = e->member;
	const char *name = old && old->address[0][0] ? old->address[0] : membership_name(e);

	if (old && old->state == m->state)
		return;
	node_log(n, LOG_INFO, "%s %s", name, m->state == MEMBER_HERE ? "is a member" :
	    m->state == MEMBER_DRAINING ? old ? "is draining" : "is a member, and keeps no copies" :
	    m->state == MEMBER_LEFT ? "has left the ring" : "was evicted");
}

void membership_tell_record(struct node *n, struct peer *to, const struct member *what)
{
	uint8_t bytes[MEMBER_BLOB_MAX + 2];
	struct message m = { .type = WIRE_RECORDS, .has = WIRE_HAS(FIELD_RECORDS) };
	int len = wire_blob_put(what->bytes, what->len, bytes, sizeof(bytes));

	assert(len > 0);
	m.records = (struct wire_slice){ bytes, (uint32_t)len };
	peer_tell(n, to, &m);
}

/* Whose store is a new one may not know that there was one before, and take itself for the founder of the ring. */
static void tell_store(struct node *n, const struct member *old, const struct view_entry *e)
{
	struct peer *p;

	if (!old || view_gone(e) || !e->linked || old->generation == e->member->generation)
		return;
	p = peer_find(n, &old->id);
	if (p)
		membership_tell_record(n, p, old);
}

static void full(struct node *n)
{
	struct membership *ms = n->membership;

	if (ms->complained && n->now < ms->complained + COMPLAIN_EVERY)
		return;
	ms->complained = n->now;
	node_log(n, LOG_ERR, "no room for one more member: %u are known, tombstones too; does somebody make identities?",
	    ms->view.count);
}

int membership_put(struct node *n, struct member *m, bool news)
{
	struct membership *ms = n->membership;
	struct view_entry *e = view_find(&ms->view, &m->id);
	struct member *old = e ? member_hold(e->member) : NULL;
	int rc;

	rc = view_put(&ms->view, m, &e);
	if (rc) {
		if (rc == -ENOSPC)
			full(n);
		member_drop(old);
		return rc;
	}
	suspicion_forget(n, e);
	if (address_equal(&m->id, &n->id)) {
		ms->self = e;
	} else {
		if (!old && !view_gone(e))
			swim_add(n, e);
		if (list_empty(&e->unsaved))
			list_append(&ms->unsaved, &e->unsaved);
		save_some(n);
		log_change(n, old, e);
		tell_store(n, old, e);
	}
	if (news)
		gossip_record(n, e);
	if (old && e != ms->self)
		peers_member(n, m);
	/* The first table waits for our own record: also for one that draws no slots. */
	if (places_differently(old, m) || !old)
		placement_changed(n);
	if (e != ms->self && (places_differently(old, m) || !old))
		placement_missed(n);
	member_drop(old);
	return 0;
}

int membership_adopt(struct node *n, const uint8_t *bytes, size_t len, bool news)
{
	struct member *m;
	struct view_entry *e;
	int rc = member_read(bytes, len, &n->file.id, n->options.records, &m);

	if (rc)
		return rc;
	e = view_find(&n->membership->view, &m->id);
	/* A signature costs a hundred times what the rest does: only what is new is looked at. */
	if (address_equal(&m->id, &n->id))
		rc = address_equal(&m->hash, &n->self->hash) ? 0 : member_verify(m, &n->file) ? 1 : -EBADMSG;
	else if (!e || member_newer(m, e->member))
		rc = member_verify(m, &n->file) ? 2 : -EBADMSG;
	if (rc == 1)
		self_met(n, m);
	if (rc == 2)
		rc = membership_put(n, m, news);
	member_drop(m);
	return rc < 0 ? rc : 0;
}

bool membership_adopt_all(struct node *n, struct peer *from, const struct wire_slice *records, bool news)
{
	struct wire_slice blob;
	uint32_t at = 0;

	while (wire_blob(records, &at, &blob)) {
		if (membership_adopt(n, blob.data, blob.len, news) != -EBADMSG)
			continue;
		peer_wrong(n, from, "a member's record that is malformed or forged");
		peer_hang_up(n, from, "broke the protocol: a member's record that is malformed or forged");
		return false;
	}
	return true;
}

/* ---- peers ---- */

void membership_heard(struct node *n, struct peer *from)
{
	struct view_entry *e = membership_entry(n, from);
	struct message m = { .type = WIRE_GOSSIP };
	struct gossip_text text;
	bool was_down;

	if (!e)
		return;
	e->heard = n->now;
	if (!e->down_since && (!e->suspicion || e->suspicion->cleared))
		return;
	/* Here it lives again; others doubt it still, until it says itself that it does. */
	if (!view_gone(e)) {
		gossip_first(n, &m, &text, e);
		peer_tell(n, from, &m);
	}
	was_down = e->down_since != 0;
	suspicion_clear(n, e);
	/* Parts of a ring that was cut find each other here. */
	if (was_down)
		exchange_with(n, from);
}

void membership_peer(struct node *n, struct peer *p, bool up)
{
	struct view_entry *e = membership_entry(n, p);

	if (e)
		e->linked = up;
	if (!up) {
		exchange_lost(n, &p->id);
	} else if (e && view_gone(e)) {
		/* Whoever is gone for ever may not know it. */
		membership_tell_record(n, p, e->member);
	} else if (!e || n->membership->own.state == SELF_JOINING) {
		n->membership->exchange.strangers |= !e;
		exchange_with(n, p);
	}
}

void membership_differs(struct node *n, struct peer *from)
{
	exchange_with(n, from);
}

void membership_cloned(struct node *n, const char *where)
{
	char text[160];

	snprintf(text, sizeof(text), "another process has this node's key and runs too (%.48s): a machine was cloned; "
	    "give one of them a new key", where);
	node_stop_for(n, -EEXIST, text);
}

static void on_maintenance(struct node *n, const struct message *m)
{
	gossip_rest(n, &m->target, m->seconds);
}

void membership_message(struct node *n, struct peer *from, const struct message *m)
{
	struct view_entry *e = membership_entry(n, from);

	if (e && view_gone(e)) {
		if (m->type == WIRE_PING || m->type == WIRE_COMPARE)
			membership_tell_record(n, from, e->member);
		else if (m->type == WIRE_RECORDS)
			exchange_message(n, from, m);	/* it may know that we are gone, too */
		return;
	}
	switch (m->type) {
	case WIRE_PING:
	case WIRE_ACK:
	case WIRE_GOSSIP:
		if (!gossip_heard(n, from, m) || m->type == WIRE_GOSSIP)
			break;
		/* fall through */
	case WIRE_PROBE:
	case WIRE_NACK:
		swim_message(n, from, m);
		break;
	case WIRE_COMPARE:
	case WIRE_SUMMARY:
	case WIRE_WANT:
	case WIRE_RECORDS:
		exchange_message(n, from, m);
		break;
	case WIRE_MAINTENANCE:
		on_maintenance(n, m);
		break;
	default:
		break;		/* requests are not ours */
	}
}

/* ---- what others ask ---- */

const struct member *membership_find(struct node *n, const struct address *id)
{
	struct view_entry *e = view_find(&n->membership->view, id);

	return e && !view_gone(e) ? e->member : NULL;
}

bool membership_gone(struct node *n, const struct address *id)
{
	const struct view_entry *e = view_find(&n->membership->view, id);

	return e && view_gone(e);
}

const struct member *membership_next(struct node *n, const struct address *after)
{
	const struct view *v = &n->membership->view;
	unsigned int at = after ? view_from(v, after) : 0;

	if (after && at < v->count && address_equal(&v->entry[at]->member->id, after))
		at++;
	return at < v->count ? v->entry[at]->member : NULL;
}

enum health membership_health(struct node *n, const struct address *id)
{
	const struct view_entry *e = view_find(&n->membership->view, id);

	if (!e || view_gone(e) || e->down_since)
		return PEER_DOWN;
	return e->suspicion && !e->suspicion->cleared ? PEER_SUSPECT : PEER_ALIVE;
}

uint64_t membership_down_since(struct node *n, const struct address *id)
{
	const struct view_entry *e = view_find(&n->membership->view, id);

	return e ? e->down_since : 0;
}

/* Where many are down at once it is the network that is, and their copies are all there: nothing is to be moved for that. */
bool membership_spares(struct node *n, const struct address *id)
{
	const struct view *v = &n->membership->view;

	return v->down * SPARE_DOWN_MAX <= view_living(v) && !gossip_resting(n, id);
}

void membership_status(struct node *n, struct node_status *out)
{
	out->members = view_living(&n->membership->view);
	out->down = n->membership->view.down;
}

size_t membership_memory(struct node *n)
{
	const struct membership *ms = n->membership;

	return sizeof(*ms) + ms->view.count * sizeof(struct view_entry) +
	    (2 * ms->view.size + ms->swim.size) * sizeof(void *) + ms->gossip.count * sizeof(struct news) +
	    ms->exchange.count * sizeof(struct address);
}

/* ---- commands ---- */

static int evict(struct node *n, const struct command *c)
{
	const struct view_entry *e;
	struct member *m;
	int rc;

	if (!c->blob)
		return -EINVAL;
	rc = member_read(c->blob->data, c->blob->len, &n->file.id, n->options.records, &m);
	if (rc)
		return rc;
	if (m->state != MEMBER_EVICTED)
		rc = -EINVAL;
	else if (!member_verify(m, &n->file))
		rc = -EBADMSG;
	else if (!(e = view_find(&n->membership->view, &m->id)))
		rc = -ENOENT;
	else if (member_newer(m, e->member))
		rc = membership_put(n, m, true);
	if (rc == 0 && address_equal(&m->id, &n->id))
		self_evicted(n);
	member_drop(m);
	return rc;
}

static int maintenance(struct node *n, const struct command *c)
{
	if (c->timeout < S)
		return -EINVAL;
	return gossip_rest(n, &c->address, (uint32_t)(c->timeout / S < MAINTENANCE_LONGEST ? c->timeout / S : MAINTENANCE_LONGEST));
}

void membership_command(struct node *n, const struct command *c)
{
	int rc;

	switch (c->kind) {
	case COMMAND_EVICT:
		rc = evict(n, c);
		break;
	case COMMAND_MAINTENANCE:
		rc = maintenance(n, c);
		break;
	default:
		self_command(n, c);
		return;
	}
	if (c->ticket)
		command_result(n, c->ticket, rc);
}

/* ---- start and end ---- */

void membership_start(struct node *n)
{
	struct membership *ms = calloc(1, sizeof(*ms));

	n->membership = ms;
	if (!ms) {
		node_stop(n, "no memory");
		return;
	}
	view_start(&ms->view);
	list_init(&ms->unsaved);
	ms->save_again.due = save_later;
	for (unsigned int i = 0; i < SAVES_MAX; i++)
		ms->saver[i].work.done = saved;
	gossip_start(n);
	exchange_start(n);
	self_start(n);
	if (n->stopped)
		return;
	restore(n);
	ms->rooted = ms->view.count > 0 || node_founds(n);
	swim_start(n);
	if (ms->view.count > 0)
		placement_changed(n);
	peers_dial_seeds(n);
}

void membership_end(struct node *n)
{
	struct membership *ms = n->membership;

	if (!ms)
		return;
	swim_end(n);
	exchange_end(n);
	self_end(n);
	timer_stop(n, &ms->save_again);
	for (unsigned int i = 0; i < SAVES_MAX; i++)
		work_stop(n, &ms->saver[i].work);
	for (unsigned int i = 0; i < ms->view.count; i++)
		suspicion_drop(n, ms->view.entry[i]);
	gossip_end(n);
	view_end(&ms->view);
	free(ms);
	n->membership = NULL;
}
