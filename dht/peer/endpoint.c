#include "dht/peer/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int parse_port(const char *text, uint16_t *out)
{
	unsigned long port = 0;

	if (!*text || strlen(text) > 5)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		port = port * 10 + (unsigned long)(*text - '0');
	}
	if (port > UINT16_MAX)
		return -EINVAL;
	*out = (uint16_t)port;
	return 0;
}

int endpoint_parse(const char *text, uint16_t port, struct endpoint *out)
{
	const char *end, *after, *colon = strchr(text, ':');
	size_t len;

	if (*text == '[') {
		end = strchr(++text, ']');
		if (!end || (end[1] && end[1] != ':'))
			return -EINVAL;
		after = end + 1;
	} else {
		/* With two colons it can only be a bare IPv6 address. */
		end = colon && !strchr(colon + 1, ':') ? colon : text + strlen(text);
		after = end;
	}
	len = (size_t)(end - text);
	if (len == 0 || len >= sizeof(out->host))
		return -EINVAL;
	for (size_t i = 0; i < len; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return -EINVAL;
	memcpy(out->host, text, len);
	out->host[len] = '\0';
	out->port = port;
	return *after ? parse_port(after + 1, &out->port) : 0;
}

size_t endpoint_format(const struct endpoint *e, char out[ENDPOINT_TEXT])
{
	bool v6 = strchr(e->host, ':') != NULL;

	return (size_t)snprintf(out, ENDPOINT_TEXT, "%s%s%s:%u", v6 ? "[" : "", e->host, v6 ? "]" : "", e->port);
}

void endpoint_of(const struct sockaddr *sa, struct endpoint *out)
{
	socklen_t len = sa->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	uint16_t port = sa->sa_family == AF_INET6 ? ((const struct sockaddr_in6 *)(const void *)sa)->sin6_port :
	    ((const struct sockaddr_in *)(const void *)sa)->sin_port;

	out->port = ntohs(port);
	/* With its scope, where it has one. */
	if (getnameinfo(sa, len, out->host, sizeof(out->host), NULL, 0, NI_NUMERICHOST) != 0)
		strcpy(out->host, "?");
}

bool endpoint_numeric(const struct endpoint *e, struct sockaddr_storage *out)
{
	const struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
	struct addrinfo *ai;
	char port[8];

	snprintf(port, sizeof(port), "%u", e->port);
	if (getaddrinfo(e->host, port, &hints, &ai) != 0)
		return false;
	memset(out, 0, sizeof(*out));
	memcpy(out, ai->ai_addr, ai->ai_addrlen);
	freeaddrinfo(ai);
	return true;
}

void endpoint_source(const struct sockaddr *sa, uint8_t out[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (sa->sa_family == AF_INET6) {
		memcpy(out, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
		return;
	}
	memcpy(out, mapped, sizeof(mapped));
	memcpy(out + sizeof(mapped), &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
}
