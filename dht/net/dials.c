/*
 * What wants a link is a dial: of a peer, as long as somebody waits for it; or of a seed, as long as the node lives.
 *
 *   state    | event                              | function        | next
 *   ---------+------------------------------------+-----------------+----------
 *   -        | a link is wanted; not in backoff   | dial_want       | in line
 *   in line  | room among DIALS_MAX and LINKS_MAX | dials_turn      | under way
 *   in line  | DIAL_TIMEOUT                       | late, failed    | -, in backoff
 *   under way | a link to whom it may concern     | dial_up         | -
 *   under way | it failed, DIAL_TIMEOUT; one more address | next_address | in line, first
 *   under way | it failed, DIAL_TIMEOUT; no more  | failed          | -, in backoff
 *   any      | the peer dialled us                | dial_over       | -
 *
 * For a seed "-" is a wait for its timer; it has one address, and rests once it was met, until no link is up.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "dht/net/node_core.h"

#define HANGUPS 2u		/* dials in a row that failed before: who just restarts does so once */

/* A message of membership that waits for the link. */
struct held {
	unsigned int type;
	struct chunk *head;
};

struct peer_dial {
	struct list line;
	struct peer *peer;		/* NULL: of a seed */
	struct work work;
	struct timer timer;
	unsigned int tried;		/* addresses of the peer that failed */
	struct held held[HELD_MAX];	/* oldest first */
	unsigned int holds;
	/* of a seed */
	char *seed;
	unsigned int failures;
	struct address id;		/* of whom we met there */
	bool met, ourselves;
};

struct dials {
	struct list line;
	struct timer turn;
	unsigned int under_way, count;
	size_t bytes;			/* of messages that wait */
	struct peer_dial *seed;
	unsigned int seeds;
};

static void late(struct node *n, struct timer *t);
static void turn(struct node *n, struct timer *t);
static void done(struct node *n, struct work *w, const struct event *e);

static void dial_init(struct peer_dial *d, struct peer *p)
{
	*d = (struct peer_dial){ .peer = p, .work.done = done, .timer.due = late };
	list_init(&d->line);
}

int dials_new(struct node *n)
{
	struct dials *s = n->dials = calloc(1, sizeof(*s));
	unsigned int count = 0;

	if (!s)
		return -ENOMEM;
	list_init(&s->line);
	s->turn.due = turn;
	while (n->options.seeds && n->options.seeds[count])
		count++;
	s->seed = calloc(count + 1, sizeof(*s->seed));
	if (!s->seed)
		return -ENOMEM;
	for (unsigned int i = 0; i < count; i++) {
		dial_init(&s->seed[i], NULL);
		s->seed[i].seed = strdup(n->options.seeds[i]);
		s->seeds++;
		if (!s->seed[i].seed)
			return -ENOMEM;
	}
	return 0;
}

void dials_free(struct node *n)
{
	struct dials *s = n->dials;

	if (!s)
		return;
	timer_stop(n, &s->turn);
	for (unsigned int i = 0; i < s->seeds; i++) {
		timer_stop(n, &s->seed[i].timer);
		free(s->seed[i].seed);
	}
	free(s->seed);
	free(s);
	n->dials = NULL;
}

size_t dials_memory(const struct node *n)
{
	return sizeof(*n->dials) + n->dials->bytes + (n->dials->count + n->dials->seeds) * sizeof(struct peer_dial);
}

/* A seed rests when it is us, or known by a record of its own: then membership sees to it. */
static bool rests(struct node *n, const struct peer_dial *d)
{
	return !d->peer && (d->ourselves || (d->met && membership_find(n, &d->id)));
}

static unsigned int addresses(struct node *n, const struct peer *p)
{
	const struct member *m = membership_find(n, &p->id);
	unsigned int i = 0;

	while (m && m->state < MEMBER_LEFT && i < MEMBER_ADDRESSES && m->address[i][0])
		i++;
	return i;
}

/* Takes it out of the line, or gives up what is under way: a link that comes all the same is taken as it is. */
static void halt(struct node *n, struct peer_dial *d)
{
	list_remove(&d->line);
	timer_stop(n, &d->timer);
	if (work_busy(&d->work)) {
		work_stop(n, &d->work);
		n->dials->under_way--;
	}
}

/* The oldest message that waits. */
static struct held unhold(struct node *n, struct peer_dial *d)
{
	struct held h = d->held[0];

