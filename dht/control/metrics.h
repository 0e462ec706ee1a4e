/*
 * metrics: what `dhtctl status` says, as numbers, for Prometheus: GET /metrics in its text format 0.0.4.
 *
 * On a loopback address or a Unix socket only: there is no password, and who else may see it is for a proxy to say.  The HTTP is
 * libmicrohttpd's.  Each scrape is one status command on the program's own control socket, so both say the same.
 */
#ifndef DHT_CONTROL_METRICS_H
#define DHT_CONTROL_METRICS_H

#include <stddef.h>
#include <stdint.h>

#define METRICS_AT_ONCE	  8u		/* connections; one more, and the oldest is closed */
#define METRICS_TIMEOUT_S 10u		/* of a connection that says nothing */

struct metrics;

/**
 * metrics_start(where, store, out, why, why_size): ${where}: "HOST:PORT", a loopback address, or "unix:PATH"; of the program that answers at the
 * control socket of ${store}.  -EINVAL: not such a place; -EADDRINUSE, -EACCES, ...; ${why} for a person.
 */
int metrics_start(const char *where, const char *store, struct metrics **out, char *why, size_t why_size);
void metrics_stop(struct metrics *m);	/* NULL is fine */

/** metrics_text(record, len, out, size): a status record as lines of "dhtfs_NAME VALUE"; bytes, or -ENOSPC.  Texts but the version are left out.  Pure. */
long metrics_text(const uint8_t *record, size_t len, char *out, size_t size);

#endif
