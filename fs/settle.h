/* settle: is all that was written on other machines too? */
#ifndef FS_SETTLE_H
#define FS_SETTLE_H

#include <stdbool.h>
#include <stdint.h>

#include "dht/dht.h"

struct fs;

/* Why nothing is safe where nothing waits. */
#define SETTLE_ALONE "there is no other machine in the ring yet"

#define SETTLE_MS 5000u		/* that an unmount takes for it at most, without --wait */

/** settle_left(w): how much is not safe yet: chunks without their copies, or a lease; and the head. */
uint64_t settle_left(const struct dht_waiting *w);

/** settle_over(error): it will never be: another machine writes the volume, or it has ended, or this node's part in the ring has. */
bool settle_over(int error);

/** settle_explain(error): for a person, why something does not get to the others. */
const char *settle_explain(int error);

/**
 * settle(fs): the mount is gone: take the last snapshot, and wait until all is safe: SETTLE_MS at most, and no longer than there is hope; with
 * --wait until then, or until SIGTERM, SIGINT or SIGHUP, which must be blocked.  What is left is said in the log.
 */
void settle(struct fs *fs);

#endif
