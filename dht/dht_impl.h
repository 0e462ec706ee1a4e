/*
 * dht_impl: what the files behind dht.h share: dht.c (operations), dht_gc.c (collection), dht_volume.c (what a volume is to the ring).
 */
#ifndef DHT_DHT_IMPL_H
#define DHT_DHT_IMPL_H

#include <pthread.h>

#include "dht/away.h"
#include "dht/dht.h"
#include "dht/marks.h"
#include "dht/peer/errand.h"
#include "dht/peer/leasing.h"
#include "dht/peer/outgoing.h"
#include "dht/peer/peer.h"
#include "dht/peer/publisher.h"
#include "dht/store.h"
#include "dht/work.h"

struct dht {
	struct store *store;
	struct work *work;
	struct codecs *codecs;
	unsigned int timeout_ms;
	bool sync_local;
	void (*log)(void *arg, int priority, const char *text);
	void *log_arg;

	/* With a ring; the last three: once the volume is known. */
	struct peer *peer;		/* NULL: without */
	struct aways aways;
	struct outgoing *outgoing;
	struct leasing *leasing;
	struct publisher *publisher;
	struct errand newest;		/* with a peer: of dht_newest() */

	pthread_mutex_t gc_lock;
	struct marks *marks;		/* of the collection under way, with a ring: what is inserted stays */
};

/** dht_gc_insert(d, a): a collection under way shall spare it. */
void dht_gc_insert(struct dht *d, const struct address *a);

/** dht_safe_add(d, op): as dht_safe(), whatever ${sync_local} says; there is an outgoing. */
void dht_safe_add(struct dht *d, struct dht_op *op);

/* dht.c, for outgoing: work goes on. */
void dht_tell_safe(void *arg, uint64_t ticket, int result);
void dht_tell_room(void *arg);

#endif
