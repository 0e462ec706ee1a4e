/*
 * Both lists of a slot's leases are walked side by side, in the order of volumes.
 *
 *	state	  event					function	next state
 *	LISTING	  a page of the peer's leases			listed		WALKING
 *	WALKING	  a volume that only we have, or have newer	step		PUSHING
 *	WALKING	  one that only the peer has, or has newer	step		FETCHING; STORING where its addresses came along
 *	WALKING	  one of a volume of which one is on its way	take		WAITING: two pulls of one slot meet the same
 *		  to the disk already
 *	WALKING	  ... or while LEASES_PULLED_MAX are fetched	take		WAITING
 *	WAITING	  that has come there, or could not; has room	go_on		WALKING, at the same volume
 *	WALKING	  one that is alike, or has ended here		step		WALKING, the next (the peer is told of the end)
 *	WALKING	  the page is used up, and more are there	step		LISTING
 *	WALKING	  both lists are used up			step		over: 0
 *	PUSHING	  done						pushed		WALKING
 *	FETCHING  a part of its addresses			fetched		FETCHING; STORING behind the last; WAITING, as above
 *	FETCHING  there is a newer one by now			fetched		LISTING
 *	STORING	  it is durable					stored		WALKING
 *	any	  an answer that is wrong, or none		over, wrong	over: why
 *	any	  its time is up				give_up		over: -ETIMEDOUT
 */
#include "dht/net/lease.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define VOLUMES_MAX (2 * LEASE_VOLUMES_MAX)	/* of one peer in one slot, its own excess forgiven */

struct lease_pull_private {
	struct list link;
	struct lease_pull *of;
	struct address id;		/* of the peer */
	struct call call;
	/* the peer's list */
	struct chunk *body;		/* of the page: holds the blobs */
	struct wire_slice page;
	const struct address *along;	/* in ${body}: addresses of the only lease of the page */
	uint32_t along_count;
	uint32_t at, before;		/* where it goes on; where the blob that is being looked at begins */
	bool more;
	unsigned int volumes;
	struct address last;		/* the volume that was walked over last, if any */
	bool any;
	/* WAITING */
	bool waits, for_room;
	struct address awaited;		/* unless for_room */
	struct timer again;
	/* PUSHING */
	struct lease_push push;
	/* FETCHING, STORING */
	struct lease lease;
	uint8_t blob[SIGNED_MAX];
	uint32_t blob_len, count;
	uint32_t counted;		/* in leases->pulled */
	struct address *addresses;
	struct lease_storing *storing;
	struct timer late;		/* or soon: what is known already has to be said from outside leases_pull() */
	int result;			/* of it */
};

static void step(struct node *n, struct lease_pull_private *p);
static int fetch_part(struct node *n, struct lease_pull_private *p);

/* Those who wait for this lease (NULL: none), or for room, look again, a moment later. */
static void go_on(struct node *n, const struct address *volume, unsigned int slot)
{
	for (struct list *l = n->leases->pulls.next; l != &n->leases->pulls; l = l->next) {
		struct lease_pull_private *p = list_item(l, struct lease_pull_private, link);

		if (!p->waits || (!p->for_room && (!volume || p->of->slot != slot || !address_equal(&p->awaited, volume))))
			continue;
		p->waits = false;
		timer_set(n, &p->again, n->now);
	}
}

/* What was fetched was handed on, or is given up. */
static void drop_fetched(struct node *n, struct lease_pull_private *p)
{
	free(p->addresses);
	p->addresses = NULL;
	n->leases->pulled -= p->counted;
	if (p->counted)
		go_on(n, NULL, 0);
	p->counted = 0;
}

static void pull_free(struct node *n, struct lease_pull_private *p)
{
	p->waits = false;
	drop_fetched(n, p);
	if (call_busy(&p->call))
		call_stop(n, &p->call);
	lease_push_stop(n, &p->push);
	if (p->storing)
		lease_store_forget(p->storing);
	timer_stop(n, &p->late);
	timer_stop(n, &p->again);
	list_remove(&p->link);
	chunk_drop(p->body);
	p->of->private = NULL;
	free(p);
}

static void over(struct node *n, struct lease_pull_private *p, int result)
{
	struct lease_pull *of = p->of;

	pull_free(n, p);
	of->done(n, of, result);
}