	memmove(&d->held[0], &d->held[1], --d->holds * sizeof(h));
	n->dials->bytes -= h.head->len;
	return h;
}

static void drop(struct node *n, struct peer_dial *d)
{
	halt(n, d);
	while (d->holds > 0)
		chunk_drop(unhold(n, d).head);
	d->peer->dial = NULL;
	n->dials->count--;
	free(d);
}

void dial_free(struct node *n, struct peer *p)
{
	if (p->dial)
		drop(n, p->dial);
}

static uint64_t backoff(struct node *n, unsigned int failures)
{
	uint64_t us = DIAL_AGAIN_MIN;

	while (--failures > 0 && us < DIAL_AGAIN_MAX)
		us *= 2;
	return node_jitter(n, us < DIAL_AGAIN_MAX ? us : DIAL_AGAIN_MAX);
}

static void seed_again(struct node *n, struct peer_dial *d)
{
	timer_set(n, &d->timer, n->now + backoff(n, ++d->failures));
}

static void failed(struct node *n, struct peer_dial *d)
{
	struct peer *p = d->peer;

	halt(n, d);
	if (!p) {
		seed_again(n, d);
		return;
	}
	p->again = n->now + backoff(n, ++p->failures);
	drop(n, d);
	calls_unreachable(n, p);
}

/* One address has failed: the next one, at once. */
static void next_address(struct node *n, struct peer_dial *d)
{
	halt(n, d);
	if (!d->peer || ++d->tried >= addresses(n, d->peer)) {
		failed(n, d);
		return;
	}
	/* Behind the head's predecessor is the front of the line. */
	list_append(n->dials->line.next, &d->line);
	timer_set(n, &d->timer, n->now + DIAL_TIMEOUT);
}

static void in_line(struct node *n, struct peer_dial *d)
{
	list_append(&n->dials->line, &d->line);
	timer_set(n, &d->timer, n->now + DIAL_TIMEOUT);
	dials_turn(n);
}

static void late(struct node *n, struct timer *t)
{
	struct peer_dial *d = list_item(t, struct peer_dial, timer);

	if (!list_empty(&d->line))
		failed(n, d);
	else if (work_busy(&d->work))
		next_address(n, d);
	else if (!rests(n, d))
		in_line(n, d);
	dials_turn(n);
}

/* Where no network is at fault, but we: a stranger is told nothing, and so must guess. */
static void tell_hangup(struct node *n, const struct peer_dial *d, int result)
{
	unsigned int failures = d->peer ? d->peer->failures : d->failures;
	const char *where = d->seed;

	if (failures != HANGUPS || (result != -ECONNRESET && result != -EPIPE))
		return;
	if (d->peer && d->tried < addresses(n, d->peer))
		where = membership_find(n, &d->peer->id)->address[d->tried];
	if (where)
		node_log(n, LOG_WARNING, "%.80s hangs up on us: has it another ring file, or secret (--ring)?  Its log says why", where);
}

static void done(struct node *n, struct work *w, const struct event *e)
{
	struct peer_dial *d = list_item(w, struct peer_dial, work);

	n->dials->under_way--;
	tell_hangup(n, d, e->result);
	if (e->result == -EEXIST) {
		membership_cloned(n, d->seed ? d->seed : "a member's address");
		return;
	}
	if (e->result == -ELOOP && !d->peer) {
		d->ourselves = true;
		halt(n, d);
	} else {
		next_address(n, d);
	}
	dials_turn(n);
}

static void begin(struct node *n, struct peer_dial *d)
{
	struct effect e = { .kind = EFFECT_DIAL };
	const char *text = d->seed;

	list_remove(&d->line);
	if (d->peer) {
		unsigned int count = addresses(n, d->peer);

		/* Its record may have changed while it stood in line. */
		if (count == 0) {
			failed(n, d);
			return;
		}
		text = membership_find(n, &d->peer->id)->address[d->tried % count];
	}
	strncpy(e.text, text, sizeof(e.text) - 1);
	n->dials->under_way++;
	timer_set(n, &d->timer, n->now + DIAL_TIMEOUT);
	work_start(n, &d->work, &e);
}

static void turn(struct node *n, struct timer *t)
{
	struct dials *s = list_item(t, struct dials, turn);

	while (!list_empty(&s->line) && s->under_way < DIALS_MAX) {
		if (links_dialled(n) + s->under_way >= LINKS_MAX && !links_give_way(n, true))
			return;
		begin(n, list_item(s->line.next, struct peer_dial, line));
	}
}

