#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/cut.h"
#include "chunker/index.h"
#include "fs/file_impl.h"

#define WINDOW 64u	/* items of one flush on their way at a time */
#define SCOUT_NEAR 4u	/* pieces: nearer ones are looked up quicker by who needs them */
#define SCOUT_FAR 32u

/*
 * The items of a splice, in order, while their chunks are hashed and stored by the dht's
 * threads.  head: the next to be fed to the builder; those behind it, up to tail, are
 * under way or done.
 */
struct window {
	struct flush *flush;
	struct waiting_source source;
	struct sink sink;
	struct index_builder *builder;
	uint64_t head, tail;
	bool inserting;		/* more than one chunk: the first is no longer held back */
	struct slot {
		struct dht_op op;
		struct item item;
		bool done;	/* lock */
	} slot[WINDOW];
	pthread_mutex_t lock;	/* protects what follows, and done */
	pthread_cond_t some_done;
	unsigned int under_way;
	unsigned int wake_at;	/* so few under way wake the flusher */
	int error;		/* the first of an insert */
};

static struct files *files_of(const struct window *w)
{
	return w->flush->file->fs;
}

/* Index nodes are inserted here, between the chunks that they list and those that follow. */
static int put_node(struct sink *sink, enum kind kind, const struct address *a, struct chunk *c)
{
	struct window *w = (struct window *)((char *)sink - offsetof(struct window, sink));
	struct dht_op op = { .kind = kind, .address = *a, .chunk = c };
	int rc = dht_insert_now(files_of(w)->o.dht, &op, true);

	/* The next flush of this file reads them. */
	if (rc == 0)
		cache_put(files_of(w)->o.cache, kind, a, c);
	return rc;
}

/* The item at the head is ready. */
static int feed(struct window *w, struct slot *s)
{
	struct item *i = &s->item;

	switch (i->type) {
	case ITEM_CHUNK:
		return index_builder_data(w->builder, (uint32_t)i->len, &s->op.address);
	case ITEM_HOLE:
		return index_builder_hole(w->builder, i->len);
	case ITEM_KEEP:
		return index_builder_keep(w->builder, &w->source.source, &i->ref, i->off, i->len);
	}
	return -EINVAL;
}

/* Feed what is ready, in order. */
static int feed_ready(struct window *w)
{
	int rc = 0;

	while (rc == 0 && w->head < w->tail) {
		struct slot *s = &w->slot[w->head % WINDOW];
		bool done;

		pthread_mutex_lock(&w->lock);
		rc = w->error;
		done = s->done;
		pthread_mutex_unlock(&w->lock);
		if (rc < 0 || !done)
			break;
		rc = feed(w, s);
		w->head++;
	}
	return rc;
}

static void insert_done(struct dht_op *op)
{
	struct slot *s = (struct slot *)((char *)op - offsetof(struct slot, op));
	struct window *w = op->user;

	chunk_drop(s->item.chunk);
	s->item.chunk = NULL;
	pthread_mutex_lock(&w->lock);
	s->done = true;
	if (op->result < 0 && w->error == 0)
		w->error = op->result;
	if (--w->under_way == w->wake_at)
		pthread_cond_signal(&w->some_done);
	pthread_mutex_unlock(&w->lock);
}

/* Until at most ${n} chunks are under way. */
static void await(struct window *w, unsigned int n)
{
	pthread_mutex_lock(&w->lock);
	w->wake_at = n;
	while (w->under_way > n)
		pthread_cond_wait(&w->some_done, &w->lock);
	w->wake_at = UINT32_MAX;
	pthread_mutex_unlock(&w->lock);
}

static void insert_start(struct window *w, struct slot *s)
{
	s->op = (struct dht_op){ .done = insert_done, .user = w, .kind = KIND_DATA,
		.hurry = files_pressed(files_of(w)) };
	s->op.chunk = s->item.chunk;
	pthread_mutex_lock(&w->lock);
	w->under_way++;
	pthread_mutex_unlock(&w->lock);
	dht_insert(files_of(w)->o.dht, &s->op);
}

/* A file of one chunk: no other thread need wake for it. */
static int insert_only(struct window *w, struct slot *s)
{
	int rc;

	s->op = (struct dht_op){ .kind = KIND_DATA, .chunk = s->item.chunk };
	rc = dht_insert_now(files_of(w)->o.dht, &s->op, false);
	chunk_drop(s->item.chunk);
	s->item.chunk = NULL;
	s->done = true;
	return rc;
}

static int push(struct window *w, const struct item *i)
{
	struct slot *s = &w->slot[w->tail % WINDOW];
	int rc = 0;

	for (unsigned int n = WINDOW / 2; rc == 0 && w->tail - w->head == WINDOW; n /= 2) {
		await(w, n);
		rc = feed_ready(w);
	}
	if (rc < 0) {
		if (i->type == ITEM_CHUNK)
			chunk_drop(i->chunk);
		return rc;
	}
	if (w->tail == 1 && !w->inserting) {
		w->inserting = true;
		if (w->slot[0].item.type == ITEM_CHUNK)
			insert_start(w, &w->slot[0]);
	}
	s->item = *i;
	s->done = i->type != ITEM_CHUNK;
	w->tail++;
	if (i->type == ITEM_CHUNK && w->inserting)
		insert_start(w, s);
	return 0;
}

static int finish(struct window *w)
{
	int rc = 0;

	if (w->tail == 1 && !w->inserting && w->slot[0].item.type == ITEM_CHUNK)
		rc = insert_only(w, &w->slot[0]);
	await(w, 0);
	if (rc == 0)
		rc = feed_ready(w);
	if (rc == 0)
		rc = index_builder_finish(w->builder, &w->flush->result);
	w->flush->result_data = index_builder_data_bytes(w->builder);
	return rc;
}

