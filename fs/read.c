#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/cut.h"
#include "chunker/index.h"
#include "fs/file_impl.h"
#include "fs/grace.h"

#define IOV_MAX_COUNT	1000	/* writev(2) takes 1024, and libfuse adds a header */
#define ZEROS_LEN	(64u * 1024)
#define AHEAD_MIN	(1024u * 1024)
#define AHEAD_MAX	(4u * 1024 * 1024)
#define AHEAD_NEAR	(1024u * 1024)	/* requests of one reader arrive out of order so far apart */
#define AHEAD_REQUEST	(16u * 1024)	/* shorter ones must follow each other exactly */

static uint8_t zeros[ZEROS_LEN];

/*
 * What the file holds at this moment, as spans: memory held, zeros, or ranges of refs,
 * which never change.  Later runs see the same.
 */
static int take_spans(struct file_read *r)
{
	struct layers layers;
	uint64_t end, off = r->off;
	int rc = 0;

	pthread_mutex_lock(&r->file->lock);
	file_layers(r->file, &layers);
	end = off >= layers.size ? off : layers.size - off < r->len ? layers.size : off + r->len;
	r->got = (uint32_t)(end - off);
	while (rc == 0 && off < end) {
		struct piece *p;

		if (r->nspans == r->room) {
			unsigned int room = r->room ? 4 * r->room : 2;

			p = realloc(r->spans, room * sizeof(*p));
			if (!p) {
				rc = -ENOMEM;
				break;
			}
			r->spans = p;
			r->room = room;
		}
		p = &r->spans[r->nspans++];
		layers_at(&layers, off, p);
		if (p->len > end - off)
			p->len = end - off;
		if (p->type == PIECE_BYTES)
			chunk_hold(p->bytes);
		off += p->len;
	}
	pthread_mutex_unlock(&r->file->lock);
	return rc;
}

static int emit(struct file_read *r, const uint8_t *data, size_t len)
{
	struct iovec *v = r->count > 0 ? &r->iov[r->count - 1] : NULL;

	if (v && (const uint8_t *)v->iov_base + v->iov_len == data) {
		v->iov_len += len;
		return 0;
	}
	if ((unsigned int)r->count == r->iov_room) {
		unsigned int room = r->iov_room ? 4 * r->iov_room : 4;

		v = realloc(r->iov, room * sizeof(*v));
		if (!v)
			return -ENOMEM;
		r->iov = v;
		r->iov_room = room;
	}
	/* Whoever gets it only reads; struct iovec can't say so. */
	r->iov[r->count++] = (struct iovec){ (void *)(uintptr_t)data, len };
	return 0;
}

static int emit_zeros(struct file_read *r, uint64_t len)
{
	int rc = 0;

	while (rc == 0 && len > 0) {
		size_t n = len < ZEROS_LEN ? (size_t)len : ZEROS_LEN;

		rc = emit(r, zeros, n);
		len -= n;
	}
	return rc;
}

/* [off, off + len) of the file is in this entry: 0, or -EAGAIN: it is wanted. */
static int emit_entry(struct file_read *r, const struct extent *e, uint64_t off, uint64_t len)
{
	struct chunk *c;
	int rc;

	r->has_entries = true;
	if (e->hole)
		return emit_zeros(r, len);
	rc = fetch_want(&r->fetch, KIND_DATA, &e->address, &c);
	if (rc < 0)
		return rc;
	if (c->len != e->len)
		return -EBADMSG;
	return emit(r, c->data + (off - e->off), (size_t)len);
}

/*
 * More entries than this are in no ${len} bytes that were cut by the rule: half of them are holes
 * or chunks of at least CUT_MIN.  A stranger's index may have as many as it likes.
 */
static uint64_t entries_max(uint64_t len)
{
	return 2 * (len / CUT_MIN) + 8;
}

/* All entries of the span are looked at, so that all that is not at hand is looked up at once. */
static int emit_ref(struct file_read *r, const struct piece *p)
{
	struct extent e = { .len = p->ref.size, .address = p->ref.address };
	struct index_cursor *c;
	bool again = false;
	uint64_t off = p->off, end = p->off + p->len, left = entries_max(p->len);
	int rc;

	if (p->ref.kind == KIND_DATA)
		return emit_entry(r, &e, off, p->len);
	c = index_cursor_new(&r->fetch.source, &p->ref);
	if (!c)
		return -ENOMEM;
	rc = index_cursor_seek(c, off);
	while (rc == 0 && off < end) {
		uint64_t len;

		rc = index_cursor_next(c, &e);
		if (rc <= 0 || left-- == 0) {
			rc = rc < 0 ? rc : -EBADMSG;
			break;
		}
		len = e.off + e.len < end ? e.off + e.len - off : end - off;
		rc = emit_entry(r, &e, off, len);
		if (rc == -EAGAIN) {
			again = true;
			rc = 0;
		}
		off += len;
	}
	index_cursor_free(c);
	return rc == 0 && again ? -EAGAIN : rc;
}