/* Not at once: whoever wants a link is not called back from within, whatever becomes of the others in line. */
void dials_turn(struct node *n)
{
	struct dials *s = n->dials;

	if (!list_empty(&s->line) && s->under_way < DIALS_MAX && !timer_busy(&s->turn))
		timer_set(n, &s->turn, n->now);
}

bool dial_possible(struct node *n, const struct peer *p)
{
	return p->dial || (n->now >= p->again && addresses(n, p) > 0);
}

bool dial_want(struct node *n, struct peer *p)
{
	if (p->link != 0 || p->dial)
		return true;
	if (!dial_possible(n, p))
		return false;
	p->dial = malloc(sizeof(*p->dial));
	if (!p->dial)
		return false;
	dial_init(p->dial, p);
	n->dials->count++;
	in_line(n, p->dial);
	return true;
}

void dial_up(struct node *n, struct work *w, const struct address *id)
{
	struct peer_dial *d = list_item(w, struct peer_dial, work);

	n->dials->under_way--;
	if (!d->peer) {
		d->ourselves = address_equal(id, &n->id);
		d->met = true;
		d->id = *id;
		d->failures = 0;
		/* Until then its record should have come. */
		timer_set(n, &d->timer, n->now + DIAL_AGAIN_MAX);
	} else if (!address_equal(&d->peer->id, id)) {
		/* Somebody else has its address now. */
		next_address(n, d);
	}
	dials_turn(n);
}

void dial_over(struct node *n, struct peer *p)
{
	struct peer_dial *d = p->dial;

	if (!d)
		return;
	while (d->holds > 0) {
		struct held h = unhold(n, d);

		message_send(n, p->link, h.type, 0, LINK_CONTROL, h.head, NULL);
	}
	drop(n, d);
	dials_turn(n);
}

void dial_lost(struct node *n, struct peer *p, bool of_use)
{
	p->failures = of_use ? 0 : p->failures + 1;
	p->again = of_use ? 0 : n->now + backoff(n, p->failures);
}

void peer_dial(struct node *n, struct peer *p)
{
	dial_want(n, p);
}

void peer_tell(struct node *n, struct peer *p, const struct message *m)
{
	struct message copy = *m;
	struct peer_dial *d;
	struct chunk *head;

	if (!dial_want(n, p) || message_encode(n, &copy, NULL, &head) != 0)
		return;
	if (p->link != 0) {
		message_send(n, p->link, m->type, 0, LINK_CONTROL, head, NULL);
		return;
	}
	d = p->dial;
	if (d->holds == HELD_MAX)
		chunk_drop(unhold(n, d).head);
	n->dials->bytes += head->len;
	d->held[d->holds++] = (struct held){ m->type, head };
}

void peers_member(struct node *n, const struct member *m)
{
	struct peer *p = address_equal(&m->id, &n->id) ? NULL : peer_find(n, &m->id);

	if (!p)
		return;
	if (m->state >= MEMBER_LEFT) {
		dial_free(n, p);
		/* First: or who asks again when he is told gets into line for the link. */
		peer_hang_up(n, p, m->state == MEMBER_LEFT ? "it left the ring" : "it was evicted");
		calls_unreachable(n, p);
		return;
	}
	p->again = 0;
	p->failures = 0;
	/* It lives now, where the record says: what was dialled before may hang for ever. */
	if (p->dial && work_busy(&p->dial->work)) {
		halt(n, p->dial);
		p->dial->tried = 0;
		in_line(n, p->dial);
	}
}

/* ${anew}: also those that were met. */
static void seeds_dial(struct node *n, bool anew)
{
	for (unsigned int i = 0; i < n->dials->seeds; i++) {
		struct peer_dial *d = &n->dials->seed[i];

		if (anew && !work_busy(&d->work) && list_empty(&d->line) && d->met) {
			d->met = false;
			timer_stop(n, &d->timer);
		}
		if (!rests(n, d) && !timer_busy(&d->timer))
			timer_set(n, &d->timer, n->now + (anew ? node_jitter(n, DIAL_AGAIN_MIN) : 0));
	}
}

void peers_dial_seeds(struct node *n)
{
	seeds_dial(n, links_count(n) == 0);
}

void dials_start(struct node *n)
{
	seeds_dial(n, false);
}

void dials_alone(struct node *n)
{
	seeds_dial(n, true);
}
