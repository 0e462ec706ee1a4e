#include "tests/lib/filekit.h"

#include <assert.h>
#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/cut.h"
#include "chunker/splice.h"

static int load(void *arg, uint64_t ino, struct inode *out)
{
	struct filekit *k = arg;

	atomic_fetch_add(&k->loaded, 1);
	if (ino == 0 || ino >= KIT_FILES)
		return -ENOENT;
	kit_row(k, ino, out);
	return 0;
}

static void changed(void *arg)
{
	atomic_fetch_add(&((struct filekit *)arg)->changed, 1);
}

static uint64_t now_ms(void *arg)
{
	return atomic_load(&((struct filekit *)arg)->now_ms);
}

void kit_open(struct filekit *k, uint64_t dirty_max, unsigned int flushers)
{
	struct files_options o = { .dirty_max = dirty_max, .flushers = flushers };
	int rc;

	memset(k, 0, sizeof(*k));
	k->dht = fakedht_new(2);
	k->cache = cache_new(8 << 20);
	assert(k->cache);
	pthread_mutex_init(&k->lock, NULL);
	atomic_store(&k->now_ms, 1000);
	for (uint64_t i = 0; i < KIT_FILES; i++) {
		k->row[i].ino = i;
		ref_empty(&k->row[i].ref);
	}
	o.dht = k->dht;
	o.cache = k->cache;
	o.load = load;
	o.changed = changed;
	o.now_ms = now_ms;
	o.arg = k;
	rc = files_new(&o, &k->files);
	assert(rc == 0);
}

void kit_close(struct filekit *k)
{
	struct fakedht_counts counts;

	fakedht_go(k->dht);
	files_free(k->files);
	cache_free(k->cache);
	fakedht_count(k->dht, &counts);
	/* What was set aside has been given back, whatever happened. */
	assert(counts.reserved == 0);
	fakedht_free(k->dht);
	pthread_mutex_destroy(&k->lock);
}

struct file *kit_get(struct filekit *k, uint64_t ino)
{
	struct file *f;
	int rc = file_get(k->files, ino, &f);

	assert(rc == 0);
	return f;
}

struct writer {
	struct room_waiter w;
	sem_t ready;
};

static void ready(struct room_waiter *w)
{
	sem_post(&((struct writer *)w)->ready);
}

int kit_write(struct filekit *k, struct file *f, uint64_t off, const void *data, size_t len)
{
	struct writer w = { .w = { .ready = ready } };
	const struct timestamp now = { 100, 5 };
	struct chunk *c = chunk_copy(data, len);
	int rc;

	assert(c);
	sem_init(&w.ready, 0, 0);
	while ((rc = file_write(f, off, c, &now)) == -EAGAIN) {
		files_wait_room(k->files, &w.w);
		sem_wait(&w.ready);
	}
	sem_destroy(&w.ready);
	chunk_drop(c);
	return rc;
}

struct wait {
	union {
		struct file_read read;
		struct file_seek seek;
		struct file_flush flush;
	};
	int result;
	sem_t done;
};

static void read_done(struct file_read *r, int result)
{
	struct wait *w = r->user;

	w->result = result;
	sem_post(&w->done);
}

int64_t kit_read(struct file *f, uint64_t off, void *out, size_t len)
{
	struct wait w = { .result = 0 };
	int64_t got;
	uint8_t *p = out;

	sem_init(&w.done, 0, 0);
	w.read = (struct file_read){ .file = f, .off = off, .len = (uint32_t)len };
	w.read.done = read_done;
	w.read.user = &w;
	file_read(&w.read);
	sem_wait(&w.done);
	assert(w.read.count <= 1000);
	for (int i = 0; w.result == 0 && i < w.read.count; i++) {
		memcpy(p, w.read.iov[i].iov_base, w.read.iov[i].iov_len);
		p += w.read.iov[i].iov_len;
	}
	got = w.result < 0 ? (int64_t)w.result : (int64_t)w.read.got;
	assert(got < 0 || p == (uint8_t *)out + got);
	file_read_clear(&w.read);
	sem_destroy(&w.done);
	return got;
}

