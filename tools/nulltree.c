#include "tools/nulltree.h"

#include <assert.h>
#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <time.h>

#define BUCKETS_MIN 16

/* A place in the order of creation; an entry that was removed leaves a gap. */
struct place {
	uint64_t cookie;
	struct entry *entry;
};

struct directory {
	struct entry **buckets;		/* a power of two of them */
	size_t buckets_len, entries_len;
	struct place *places;		/* by rising cookie */
	size_t places_len, places_max;
	uint64_t cookie_last;
};

struct xattr {
	struct xattr *next;
	size_t size;
	char *value;
	char name[];
};

static ino_t ino_last;

static uint32_t hash_name(const char *name)
{
	uint64_t h = 0x9e3779b97f4a7c15;

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 0x100000001b3;
	return h >> 32 ^ h;
}

void tree_change(struct inode *inode)
{
	clock_gettime(CLOCK_REALTIME, &inode->attr.st_ctim);
}

void tree_touch(struct inode *inode)
{
	tree_change(inode);
	inode->attr.st_mtim = inode->attr.st_ctim;
}

void tree_resize(struct inode *inode, off_t size)
{
	if (size < inode->attr.st_size && (size_t)size < inode->room)
		memset(inode->bytes + size, 0, inode->room - size);
	inode->attr.st_size = size;
	inode->attr.st_blocks = (size + 511) / 512;
}

int tree_store(struct inode *inode, const char *data, size_t len, off_t offset)
{
	size_t end = offset + len;

	if (end > inode->room) {
		size_t room = end > 2 * inode->room ? end : 2 * inode->room;
		char *bytes = realloc(inode->bytes, room);

		if (!bytes)
			return -ENOMEM;
		memset(bytes + inode->room, 0, room - inode->room);
		inode->bytes = bytes;
		inode->room = room;
	}
	memcpy(inode->bytes + offset, data, len);
	return 0;
}

void tree_load(const struct inode *inode, char *out, size_t len, off_t offset)
{
	size_t there = (size_t)offset < inode->room ? inode->room - offset : 0;

	if (there > len)
		there = len;
	if (there > 0)
		memcpy(out, inode->bytes + offset, there);
	memset(out + there, 0, len - there);
}

static void directory_free(struct directory *d)
{
	if (!d)
		return;
	assert(d->entries_len == 0);
	free(d->buckets);
	free(d->places);
	free(d);
}

static struct directory *directory_new(void)
{
	struct directory *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->buckets_len = BUCKETS_MIN;
	d->cookie_last = COOKIE_DOTS;
	d->buckets = calloc(d->buckets_len, sizeof(struct entry *));
	if (!d->buckets) {
		directory_free(d);
		return NULL;
	}
	return d;
}

static void inode_free(struct inode *inode)
{
	while (inode->xattrs)
		xattr_remove(inode, inode->xattrs->name);
	directory_free(inode->directory);
	free(inode->target);
	free(inode->bytes);
	free(inode);
}

static struct inode *inode_new(mode_t mode)
{
	struct inode *inode = calloc(1, sizeof(*inode));

	if (!inode)
		return NULL;
	if (S_ISDIR(mode)) {
		inode->directory = directory_new();
		if (!inode->directory) {
			free(inode);
			return NULL;
		}
		inode->attr.st_nlink = 1;	/* its "." */
	}
	inode->attr.st_ino = ++ino_last;
	inode->attr.st_mode = mode;
	inode->attr.st_blksize = 128 * 1024;
	tree_touch(inode);
	inode->attr.st_atim = inode->attr.st_mtim;
	return inode;
}

static void inode_maybe_free(struct inode *inode)
{
	if (inode->attr.st_nlink == 0 && inode->lookups == 0)
		inode_free(inode);
}

struct inode *tree_init(void)
{
	struct inode *root = inode_new(S_IFDIR | 0755);

	if (root) {
		root->attr.st_nlink++;
		root->parent = root;
	}
	return root;
}

void tree_forget(struct inode *inode, uint64_t count)
{
	assert(inode->lookups >= count);
	inode->lookups -= count;
	inode_maybe_free(inode);
}

static struct entry **entry_at(struct directory *d, const char *name, uint32_t hash)
{
	struct entry **at = &d->buckets[hash & (d->buckets_len - 1)];

