/* What operations on open files and mappings do. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>

#include "tests/mount/exercise/model.h"

static bool readable(const struct handle *h)
{
	return (h->flags & O_ACCMODE) != O_WRONLY;
}

static bool writable(const struct handle *h)
{
	return (h->flags & O_ACCMODE) != O_RDONLY;
}

/* O_DIRECT is for whole blocks, and here for no more than a request. */
static size_t whole(const struct handle *h, uint64_t n)
{
	return (size_t)(h->flags & O_DIRECT ? n & ~(BLOCK - 1) : n);
}

static size_t length(const struct handle *h, uint64_t len)
{
	if (!(h->flags & O_DIRECT))
		return (size_t)len;
	return len < BLOCK ? BLOCK : len > DIRECT_MAX ? DIRECT_MAX : whole(h, len);
}

static void mark(struct outcome *out, struct node *node, size_t from, size_t to)
{
	out->changed = node;
	out->from = from;
	out->to = to;
	node->pushed = false;
}

static int64_t read_at(struct handle *h, const struct op *op, struct outcome *out, bool at_pos)
{
	size_t off = at_pos ? h->pos : whole(h, op->off), len = length(h, op->len);

	if (!readable(h))
		return -EBADF;
	if (off != whole(h, off))
		return SKIPPED;
	out->node = h->node;
	out->off = off;
	out->len = off >= h->node->size ? 0 : len < h->node->size - off ? len : h->node->size - off;
	if (at_pos)
		h->pos += out->len;
	return (int64_t)out->len;
}

static int64_t write_at(struct model *m, struct handle *h, const struct op *op, struct outcome *out,
    bool at_pos)
{
	size_t off = at_pos ? h->pos : whole(h, op->off), len = length(h, op->len);
	size_t size = h->node->size;
	bool pushed = h->node->pushed;

	if (!writable(h))
		return -EBADF;
	/* Linux appends whatever offset is given to pwrite(). */
	if (h->flags & O_APPEND)
		off = size;
	if (off != whole(h, off) || (off + len > size && !node_resize(m, h->node, off + len)))
		return SKIPPED;
	fill_bytes(h->node->data + off, len, op->fill, op->salt);
	node_modified(h->node, MTIME_NOW);
	mark(out, h->node, off < size ? off : size, off + len);
	out->node = h->node;
	out->off = off;
	out->len = len;
	/* O_DSYNC is about these bytes only, so the file is safe if nothing else was waiting. */
	h->node->pushed = pushed && (h->flags & (O_DSYNC | O_DIRECT));
	out->synced = pushed && (h->flags & O_DSYNC);
	if (at_pos)
		h->pos = off + len;
	return (int64_t)len;
}

static int64_t resize(struct model *m, struct handle *h, const struct op *op, struct outcome *out)
{
	size_t old = h->node->size;
	bool pushed = h->node->pushed;

	if (!writable(h))
		return -EINVAL;
	if (!node_resize(m, h->node, op->len))
		return SKIPPED;
	node_modified(h->node, old == op->len ? MTIME_ANY : MTIME_NOW);
	mark(out, h->node, old < op->len ? old : op->len, old < op->len ? op->len : old);
	/* The change of a size reaches the filesystem at once. */
	h->node->pushed = pushed;
	out->node = h->node;
	return 0;
}

static int64_t allocate(struct model *m, struct handle *h, const struct op *op, struct outcome *out)
{
	size_t off = (size_t)op->off, end = (size_t)(op->off + op->len), size = h->node->size;

	if (!writable(h))
		return -EBADF;
	if (end > FILE_MAX)
		return SKIPPED;
	if (!(op->flags & FALLOC_FL_KEEP_SIZE) && end > size && !node_resize(m, h->node, end))
		return SKIPPED;
	node_modified(h->node, MTIME_ANY);
	out->node = h->node;
	if (op->flags & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) {
		size_t to = end < h->node->size ? end : h->node->size;

		if (to > off)
			memset(h->node->data + off, 0, to - off);
		mark(out, h->node, off < size ? off : size, end > size ? end : to);
	} else {
		mark(out, h->node, size, end > size ? end : size);
	}
	return 0;
}

static int64_t copy(struct model *m, const struct op *op, struct outcome *out)
{
	struct handle *from = &m->handles[op->slot], *to = &m->handles[op->slot2];
	bool direct = (from->flags | to->flags) & O_DIRECT;
	size_t mask = direct ? ~(BLOCK - 1) : ~(size_t)0, off = op->off & mask, at = op->off2 & mask;
	size_t len = op->len & mask, size;

	if (!from->node || !to->node)
		return SKIPPED;
	if (!readable(from) || !writable(to) || (to->flags & O_APPEND))
		return -EBADF;
	len = off >= from->node->size ? 0 :
	    len < from->node->size - off ? len : from->node->size - off;
	if (len != (len & mask))
		return SKIPPED;
	if (from->node == to->node && at + len > off && at < off + len)
		return -EINVAL;
	size = to->node->size;
	if (len > 0 && at + len > size && !node_resize(m, to->node, at + len))
		return SKIPPED;
	out->node = to->node;
	out->off = at;
	out->len = len;
	if (len > 0) {
		memcpy(to->node->data + at, from->node->data + off, len);
		node_modified(to->node, MTIME_NOW);
		mark(out, to->node, at < size ? at : size, at + len);
	}
	return (int64_t)len;
}

