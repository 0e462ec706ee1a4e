/* What operations on names and attributes do, in the order in which Linux looks at what is wrong. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/mount/exercise/model.h"

/* Where a path leads: dir is its parent, node what has the name there, or NULL. */
struct place {
	struct node *dir, *node;
	char name[PATH_LEN];
};

/* Symlinks lead nowhere, so what is below one is not there. */
static int find(struct model *m, const char *path, struct place *place)
{
	const char *slash;

	*place = (struct place){ .node = m->root };
	for (; path; path = slash ? slash + 1 : NULL) {
		struct entry *entry;

		slash = strchr(path, '/');
		if (!place->node || S_ISLNK(place->node->mode))
			return -ENOENT;
		if (!S_ISDIR(place->node->mode))
			return -ENOTDIR;
		snprintf(place->name, sizeof(place->name), "%.*s",
		    (int)(slash ? slash - path : (ptrdiff_t)strlen(path)), path);
		place->dir = place->node;
		entry = node_entry(place->dir, place->name);
		place->node = entry ? entry->node : NULL;
	}
	return 0;
}

struct node *model_find(struct model *m, const char *path)
{
	struct place place;

	return find(m, path, &place) == 0 ? place.node : NULL;
}

/* For what follows a symlink at the end, and then finds nothing. */
static int follow(struct model *m, const char *path, struct place *place)
{
	int err = find(m, path, place);

	if (!err && (!place->node || S_ISLNK(place->node->mode)))
		err = -ENOENT;
	return err;
}

static void take_entry(struct node *dir, const char *name)
{
	struct entry *entry = node_entry(dir, name);
	size_t at = (size_t)(entry - dir->entries);

	entry->node->names--;
	memmove(entry, entry + 1, (--dir->n_entries - at) * sizeof(*entry));
	node_modified(dir, MTIME_NOW);
}

static void enter(struct model *m, const struct place *place, struct node *node)
{
	if (!node_enter(place->dir, place->name, node))
		abort();
	node_modified(place->dir, MTIME_NOW);
	m->version++;
}

static int64_t make(struct model *m, const struct op *op, struct outcome *out, mode_t mode)
{
	struct place place;
	int err = find(m, op->path, &place);

	if (err)
		return err;
	if (place.node)
		return -EEXIST;
	out->node = node_new(m, mode);
	out->node->uid = getuid();
	out->node->gid = getgid();
	if (S_ISLNK(mode))
		snprintf(out->node->target, PATH_LEN, "to/%u", op->salt);
	out->created = true;
	enter(m, &place, out->node);
	return 0;
}

static int64_t drop(struct model *m, const struct op *op, bool directory)
{
	struct place place;
	int err = find(m, op->path, &place);

	if (err)
		return err;
	if (!place.node)
		return -ENOENT;
	if (directory && !S_ISDIR(place.node->mode))
		return -ENOTDIR;
	if (!directory && S_ISDIR(place.node->mode))
		return -EISDIR;
	if (place.node->n_entries > 0)
		return -ENOTEMPTY;
	take_entry(place.dir, place.name);
	node_release(m, place.node);
	m->version++;
	return 0;
}

static bool is_above(const struct node *above, const struct node *node)
{
	if (above == node)
		return true;
	for (size_t i = 0; i < above->n_entries; i++)
		if (is_above(above->entries[i].node, node))
			return true;
	return false;
}

static int rename_refused(const struct place *from, const struct place *to, unsigned int flags)
{
	const struct node *old = from->node, *new = to->node;
	bool exchange = flags & 2, noreplace = flags & 1;

	if (!old)
		return -ENOENT;
	if (noreplace && new)
		return -EEXIST;
	if (exchange && !new)
		return -ENOENT;
	if (from->dir != to->dir && is_above(old, to->dir))
		return -EINVAL;
	if (from->dir != to->dir && new && is_above(new, from->dir))
		return exchange ? -EINVAL : -ENOTEMPTY;
	if (!new || old == new || exchange)
		return 0;
	if (S_ISDIR(old->mode) && !S_ISDIR(new->mode))
		return -ENOTDIR;
	if (!S_ISDIR(old->mode) && S_ISDIR(new->mode))
		return -EISDIR;
	return new->n_entries > 0 ? -ENOTEMPTY : 0;
}

