/*
 * conn: one TCP connection and its link (dht/net/link.h).  Of the loop's thread.
 *
 *	state      | event                              | function         | next
 *	-----------+------------------------------------+------------------+-----------
 *	-          | a dial begins, somebody connects   | conn_new         | new
 *	new        | connected; accepted                | conn_begin       | greeting
 *	greeting   | the peer is known and believed     | received, up     | up
 *	greeting   | LINK_HANDSHAKE_US                  | late             | closing
 *	greeting   | it breaks a rule                   | refuse           | parting, with a last word; else closing
 *	greeting   | the other side hangs up; we dialled, and have an older secret | conn_end | closing; dialled again with that
 *	parting    | it has read it, or PARTING_MS      | received, late   | closing
 *	up         | it breaks a rule, EFFECT_CLOSE     | conn_end         | closing
 *	any        | the connection breaks              | conn_end         | closing
 *	closing    | libuv has let go of it             | closed           | -
 */
#ifndef DHT_PEER_CONN_H
#define DHT_PEER_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "chunker/list.h"

struct conn;
struct peer;

/** conn_new(p): NULL: no memory.  conn_socket(c): to be connected or accepted into. */
struct conn *conn_new(struct peer *p);
uv_tcp_t *conn_socket(struct conn *c);

/** conn_affordable(c): it has none of the last descriptors, which are the disk's. */
bool conn_affordable(const struct conn *c);

/** conn_begin(c, ticket, older): the connection is there: the handshake begins.  ${ticket}: of the dial that it answers; 0: the other side dialled.
 * ${older}: we say that we know the older secret.  Whatever becomes of it, the node is told. */
void conn_begin(struct conn *c, uint64_t ticket, bool older);

/** conn_find(p, number): NULL: none, or closing. */
struct conn *conn_find(struct peer *p, uint32_t number);

/** conn_end(c, why): closes it, and tells the node where it knows of it. */
void conn_end(struct conn *c, int why);

/** conn_send(c, e), conn_consumed(c, count): EFFECT_SEND, EFFECT_CONSUMED. */
struct effect;
void conn_send(struct conn *c, const struct effect *e);
void conn_consumed(struct conn *c, uint32_t count);

/** conn_pump(c): writes what its link has to say, as far as the kernel takes it now; the rest when it can. */
void conn_pump(struct conn *c);

/** conns_pump(p): those that are dirty; false: none was. */
bool conns_pump(struct peer *p);
void conns_close(struct peer *p);

/** conn_give_way(p, number): too many are greeting: this one goes. */
void conn_give_way(struct peer *p, uint32_t number);

#endif