static void give_up(struct node *n, struct timer *t)
{
	struct lease_pull_private *p = list_item(t, struct lease_pull_private, late);

	over(n, p, p->result);
}

static void wrong(struct node *n, struct lease_pull_private *p, const char *what)
{
	struct peer *peer = peer_find(n, &p->id);

	if (peer)
		peer_wrong(n, peer, what);
	over(n, p, -EIO);
}

/* 0, or why a call has no answer that we can use. */
static int usable(int result, const struct message *answer)
{
	if (result)
		return result == -EHOSTUNREACH || result == -ETIMEDOUT ? result : -EIO;
	return answer->status == WIRE_OK ? 0 : -EIO;
}

/* ---- WAITING ---- */

/* For one of ${volume}, NULL: for room.  Then the same blob is looked at again, and what is here decides. */
static void wait_for(struct node *n, struct lease_pull_private *p, const struct address *volume)
{
	drop_fetched(n, p);
	p->waits = true;
	p->for_room = !volume;
	if (volume) {
		p->awaited = *volume;
		p->of->news = true;
	}
	p->at = p->before;
	p->volumes--;
}

static void look_again(struct node *n, struct timer *t)
{
	step(n, list_item(t, struct lease_pull_private, again));
}

void lease_pull_stored(struct node *n, const struct address *volume, unsigned int slot)
{
	go_on(n, volume, slot);
}

static void walked(struct lease_pull_private *p, const struct address *volume)
{
	p->last = *volume;
	p->any = true;
}

/* ---- LISTING ---- */

static void listed(struct node *n, struct call *c, int result, const struct message *answer, struct chunk *body)
{
	struct lease_pull_private *p = list_item(c, struct lease_pull_private, call);
	int err = usable(result, answer);

	if (err) {
		over(n, p, err);
		return;
	}
	chunk_drop(p->body);
	p->body = chunk_hold(body);
	p->page = answer->blobs;
	p->at = 0;
	p->more = answer->more;
	p->along = answer->addresses;
	p->along_count = answer->address_count;
	p->of->complete &= answer->complete;
	if (p->more && p->page.len == 0)
		wrong(n, p, "a page of leases without any");
	else
		step(n, p);
}

static int list(struct node *n, struct lease_pull_private *p)
{
	struct peer *peer = peer_find(n, &p->id);
	struct message m = { .type = WIRE_LEASES, .slot = p->of->slot };

	if (!peer)
		return -EHOSTUNREACH;
	if (p->any) {
		m.volume = p->last;
		m.has = WIRE_HAS(FIELD_VOLUME);
	}
	p->call.done = listed;
	call_start(n, &p->call, peer, &m, NULL, LINK_REPAIR, CALL_TIMEOUT);
	return 0;
}

/* ---- PUSHING ---- */

static void pushed(struct node *n, struct lease_push *push, int result)
{
	struct lease_pull_private *p = list_item(push, struct lease_pull_private, push);

	/* A newer one there, or its end, came up since the page was made: the next pull sees it. */
	if (result == -EHOSTUNREACH || result == -ETIMEDOUT) {
		over(n, p, result);
		return;
	}
	p->of->conflict |= result == -EEXIST;
	walked(p, &push->volume);
	step(n, p);
}

static void push(struct node *n, struct lease_pull_private *p, const struct address *volume)
{
	p->push.id = p->id;
	p->push.volume = *volume;
	p->push.slot = p->of->slot;
	p->push.done = pushed;
	lease_push(n, &p->push, LINK_REPAIR);
}

/* ---- FETCHING and STORING ---- */

static void stored(struct node *n, void *user, int result)
{
	struct lease_pull_private *p = user;

	p->storing = NULL;
	if (result) {
		over(n, p, -EIO);
		return;
	}
	p->of->news = true;
	walked(p, &p->lease.volume);
	step(n, p);
}

static void store(struct node *n, struct lease_pull_private *p)
{
	const struct wire_slice blob = { p->blob, p->blob_len };
	int err;

	if (lease_check(&p->lease, p->addresses, p->count)) {
		wrong(n, p, "a lease whose addresses are not those that were signed");
		return;
	}
	err = lease_store(n, &p->lease, &blob, &p->addresses, stored, p, &p->storing);
	if (!err) {
		drop_fetched(n, p);	/* but for the addresses: those are counted there now */
		return;
	}
	/* It came from elsewhere meanwhile, or a newer one did. */
	if (err == -EALREADY || err == -ESTALE || err == -EKEYREVOKED) {
		walked(p, &p->lease.volume);
		step(n, p);
	} else if (err == -EBUSY) {
		wait_for(n, p, lease_is_storing(n, &p->lease.volume, p->of->slot) ? &p->lease.volume : NULL);
	} else {
		over(n, p, -EIO);
	}
}

