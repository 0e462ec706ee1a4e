/*
 * lookup: what addresses a name has.  Numeric ones are answered at once; a name by a thread of its own, since a
 * resolver may hang for minutes and cannot be told to stop: who loses interest leaves the thread to itself.  libuv's
 * threads would not do: there are four, also for tables, and the loop could not end before the resolver does.
 */
#ifndef DHT_PEER_LOOKUP_H
#define DHT_PEER_LOOKUP_H

#include "dht/peer/bridge.h"
#include "dht/peer/endpoint.h"

#define LOOKUP_ADDRESSES 8u	/* of one name that are tried */
#define LOOKUPS_MAX	 32u	/* threads of a process: twice the dials of a node, so that as many may hang */

struct lookup_result {
	int error;		/* 0, or -ENOENT: no such name; -EAGAIN: ask later */
	unsigned int count;
	struct sockaddr_storage address[LOOKUP_ADDRESSES];
};

struct lookup;

/**
 * lookup_start(b, e, done, arg, out): done(arg, result) is called once, by a job of ${b}, never from inside.  -EAGAIN: too many hang.
 * lookup_cancel(l): in the loop's thread, before done(): it is not called then.
 */
int lookup_start(struct bridge *b, const struct endpoint *e, void (*done)(void *arg, const struct lookup_result *r),
    void *arg, struct lookup **out);
void lookup_cancel(struct lookup *l);

/** lookup_now(e, listening, out): the same, waited for. */
void lookup_now(const struct endpoint *e, bool listening, struct lookup_result *out);

#endif