	while (*at && ((*at)->hash != hash || strcmp((*at)->name, name) != 0))
		at = &(*at)->next;
	return at;
}

static struct entry *entry_find(struct inode *dir, const char *name)
{
	return *entry_at(dir->directory, name, hash_name(name));
}

struct inode *tree_find(struct inode *dir, const char *name)
{
	struct entry *e = entry_find(dir, name);

	return e ? e->inode : NULL;
}

/* The first place with a larger cookie. */
static size_t place_after(const struct directory *d, uint64_t cookie)
{
	size_t low = 0, high = d->places_len;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (d->places[middle].cookie > cookie)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

struct entry *tree_next(struct inode *dir, uint64_t cookie)
{
	struct directory *d = dir->directory;

	for (size_t i = place_after(d, cookie); i < d->places_len; i++)
		if (d->places[i].entry)
			return d->places[i].entry;
	return NULL;
}

static void places_close_gaps(struct directory *d)
{
	size_t kept = 0;

	for (size_t i = 0; i < d->places_len; i++)
		if (d->places[i].entry)
			d->places[kept++] = d->places[i];
	d->places_len = kept;
}

static int places_grow(struct directory *d)
{
	size_t max = d->places_max ? d->places_max * 2 : BUCKETS_MIN;
	struct place *places;

	if (d->places_len < d->places_max)
		return 0;
	places = realloc(d->places, max * sizeof(*places));
	if (!places)
		return -ENOMEM;
	d->places = places;
	d->places_max = max;
	return 0;
}

static int buckets_grow(struct directory *d)
{
	size_t len = d->buckets_len * 2;
	struct entry **buckets;

	if (d->entries_len < d->buckets_len)
		return 0;
	buckets = calloc(len, sizeof(struct entry *));
	if (!buckets)
		return -ENOMEM;
	for (size_t i = 0; i < d->buckets_len; i++) {
		for (struct entry *e = d->buckets[i], *next; e; e = next) {
			next = e->next;
			e->next = buckets[e->hash & (len - 1)];
			buckets[e->hash & (len - 1)] = e;
		}
	}
	free(d->buckets);
	d->buckets = buckets;
	d->buckets_len = len;
	return 0;
}

/* ${inode} counts a link more, and a directory knows its parent, which counts its "..". */
static void entry_adopt(struct inode *dir, struct entry *e, struct inode *inode)
{
	e->inode = inode;
	inode->attr.st_nlink++;
	if (inode->directory) {
		inode->parent = dir;
		dir->attr.st_nlink++;
	}
	tree_change(inode);
	tree_touch(dir);
}

static void entry_orphan(struct inode *dir, struct entry *e)
{
	struct inode *inode = e->inode;

	e->inode = NULL;
	inode->attr.st_nlink--;
	if (inode->directory)
		dir->attr.st_nlink--;
	tree_change(inode);
	tree_touch(dir);
}

static int entry_add(struct inode *dir, const char *name, struct inode *inode)
{
	struct directory *d = dir->directory;
	size_t name_size = strlen(name) + 1;
	struct entry *e, **at;

	if (dir->attr.st_nlink == 0)
		return -ENOENT;
	if (places_grow(d) < 0 || buckets_grow(d) < 0)
		return -ENOMEM;
	e = malloc(sizeof(*e) + name_size);
	if (!e)
		return -ENOMEM;
	memcpy(e->name, name, name_size);
	e->hash = hash_name(name);
	at = entry_at(d, name, e->hash);
	assert(!*at);
	e->next = NULL;
	*at = e;
	e->cookie = ++d->cookie_last;
	d->places[d->places_len++] = (struct place){ e->cookie, e };
	d->entries_len++;
	entry_adopt(dir, e, inode);
	return 0;
}

static void entry_remove(struct inode *dir, struct entry *e)
{
	struct directory *d = dir->directory;
	struct inode *inode = e->inode;

	*entry_at(d, e->name, e->hash) = e->next;
	d->places[place_after(d, e->cookie - 1)].entry = NULL;
	d->entries_len--;
	if (d->places_len > 2 * d->entries_len + BUCKETS_MIN)
		places_close_gaps(d);
	entry_orphan(dir, e);
	free(e);
	if (inode->directory && inode->directory->entries_len == 0 && inode->attr.st_nlink == 1)
		inode->attr.st_nlink = 0;	/* removed: its "." goes too */
	inode_maybe_free(inode);
}

int tree_make(struct inode *dir, const char *name, mode_t mode, struct inode **out)
{
	int rc;

	if (entry_find(dir, name))
		return -EEXIST;
	*out = inode_new(mode);
	if (!*out)
		return -ENOMEM;
	rc = entry_add(dir, name, *out);
	if (rc < 0)
		inode_free(*out);
	return rc;
}

int tree_link(struct inode *inode, struct inode *dir, const char *name)
{
	return entry_find(dir, name) ? -EEXIST : entry_add(dir, name, inode);
}

static int may_remove(const struct inode *inode, bool directory)
{
	if (!inode->directory)
		return directory ? -ENOTDIR : 0;
	if (!directory)
		return -EISDIR;
	return inode->directory->entries_len > 0 ? -ENOTEMPTY : 0;
}

int tree_unlink(struct inode *dir, const char *name, bool directory)
{
	struct entry *e = entry_find(dir, name);
	int rc = e ? may_remove(e->inode, directory) : -ENOENT;

	if (rc == 0)
		entry_remove(dir, e);
	return rc;
}

int tree_rename(struct inode *from, const char *name, struct inode *to, const char *new_name,
		unsigned int flags)
{
	struct entry *source = entry_find(from, name);
	struct entry *target = entry_find(to, new_name);
	struct inode *moved, *other;
	int rc;

	if (!source || (!target && (flags & RENAME_EXCHANGE)))
		return -ENOENT;
	if (target && (flags & RENAME_NOREPLACE))
		return -EEXIST;
	moved = source->inode;
	other = target ? target->inode : NULL;
	if (moved == other)
		return 0;
	if (!(flags & RENAME_EXCHANGE)) {
		rc = other ? may_remove(other, moved->directory != NULL) : 0;
		if (rc < 0)
			return rc;
		if (target)
			entry_remove(to, target);
		/* The new name first: it alone can fail. */
		rc = entry_add(to, new_name, moved);
		if (rc < 0)
			return rc;
		entry_remove(from, source);
		return 0;
	}
	entry_orphan(from, source);
	entry_orphan(to, target);
	entry_adopt(from, source, other);
	entry_adopt(to, target, moved);
	return 0;
}

static struct xattr **xattr_at(struct inode *inode, const char *name)
{
	struct xattr **at = &inode->xattrs;

	while (*at && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	return at;
}

int xattr_set(struct inode *inode, const char *name, const void *value, size_t size, int flags)
{
	struct xattr **at = xattr_at(inode, name), *x = *at;
	char *copy;

	if (x && (flags & XATTR_CREATE))
		return -EEXIST;
	if (!x && (flags & XATTR_REPLACE))
		return -ENODATA;
	copy = malloc(size + 1);
	if (!copy)
		return -ENOMEM;
	if (!x) {
		x = calloc(1, sizeof(*x) + strlen(name) + 1);
		if (!x) {
			free(copy);
			return -ENOMEM;
		}
		strcpy(x->name, name);
		*at = x;
	}
	memcpy(copy, value, size);
	free(x->value);
	x->value = copy;
	x->size = size;
	tree_change(inode);
	return 0;
}

ssize_t xattr_get(const struct inode *inode, const char *name, const char **value)
{
	const struct xattr *x = inode->xattrs;

	while (x && strcmp(x->name, name) != 0)
		x = x->next;
	if (!x)
		return -ENODATA;
	*value = x->value;
	return x->size;
}

size_t xattr_list(const struct inode *inode, char *out, size_t size)
{
	size_t total = 0, len;

	for (const struct xattr *x = inode->xattrs; x; x = x->next, total += len) {
		len = strlen(x->name) + 1;
		if (total + len <= size)
			memcpy(out + total, x->name, len);
	}
	return total;
}

int xattr_remove(struct inode *inode, const char *name)
{
	struct xattr **at = xattr_at(inode, name), *x = *at;

	if (!x)
		return -ENODATA;
	*at = x->next;
	free(x->value);
	free(x);
	tree_change(inode);
	return 0;
}
