#include <errno.h>

#include "chunker/index.h"
#include "fs/file_impl.h"
#include "fs/grace.h"

#define BLOCK 4096u

/*
 * In blocks, the last one up to the size: a hole is a block of which all is in holes, whatever the pieces and chunks
 * that they lie in, so that one byte of zeros at the end of what was flushed is none.
 *
 * s->off is the progress: everything from where the search began up to it is not what is
 * looked for.  So a later run goes on from there, and needs only the path of nodes to it.
 */

/* [s->off, end), in a file of ${size}, is in a hole or is data.  1: found. */
static int pass(struct file_seek *s, bool hole, uint64_t end, uint64_t size)
{
	uint64_t block = (hole ? s->data_end + BLOCK - 1 : s->off) / BLOCK * BLOCK;
	bool found = hole ? s->hole && (end >= block + BLOCK || (end == size && block < size)) : !s->hole;

	s->off = found ? block > s->from ? block : s->from : end;
	if (!hole)
		s->data_end = end;
	return found;
}

/* In ${p}'s ref, whose byte at p->off is the file's at s->off.  1: found. */
static int seek_ref(struct file_seek *s, const struct piece *p, uint64_t size)
{
	struct index_cursor *c;
	uint64_t start = s->off - p->off;	/* where the ref's byte 0 would be; may wrap */
	uint64_t end = s->off + p->len;
	struct extent e;
	int rc;

	if (p->ref.kind == KIND_DATA)
		return pass(s, false, end, size);
	c = index_cursor_new(&s->fetch.source, &p->ref);
	if (!c)
		return -ENOMEM;
	rc = index_cursor_seek(c, p->off);
	while (rc == 0 && s->off < end) {
		uint64_t e_end;

		rc = index_cursor_next(c, &e);
		if (rc <= 0) {
			rc = rc == 0 ? -EBADMSG : rc;
			break;
		}
		e_end = start + e.off + e.len;
		rc = pass(s, e.hole, e_end < end ? e_end : end, size);
		/* Right after progress, so that what a next run waits for is not forgotten by it. */
		if (rc == 0 && s->fetch.count > FETCH_WANTED_MAX)
			fetch_forget(&s->fetch);
	}
	index_cursor_free(c);
	return rc;
}

static int run(struct fetch *fetch)
{
	struct file_seek *s = (struct file_seek *)fetch;
	struct layers layers;
	struct piece p;
	int rc = 0;

	while (rc == 0) {
		pthread_mutex_lock(&s->file->lock);
		file_layers(s->file, &layers);
		if (s->off < layers.size)
			layers_at(&layers, s->off, &p);
		pthread_mutex_unlock(&s->file->lock);
		if (s->from >= layers.size || (s->off >= layers.size && !s->hole))
			return -ENXIO;
		if (s->off >= layers.size) {
			/* There is a hole at the end of every file. */
			s->off = layers.size;
			return 0;
		}
		if (p.type == PIECE_REF)
			rc = seek_ref(s, &p, layers.size);
		else
			rc = pass(s, p.type == PIECE_ZEROS, s->off + p.len, layers.size);
	}
	return rc > 0 ? 0 : rc;
}

static void done(struct fetch *fetch, int result)
{
	struct file_seek *s = (struct file_seek *)fetch;

	grace_leave(s->file->fs->o.reading, s->parity);
	fetch_clear(fetch);
	s->done(s, result);
}

void file_seek(struct file_seek *s)
{
	_Static_assert(offsetof(struct file_seek, fetch) == 0, "run() and done() rely on it");
	s->fetch.run = run;
	s->fetch.done = done;
	s->from = s->off;
	s->off -= s->off % BLOCK;
	s->data_end = s->off;
	s->parity = grace_enter(s->file->fs->o.reading);
	fetch_init(&s->fetch, s->file->fs->o.dht, s->file->fs->o.cache);
	fetch_start(&s->fetch);
}
