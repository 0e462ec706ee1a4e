/*
 * publisher: a volume's head, from its writer to its owners, and from them to its readers.
 *
 * The writer hands in each new snapshot; the newest one is signed, stored here and swapped in at the owners, again and again until it counts.
 * A reader asks for the newest, and is never shown an older one than before (dht/net/heads.h).
 */
#ifndef DHT_PEER_PUBLISHER_H
#define DHT_PEER_PUBLISHER_H

#include "chunker/address.h"
#include "dht/net/signed.h"
#include "dht/peer/errand.h"
#include "dht/peer/peer.h"
#include "dht/peer/volume.h"

struct publisher;

struct publisher_options {
	struct peer *peer;
	const struct volume_key *volume;	/* copied */
	uint64_t writer;		/* of this store, for ever: heads of another one are not gone on from ... */
	uint64_t taken_over;		/* ... but for the one of this seq, from which the store was restored; 0: none */
	unsigned int timeout_ms;	/* of one try */
	int (*ready)(void *arg);	/* blocks until all chunks of what was set last are safe: 0 or -errno */
	/* From the publisher's thread, must not block: the tickets up to ${ticket} are decided. */
	void (*told)(void *arg, uint64_t ticket, int result);
	bool anew;			/* the first head is published also where the newest one is of this store and snapshot */
	/* Likewise: a head that this publisher has signed counts, and is of this seq.  NULL: nobody cares. */
	void (*counts)(void *arg, uint64_t seq);
	void *set_arg;			/* of these three */
	void (*log)(void *arg, int priority, const char *text);
	void *arg;
};

/** publisher_open(o, out): for the one writer of a volume; copies ${o}, starts its thread. */
int publisher_open(const struct publisher_options *o, struct publisher **out);

/** publisher_stop(p): ends the thread, decides all tickets (-ECANCELED).  publisher_close(p): after that. */
void publisher_stop(struct publisher *p);
void publisher_close(struct publisher *p);

/** publisher_set(p, snapshot): this one is to be the head, when its chunks are safe; what was set before and has not gone out is passed over.  Never blocks. */
void publisher_set(struct publisher *p, const struct ref *snapshot);

/**
 * publisher_ticket(p): of what was set last.  told() of it comes when that counts at its owners: 0; or when a try to get it there has failed: -EHOSTUNREACH,
 * -ETIMEDOUT, -EIO (it goes on trying); -EUCLEAN: another writer has published too: this one stops for good, see the log; -EKEYREVOKED: the volume
 * has ended.
 */
uint64_t publisher_ticket(struct publisher *p);

struct publisher_status {
	uint64_t seq;			/* of the newest head that counts; 0: none yet */
	bool pending;			/* a newer snapshot is on its way */
	int error;			/* why it does not get there; 0: nothing wrong */
};
void publisher_status(struct publisher *p, struct publisher_status *out);

/** head_newest(e, ring, key, timeout_ms, out): the newest head of the volume with this public key.  Blocks; an errand of the caller's own.  -ENOENT: it
 * never had one; -EUCLEAN, -EKEYREVOKED; -EHOSTUNREACH, -ETIMEDOUT: not enough owners could be asked; -ECANCELED. */
int head_newest(struct errand *e, const struct ring_file *ring, const uint8_t key[MEMBER_KEY], unsigned int timeout_ms, struct head *out);

#endif
