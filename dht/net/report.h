/*
 * report: what a person asks of a running node: who is in the ring, what is safe, what waits.  Reads the core between two
 * events and changes nothing; what it gives out are copies.  Pure.
 */
#ifndef DHT_NET_REPORT_H
#define DHT_NET_REPORT_H

#include "dht/net/node.h"

#define REPORT_COVER 64u	/* parts of the ring in report_ring.cover */

enum report_state {
	REPORT_BEGINS,		/* knows nobody yet, and answers for nothing */
	REPORT_JOINS,
	REPORT_HERE,
	REPORT_DRAINS,		/* out of placement; it hands over what it has */
	REPORT_ENDS,		/* it has left or was evicted */
};

struct report_ring {
	struct address id;			/* ours */
	enum report_state state;
	unsigned int members, down, suspects;	/* ourselves among the members; of them, those that do not answer (surely; perhaps) */
	unsigned int draining, gone;		/* of the members; tombstones */
	unsigned int replicas;			/* R' of the table; 0: there is no table yet */
	/* By what this node sees, and placement alone: slots with so many owners that can be reached.  A spare that stands in for one that
	 * is down is not counted. */
	unsigned int owned[RING_REPLICAS_MAX + 1];
	uint8_t cover[REPORT_COVER];		/* in each part of the ring the fewest of them */
	unsigned int mine, incomplete;		/* our slots; those that something may still come to */
	uint64_t left_us;			/* until nothing may, by the pace of late; 0: there is none to go by */
	unsigned int holds;			/* slots of others that we go on answering for until they have all */
	unsigned int foreign;			/* records on their way to their owners, or waiting for them */
	unsigned int pairs, comparing, due;	/* peers with whom we have slots in common; those compared with just now; that wait for it */
	bool rests;				/* maintenance of anyone: no spares are made */
	uint64_t rest_s;			/* ... for so long */
};

struct report_member {
	struct address id;
	enum member_state state;
	bool self, down, suspect, linked, rests;
	uint8_t weight;
	char zone[RING_ZONE_LEN + 1];
	char address[MEMBER_ADDRESSES][MEMBER_ADDRESS_LEN + 1];
	bool heard;
	uint64_t heard_us, down_us;		/* ago; down_us: 0: it is not */
	uint64_t latency_us;			/* of answered reads; 0: none yet */
	unsigned int calls, wrong;		/* our requests under way there; answers that failed verification lately */
	unsigned int slots, slots_before;	/* by the present table; by the one before, if that still counts */
};

void report_ring(struct node *n, struct report_ring *out);

/** report_member(n, id, out): of one, but for its slots.  False: it is no member. */
bool report_member(struct node *n, const struct address *id, struct report_member *out);

/** report_members(n, after, out, max): up to ${max} of them behind ${after} (NULL: all) in the order of ids; their number. */
size_t report_members(struct node *n, const struct address *after, struct report_member *out, size_t max);

/** report_owners(n, a, out, max): who is to have ${a}: its owners by rank, and then the next on the walk.  *${replicas} of them are owners.
 * 0: there is no table yet. */
size_t report_owners(struct node *n, const struct address *a, struct address *out, size_t max, unsigned int *replicas);

#endif
