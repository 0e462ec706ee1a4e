/* put and get: the bytes of files, from dhtctl and to it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"
#include "chunker/index.h"
#include "chunker/splice.h"
#include "fs/control.h"
#include "fs/fetch.h"
#include "fs/fs.h"

#define AHEAD	16u	/* chunks of a file on their way at once */

/* The frames of a put as the pieces of a file. */
struct incoming {
	struct pieces pieces;
	struct call *call;
	struct chunk *last;
	uint64_t size;		/* bytes that came */
};

/* The frame's bytes, or zeros, as a piece.  A length of 0: no piece. */
static int read_piece(struct incoming *u, enum frame_type type, uint32_t len, struct piece *out)
{
	struct channel *channel = &u->call->channel;
	uint8_t hole[8], *bytes;
	int r;

	*out = (struct piece){ .type = PIECE_ZEROS };
	if (type == FRAME_HOLE && len == sizeof(hole)) {
		r = channel_payload(channel, CHANNEL_FOREVER, hole, len);
		out->len = get_le64(hole);
	} else if (type == FRAME_DATA) {
		u->last = chunk_new(len, &bytes);
		if (!u->last)
			return -ENOMEM;
		r = channel_payload(channel, CHANNEL_FOREVER, bytes, len);
		*out = (struct piece){ .type = PIECE_BYTES, .len = len, .bytes = u->last };
	} else {
		return call_fail(u->call, -EPROTO, "no frame of a put: %d", (int)type);
	}
	if (r < 0)
		return r;
	if (out->len > FILE_SIZE_MAX - u->size)
		return -EFBIG;
	u->size += out->len;
	return 0;
}

static int next_piece(struct pieces *p, struct piece *out)
{
	struct incoming *u = (struct incoming *)p;
	struct channel *channel = &u->call->channel;
	enum frame_type type;
	uint32_t len;
	int r;

	do {
		chunk_drop(u->last);
		u->last = NULL;
		r = channel_gone(channel);
		if (r == 0)
			r = channel_header(channel, CHANNEL_FOREVER, &type, &len);
		if (r == -EBADMSG)
			return call_fail(u->call, -EPROTO, "no frame at all");
		if (r < 0)
			return r;
		if (type == FRAME_END)
			return 0;
		r = read_piece(u, type, len, out);
		if (r < 0)
			return r;
	} while (out->len == 0);
	return 1;
}

/* What was inserted before a failure is garbage like any other, and goes with it. */
int command_put(struct call *c)
{
	struct incoming upload = { .pieces.next = next_piece, .call = c };
	struct call_source source;
	struct dht_sink sink;
	struct upload up;
	struct ref ref;
	int r;

	if (call_fs(c)->options->read_only)
		return call_fail(c, -EROFS, "it is mounted read-only");
	call_source_init(&source, c);
	dht_sink_init(&sink, call_fs(c)->dht);
	upload_begin(&up, &call_fs(c)->uploads, &sink.sink);
	r = splice_all(&upload.pieces, &source.source, &up.sink, &ref);
	chunk_drop(upload.last);
	if (r == 0)
		r = tree_pin(call_fs(c)->tree, &ref, fs_now());
	upload_end(&up);
	/* The checkpoint syncs the set before it commits the pin. */
	if (r == 0)
		r = call_checkpoint(c);
	if (r < 0)
		return r;
	call_record_address(c, "address", &ref.address);
	record_number(&c->record, "size_bytes", ref.size);
	return call_answer(c, FRAME_RECORD);
}

static int send_hole(struct call *c, uint64_t len)
{
	uint8_t payload[8];

	put_le64(payload, len);
	return channel_send(&c->channel, FRAME_HOLE, payload, sizeof(payload));
}

/* The extents of a file that are on their way, oldest first, in a ring. */
struct download {
	struct call *call;
	struct index_cursor *cursor;
	bool end;		/* of the cursor */
	unsigned int first, count;
	struct {
		struct extent extent;
		struct waited_lookup lookup;	/* of all but holes */
	} ring[AHEAD];
};

static int fill_ring(struct download *d)
{
	while (!d->end && d->count < AHEAD) {
		unsigned int i = (d->first + d->count) % AHEAD;
		struct extent *e = &d->ring[i].extent;
		int r = index_cursor_next(d->cursor, e);

		if (r < 0)
			return r;
		if (r == 0) {
			d->end = true;
			break;
		}
		if (!e->hole)
			waited_lookup_start(&d->ring[i].lookup, d->call, KIND_DATA, &e->address);
		d->count++;
	}
	return 0;
}

static int send_first(struct download *d)
{
	struct extent *e = &d->ring[d->first].extent;
	struct waited_lookup *w = &d->ring[d->first].lookup;
	int r;

	d->first = (d->first + 1) % AHEAD;
	d->count--;
	if (e->hole)
		return send_hole(d->call, e->len);
	r = waited_lookup_end(w);
	if (r < 0)
		return call_lookup_failed(d->call, r, &e->address);
	/* The address was checked, but not that the index told its length. */
	r = w->op.chunk->len == e->len ? 0 : -EBADMSG;
	if (r == 0)
		r = channel_send(&d->call->channel, FRAME_DATA, w->op.chunk->data, e->len);
	chunk_drop(w->op.chunk);
	return r;
}

static int send_file(struct call *c, const struct ref *ref)
{
	struct call_source source;
	struct download *d = calloc(1, sizeof(*d));
	int r = -ENOMEM;

	call_source_init(&source, c);
	if (d) {
		d->call = c;
		d->cursor = index_cursor_new(&source.source, ref);
	}
	if (d && d->cursor)
		r = fill_ring(d);
	while (r == 0 && d->count > 0) {
		r = channel_gone(&c->channel);
		if (r == 0)
			r = send_first(d);
		if (r == 0)
			r = fill_ring(d);
	}
	for (; d && d->count > 0; d->count--, d->first = (d->first + 1) % AHEAD) {
		if (!d->ring[d->first].extent.hole)
			waited_lookup_cancel(&d->ring[d->first].lookup);
	}
	if (d)
		index_cursor_free(d->cursor);
	free(d);
	if (r == -EBADMSG && !c->why[0])
		return call_lookup_failed(c, r, &ref->address);
	return r;
}

int command_get(struct call *c)
{
	struct ref ref = { .hash = HASH_BLAKE2B_256, .kind = KIND_INDEX };
	struct waited_lookup w;
	struct chunk *chunk;
	uint64_t data;
	int r = call_address(c, "address", &ref.address);

	if (r < 0)
		return r;
	waited_lookup_start(&w, c, KIND_ANY, &ref.address);
	r = waited_lookup_end(&w);
	if (r < 0)
		return call_lookup_failed(c, r, &ref.address);
	chunk = w.op.chunk;
	switch (w.op.kind) {
	case KIND_DATA:
		r = channel_send(&c->channel, FRAME_DATA, chunk->data, chunk->len);
		break;
	case KIND_INDEX:
		r = index_size(chunk, &ref.size, &data);
		r = r < 0 ? call_lookup_failed(c, r, &ref.address) : send_file(c, &ref);
		break;
	default:
		r = call_fail(c, -EISDIR, "this is a %s and no file: look into %s/by-hash/%s",
		    kind_name(w.op.kind), call_fs(c)->options->mountpoint, call_text(c, "address"));
	}
	chunk_drop(chunk);
	return r;
}
