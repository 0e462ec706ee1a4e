/*
 * bridge: the one way into the loop from other threads: a line of jobs under a lock, and one wake-up for all that stand in it.
 * Jobs run in the loop's thread, in the order in which they were sent.
 */
#ifndef DHT_PEER_BRIDGE_H
#define DHT_PEER_BRIDGE_H

#include <pthread.h>
#include <stdbool.h>
#include <uv.h>

#include "chunker/list.h"

/* Part of what it is about, so that sending one needs no memory. */
struct bridge_job {
	struct list link;
	void (*run)(void *arg, struct bridge_job *j);	/* may free ${j} */
};

struct bridge {
	uv_async_t async;
	void *arg;			/* what jobs get */
	pthread_mutex_t lock;		/* covers what follows */
	struct list jobs;
	bool open;			/* the loop listens */
};

/** bridge_open(b, loop, arg): before the loop runs.  0 or -errno. */
int bridge_open(struct bridge *b, uv_loop_t *loop, void *arg);

/** bridge_send(b, j): any thread.  ${j} is in no line, and is left alone until it runs. */
void bridge_send(struct bridge *b, struct bridge_job *j);

/** bridge_take(b, j): in the loop's thread: ${j} will not run, if it was to.  It was list_init()ed, or sent, before. */
void bridge_take(struct bridge *b, struct bridge_job *j);

/** bridge_shut(b): in the loop's thread, once: the loop hears no more of it.  What is sent from now on stands in line until somebody calls
 * bridge_run(), which runs all that is there now. */
void bridge_shut(struct bridge *b);
void bridge_run(struct bridge *b);

/** bridge_free(b): after the loop has ended; nothing stands in line. */
void bridge_free(struct bridge *b);

#endif
