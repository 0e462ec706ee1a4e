/* endpoint: where a node can be reached, as people and records write it: "host", "host:port", "[v6]:port", "v6".  Pure. */
#ifndef DHT_PEER_ENDPOINT_H
#define DHT_PEER_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define ENDPOINT_HOST 254u	/* a name of the longest kind, with its NUL */
#define ENDPOINT_TEXT (ENDPOINT_HOST + 8u)

struct endpoint {
	char host[ENDPOINT_HOST];	/* without brackets */
	uint16_t port;
};

/** endpoint_parse(text, port, out): ${port} where none is named.  -EINVAL: no host, or no port from 0 to 65535. */
int endpoint_parse(const char *text, uint16_t port, struct endpoint *out);

/** endpoint_format(e, out): "host:port"; its length. */
size_t endpoint_format(const struct endpoint *e, char out[ENDPOINT_TEXT]);

/** endpoint_of(sa, out): of a socket's address, numeric. */
void endpoint_of(const struct sockaddr *sa, struct endpoint *out);

/** endpoint_numeric(e, out): where the host is an address and no name: that.  Asks nobody. */
bool endpoint_numeric(const struct endpoint *e, struct sockaddr_storage *out);

/** endpoint_source(sa, out): 16 bytes of an IPv6 address; of an IPv4 one, mapped into it (door.h). */
void endpoint_source(const struct sockaddr *sa, uint8_t out[16]);

#endif
