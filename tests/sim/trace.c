/*
 * Each entry has a fixed length and goes through a buffer, so that the hash costs little more than the copy: runs are hashed always, and
 * told (printf) only where somebody reads.  The text is no part of the hash: a better word in it changes no run.
 */
#include "tests/sim/trace.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "chunker/bytes.h"
#include "tests/sim/host.h"

struct trace {
	crypto_generichash_state state;
	uint8_t buffer[1 << 16];
	size_t used;
};

#define ENTRY 32u	/* bytes that one call adds */

void trace_open(struct world *w)
{
	w->trace = must(aligned_alloc(64, (sizeof(struct trace) + 63) / 64 * 64));
	crypto_generichash_init(&w->trace->state, NULL, 0, ADDRESS_LEN);
	w->trace->used = 0;
}

void trace_close(struct world *w)
{
	free(w->trace);
}

static void tell(struct world *w, const struct host *host, const char *format, va_list ap)
{
	printf("%6llu.%06llu %-6s ", (unsigned long long)(w->now / S), (unsigned long long)(w->now % S),
	    host ? host->name : "-");
	vprintf(format, ap);
	putchar('\n');
}

void trace(struct world *w, const struct host *host, enum trace_kind kind, uint64_t a, uint64_t b,
    const char *format, ...)
{
	struct trace *t = w->trace;
	uint8_t *p;
	va_list ap;

	if (t->used + ENTRY > sizeof(t->buffer)) {
		crypto_generichash_update(&t->state, t->buffer, t->used);
		t->used = 0;
	}
	p = t->buffer + t->used;
	put_le64(p, w->now);
	put_le32(p + 8, host ? host->index : UINT32_MAX);
	put_le32(p + 12, kind);
	put_le64(p + 16, a);
	put_le64(p + 24, b);
	t->used += ENTRY;
	if (w->options.trace) {
		va_start(ap, format);
		tell(w, host, format, ap);
		va_end(ap);
	}
}

void trace_hash(struct world *w, struct address *out)
{
	crypto_generichash_state state;

	crypto_generichash_update(&w->trace->state, w->trace->buffer, w->trace->used);
	w->trace->used = 0;
	state = w->trace->state;
	crypto_generichash_final(&state, out->b, ADDRESS_LEN);
}

const char *short_of(const struct address *a)
{
	static char text[4][9];
	static unsigned int next;
	char *t = text[next++ % 4];

	snprintf(t, sizeof(text[0]), "%02x%02x%02x%02x", a->b[0], a->b[1], a->b[2], a->b[3]);
	return t;
}
