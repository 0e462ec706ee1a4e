/*
 * corekit: the services of one node (timers, work, commands, peers, links, dials, calls, serve) without its machines: the
 * test says who is a member and carries out, or does not, what comes out.  One at a time.
 */
#ifndef TESTS_COREKIT_H
#define TESTS_COREKIT_H

#include "dht/net/node_core.h"

#define CORE_MEMBERS 32u	/* whose ids rise with their numbers; ours lies between 15 and 16 */
#define CORE_EFFECTS 16384u
#define CORE_SERVED  2048u

struct core {
	struct node *n;
	struct ring_file file;
	struct member member[CORE_MEMBERS];	/* key, id; state 0: not in the view */
	enum health health[CORE_MEMBERS];
	uint32_t links;				/* the number of the last one */
	/* what has come out and was not taken, oldest first */
	struct effect effect[CORE_EFFECTS];
	unsigned int effects;
	/* what membership and machines were told */
	unsigned int heard, ups, downs, differs, messages, changes, cloned, commands, stored;
	struct peer *last;
	struct command command;			/* the last one */
	/* requests of peers; with ${answers} they are answered at once: WIRE_OK */
	struct served *served[CORE_SERVED];
	unsigned int serving, requests;
	bool answers, unknown, no_table;
	struct address placement;
	void (*on_peer)(struct core *k, struct peer *p, bool up);
};

/** core_new(seeds): a node that has just started; seeds as in node_options, or NULL.  core_free(k): with nothing left behind. */
struct core *core_new(const char *const *seeds);
void core_free(struct core *k);

/** core_member(k, i, addresses): is in the view, with so many addresses: "i:0", "i:1" ...  Returns it as a peer. */
struct peer *core_member(struct core *k, unsigned int i, unsigned int addresses);

/** core_run(k, us): so much time passes, and what is due happens in its order. */
void core_run(struct core *k, uint64_t us);

/** core_take(k, kind, out): the oldest effect of ${kind}, whose chunks are the caller's now; false: none.  core_count(k, kind).
 * core_forget(k): all that have come out so far. */
bool core_take(struct core *k, enum effect_kind kind, struct effect *out);
unsigned int core_count(const struct core *k, enum effect_kind kind);
void core_forget(struct core *k);

/** core_up(k, i, ticket): a link of member ${i} is up: its number.  core_down(k, link, result).  core_done(k, ticket, result):
 * EVENT_DONE.  core_full(k, link, full).  core_dialled(k, i): takes the EFFECT_DIAL that is there, which reaches ${i}. */
uint32_t core_up(struct core *k, unsigned int i, uint64_t ticket);
void core_down(struct core *k, uint32_t link, int result);
void core_done(struct core *k, uint64_t ticket, int result);
void core_full(struct core *k, uint32_t link, bool full);
uint32_t core_dialled(struct core *k, unsigned int i);

/** core_key(i, out): the public key of the i-th of any number of nodes, in no order of ids; the first CORE_MEMBERS are not
 * the members.  core_key_up(k, key, ticket): its link. */
void core_key(unsigned int i, uint8_t out[MEMBER_KEY]);
uint32_t core_key_up(struct core *k, const uint8_t key[MEMBER_KEY], uint64_t ticket);

/** core_message(k, link, m, priority): it comes in.  core_bytes(): any bytes.  core_answer(k, sent, status): the answer to an
 * EFFECT_SEND, by the link that it went. */
void core_message(struct core *k, uint32_t link, struct message *m, enum link_priority priority);
void core_bytes(struct core *k, uint32_t link, unsigned int type, uint32_t request, enum link_priority priority,
    const void *bytes, size_t len);
void core_answer(struct core *k, const struct effect *sent, enum wire_status status);

#endif
