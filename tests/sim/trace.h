/*
 * trace: what happened, as a running BLAKE2b over all of it, and for people to read.  Two runs are the same
 * when their hashes are.
 */
#ifndef TESTS_SIM_TRACE_H
#define TESTS_SIM_TRACE_H

#include <stddef.h>
#include <stdint.h>

#include "chunker/address.h"
#include "tests/sim/world.h"

enum trace_kind {
	TRACE_FAIL = 1, TRACE_SEND, TRACE_RECEIVE, TRACE_DISK, TRACE_HOST, TRACE_LINK, TRACE_FAULT, TRACE_USER, TRACE_LOG,
	TRACE_PHASE, TRACE_LIE,
};

void trace_open(struct world *w);
void trace_close(struct world *w);

/** trace(w, host, kind, a, b, format, ...): time, host, kind, ${a} and ${b} go into the hash; the text is
 * made only where it is read.  ${host} may be NULL. */
void trace(struct world *w, const struct host *host, enum trace_kind kind, uint64_t a, uint64_t b,
    const char *format, ...) __attribute__((format(printf, 6, 7)));

/** trace_hash(w, out): of all up to now. */
void trace_hash(struct world *w, struct address *out);

/** short_of(a): its first digits, for the trace; a few of them live at a time. */
const char *short_of(const struct address *a);

#endif