static int64_t rename_one(struct model *m, const struct op *op, struct outcome *out)
{
	struct place from, to;
	int err = find(m, op->path, &from);

	if (!err)
		err = find(m, op->path2, &to);
	if (!err)
		err = rename_refused(&from, &to, op->flags);
	if (err)
		return err;
	out->node = from.node;
	if (from.node == to.node)
		return 0;
	if (op->flags & 2) {
		node_entry(from.dir, from.name)->node = to.node;
		node_entry(to.dir, to.name)->node = from.node;
		node_modified(from.dir, MTIME_NOW);
		node_modified(to.dir, MTIME_NOW);
		m->version++;
		return 0;
	}
	out->replaced = to.node && S_ISREG(from.node->mode);
	if (to.node) {
		take_entry(to.dir, to.name);
		node_release(m, to.node);
	}
	take_entry(from.dir, from.name);
	enter(m, &to, from.node);
	return 0;
}

static int64_t link_one(struct model *m, const struct op *op, struct outcome *out)
{
	struct place from, to;
	int err = find(m, op->path, &from);

	if (!err && !from.node)
		err = -ENOENT;
	if (!err)
		err = find(m, op->path2, &to);
	if (err)
		return err;
	if (to.node)
		return -EEXIST;
	if (S_ISDIR(from.node->mode))
		return -EPERM;
	out->node = from.node;
	enter(m, &to, from.node);
	return 0;
}

static int64_t set_xattr(struct model *m, const struct op *op, struct node *node)
{
	unsigned char value[256];
	unsigned int i = op->flags % XATTRS, how = op->flags / XATTRS;

	/* how is XATTR_CREATE (1), XATTR_REPLACE (2), or either. */
	if (how == 1 && node->xattrs[i].value)
		return -EEXIST;
	if (how == 2 && !node->xattrs[i].value)
		return -ENODATA;
	assert(op->len <= sizeof(value));
	fill_bytes(value, op->len, op->fill, op->salt);
	if (!node_set_xattr(node, i, value, op->len))
		abort();
	m->version++;
	return 0;
}

static int64_t of_xattr(struct model *m, const struct op *op, struct node *node)
{
	unsigned int i = op->flags % XATTRS;

	if (op->kind == OP_SETXATTR)
		return set_xattr(m, op, node);
	if (!node->xattrs[i].value)
		return -ENODATA;
	if (op->kind == OP_GETXATTR)
		return (int64_t)node->xattrs[i].len;
	node_set_xattr(node, i, NULL, 0);
	m->version++;
	return 0;
}

static int64_t change(struct model *m, const struct op *op, struct outcome *out)
{
	struct place place;
	bool at_end = op->kind == OP_CHOWN || op->kind == OP_UTIMENS || op->kind == OP_STAT ||
	    op->kind == OP_READLINK;
	int err = at_end ? find(m, op->path, &place) : follow(m, op->path, &place);

	if (!err && !place.node)
		err = -ENOENT;
	if (err)
		return err;
	out->node = place.node;
	switch (op->kind) {
	case OP_CHMOD:
		place.node->mode = (place.node->mode & S_IFMT) | op->flags;
		break;
	case OP_CHOWN:
		place.node->uid = 1000 + op->flags;
		place.node->gid = 1000 + op->flags / 2;
		break;
	case OP_UTIMENS:
		node_modified(place.node, MTIME_KNOWN);
		place.node->mtime = (struct timespec){ 1000000000 + op->salt, op->salt * 999 };
		return 0;
	case OP_SETXATTR:
	case OP_GETXATTR:
	case OP_REMOVEXATTR:
		return of_xattr(m, op, place.node);
	case OP_LIST:
	case OP_SYNCDIR:
		return S_ISDIR(place.node->mode) ? 0 : -ENOTDIR;
	case OP_READLINK:
		return S_ISLNK(place.node->mode) ? (int64_t)strlen(place.node->target) : -EINVAL;
	default:
		return 0;
	}
	m->version++;
	return 0;
}

