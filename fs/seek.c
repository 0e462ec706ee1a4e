#include <errno.h>

#include "chunker/index.h"
#include "fs/file_impl.h"
#include "fs/grace.h"

/*
 * s->off is the progress: everything from where the search began up to it is not what is
 * looked for.  So a later run goes on from there, and needs only the path of nodes to it.
 */

/* In [s->off, end) of ${p}'s ref, whose byte at p->off is the file's at s->off.  1: found. */
static int seek_ref(struct file_seek *s, const struct piece *p)
{
	struct index_cursor *c;
	uint64_t start = s->off - p->off;	/* where the ref's byte 0 would be; may wrap */
	struct extent e;
	int rc;

	if (p->ref.kind == KIND_DATA)
		return !s->hole;
	c = index_cursor_new(&s->fetch.source, &p->ref);
	if (!c)
		return -ENOMEM;
	rc = index_cursor_seek(c, p->off);
	while (rc == 0 && s->off < start + p->off + p->len) {
		rc = index_cursor_next(c, &e);
		if (rc <= 0) {
			rc = rc == 0 ? -EBADMSG : rc;
			break;
		}
		rc = e.hole == s->hole;
		if (rc == 0)
			s->off = start + e.off + e.len;
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
	uint64_t end;
	int rc = 0;

	while (rc == 0) {
		pthread_mutex_lock(&s->file->lock);
		file_layers(s->file, &layers);
		if (s->off >= layers.size) {
			/* There is a hole at the end of every file. */
			rc = s->hole && s->off == layers.size && s->started ? 1 : -ENXIO;
			pthread_mutex_unlock(&s->file->lock);
			break;
		}
		layers_at(&layers, s->off, &p);
		pthread_mutex_unlock(&s->file->lock);
		s->started = true;
		end = s->off + p.len;
		if (p.type == PIECE_REF)
			rc = seek_ref(s, &p);
		else
			rc = (p.type == PIECE_ZEROS) == s->hole;
		if (rc == 0)
			s->off = end;
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
	s->started = false;
	s->parity = grace_enter(s->file->fs->o.reading);
	fetch_init(&s->fetch, s->file->fs->o.dht, s->file->fs->o.cache);
	fetch_start(&s->fetch);
}
