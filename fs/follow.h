/*
 * follow: another machine's volume, read-only and seconds behind.
 *
 * A thread asks the ring for the volume's newest head, and shows each new one at the mount's root (byhash_show()).  A head
 * is shown when its snapshot and its root are here, never before one that was shown already.
 */
#ifndef FS_FOLLOW_H
#define FS_FOLLOW_H

#include "chunker/directory.h"
#include "dht/net/member.h"

#define FOLLOW_EVERY_MS	  2000u		/* a new head is seen within that, and shown within BYHASH_FRESH_S more */
#define FOLLOW_PAUSE_MS	  30000u	/* at most, while the ring does not answer */

struct follow;
struct fs;

/**
 * follow_start(fs, key, timeout_ms, out, why, why_size): follow the volume with this public key; waits for its first head, with ${why} for a
 * person where none comes in time: -ENOENT, -EHOSTUNREACH, -ETIMEDOUT, -EKEYREVOKED ...
 */
int follow_start(struct fs *fs, const uint8_t key[MEMBER_KEY], unsigned int timeout_ms, struct follow **out, char *why, size_t why_size);

/** follow_stop(f): ends the thread.  follow_stop(NULL) does nothing. */
void follow_stop(struct follow *f);

struct follow_status {
	uint8_t key[MEMBER_KEY];
	uint64_t seq;			/* of the head that is shown */
	struct ref snapshot;
	struct timestamp time;		/* when that was taken */
	uint64_t asked_s;		/* seconds since the ring said that there is no newer one */
	int error;			/* why it does not say so now; 0 */
};
void follow_status(struct follow *f, struct follow_status *out);

#endif
