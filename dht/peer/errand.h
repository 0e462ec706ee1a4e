/*
 * errand: a command to the ring that a thread waits for, and another one may end: what runs beside the loop has one of these.
 */
#ifndef DHT_PEER_ERRAND_H
#define DHT_PEER_ERRAND_H

#include <pthread.h>

#include "dht/peer/peer.h"

struct errand {
	struct peer_ask ask;		/* the command; and its reply, when errand_run() has returned */
	/* private */
	struct peer *peer;
	pthread_mutex_t lock;
	pthread_cond_t over;
	bool running, ended;
};

void errand_init(struct errand *e, struct peer *p);

/** errand_run(e): asks e->ask.command and waits.  Its result; -ECANCELED: errand_end() was called before or meanwhile.  e->ask.chunk and .blob are
 * the caller's to drop. */
int errand_run(struct errand *e);

/** errand_end(e): this one, if it runs, and all later ones end at once.  Any thread. */
void errand_end(struct errand *e);
void errand_free(struct errand *e);

#endif
