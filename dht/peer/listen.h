/* listen: where others reach us: sockets that are bound, and the addresses that stand in our record. */
#ifndef DHT_PEER_LISTEN_H
#define DHT_PEER_LISTEN_H

#include <stddef.h>

#include "dht/net/member.h"

struct peer;

/* What our record says; "" behind the last. */
struct advertised {
	char address[MEMBER_ADDRESSES][MEMBER_ADDRESS_LEN + 1];
};

/**
 * listen_open(p, names, advertise, out, why, why_size): binds all of ${names} and listens; the loop accepts when it runs.  ${out}: ${advertise}, or what
 * is bound; of a wildcard, the addresses of the machine.  -EADDRINUSE, -EINVAL, ...: ${why} says it all.
 */
int listen_open(struct peer *p, const char *const *names, const char *const *advertise, struct advertised *out,
    char *why, size_t why_size);

/** listen_close(p): all of it. */
void listen_close(struct peer *p);

#endif
