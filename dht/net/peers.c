/*
 * Who we have to do with, by id.  A peer comes with a link (also one that the view does not know: it may be news), or when
 * a member is asked for; it goes by sweep() alone.
 *
 * What a read is expected to cost at a peer, in microseconds:
 *
 *	  the larger of its average and the age of its oldest request	(it may be stuck)
 *	+ DIAL_COST without a link
 *	+ SUSPECT_COST where others doubt that it lives
 *	x 2 for each wrong answer that is not forgiven yet
 *
 * so that one who lies is asked last, and is asked again in time: standing is local, and changes no placement.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "dht/net/node_core.h"
#include "dht/net/search.h"

#define SWEEP_EVERY	(PEER_KEEP / 8)
#define LATENCY_UNKNOWN (10 * MS)	/* of a peer that was never asked: it is worth a try */
#define DIAL_COST	(10 * MS)	/* a handshake more */
#define SUSPECT_COST	(1 * S)		/* behind all that are well */
#define WRONG_MAX	8u		/* doublings of the cost */

/* In the order of their ids. */
struct peers {
	struct peer **peer;
	uint64_t *head;		/* of each one's id (search.h) */
	unsigned int count, size;
	struct timer sweep;
};

/* Where ${id} is, or would be. */
static unsigned int place(const struct peers *s, const struct address *id)
{
	uint64_t head = search_head(id);
	unsigned int at = search_from(s->head, s->count, head);

	while (at < s->count && s->head[at] == head && address_compare(&s->peer[at]->id, id) < 0)
		at++;
	return at;
}

static struct peer *find(const struct peers *s, const struct address *id)
{
	unsigned int i = place(s, id);

	return i < s->count && address_equal(&s->peer[i]->id, id) ? s->peer[i] : NULL;
}

static void forget(struct node *n, struct peer *p)
{
	dial_free(n, p);
	latency_free(p);
	free(p);
}

/* Nothing but the time that passes makes a peer go: whoever holds a pointer to one is safe for PEER_KEEP. */
static void sweep(struct node *n, struct timer *t)
{
	struct peers *s = list_item(t, struct peers, sweep);
	unsigned int kept = 0;

	for (unsigned int i = 0; i < s->count; i++) {
		struct peer *p = s->peer[i];

		if (p->wrong > 0 && p->forgive <= n->now) {
			p->wrong /= 2;
			p->forgive = n->now + WRONG_FORGIVE;
		}
		if (p->links || p->dial || p->calls || p->served || p->wrong || p->used + PEER_KEEP > n->now)
			s->peer[kept++] = p;
		else
			forget(n, p);
	}
	s->count = kept;
	for (unsigned int i = 0; i < kept; i++)
		s->head[i] = search_head(&s->peer[i]->id);
	timer_set(n, t, n->now + SWEEP_EVERY);
}

int peers_new(struct node *n)
{
	n->peers = calloc(1, sizeof(*n->peers));
	if (!n->peers)
		return -ENOMEM;
	n->peers->sweep.due = sweep;
	return 0;
}

void peers_start(struct node *n)
{
	timer_set(n, &n->peers->sweep, n->now + SWEEP_EVERY);
}

void peers_free(struct node *n)
{
	struct peers *s = n->peers;

	if (!s)
		return;
	for (unsigned int i = 0; i < s->count; i++)
		forget(n, s->peer[i]);
	timer_stop(n, &s->sweep);
	free(s->peer);
	free(s->head);
	free(s);
	n->peers = NULL;
}

size_t peers_memory(const struct node *n)
{
	const struct peers *s = n->peers;
	size_t sum = sizeof(*s) + s->size * (sizeof(*s->peer) + sizeof(*s->head)) + s->count * sizeof(struct peer);

	for (unsigned int i = 0; i < s->count; i++)
		sum += s->peer[i]->samples ? 100 * sizeof(uint32_t) : 0;
	return sum;
}

struct peer *peers_make(struct node *n, const struct address *id)
{
	struct peers *s = n->peers;
	unsigned int i = place(s, id);
	struct peer *p;

	if (i < s->count && address_equal(&s->peer[i]->id, id))
		return s->peer[i];
	if (s->count >= PEERS_MAX && !membership_find(n, id))
		return NULL;
	if (s->count == s->size) {
		unsigned int size = s->size > 0 ? 2 * s->size : 4;
		struct peer **more = realloc(s->peer, size * sizeof(struct peer *));
		uint64_t *heads;

		if (!more)
			return NULL;
		s->peer = more;
		heads = realloc(s->head, size * sizeof(*heads));
		if (!heads)
			return NULL;
		s->head = heads;
		s->size = size;
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->id = *id;
	p->oldest = UINT64_MAX;
	p->used = n->now;
	memmove(&s->peer[i + 1], &s->peer[i], (s->count - i) * sizeof(struct peer *));
	memmove(&s->head[i + 1], &s->head[i], (s->count++ - i) * sizeof(*s->head));
	s->peer[i] = p;
	s->head[i] = search_head(id);
	return p;
}

struct peer *peer_find(struct node *n, const struct address *id)
{
	struct peer *p = find(n->peers, id);

	if (!p && !address_equal(id, &n->id) && membership_find(n, id))
		p = peers_make(n, id);
	if (p)
		p->used = n->now;
	return p;
}

struct peer *peer_next(struct node *n, const struct address *id)
{
	const struct peers *s = n->peers;
	unsigned int i = id ? place(s, id) : 0;

	if (i < s->count && id && address_equal(&s->peer[i]->id, id))
		i++;
	return i < s->count ? s->peer[i] : NULL;
}

bool peer_reachable(struct node *n, const struct peer *p)
{
	return (p->link != 0 || dial_possible(n, p)) && membership_health(n, &p->id) != PEER_DOWN;
}

uint64_t peer_cost(struct node *n, const struct peer *p)
{
	uint64_t cost = p->latency > 0 ? p->latency : LATENCY_UNKNOWN;
	enum health health = membership_health(n, &p->id);

	if (health == PEER_DOWN || (p->link == 0 && !dial_possible(n, p)))
		return UINT64_MAX;
	if (p->oldest != UINT64_MAX && n->now - p->oldest > cost)
		cost = n->now - p->oldest;
	if (p->link == 0)
		cost += DIAL_COST;
	if (health == PEER_SUSPECT)
		cost += SUSPECT_COST;
	return cost << (p->wrong < WRONG_MAX ? p->wrong : WRONG_MAX);
}

void peer_lacked(struct node *n, const struct address *id, uint64_t us)
{
	struct peer *p = peer_find(n, id);

	if (p)
		latency_sample(p, us);
}

void peer_wrong(struct node *n, struct peer *p, const char *what)
{
	char id[ADDRESS_TEXT_LEN + 1];

	p->wrong++;
	p->forgive = n->now + WRONG_FORGIVE;
	n->status.wrong_answers++;
	/* The 1st, 2nd, 4th, 8th ...: nobody fills our log. */
	if (p->wrong & (p->wrong - 1))
		return;
	address_format(&p->id, id);
	node_log(n, LOG_WARNING, "%s: %u wrong answers; the last: %s", id, p->wrong, what);
}

void peer_differs(struct node *n, struct peer *p)
{
	if (n->now < p->differs)
		return;
	p->differs = n->now + DIFFERS_EVERY;
	membership_differs(n, p);
}
