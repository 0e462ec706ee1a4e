/*
 * node_core: what the services of a node (timers, work, commands, peers, links, dials, calls, serve) ask of each
 * other, and node.c of them.  State machines need node_impl.h only.
 *
 * Each has a _new (0, -ENOMEM), a _free, and a _memory: bytes that it holds, about.
 */
#ifndef DHT_NET_NODE_CORE_H
#define DHT_NET_NODE_CORE_H

#include "dht/net/node_impl.h"

/* ---- timers.c ---- */

void timers_run(struct node *n);	/* all that are due at n->now */
uint64_t timers_next(const struct node *n);

/* ---- random.c ---- */

void random_seed(struct node *n, uint64_t seed);

/* ---- effects.c: the queue of what is to be done; node_effect(), node_log(), node_stop() ---- */

int effects_new(struct node *n);
void effects_free(struct node *n);
size_t effects_memory(const struct node *n);
bool effects_poll(struct node *n, struct effect *out);

/** effects_put(n, e): behind the others; takes over its chunks. */
void effects_put(struct node *n, struct effect *e);

/* ---- work.c ---- */

int works_new(struct node *n);
void works_free(struct node *n);
size_t works_memory(const struct node *n);

/** works_done(n, e): EVENT_DONE.  A table that nobody waits for any more is given back. */
void works_done(struct node *n, const struct event *e);

/** works_take(n, ticket): a dial that became a link: who waits for it, without a call back; NULL: nobody does any more. */
struct work *works_take(struct node *n, uint64_t ticket);

/* ---- commands.c ---- */

int commands_new(struct node *n);
void commands_free(struct node *n);
size_t commands_memory(const struct node *n);
unsigned int commands_count(const struct node *n);
void commands_input(struct node *n, const struct command *c);
void commands_stop(struct node *n);	/* all that wait: -ESHUTDOWN */

/* ---- peers.c, latency.c ---- */

int peers_new(struct node *n);
void peers_start(struct node *n);
void peers_free(struct node *n);
size_t peers_memory(const struct node *n);

/** peers_make(n, id): the peer, made where there is none.  NULL: no memory, or no member, and PEERS_MAX are there. */
struct peer *peers_make(struct node *n, const struct address *id);

/** peer_differs(n, p): its placement is not ours; tells membership, at most each DIFFERS_EVERY. */
void peer_differs(struct node *n, struct peer *p);

/** latency_sample(p, us): of an answered read, or of one that was given up.  latency_free(p). */
void latency_sample(struct peer *p, uint64_t us);
void latency_free(struct peer *p);

/* ---- links.c: connections that are up ---- */

struct peer_link {
	struct peer_link *next;		/* another one of the peer */
	struct peer *peer;
	uint32_t number;
	bool ours;			/* dialled by us */
	bool retiring, closing;		/* nothing new goes here; we closed it, and ignore what comes */
	bool full;
	bool spoke;			/* a message came */
	uint64_t since, used, heard;	/* used: other than for membership */
	unsigned int calls, served;	/* under way */
	unsigned int working;		/* of those that are served: with long answers, and not in line */
	uint64_t unread;		/* bytes of answers since it is full; links_unread() */
	struct list by_use;		/* among those that are not closing (links.c) */
	struct timer timer;		/* while retiring */
};

int links_new(struct node *n);
void links_free(struct node *n);
size_t links_memory(const struct node *n);
unsigned int links_count(const struct node *n);
unsigned int links_dialled(const struct node *n);
struct peer_link *links_find(struct node *n, uint32_t number);

/** links_up(n, e), links_down(n, e): EVENT_LINK_UP, EVENT_LINK_DOWN.  links_room(n, number, full): EVENT_LINK_FULL and _ROOM. */
void links_up(struct node *n, const struct event *e);
void links_down(struct node *n, const struct event *e);
void links_room(struct node *n, uint32_t number, bool full);

