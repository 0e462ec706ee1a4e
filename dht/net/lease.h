/*
 * lease: which chunks which volume keeps alive.  Part of node_impl.h's world.
 *
 * A lease is all that one volume keeps in one slot: a signed number, root and count, and the addresses that they speak of, in
 * strictly rising order, all of the slot, at most LEASE_ADDRESSES_MAX.  Each owner of the slot stores it durably, signature and
 * addresses together (EFFECT_LEASE), and only then says WIRE_OK.
 *
 *   1. A higher seq supersedes a lower one.  A lower one is WIRE_OLD, the same bytes again are WIRE_OK.
 *   2. Of two with one seq and other bytes (the volume's machine was cloned) the first that came stays, at each owner; the other is
 *      WIRE_CONFLICT, and both owners say so in their logs, each at most once in LEASE_WARN_EVERY.  Neither is dropped for the
 *      other: one of them may have been acknowledged.  A higher seq ends it.
 *   3. Nothing but a higher seq, or the volume's signed end, takes a lease away: no absence, no time.
 *   4. The end of a volume is kept for ever (ROW_RETIRED, at most RETIRED_MAX): a lease that comes back later, from an
 *      owner who was away, is WIRE_ENDED, and the answer carries the statement, so that he learns it too.
 *      COMMAND_RETIRE tells all members; who was not there learns it from the first to whom it sends a lease of the volume, or with
 *      whom it makes its leases agree.
 *   5. What a new lease holds and the one before did not is touched (deletion.h), where it is here.  Its volume has touched, and seen stored,
 *      each of these chunks in the last DELETE_AFTER, or the lease may come too late.
 *
 * When it counts.  COMMAND_LEASE first stores it here, with a note (ROW_LEASING) that owners may lack it, then sends it to all
 * owners at a time.  It replies 0 when every owner has it or can't be reached, and floor(R'/2)+1 of the R' have it, this
 * node counted if it is one.  It goes on, also after a restart, until all have it: then the note goes.  The
 * lease itself stays here, whoever owns the slot: so this node's own copies of a volume are not garbage to it, and who comes home after a
 * year brings its leases with it.
 *
 * Agreement.  Owners of one slot make their leases agree by leases_pull(), both ways.  Repair does it where its tries
 * differ, a new owner does it with floor(R'/2)+1 of the owners before (so that it meets every lease that counts),
 * deletion before it deletes.  Where nothing changed nothing is asked.
 *
 * Nobody fills a slot, or the room for ends, alone: what a peer sends counts as brought by it (shares.h), but for a co-owner of the slot: he
 * hands over what others brought, and all that he has is fetched anyway.
 *
 * A slot that is no longer ours, of a volume that is not: its leases are sent to all owners as above, and then removed.
 * One that was made here, of a slot that is not ours: once in DELETE_EPOCH an owner is asked for a newer one, which takes its place.
 */
#ifndef DHT_NET_LEASE_H
#define DHT_NET_LEASE_H

#include "dht/net/node_impl.h"
#include "dht/net/shares.h"
#include "dht/net/signed.h"
#include "dht/net/trie.h"

#define LEASES_VERIFIED 256u	/* as many as a byte has values */

struct leases {
	struct list storing;		/* on their way to the disk */
	uint32_t held;			/* addresses in them */
	struct trie_slots known, any;	/* slots whose leases were looked for; those of them that have some */
	struct shares brought;		/* volumes, by slot, and ends (LEASE_SHARE_ENDS) */
	struct list ending;		/* ends of volumes on their way to the disk */
	unsigned int retired;		/* rows of ROW_RETIRED */
	struct address verified[LEASES_VERIFIED];	/* hashes of signed bytes, each where its first byte says */
	uint64_t warned;		/* when two of one number were last said to be here; 0: never */
	struct list collecting;		/* coming in by parts (lease_serve.c) */
	unsigned int collected;
	struct list pulls;		/* (lease_pull.c) */
	uint32_t pulled;		/* addresses of leases that they fetch */
	struct list telling;		/* ends on their way to one peer that has not heard, at most RETIRE_ASKS */
	unsigned int tellings;
	struct list retiring;		/* COMMAND_RETIRE under way */
	struct lease_send *send;	/* (lease_send.h) */
	struct lease_sweep *sweep;	/* (lease_sweep.c) */
};

#define LEASE_SHARE_ENDS RING_SLOTS	/* a key of shares, beside those of slots */

/**
 * lease_open(n, bytes, len, out): lease_read(), where one that was verified lately, of the last LEASES_VERIFIED, is not verified again: a lease on its
 * way to R owners is read here R times, and a signature takes longer than all else that is done for it.
 */
int lease_open(struct node *n, const uint8_t *bytes, size_t len, struct lease *out);

/* ---- lease_store.c: on the disk ---- */

struct lease_storing {
	struct list link;
	struct catalogue_lease row;
	struct address *addresses;	/* of row; its own */
	struct address *changed;	/* leased before, or now, but not both, as far as this volume goes */
	uint32_t changed_count;
	struct work work;
	void *user;
	void (*done)(struct node *n, void *user, int result);	/* NULL: nobody waits */
};

/** lease_check(l, addresses, count): are these what ${l} speaks of?  0, -E2BIG, -EBADMSG.
 * lease_check_part(l, before, addresses, count): in the slot, strictly rising, the first one behind ${before} (NULL: none)? */
