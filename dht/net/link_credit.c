#include <assert.h>

#include "dht/net/link_impl.h"

/*
 * What a link holds of its node's memory, or may come to hold: granted + unread.  Up to
 * LINK_CREDIT_MIN is its own, the rest is counted in the pool.
 */
static void count(struct link *l)
{
	uint64_t total = (uint64_t)l->granted + l->unread;
	uint64_t pooled = total > LINK_CREDIT_MIN ? total - LINK_CREDIT_MIN : 0;

	assert(l->pool->granted >= l->pooled);
	l->pool->granted += pooled - l->pooled;
	l->pooled = pooled;
}

void link_credit_start(struct link *l, const struct link_options *o)
{
	l->pool = o->pool;
	l->user = o->user;
	list_init(&l->waiting);
	if (!l->pool->waiting.next)
		list_init(&l->pool->waiting);
}

/* A part of what the pool has left, and what is left of the link's own. */
static uint32_t allowed(const struct link *l, uint32_t most)
{
	const struct link_pool *p = l->pool;
	uint64_t total = (uint64_t)l->granted + l->unread;
	uint64_t n = p->max > p->granted ? (p->max - p->granted) / LINK_CREDIT_PART : 0;

	if (total < LINK_CREDIT_MIN)
		n += LINK_CREDIT_MIN - total;
	if (total >= most)
		return 0;
	return (uint32_t)(n < most - total ? n : most - total);
}

uint32_t link_credit_first(struct link *l)
{
	l->granted = l->window = allowed(l, LINK_CREDIT_FIRST);
	count(l);
	return l->granted;
}

bool link_credit_came(struct link *l, size_t bytes)
{
	if (bytes > l->granted)
		return false;
	l->granted -= (uint32_t)bytes;
	l->unread += (uint32_t)bytes;
	return true;
}

/*
 * The pool is empty and the peer can't send.  The link that has waited longest may overdraw, if only
 * parts of messages are in its way: or links that wait for their last parts would wait for each other.
 */
static bool may_overdraw(const struct link *l)
{
	uint32_t parts = 0;

	if (l->pool->waiting.next != &l->waiting)
		return false;
	for (int i = LINK_READ; i < LINK_PRIORITIES; i++)
		parts += l->partial[i].len;
	return parts == l->unread;
}

bool link_credit_raise(struct link *l)
{
	uint32_t more;

	/* Not before half of it is used: each grant costs a frame. */
	if (l->failed || !l->window || l->granted > l->window / 2)
		return l->grant > 0;
	more = allowed(l, LINK_CREDIT);
	if (more < LINK_GRANT_MIN && l->granted == 0) {
		if (list_empty(&l->waiting))
			list_append(&l->pool->waiting, &l->waiting);
		if (may_overdraw(l))
			more = LINK_CREDIT_MIN;
	} else if (more >= LINK_GRANT_MIN) {
		list_remove(&l->waiting);
	}
	if (more < LINK_GRANT_MIN)
		return l->grant > 0;
	l->granted += more;
	l->window = l->granted;
	l->grant += more;
	count(l);
	return true;
}

void link_consumed(struct link *l, size_t bytes)
{
	assert(bytes <= l->unread);
	l->unread -= (uint32_t)bytes;
	count(l);
	/* Who overdrew and has nothing more in his way lets the next one. */
	if (l->unread == 0 && l->granted > 0)
		list_remove(&l->waiting);
	link_credit_raise(l);
}

void *link_pool_next(struct link_pool *p)
{
	struct link *l;

	if (!p->waiting.next || list_empty(&p->waiting))
		return NULL;
	l = list_item(p->waiting.next, struct link, waiting);
	if (l->grant > 0 || !link_credit_raise(l))
		return NULL;
	return l->user;
}

void link_credit_end(struct link *l)
{
	if (!l->pool)
		return;
	l->granted = l->unread = 0;
	count(l);
	list_remove(&l->waiting);
}
