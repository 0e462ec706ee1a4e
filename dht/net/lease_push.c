/*
 *	state	 event					function	next state
 *	IDLE	 lease_push()				lease_push	SENDING the first part; ENDING: no such lease, no such peer
 *	SENDING	 WIRE_OK to a part that is not the last	answered	SENDING the next one
 *	SENDING	 WIRE_OK to the last; or "complete"	answered	IDLE: 0
 *	SENDING	 WIRE_MISS: not the part that it wants	answered	SENDING the first part; IDLE after BEGIN_MAX of these
 *	SENDING	 our lease is a newer one now		send_part	SENDING the first part; likewise
 *	SENDING	 another answer, or none		answered	IDLE: why
 *	ENDING	 the next microsecond			ended		IDLE: why
 */
#include "dht/net/lease.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <syslog.h>

#define BEGIN_MAX 4u

static void over(struct node *n, struct lease_push *p, int result)
{
	chunk_drop(p->blob);
	p->blob = NULL;
	p->busy = false;
	p->done(n, p, result);
}

static void ended(struct node *n, struct timer *t)
{
	struct lease_push *p = list_item(t, struct lease_push, soon);

	over(n, p, p->result);
}

/* From the first part on.  Takes over ${blob}. */
static int begin(struct node *n, struct lease_push *p, struct chunk *blob)
{
	struct lease l;

	chunk_drop(p->blob);
	p->blob = blob;
	if (lease_open(n, blob->data, blob->len, &l))
		return -EIO;
	p->total = l.count;
	p->sent = 0;
	return p->begun++ < BEGIN_MAX ? 0 : -EAGAIN;
}

/* Sees that what is sent is what is here. */
static int compare(struct node *n, struct lease_push *p)
{
	struct catalogue *c = n->options.catalogue;
	struct chunk *end = lease_ended(n, &p->volume), *here = end ? NULL : c->lease(c, &p->volume, p->slot);

	chunk_drop(end);
	if (!here)
		return end ? -EKEYREVOKED : -ENOENT;
	if (!p->blob || here->len != p->blob->len || memcmp(here->data, p->blob->data, here->len) != 0)
		return begin(n, p, here);
	chunk_drop(here);
	return 0;
}

static int send_part(struct node *n, struct lease_push *p)
{
	struct address part[WIRE_ADDRESSES_MAX];
	struct peer *peer = peer_find(n, &p->id);
	struct message m = { .type = WIRE_LEASE, .addresses = part };
	int err = peer ? compare(n, p) : -EHOSTUNREACH;

	if (err)
		return err;
	p->part = lease_part(n, &p->volume, p->slot, p->sent > 0 ? &p->last : NULL, part);
	if (p->part > p->total - p->sent || (p->part == 0 && p->sent < p->total))
		return -EIO;	/* the catalogue contradicts itself */
	if (p->part > 0)
		p->last = part[p->part - 1];
	m.lease = (struct wire_slice){ p->blob->data, p->blob->len };
	m.count = p->sent;
	m.address_count = p->part;
	m.more = p->sent + p->part < p->total;
	call_start(n, &p->call, peer, &m, NULL, p->call.priority, CALL_TIMEOUT);
	return 0;
}

/* The volume is over, says the peer, and has to prove it. */
static int ended_there(struct node *n, const struct message *answer, const struct lease_push *p)
{
	struct retire r;

	if (retire_read(answer->statement.data, answer->statement.len, &n->file.id, &r) ||
	    !address_equal(&r.volume, &p->volume))
		return -EIO;
	lease_end(n, &answer->statement, NULL, NULL, NULL);
	return -EKEYREVOKED;
}

static int result_of(struct node *n, struct lease_push *p, const struct message *answer)
{
	switch (answer->status) {
	case WIRE_OLD:
		return -ESTALE;
	case WIRE_CONFLICT:
		return -EEXIST;
	case WIRE_ENDED:
		return ended_there(n, answer, p);
	case WIRE_FULL:
		return -ENOSPC;
	case WIRE_BAD:
	case WIRE_FAULT:
		return -EIO;
	default:
		return -EAGAIN;
	}
}

static void answered(struct node *n, struct call *c, int result, const struct message *answer, struct chunk *body)
{
	struct lease_push *p = list_item(c, struct lease_push, call);

	(void)body;
	if (result) {
		over(n, p, result == -EBADMSG ? -EIO : result == -EBUSY || result == -ENOMEM ? -EAGAIN : result);
		return;
	}
	if (answer->status == WIRE_OK) {
		p->sent += p->part;
		if (answer->complete || p->sent == p->total) {
			over(n, p, 0);
			return;
		}
	} else if (answer->status == WIRE_MISS && p->begun < BEGIN_MAX) {
		p->begun++;
		p->sent = 0;
	} else {
		over(n, p, result_of(n, p, answer));
		return;
	}
	result = send_part(n, p);
	if (result)
		over(n, p, result);
}

void lease_push(struct node *n, struct lease_push *p, enum link_priority priority)
{
	assert(!p->busy && p->done);
	p->busy = true;
	p->call = (struct call){ .done = answered, .priority = priority };
	p->soon = (struct timer){ .due = ended };
	p->blob = NULL;
	p->begun = 0;
	p->result = send_part(n, p);
	if (p->result)
		timer_set(n, &p->soon, n->now);
}

void lease_push_stop(struct node *n, struct lease_push *p)
{
	if (!p->busy)
		return;
	if (call_busy(&p->call))
		call_stop(n, &p->call);
	timer_stop(n, &p->soon);
	chunk_drop(p->blob);
	p->blob = NULL;
	p->busy = false;
}
