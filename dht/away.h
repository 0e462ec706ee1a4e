/*
 * away: operations that ask the ring: chunks that are not here, and how many owners have one.
 *
 *	state	 | event						  | function	 | next
 *	---------+--------------------------------------------------------+--------------+---------------------------------------------
 *	-	 | a lookup						  | start, fetch | asked, for ${timeout_ms}
 *	asked	 | answered, or its time is up				  | returned	 | over
 *	asked	 | nobody wants it any more				  | stop	 | over: -ECANCELED
 *	asked	 | aways_ending()					  | hurry	 | asked anew, for AWAY_LAST_MS
 *	asked	 | at the end one has waited in vain, and nobody answered | returned	 | asked anew, for AWAY_NONE_MS, as all later ones
 *	asked	 | aways_end()						  | hurry	 | the same
 */
#ifndef DHT_AWAY_H
#define DHT_AWAY_H

#include <pthread.h>

#include "dht/work.h"

#define AWAY_LAST_MS 5000u	/* at the end: as long as an unmount takes for the ring, without --wait */
#define AWAY_NONE_MS 1u		/* no time: the ring says -ETIMEDOUT at once */

struct aways {
	struct peer *peer;
	struct work *work;
	unsigned int timeout_ms;
	pthread_mutex_t lock;		/* covers what follows, and those that are asked; taken behind work's */
	pthread_cond_t over;		/* one that a thread waits for */
	struct list asked;
	uint64_t answers;		/* so far, of somebody who knows */
	bool ending, given_up;
};

/** aways_init(a, peer, work, timeout_ms); aways_free(a): none are under way. */
void aways_init(struct aways *a, struct peer *peer, struct work *work, unsigned int timeout_ms);
void aways_free(struct aways *a);

/**
 * aways_ending(a): from now on nobody waits for longer than AWAY_LAST_MS; when one has, and the ring has answered nobody since he asked,
 * it is given up: who waits, and who comes later, gets -ETIMEDOUT at once.  aways_end(a): it is given up now.
 */
void aways_ending(struct aways *a);
void aways_end(struct aways *a);

/** away_far(a): for work_far(); ${a} outlives its operations, which end by peer_close() at the latest. */
struct work_far away_far(struct aways *a);

/** away_fetch(a, op, packed): the lookup ${op} waited for, in the calling thread: 0, and the chunk in the form in which it travels. */
int away_fetch(struct aways *a, struct dht_op *op, struct chunk **packed);

#endif