static void seek_done(struct file_seek *s, int result)
{
	struct wait *w = s->user;

	w->result = result;
	sem_post(&w->done);
}

int64_t kit_seek(struct file *f, uint64_t off, bool hole)
{
	struct wait w = { .result = 0 };

	sem_init(&w.done, 0, 0);
	w.seek = (struct file_seek){ .file = f, .off = off, .hole = hole };
	w.seek.done = seek_done;
	w.seek.user = &w;
	file_seek(&w.seek);
	sem_wait(&w.done);
	sem_destroy(&w.done);
	return w.result < 0 ? w.result : (int64_t)w.seek.off;
}

static void flush_done(struct file_flush *f, int result)
{
	struct wait *w = f->user;

	w->result = result;
	sem_post(&w->done);
}

int kit_flush(struct file *f)
{
	struct wait w = { .result = 0 };

	sem_init(&w.done, 0, 0);
	w.flush = (struct file_flush){ .file = f, .done = flush_done, .user = &w };
	file_flush(&w.flush);
	sem_wait(&w.done);
	sem_destroy(&w.done);
	return w.result;
}

bool kit_publish(struct filekit *k)
{
	struct publication *p;
	bool ok;
	size_t n;
	int rc = files_collect(k->files, &p, &n);

	assert(rc == 0);
	rc = dht_sync_now(k->dht);
	assert(rc == 0);
	pthread_mutex_lock(&k->lock);
	ok = files_ready(k->files);
	for (size_t i = 0; ok && i < n; i++) {
		struct inode *row = &k->row[p[i].ino];

		row->ref = p[i].ref;
		row->size = p[i].ref.size;
		row->data = p[i].data;
		if (p[i].times) {
			row->mtime = p[i].mtime;
			row->ctime = p[i].ctime;
		}
	}
	pthread_mutex_unlock(&k->lock);
	files_published(k->files, ok);
	return ok;
}

void kit_row(struct filekit *k, uint64_t ino, struct inode *out)
{
	pthread_mutex_lock(&k->lock);
	*out = k->row[ino];
	pthread_mutex_unlock(&k->lock);
}

struct one_piece {
	struct pieces pieces;
	struct piece piece;
};

static int next(struct pieces *p, struct piece *out)
{
	struct one_piece *o = (struct one_piece *)p;

	if (o->piece.len == 0)
		return 0;
	*out = o->piece;
	o->piece.len = 0;
	return 1;
}

static int put(struct sink *s, enum kind kind, const struct address *a, struct chunk *c)
{
	(void)s;
	(void)kind;
	(void)a;
	(void)c;
	return 0;
}

static int get(struct source *s, enum kind kind, const struct address *a, struct chunk **out)
{
	(void)s;
	(void)kind;
	(void)a;
	(void)out;
	return -ENOENT;
}

void kit_ref(const void *bytes, size_t len, struct ref *out, uint64_t *data)
{
	struct one_piece o = { .pieces = { next }, .piece = { .type = PIECE_BYTES, .len = len } };
	struct source source = { get };
	struct sink sink = { put };
	const uint8_t *p = bytes;
	int rc;

	o.piece.bytes = chunk_copy(bytes, len);
	assert(o.piece.bytes);
	rc = splice_all(&o.pieces, &source, &sink, out);
	assert(rc == 0);
	chunk_drop(o.piece.bytes);
	*data = len;
	for (size_t off = 0; off < len;) {
		size_t n = cut_zeros(p + off, len - off);

		*data -= n >= CUT_HOLE_MIN ? n : 0;
		for (off += n; off < len && p[off] != 0; off++)
			;
	}
}

uint64_t kit_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

uint64_t kit_below(uint64_t *state, uint64_t n)
{
	return kit_random(state) % n;
}
