/*
 * dial: from "host:port" to a connection: the name is looked up, then its addresses are tried, one after the other, each with its
 * share of DIAL_TIMEOUT.
 *
 *	state      | event                              | function   | next
 *	-----------+------------------------------------+------------+------------
 *	-          | EFFECT_DIAL                        | dial_start | looking up
 *	-          | a connection was hung up on        | dial_older | connecting
 *	looking up | addresses                          | found      | connecting
 *	looking up | none; DIAL_TIMEOUT                 | end        | -, the node is told
 *	connecting | connected                          | connected  | -, conn.h goes on
 *	connecting | it failed, its time is up; one more address | next | connecting
 *	connecting | it failed, its time is up; no more | end        | -, the node is told
 */
#ifndef DHT_PEER_DIAL_H
#define DHT_PEER_DIAL_H

#include <stdbool.h>
#include <stdint.h>

struct effect;
struct peer;

void dial_start(struct peer *p, const struct effect *e);

/** dial_older(p, sa, ticket): once more to that address, with the older secret.  False: not now; else the node is told. */
struct sockaddr;
bool dial_older(struct peer *p, const struct sockaddr *sa, uint64_t ticket);

/** dials_close(p): the node is told of none. */
void dials_close(struct peer *p);

#endif