static int add_part(struct lease_pull_private *p, const struct message *m)
{
	struct address *grown;

	if (m->address_count > p->lease.count - p->count || (m->more && m->address_count == 0))
		return -EBADMSG;
	if (m->address_count == 0)
		return 0;
	grown = realloc(p->addresses, (p->count + m->address_count) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	p->addresses = grown;
	memcpy(grown + p->count, m->addresses, m->address_count * sizeof(*grown));
	p->count += m->address_count;
	return 0;
}

static void fetched(struct node *n, struct call *c, int result, const struct message *answer, struct chunk *body)
{
	struct lease_pull_private *p = list_item(c, struct lease_pull_private, call);
	int err;

	(void)body;
	if (!result && answer->status == WIRE_MISS) {
		/* Superseded by its end, or swept, since the page was made. */
		walked(p, &p->lease.volume);
		step(n, p);
		return;
	}
	err = usable(result, answer);
	/* A newer one since: the page is asked for again, behind what was walked over. */
	if (!err && (answer->lease.len != p->blob_len || memcmp(answer->lease.data, p->blob, p->blob_len) != 0)) {
		err = list(n, p);
		if (err)
			over(n, p, err);
		return;
	}
	if (err) {
		over(n, p, err);
		return;
	}
	err = add_part(p, answer);
	if (err == -EBADMSG)
		wrong(n, p, "more addresses than its lease has");
	else if (err)
		over(n, p, -EIO);
	else if (!answer->more || p->count == p->lease.count)
		store(n, p);
	else if ((err = fetch_part(n, p)))
		over(n, p, err);
}

static int fetch_part(struct node *n, struct lease_pull_private *p)
{
	struct peer *peer = peer_find(n, &p->id);
	struct message m = { .type = WIRE_LEASED, .slot = p->of->slot, .volume = p->lease.volume };

	if (!peer)
		return -EHOSTUNREACH;
	if (p->count > 0) {
		m.address = p->addresses[p->count - 1];
		m.has = WIRE_HAS(FIELD_ADDRESS);
	}
	p->call.done = fetched;
	call_start(n, &p->call, peer, &m, NULL, LINK_REPAIR, CALL_TIMEOUT);
	return 0;
}

/* Takes ${blob}, whose signature holds. */
static int fetch(struct node *n, struct lease_pull_private *p, const struct wire_slice *blob)
{
	assert(blob->len <= sizeof(p->blob));
	memcpy(p->blob, blob->data, blob->len);
	p->blob_len = blob->len;
	p->count = 0;
	drop_fetched(n, p);
	p->counted = p->lease.count;
	n->leases->pulled += p->counted;
	/* Never NULL: a lease may be empty. */
	p->addresses = malloc((p->along_count + 1) * sizeof(*p->addresses));
	if (!p->addresses)
		return -ENOMEM;
	if (p->along_count == 0 || lease_check(&p->lease, p->along, p->along_count))
		return fetch_part(n, p);
	memcpy(p->addresses, p->along, p->along_count * sizeof(*p->addresses));
	p->count = p->along_count;
	store(n, p);
	return 0;
}

/* ---- WALKING ---- */

enum took { NEXT, WAITS, WRONG };

/* What to do with the peer's lease ${blob} of ${volume}. */
static enum took take(struct node *n, struct lease_pull_private *p, const struct address *volume,
    const struct wire_slice *blob, int *err)
{
	struct catalogue *c = n->options.catalogue;
	struct chunk *here = c->lease(c, volume, p->of->slot), *end;
	bool same = here && here->len == blob->len && memcmp(here->data, blob->data, blob->len) == 0;
	struct peer *peer = peer_find(n, &p->id);

	chunk_drop(here);
	if (same || (p->of->ours && !(here && lease_is_ours(n, volume))))
		return NEXT;
	end = lease_ended(n, volume);
	if (end && peer)
		lease_end_tell(n, peer, end);
	chunk_drop(end);
	if (end)
		return NEXT;
	/* Two pairs that repair one slot meet the same lease at the same time. */
	if (lease_is_storing(n, volume, p->of->slot)) {
		wait_for(n, p, volume);
		return WAITS;
	}
	if (lease_open(n, blob->data, blob->len, &p->lease) || p->lease.slot != p->of->slot ||
	    p->lease.count > LEASE_ADDRESSES_MAX)
		return WRONG;
	switch (lease_rank(n, &p->lease, blob)) {
	case 0:
		if (n->leases->pulled > 0 && n->leases->pulled + p->lease.count > LEASES_PULLED_MAX)
			wait_for(n, p, NULL);
		else
			*err = fetch(n, p, blob);
		return WAITS;
	case -ESTALE:
		push(n, p, volume);
		return WAITS;
	case -EEXIST:
		p->of->conflict = true;
		return NEXT;
	default:
		return NEXT;
	}
}

/* The next of both lists.  False: nothing is left of this page, nor of ours as far as it goes. */
static bool next(struct node *n, struct lease_pull_private *p, struct address *volume, bool *ours, bool *theirs,
    struct wire_slice *blob, uint32_t *at, bool *bad)
{
	struct catalogue *c = n->options.catalogue;
	struct address mine, its;
	int order;

	*at = p->at;
	*ours = c->lease_next(c, p->of->slot, p->any ? &p->last : NULL, &mine);
	*theirs = wire_blob(&p->page, at, blob);
	*bad = *theirs && (signed_volume(blob->data, blob->len, &its) ||
	    (p->any && address_compare(&its, &p->last) <= 0));
	if (*bad)
		return true;
	/* Behind the end of a page we can't tell yet what the peer lacks. */
	if (!*theirs && (p->more || !*ours))
		return false;
	order = !*theirs ? -1 : !*ours ? 1 : address_compare(&mine, &its);
	*volume = order < 0 ? mine : its;
	*ours = order <= 0;
	*theirs = order >= 0;
	return true;
}

static bool is_over(struct node *n, const struct address *volume)
{
	struct chunk *end = lease_ended(n, volume);

	chunk_drop(end);
	return end;
}

static void step(struct node *n, struct lease_pull_private *p)
{
	struct address volume;
	struct wire_slice blob;
	bool ours, theirs, bad;
	uint32_t at;
	int err = 0;

	drop_fetched(n, p);
	while (next(n, p, &volume, &ours, &theirs, &blob, &at, &bad)) {
		/* Of a volume that has ended ours is on its way out: the peer has none, and needs none.  If it has ended
		 * there alone, the answer says so. */
		if (!bad && !theirs && ((p->of->ours && !lease_is_ours(n, &volume)) || is_over(n, &volume))) {
			walked(p, &volume);
			continue;
		}
		if (!bad && !theirs) {
			push(n, p, &volume);
			return;
		}
		p->before = p->at;
		p->at = at;
		switch (bad || ++p->volumes > VOLUMES_MAX ? WRONG : take(n, p, &volume, &blob, &err)) {
		case WRONG:
			wrong(n, p, "a bad list of leases");
			return;
		case WAITS:
			if (err)
				over(n, p, err == -EHOSTUNREACH ? err : -EIO);
			return;
		case NEXT:
			walked(p, &volume);
		}
	}
	if (!p->more)
		over(n, p, 0);
	else if ((err = list(n, p)))
		over(n, p, err);
}

void leases_pull(struct node *n, struct lease_pull *of)
{
	struct lease_pull_private *p = calloc(1, sizeof(*p));

	assert(of->peer && of->done && of->slot < RING_SLOTS);
	of->private = p;
	of->conflict = of->news = false;
	of->complete = true;
	if (!p) {
		node_stop(n, "no memory");
		return;
	}
	p->of = of;
	p->id = of->peer->id;
	p->late.due = give_up;
	p->again.due = look_again;
	list_append(&n->leases->pulls, &p->link);
	p->result = list(n, p);
	timer_set(n, &p->late, n->now + (p->result ? 0 : of->timeout ? of->timeout : LEASES_PULL_MAX));
	if (!p->result)
		p->result = -ETIMEDOUT;
}

void leases_pull_stop(struct node *n, struct lease_pull *of)
{
	if (of->private)
		pull_free(n, of->private);
}

void lease_pull_end(struct node *n)
{
	while (!list_empty(&n->leases->pulls))
		pull_free(n, list_item(n->leases->pulls.next, struct lease_pull_private, link));
}
