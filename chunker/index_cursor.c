#include "chunker/index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/index_path.h"

struct index_cursor {
	struct index_path path;
	uint64_t off;		/* of the next entry, or inside it */
	uint64_t hole_end;	/* where the last entry ended, if it was a hole; else UINT64_MAX */
};

static int path_leaf_entry(struct index_path *p, uint64_t off, struct extent *out)
{
	int rc = index_path_at(p, off);

	while (rc == 0 && index_path_level(p) > 0)
		rc = index_path_down(p, off);
	if (rc == 0)
		index_path_entry(p, out);
	return rc;
}

int index_find(struct source *source, const struct ref *ref, uint64_t off, struct extent *out)
{
	struct index_path path;
	int rc;

	index_path_init(&path, source, ref);
	rc = path_leaf_entry(&path, off, out);
	index_path_free(&path);
	return rc;
}

struct index_cursor *index_cursor_new(struct source *source, const struct ref *ref)
{
	struct index_cursor *c = malloc(sizeof(*c));

	if (!c)
		return NULL;
	index_path_init(&c->path, source, ref);
	c->off = 0;
	c->hole_end = UINT64_MAX;
	return c;
}

void index_cursor_free(struct index_cursor *c)
{
	if (!c)
		return;
	index_path_free(&c->path);
	free(c);
}

int index_cursor_seek(struct index_cursor *c, uint64_t off)
{
	if (off > c->path.ref.size)
		return -ENXIO;
	c->off = off;
	c->hole_end = UINT64_MAX;
	return 0;
}

int index_cursor_next(struct index_cursor *c, struct extent *out)
{
	int rc;

	if (c->off == c->path.ref.size)
		return 0;
	rc = path_leaf_entry(&c->path, c->off, out);
	if (rc < 0)
		return rc;
	/* Within a leaf this is known already; here it is seen across the ends of two. */
	if (out->hole && out->off == c->hole_end)
		return -EBADMSG;
	c->off = out->off + out->len;
	c->hole_end = out->hole ? c->off : UINT64_MAX;
	return 1;
}

int index_read(struct source *source, const struct ref *ref, uint8_t *out)
{
	struct index_cursor *c = index_cursor_new(source, ref);
	struct extent e;
	int rc = c ? 0 : -ENOMEM;

	while (rc == 0 && (rc = index_cursor_next(c, &e)) == 1) {
		struct chunk *chunk = NULL;

		rc = e.hole ? 0 : source->get(source, KIND_DATA, &e.address, &chunk);
		if (rc == 0 && chunk && chunk->len != e.len)
			rc = -EBADMSG;
		if (rc == 0 && chunk)
			memcpy(out + e.off, chunk->data, chunk->len);
		chunk_drop(chunk);
	}
	index_cursor_free(c);
	return rc;
}
