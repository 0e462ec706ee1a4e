/*
 * leasing: tells the ring which chunks a volume keeps alive: its leases (dht/net/lease.h), slot by slot.
 *
 * What is inserted on the volume's behalf is noted on the shelf as fresh (shelf.h) until a lease of it holds it.  A thread gathers the fresh of
 * a slot, adds them to what the slot's lease has, signs it and has the ring store it.  Numbers of leases begin at the first head that was published after
 * the store was restored (volume.h), so that they come after those of the machine before.  So leases only grow, but for a collection: it
 * tells what is still wanted, and the rest is left out of new leases; the owners delete it in their time.
 */
#ifndef DHT_PEER_LEASING_H
#define DHT_PEER_LEASING_H

#include "dht/dht.h"
#include "dht/peer/peer.h"
#include "dht/peer/volume.h"

#define LEASING_EVERY_S	 30u	/* what is fresh is leased that often while there is some: a chunk is safe from deletion for 24 h */
#define LEASING_AT_ONCE	 64u	/* leases with the ring */
#define LEASING_TIMEOUT_MS 30000u

struct leasing;

/** leasing_open(peer, store, volume, log, arg, out): starts its thread; copies ${volume}. */
int leasing_open(struct peer *p, struct store *store, const struct volume_key *volume, void (*log)(void *arg, int priority, const char *text),
    void *arg, struct leasing **out);

/** leasing_stop(l): ends the thread; what is fresh stays so, also over a restart.  leasing_close(l): after that. */
void leasing_stop(struct leasing *l);
void leasing_close(struct leasing *l);

/** leasing_now(l, tell, arg): lease all that is fresh.  Blocks, also where a round is under way, until tell() says that it is enough.  0, -ECANCELED, or what the last slot that failed said. */
int leasing_now(struct leasing *l, dht_tell *tell, void *arg);

/** leasing_keep(l, wanted, arg, dry_run, tell, tell_arg, out): leave out of all leases what wanted(arg, a) denies.  Blocks.  ${dry_run}: only count.
 * 0, -ECANCELED, or what failed.  ${out}: addresses that went, and their bytes as far as they are here. */
int leasing_keep(struct leasing *l, bool (*wanted)(void *arg, const struct address *a), void *arg, bool dry_run,
    dht_tell *tell, void *tell_arg, struct dht_gc_count *out);

/** leasing_hold(l, yes): no lease is made of what is fresh: while a tree that was restored is claimed, in parts, a lease of one part would end those of its
 * volume that hold the rest, and their owners may delete it.  leasing_now() and leasing_keep() are -EAGAIN then. */
void leasing_hold(struct leasing *l, bool hold);

/** leasing_since(l, seq): this head, published from here, counts.  Where the shelf does not know with which number to begin (shelf.h), no lease is made before
 * this, and they begin at it from then on: nobody has begun at that one, and all who began before did so at an earlier one.  May wait for the disk.
 * leasing_unnumbered(l): it is waited for. */
bool leasing_unnumbered(struct leasing *l);
void leasing_since(struct leasing *l, uint64_t seq);

struct leasing_status {
	uint64_t fresh;			/* chunks that no lease holds yet */
	int error;			/* of the last round */
};
void leasing_status(struct leasing *l, struct leasing_status *out);

#endif
