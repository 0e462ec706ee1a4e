/* store: what dhtctl is told of a store, by whichever program has it open. */
#ifndef DHT_CONTROL_STORE_H
#define DHT_CONTROL_STORE_H

#include "dht/control/call.h"
#include "dht/dht.h"

/** record_space(r, s): how much is in it, and how full it is. */
void record_space(struct record *r, const struct dht_status *s);

/** record_progress(r, p): of reading all of it.  call_tell(call, p): a dht_tell that sends that as progress, and stops when nobody
 * waits any more. */
void record_progress(struct record *r, const struct dht_progress *p);
bool call_tell(void *call, const struct dht_progress *p);

#endif
