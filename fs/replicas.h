/* replicas: on how many of the nodes that should have it a content is, proved just now. */
#ifndef FS_REPLICAS_H
#define FS_REPLICAS_H

#include <stdatomic.h>
#include <stdint.h>

#include "chunker/address.h"
#include "chunker/chunk.h"
#include "dht/dht.h"

#define REPLICAS_AT_ONCE 32u	/* chunks asked for at a time */

struct replicas {
	uint32_t copies;	/* of the chunk that has fewest */
	uint32_t owners;	/* that should have it: the ring's R, also where there are fewer nodes */
	uint64_t chunks;	/* that were asked for */
};

/** replicas_count(d, source, ref, stop, out): of all chunks of a file; of a directory, the one of ${ref} itself.  Blocks; ends with -EINTR soon after *${stop}.  -ENOENT,
 * -EIO, -ETIMEDOUT: of some it could not be told. */
int replicas_count(struct dht *d, struct source *source, const struct ref *ref, const atomic_bool *stop, struct replicas *out);

#endif