static int emit_spans(struct file_read *r)
{
	bool again = false;
	int rc = 0;

	r->count = 0;
	for (unsigned int i = 0; rc == 0 && i < r->nspans; i++) {
		const struct piece *p = &r->spans[i];

		if (p->type == PIECE_BYTES)
			rc = emit(r, p->bytes->data + p->off, (size_t)p->len);
		else if (p->type == PIECE_ZEROS)
			rc = emit_zeros(r, p->len);
		else
			rc = emit_ref(r, p);
		if (rc == -EAGAIN) {
			again = true;
			rc = 0;
		}
	}
	return rc == 0 && again ? -EAGAIN : rc;
}

/* More pieces than can be written at once: one copy. */
static int flatten(struct file_read *r)
{
	uint8_t *p;

	if (r->count <= IOV_MAX_COUNT)
		return 0;
	r->flat = chunk_new(r->got, &p);
	if (!r->flat)
		return -ENOMEM;
	for (int i = 0; i < r->count; i++) {
		memcpy(p, r->iov[i].iov_base, r->iov[i].iov_len);
		p += r->iov[i].iov_len;
	}
	r->count = 0;
	return emit(r, r->flat->data, r->flat->len);
}

/*
 * How far to read ahead of this request: [*from, *to) of the base.  Twice as far each time
 * that the one before was used up by half, at most as the cache can hold with others.
 */
static bool plan_ahead(struct file_read *r, struct ref *base, uint64_t *from, uint64_t *to)
{
	struct file *f = r->file;
	uint64_t end = r->off + r->got, most = cache_bytes_max(r->fetch.cache) / 8;
	uint64_t near = r->len >= AHEAD_REQUEST ? AHEAD_NEAR : 0;
	bool go = false;

	pthread_mutex_lock(&f->lock);
	if (r->off + near < f->read_next || r->off > f->read_next + near) {
		f->ahead = 0;
		f->ahead_to = end;
	} else if (f->ahead == 0) {
		f->ahead = AHEAD_MIN < most ? AHEAD_MIN : most;
		f->ahead_to = end;
	}
	f->read_next = end;
	*base = f->base;
	*from = f->ahead_to > end ? f->ahead_to : end;
	*to = base->size < end + f->ahead ? base->size : end + f->ahead;
	if (f->ahead > 0 && *from < *to && *from - end <= f->ahead / 2) {
		f->ahead_to = *to;
		f->ahead = 2 * f->ahead < most ? 2 * f->ahead : most;
		f->ahead = f->ahead < AHEAD_MAX ? f->ahead : AHEAD_MAX;
		go = true;
	}
	pthread_mutex_unlock(&f->lock);
	return go && base->kind == KIND_INDEX;
}

static void look_ahead(struct file_read *r)
{
	struct index_cursor *c;
	struct extent e;
	struct ref base;
	uint64_t from, to, reached, left;
	int rc;

	if (r->looked_ahead)
		return;
	r->looked_ahead = true;
	if (!plan_ahead(r, &base, &from, &to))
		return;
	reached = from;
	left = entries_max(to - from);
	c = index_cursor_new(&r->fetch.source, &base);
	rc = c ? index_cursor_seek(c, from) : -ENOMEM;
	while (rc == 0 && reached < to && left-- > 0 && (rc = index_cursor_next(c, &e)) == 1) {
		/* What begins before that is the request's, or was looked up ahead before. */
		if (!e.hole && e.off >= from)
			fetch_ahead(r->fetch.dht, r->fetch.cache, KIND_DATA, &e.address);
		reached = e.off + e.len;
		rc = 0;
	}
	index_cursor_free(c);
	if (reached >= to)
		return;
	/* An index node that is not at hand is noted as wanted, and comes for the next time. */
	pthread_mutex_lock(&r->file->lock);
	if (r->file->ahead_to == to)
		r->file->ahead_to = reached;
	pthread_mutex_unlock(&r->file->lock);
}

static int run(struct fetch *fetch)
{
	struct file_read *r = (struct file_read *)fetch;
	int rc = emit_spans(r);

	/* Not before its own index nodes are there: these are on the same path, mostly. */
	if (rc == 0 || (rc == -EAGAIN && r->has_entries))
		look_ahead(r);
	return rc == 0 ? flatten(r) : rc;
}

static void done(struct fetch *fetch, int result)
{
	struct file_read *r = (struct file_read *)fetch;

	grace_leave(r->file->fs->o.reading, r->parity);
	r->done(r, result);
}

void file_read(struct file_read *r)
{
	int rc;

	_Static_assert(offsetof(struct file_read, fetch) == 0, "run() and done() rely on it");
	r->fetch.run = run;
	r->fetch.done = done;
	fetch_init(&r->fetch, r->file->fs->o.dht, r->file->fs->o.cache);
	r->iov = NULL;
	r->spans = NULL;
	r->flat = NULL;
	r->count = 0;
	r->nspans = r->room = r->iov_room = 0;
	r->looked_ahead = r->has_entries = false;
	r->parity = grace_enter(r->file->fs->o.reading);
	rc = take_spans(r);
	if (rc < 0)
		done(&r->fetch, rc);
	else
		fetch_start(&r->fetch);
}

void file_read_clear(struct file_read *r)
{
	for (unsigned int i = 0; i < r->nspans; i++) {
		if (r->spans[i].type == PIECE_BYTES)
			chunk_drop(r->spans[i].bytes);
	}
	free(r->spans);
	free(r->iov);
	chunk_drop(r->flat);
	fetch_clear(&r->fetch);
}