static int64_t close_slot(struct model *m, struct handle *h, struct outcome *out)
{
	struct node *node = h->node;

	*h = (struct handle){ 0 };
	node->handles--;
	/* A close writes back what the kernel holds of the file. */
	if (node->maps == 0)
		node->pushed = true;
	if (node->names > 0)
		out->node = node;
	node_release(m, node);
	return 0;
}

static int64_t unmap(struct model *m, struct mapping *map)
{
	struct node *node = map->node;

	if (!node)
		return SKIPPED;
	*map = (struct mapping){ 0 };
	node->maps--;
	node_release(m, node);
	return 0;
}

static int64_t map_slot(struct model *m, const struct op *op, struct outcome *out)
{
	struct handle *h = &m->handles[op->slot];

	if (h->flags & O_DIRECT)
		return SKIPPED;
	if ((h->flags & O_ACCMODE) != O_RDWR)
		return -EACCES;
	unmap(m, &m->maps[op->slot]);
	m->maps[op->slot] = (struct mapping){ h->node, op->off & ~(BLOCK - 1), op->len };
	h->node->maps++;
	h->node->loose = true;
	h->node->mtime_is = MTIME_ANY;
	out->node = h->node;
	return 0;
}

/* What is mapped and within the file: elsewhere is SIGBUS, or what never reaches the file. */
static int64_t through_map(struct model *m, const struct op *op, struct outcome *out)
{
	struct mapping *map = &m->maps[op->slot];
	size_t off, end;

	if (!map->node)
		return SKIPPED;
	off = map->off + op->off % map->len;
	end = map->off + map->len;
	if (end > map->node->size)
		end = map->node->size;
	if (off >= end)
		return SKIPPED;
	out->node = map->node;
	out->off = off;
	out->len = op->len < end - off ? op->len : end - off;
	if (op->kind == OP_STORE) {
		fill_bytes(map->node->data + off, out->len, op->fill, op->salt);
		mark(out, map->node, off, off + out->len);
	}
	return 0;
}

/* What is written to a private mapping is nobody else's. */
static int64_t private(struct handle *h, const struct op *op, struct outcome *out)
{
	size_t size = h->node->size, off = (size_t)op->off;

	if (!readable(h))
		return -EACCES;
	if (off >= size || (h->flags & O_DIRECT))
		return SKIPPED;
	out->node = h->node;
	out->off = off;
	out->len = op->len < size - off ? op->len : size - off;
	return 0;
}

static int64_t of_handle(struct model *m, struct handle *h, const struct op *op, struct outcome *out)
{
	if (!h->node)
		return SKIPPED;
	switch (op->kind) {
	case OP_CLOSE:
		return close_slot(m, h, out);
	case OP_READ:
		return read_at(h, op, out, true);
	case OP_PREAD:
	case OP_PREADV:
		return read_at(h, op, out, false);
	case OP_WRITE:
		return write_at(m, h, op, out, true);
	case OP_PWRITE:
	case OP_PWRITEV:
		return write_at(m, h, op, out, false);
	case OP_LSEEK:
		h->pos = whole(h, op->off);
		return (int64_t)h->pos;
	case OP_FTRUNCATE:
		return resize(m, h, op, out);
	case OP_FALLOCATE:
		return allocate(m, h, op, out);
	case OP_MAP:
		return map_slot(m, op, out);
	case OP_PRIVATE:
		return private(h, op, out);
	default:	/* fsync, push, forget, holes */
		out->node = h->node;
		out->synced = op->kind == OP_FSYNC || op->kind == OP_FORGET;
		if (op->kind != OP_HOLES)
			h->node->pushed = true;
		return 0;
	}
}

void model_apply_data(struct model *m, const struct op *op, struct outcome *out)
{
	switch (op->kind) {
	case OP_COPY:
		out->result = copy(m, op, out);
		break;
	case OP_STORE:
	case OP_LOAD:
		out->result = through_map(m, op, out);
		break;
	case OP_UNMAP:
		out->result = unmap(m, &m->maps[op->slot]);
		break;
	case OP_MSYNC:
		out->result = m->maps[op->slot].node ? 0 : SKIPPED;
		out->node = m->maps[op->slot].node;
		break;
	default:
		out->result = of_handle(m, &m->handles[op->slot], op, out);
		break;
	}
}
