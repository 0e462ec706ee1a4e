#include "dht/scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW	  ((size_t)1 << 20)	/* bytes read at once: several of the longest records */
#define HEADERS	  ((size_t)4096)	/* the same where only headers are wanted */
#define UNREADABLE 4096u		/* bytes given up when a read fails */

struct window {
	uint8_t *bytes;
	uint64_t at;		/* where bytes[0] lies in the file */
	size_t len, size;
};

/*
 * The window holds ${len} bytes from ${pos}, or less where the file ends.  After a failed
 * read of much, it tries just what is needed.
 */
static int ensure(struct scan *s, struct window *w, uint64_t pos, size_t len)
{
	ssize_t n;

	if (pos >= w->at && pos + len <= w->at + w->len)
		return 0;
	if (len > s->end - pos)
		len = (size_t)(s->end - pos);
	n = s->io->pread(s->io->ctx, s->fd, w->bytes, w->size < s->end - pos ? w->size : s->end - pos,
	    pos);
	if (n < 0)
		n = s->io->pread(s->io->ctx, s->fd, w->bytes, len, pos);
	w->at = pos;
	w->len = n < 0 ? 0 : (size_t)n;
	if (n < 0 && s->error == 0)
		s->error = (int)n;
	return n < 0 ? (int)n : 0;
}

static const uint8_t *at(const struct window *w, uint64_t pos, size_t len)
{
	if (pos < w->at || pos + len > w->at + w->len)
		return NULL;
	return w->bytes + (pos - w->at);
}

/* No record is at ${pos}: how much further can one be?  Or what gap() said, if not 0. */
static int step_over(struct scan *s, const uint8_t *header, uint64_t *pos)
{
	static const uint8_t zeros[RECORD_ALIGN];
	uint32_t span = RECORD_ALIGN, offset = (uint32_t)*pos;
	int rc = 0;

	if (gap_decode(header, s->segment, offset, s->store_id, &span) == 0)
		rc = s->gap ? s->gap(s->arg, offset, span) : 0;
	/* Zeros pad the records to a whole block, or are a write that never came. */
	else if (memcmp(header, zeros, RECORD_ALIGN) != 0)
		s->skipped += RECORD_ALIGN;
	*pos += span;
	return rc;
}

static int scan_window(struct scan *s, struct window *w)
{
	uint64_t pos = s->from;
	struct record r;

	while (pos + RECORD_HEADER <= s->end) {
		const uint8_t *header;
		int rc;

		rc = ensure(s, w, pos, RECORD_HEADER);
		header = at(w, pos, RECORD_HEADER);
		if (!header && rc == 0)
			break;
		if (!header) {
			uint64_t next = (pos / UNREADABLE + 1) * UNREADABLE;

			s->skipped += next - pos;
			pos = next;
			continue;
		}
		if (record_decode(header, s->segment, (uint32_t)pos, s->store_id, &r) < 0) {
			rc = step_over(s, header, &pos);
			if (rc != 0)
				return rc;
			continue;
		}
		if (!s->headers) {
			ensure(s, w, pos, RECORD_HEADER + r.stored_len);
			header = at(w, pos, RECORD_HEADER + r.stored_len);
		} else {
			header = NULL;
		}
		rc = s->found(s->arg, &r, header ? header + RECORD_HEADER : NULL);
		if (rc != 0)
			return rc;
		pos += record_span(r.stored_len);
		s->last = pos;
	}
	return 0;
}

int scan_run(struct scan *s)
{
	struct window w = { .size = s->headers ? HEADERS : WINDOW };
	int rc;

	w.bytes = malloc(w.size);
	if (!w.bytes)
		return -ENOMEM;
	s->from = (s->from + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
	if (s->end > SEGMENT_MAX)
		s->end = SEGMENT_MAX;
	s->last = s->from;
	s->skipped = 0;
	s->error = 0;
	rc = scan_window(s, &w);
	free(w.bytes);
	return rc;
}