static int run_splice(struct window *w, struct splice *splice)
{
	struct item item;
	int rc;

	while ((rc = splice_next(splice, &item)) == 1) {
		rc = push(w, &item);
		if (rc < 0)
			return rc;
	}
	return rc < 0 ? rc : finish(w);
}

/*
 * The pieces for the splice, and what it will read of the set for those that come later:
 * where a write lies over a part of a chunk, that chunk is cut again.
 */
struct scout {
	struct pieces pieces;
	struct layers_pieces now, ahead;
	unsigned int given, scouted;	/* pieces */
	struct source *source;
	struct files_options *o;
};

static void scout_at(struct scout *s, const struct ref *ref, uint64_t off)
{
	struct extent e;

	if (index_find(s->source, ref, off, &e) == 0 && !e.hole)
		fetch_ahead(s->o->dht, s->o->cache, KIND_DATA, &e.address);
}

static int scout_next(struct pieces *pieces, struct piece *out)
{
	struct scout *s = (struct scout *)pieces;
	struct piece p;

	while (s->scouted < s->given + SCOUT_FAR && s->ahead.pieces.next(&s->ahead.pieces, &p) == 1) {
		if (++s->scouted <= s->given + SCOUT_NEAR || p.type != PIECE_REF)
			continue;
		scout_at(s, &p.ref, p.off);
		scout_at(s, &p.ref, p.off + p.len - 1);
	}
	s->given++;
	return s->now.pieces.next(&s->now.pieces, out);
}

static int flush_splice(struct flush *fl, const struct layers *layers)
{
	struct files_options *o = &fl->file->fs->o;
	struct window *w = calloc(1, sizeof(*w));
	struct scout scout = { .pieces = { scout_next }, .o = o };
	struct splice *splice = NULL;
	int rc = -ENOMEM;

	if (!w)
		return -ENOMEM;
	w->flush = fl;
	w->sink.put = put_node;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->some_done, NULL);
	waiting_source_init(&w->source, o->dht, o->cache);
	scout.source = &w->source.source;
	layers_pieces_init(&scout.now, layers);
	layers_pieces_init(&scout.ahead, layers);
	splice = splice_new(&scout.pieces, &w->source.source);
	w->builder = index_builder_new(&w->sink);
	if (splice && w->builder)
		rc = run_splice(w, splice);
	await(w, 0);
	/* The first chunk, if it was still held back. */
	chunk_drop(w->slot[0].item.type == ITEM_CHUNK ? w->slot[0].item.chunk : NULL);
	index_builder_free(w->builder);
	splice_free(splice);
	pthread_cond_destroy(&w->some_done);
	pthread_mutex_destroy(&w->lock);
	free(w);
	return rc;
}

/*
 * Less than CUT_MIN bytes are one chunk whatever they are: no splice.  1: not all of them
 * are in memory.
 */
static int flush_small(struct flush *fl, const struct layers *layers)
{
	struct dht_op op = { .kind = KIND_DATA };
	struct piece p;
	uint8_t *bytes;
	int rc = 0;

	op.chunk = chunk_new((size_t)fl->size, &bytes);
	if (!op.chunk)
		return -ENOMEM;
	for (uint64_t off = 0; rc == 0 && off < fl->size; off += p.len) {
		layers_at(layers, off, &p);
		if (p.type == PIECE_BYTES)
			memcpy(bytes + off, p.bytes->data + p.off, (size_t)p.len);
		else if (p.type == PIECE_ZEROS)
			memset(bytes + off, 0, (size_t)p.len);
		else
			rc = 1;
	}
	if (rc == 0)
		rc = dht_insert_now(fl->file->fs->o.dht, &op, false);
	if (rc == 0) {
		fl->result = (struct ref){ HASH_BLAKE2B_256, KIND_DATA, op.address, fl->size };
		fl->result_data = fl->size;
	}
	chunk_drop(op.chunk);
	return rc;
}

/* Nothing but times has changed, or it is a clone of a whole file: 0.  1: it is not. */
static int flush_whole(struct flush *fl, const struct layers *layers)
{
	struct files_options *o = &fl->file->fs->o;
	struct layers_pieces pieces;
	struct waiting_source source;
	struct chunk *root;
	struct piece p;
	uint64_t size;
	int rc;

	layers_pieces_init(&pieces, layers);
	rc = fl->size == 0 ? 0 : pieces.pieces.next(&pieces.pieces, &p);
	if (rc <= 0 || p.type != PIECE_REF || p.off > 0 || p.len != fl->size || p.ref.size != p.len)
		return 1;
	fl->result = p.ref;
	fl->result_data = fl->base_data;
	if (ref_equal(&p.ref, &fl->base))
		return 0;
	fl->result_data = p.len;
	if (p.ref.kind == KIND_DATA)
		return 0;
	waiting_source_init(&source, o->dht, o->cache);
	rc = source.source.get(&source.source, KIND_INDEX, &p.ref.address, &root);
	if (rc == 0) {
		rc = index_size(root, &size, &fl->result_data);
		chunk_drop(root);
	}
	return rc;
}

void flush_run(struct flush *fl)
{
	struct layers layers = { NULL, &fl->file->under, &fl->base, fl->size };
	int rc = flush_whole(fl, &layers);

	fl->result_data = rc == 1 ? 0 : fl->result_data;
	if (rc == 1 && fl->size < CUT_MIN)
		rc = flush_small(fl, &layers);
	if (rc == 1)
		rc = flush_splice(fl, &layers);
	/* A chunk beside what was written is nowhere: no missing file for who calls fsync(). */
	fl->error = rc == -ENOENT ? -EIO : rc;
}
