/* away: operations that ask the ring: chunks that are not here, and how many owners have one. */
#ifndef DHT_AWAY_H
#define DHT_AWAY_H

#include "dht/work.h"

struct aways {
	struct peer *peer;
	struct work *work;
	unsigned int timeout_ms;
};

/** away_far(a): for work_far(); ${a} outlives its operations, which end by peer_close() at the latest. */
struct work_far away_far(struct aways *a);

/** away_fetch(a, op, packed): the lookup ${op} waited for, in the calling thread: 0, and the chunk in the form in which it travels. */
int away_fetch(struct aways *a, struct dht_op *op, struct chunk **packed);

#endif
