/* pace: long work that tells how far it is, can be stopped, and keeps to a rate. */
#ifndef DHT_PACE_H
#define DHT_PACE_H

#include "dht/dht.h"

struct pace {
	dht_tell *tell;		/* NULL: nobody asks */
	void *arg;
	uint64_t bytes_per_s;	/* 0: as fast as it goes */
	struct dht_progress progress;
	uint64_t slowed;	/* bytes that the rate is about */
	int64_t began_ms, told_ms;
};

/** pace_begin(p): now.  The first group of fields is set; the rest is 0. */
void pace_begin(struct pace *p);

/** pace_step(p, bytes, slowed): so much more is done, and so much of what the rate is about; sleeps
 * where that was too fast.  0 or -ECANCELED. */
int pace_step(struct pace *p, uint64_t bytes, uint64_t slowed);

#endif