int lease_check(const struct lease *l, const struct address *addresses, uint32_t count);
int lease_check_part(const struct lease *l, const struct address *before, const struct address *addresses, uint32_t count);

/**
 * lease_rank(n, l, blob): what would become of it here?  0: it is news; -EALREADY: here, the same bytes; -ESTALE: here is a
 * newer one; -EEXIST: another one of the same seq; -EKEYREVOKED: its volume has ended.
 */
int lease_rank(struct node *n, const struct lease *l, const struct wire_slice *blob);

/**
 * lease_store(n, l, blob, addresses, done, user, out): take over *${addresses} (malloc'ed; lease_check() was passed) and make them
 * durable.  0: it is on its way, and ${done} will be called, unless lease_store_forget(*${out}) comes first (it is stored all the
 * same).  Else nothing was begun, and *${addresses} is still the caller's: as lease_rank(); -EBUSY: this very lease, or
 * too many, are on their way; -ENOSPC: LEASE_VOLUMES_MAX; -ENOMEM.  ${done}: 0, -ENOSPC, -EIO.
 */
int lease_store(struct node *n, const struct lease *l, const struct wire_slice *blob, struct address **addresses,
    void (*done)(struct node *n, void *user, int result), void *user, struct lease_storing **out);
/** lease_remove(n, volume, slot, ...): likewise, to have none.  -ENOENT: there is none. */
int lease_remove(struct node *n, const struct address *volume, unsigned int slot,
    void (*done)(struct node *n, void *user, int result), void *user, struct lease_storing **out);
/** lease_room(n, volume, slot): how many more volumes may have leases in it; UINT32_MAX: ${volume} has one. */
uint32_t lease_room(struct node *n, const struct address *volume, unsigned int slot);
/** lease_is_storing(n, volume, slot): is one on its way to the disk? */
bool lease_is_storing(struct node *n, const struct address *volume, unsigned int slot);
/** lease_any(n, slot): is there any? */
bool lease_any(struct node *n, unsigned int slot);
void lease_store_forget(struct lease_storing *s);
void lease_store_end(struct node *n);

/** lease_part(n, volume, slot, after, out): up to WIRE_ADDRESSES_MAX addresses of a lease behind ${after} (NULL: the first). */
uint32_t lease_part(struct node *n, const struct address *volume, unsigned int slot, const struct address *after,
    struct address *out);

/* ---- lease_end.c: volumes that have ended ---- */

/** lease_ended(n, volume): the signed end, held; NULL: none. */
struct chunk *lease_ended(struct node *n, const struct address *volume);

struct lease_ending {
	struct list link;
	struct address volume;
	struct work work;
	void *user;
	void (*done)(struct node *n, void *user, int result);	/* NULL: nobody waits */
};

/** lease_end(n, statement, done, user, out): verify and store it, and remove all leases of its volume in time.  0: on its way, as
 * lease_store(); -EALREADY: known; -EBADMSG; -ENOSPC: RETIRED_MAX; -ENOMEM. */
int lease_end(struct node *n, const struct wire_slice *statement, void (*done)(struct node *n, void *user, int result),
    void *user, struct lease_ending **out);
/** lease_end_tell(n, peer, statement): let ${peer}, who still has leases of the volume, know; once, whatever comes of it. */
void lease_end_tell(struct node *n, struct peer *peer, struct chunk *statement);
void lease_end_command(struct node *n, const struct command *c);	/* COMMAND_RETIRE */
void lease_end_end(struct node *n);

/* ---- lease_push.c: one stored lease to one peer ---- */

struct lease_push {
	struct address id, volume;	/* to whom; set by the caller, as is the next */
	uint16_t slot;
	/* 0: durable there.  -ESTALE: a newer one is there; -EEXIST: another one of its seq; -EKEYREVOKED: its volume has ended (and is ended
	 * here too now); -ENOENT: it is no longer here.  -EHOSTUNREACH, -ETIMEDOUT, -EAGAIN (busy, another table), -ENOSPC, -EIO. */
	void (*done)(struct node *n, struct lease_push *p, int result);
	struct call call;
	struct chunk *blob;		/* what is being sent */
	uint32_t total, sent, part;	/* addresses: of all, acknowledged, and under way */
	struct address last;		/* of those under way */
	unsigned int begun;
	struct timer soon;		/* to call back from outside lease_push() */
	int result;
	bool busy;
};

void lease_push(struct node *n, struct lease_push *p, enum link_priority priority);
void lease_push_stop(struct node *n, struct lease_push *p);

/* ---- the others ---- */

void lease_pull_end(struct node *n);
/** lease_pull_stored(n, volume, slot): this lease is on its way to the disk no more: who waited for that goes on, a moment later. */
void lease_pull_stored(struct node *n, const struct address *volume, unsigned int slot);
bool lease_serve(struct node *n, struct served *s, const struct message *m);
/** lease_serve_gone(n, id): what ${id} (NULL: anyone) has sent in part is forgotten. */
void lease_serve_gone(struct node *n, const struct address *id);
void lease_sweep_start(struct node *n);
void lease_sweep_again(struct node *n);		/* a volume has ended, or the table is another one */
void lease_sweep_end(struct node *n);
/** lease_resend(n, volume, slot, done, user): to all its owners, in the background.  False: not now. */
bool lease_resend(struct node *n, const struct address *volume, unsigned int slot,
    void (*done)(struct node *n, void *user, int result), void *user);
/** lease_is_ours(n, volume): are its leases made here? */
bool lease_is_ours(struct node *n, const struct address *volume);

#endif