/** links_unread(n, l, bytes): so much more waits for ${l}, which is full.  Closes it beyond UNREAD_MAX, and beyond UNREAD_ALL_MAX of
 * all links the one for which most waits. */
void links_unread(struct node *n, struct peer_link *l, size_t bytes);

/** link_close(n, l, why): EFFECT_CLOSE; nothing goes by it any more, ${l} stays until EVENT_LINK_DOWN. */
void link_close(struct node *n, struct peer_link *l, const char *why);

/** link_idle(l): nothing is under way.  links_give_way(n, ours): close the one of oldest use that is idle, of those that
 * ${ours} dialled or accepted.  False: none is. */
bool link_idle(const struct peer_link *l);
void link_used(struct node *n, struct peer_link *l);	/* now */
bool links_give_way(struct node *n, bool ours);

/* ---- dials.c: connections that are wanted ---- */

int dials_new(struct node *n);
void dials_start(struct node *n);
void dials_free(struct node *n);
size_t dials_memory(const struct node *n);

/** dial_want(n, p): a link is wanted: true when one is up or will be tried, false when it can't be now. */
bool dial_want(struct node *n, struct peer *p);

/** dial_possible(n, p): would dial_want() try? */
bool dial_possible(struct node *n, const struct peer *p);

/** dial_up(n, w, id): the dial that ${w} waited for became a link to ${id}. */
void dial_up(struct node *n, struct work *w, const struct address *id);

/** dial_over(n, p): a link to ${p} is up: what waits for it goes out.  dial_lost(n, p, of_use): it went; if it was of no use
 * that counts as a dial that failed. */
void dial_over(struct node *n, struct peer *p);
void dial_lost(struct node *n, struct peer *p, bool of_use);

/** dials_turn(n): there may be room for those in line.  dials_alone(n): no link is up any more. */
void dials_turn(struct node *n);
void dials_alone(struct node *n);
void dial_free(struct node *n, struct peer *p);

/* ---- calls.c ---- */

int calls_new(struct node *n);
void calls_free(struct node *n);
size_t calls_memory(const struct node *n);
unsigned int calls_count(const struct node *n);

/** calls_answer(n, p, m): false: it breaks the protocol. */
bool calls_answer(struct node *n, struct peer *p, const struct link_message *m);
void calls_send(struct node *n, struct peer *p);	/* as many as may go now */
void calls_lost(struct node *n, struct peer *p, uint32_t via);	/* those that went by that link */
void calls_unreachable(struct node *n, struct peer *p);	/* those that wait for one */

/** message_encode(n, m, tail, out): its bytes but for ${tail}; where it is a request, our placement is filled in.  0, -ENOMEM. */
int message_encode(struct node *n, struct message *m, struct chunk *tail, struct chunk **out);

/** message_send(n, link, m...): EFFECT_SEND; takes over ${head}, holds ${tail}. */
void message_send(struct node *n, uint32_t link, unsigned int type, uint32_t request, enum link_priority priority,
    struct chunk *head, struct chunk *tail);

/* ---- serve.c ---- */

int serve_new(struct node *n);
void serve_free(struct node *n);
size_t serve_memory(const struct node *n);

/** serve_message(n, l, m): what came by ${l}: an answer, a request, news of membership; takes over its body.  Where it breaks the
 * protocol the link is closed. */
void serve_message(struct node *n, struct peer_link *l, struct link_message *m);

/** serve_turn(n): there may be room for those in line.  serve_lost(n, via): those that came by that link. */
void serve_turn(struct node *n);
void serve_lost(struct node *n, uint32_t via);

/* ---- machines.c: all of them, in one order ---- */

void machines_start(struct node *n);
void machines_peer(struct node *n, struct peer *p, bool up);
bool machines_request(struct node *n, struct served *s, const struct message *m);
void machines_end(struct node *n);
size_t machines_memory(struct node *n);

#endif