static int64_t address(struct model *m, const struct op *op, struct outcome *out)
{
	struct place place;

	if (follow(m, op->path, &place) != 0 || !S_ISREG(place.node->mode))
		return SKIPPED;
	out->node = place.node;
	out->len = place.node->size;
	return 0;
}

static int64_t truncate_path(struct model *m, const struct op *op, struct outcome *out)
{
	struct place place;
	int err = follow(m, op->path, &place);
	size_t old;

	if (err)
		return err;
	if (S_ISDIR(place.node->mode))
		return -EISDIR;
	old = place.node->size;
	if (!node_resize(m, place.node, op->len))
		return SKIPPED;
	node_modified(place.node, old == op->len ? MTIME_ANY : MTIME_NOW);
	out->node = out->changed = place.node;
	out->from = old < op->len ? old : op->len;
	out->to = old < op->len ? op->len : old;
	return 0;
}

static int64_t open_one(struct model *m, const struct op *op, struct outcome *out)
{
	struct place place;
	unsigned int access = op->flags & O_ACCMODE;
	int err = find(m, op->path, &place);

	if (err)
		return err;
	if (!place.node) {
		if (!(op->flags & O_CREAT))
			return -ENOENT;
		return make(m, op, out, S_IFREG | 0644);
	}
	if ((op->flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		return -EEXIST;
	if (S_ISLNK(place.node->mode))
		return -ENOENT;
	if (S_ISDIR(place.node->mode))
		return access != O_RDONLY || (op->flags & O_CREAT) ? -EISDIR : SKIPPED;
	out->node = place.node;
	if ((op->flags & O_TRUNC) && access != O_RDONLY) {
		out->changed = place.node;
		out->to = place.node->size;
		node_modified(place.node, out->to > 0 ? MTIME_NOW : MTIME_ANY);
		node_resize(m, place.node, 0);
	}
	return 0;
}

static int64_t open_slot(struct model *m, const struct op *op, struct outcome *out)
{
	struct handle *h = &m->handles[op->slot];
	struct op close = { .kind = OP_CLOSE, .slot = op->slot };
	struct outcome closed;
	int64_t result;

	/* What was open in that slot is closed before. */
	model_apply(m, &close, &closed);
	result = open_one(m, op, out);
	if (result < 0)
		return result;
	*h = (struct handle){ out->node, op->flags, 0 };
	h->node->handles++;
	if ((op->flags & O_ACCMODE) != O_RDONLY && !(op->flags & O_DIRECT))
		h->node->loose = true;
	return 0;
}

void model_apply(struct model *m, const struct op *op, struct outcome *out)
{
	*out = (struct outcome){ 0 };
	switch (op->kind) {
	case OP_OPEN:
		out->result = open_slot(m, op, out);
		return;
	case OP_MKDIR:
		out->result = make(m, op, out, S_IFDIR | 0755);
		return;
	case OP_SYMLINK:
		out->result = make(m, op, out, S_IFLNK | 0777);
		return;
	case OP_RMDIR:
	case OP_UNLINK:
		out->result = drop(m, op, op->kind == OP_RMDIR);
		return;
	case OP_RENAME:
		out->result = rename_one(m, op, out);
		return;
	case OP_LINK:
		out->result = link_one(m, op, out);
		return;
	case OP_TRUNCATE:
		out->result = truncate_path(m, op, out);
		return;
	case OP_ADDRESS:
		out->result = address(m, op, out);
		return;
	default:
		break;
	}
	if (op->kind > OP_OPEN && op->kind <= OP_PRIVATE)
		model_apply_data(m, op, out);
	else
		out->result = change(m, op, out);
}
