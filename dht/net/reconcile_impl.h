/* reconcile_impl: what reconcile.c (what is asked of a peer, and when) and reconcile_judge.c (what its answers mean) share. */
#ifndef DHT_NET_RECONCILE_IMPL_H
#define DHT_NET_RECONCILE_IMPL_H

#include "dht/net/repair_impl.h"

/* A place that is still to be looked at; listed: we have nothing there, so that hashes would be of no use. */
struct item {
	struct wire_path path;
	bool listed;
};

enum reconcile_state { SLOTS, LEASES, COMPARE, DESCEND, JUDGE, OFFER, WAIT };

struct leasing {
	struct lease_pull pull;
	struct reconcile *reconcile;
	bool busy;
};

struct reconcile {
	struct pair *pair;
	struct address id;
	enum reconcile_state state;
	int result;
	bool compared;			/* COMPARE is behind us */
	struct timer timer;
	struct call call;
	struct trie_slots shared;	/* both own them now */
	struct trie_slots duty;		/* slots where the peer is to say whether it has leases at all */
	struct trie_slots leases;	/* slots whose leases are to be made to agree */
	struct trie_slots agreed;	/* and those where that was done */
	struct trie_slots visit;	/* slots to descend into that the root does not lead to, or before it does ... */
	unsigned int visits;		/* ... so many */
	struct repair_outcome outcome;
	struct leasing leasing[REPAIR_LEASES];
	struct item *item;		/* a stack: depth first needs the least room */
	unsigned int items, items_size;
	struct wire_path asked[WIRE_PATHS_MAX];
	unsigned int asked_count;
	bool listing;			/* asked[0] is being listed, behind ${after} if ${more} */
	bool more;
	struct address after;
	struct message answer;		/* its pointers into ${body}; NULL: none */
	struct chunk *body;
	unsigned int at, hash_at, address_at;	/* how much of it was judged */
	struct address *offer;		/* WIRE_ADDRESSES_MAX of them; NULL: none yet */
	unsigned int offers;
	bool offer_more;
	unsigned int pulls;
	bool overspent;
	uint64_t spent, budget;		/* places and addresses looked at for nothing; how many may be */
};

/** reconcile_push(r, path, listed): to be looked at.  -ENOMEM. */
int reconcile_push(struct reconcile *r, const struct wire_path *path, bool listed);

/** reconcile_judge(n, r): goes on with r->answer.  0: all was judged; -EAGAIN: the trie is not read yet; -ENOSPC: pulls have no
 * room, reconcile_room() follows; -EBADMSG: it can't be true; -ENOMEM. */
int reconcile_judge(struct node *n, struct reconcile *r);

#endif
