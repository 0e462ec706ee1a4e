/*
 * resolve: what addresses a name has.  Numeric ones are answered at once; a name by a thread of its own, since a
 * resolver may hang for minutes and cannot be told to stop: who loses interest leaves the thread to itself.  libuv's
 * threads would not do: there are four, also for tables, and the loop could not end before the resolver does.
 */
#ifndef DHT_PEER_RESOLVE_H
#define DHT_PEER_RESOLVE_H

#include "dht/peer/bridge.h"
#include "dht/peer/endpoint.h"

#define RESOLVE_ADDRESSES 8u	/* of one name that are tried */
#define RESOLVES_MAX	 32u	/* threads of a process: twice the dials of a node, so that as many may hang */

struct resolve_result {
	int error;		/* 0, or -ENOENT: no such name; -EAGAIN: ask later */
	unsigned int count;
	struct sockaddr_storage address[RESOLVE_ADDRESSES];
};

struct resolve;

/**
 * resolve_start(b, e, done, arg, out): done(arg, result) is called once, by a job of ${b}, never from inside.  -EAGAIN: too many hang.
 * resolve_cancel(l): in the loop's thread, before done(): it is not called then.
 */
int resolve_start(struct bridge *b, const struct endpoint *e, void (*done)(void *arg, const struct resolve_result *r),
    void *arg, struct resolve **out);
void resolve_cancel(struct resolve *l);

/** resolve_now(e, listening, out): the same, waited for. */
void resolve_now(const struct endpoint *e, bool listening, struct resolve_result *out);

#endif
