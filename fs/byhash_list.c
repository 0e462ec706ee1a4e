#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/directory.h"
#include "fs/byhash_internal.h"

/*
 * Offsets: 1 behind ".", 2 behind "..", then: in by-hash itself 3 + the prefix; in a prefix
 * 3 + the 7 bytes of the address behind it; in a directory from the set 3 + the number
 * of the name.
 */
#define OFF_FIRST 3
#define OFF_BYHASH INT64_MAX
#define LIST_BATCH 128u	/* addresses asked of the store at a time */

struct listing {
	struct parked parked;
	struct fetch fetch;
	struct byhash *b;
	struct view_node *dir;
	char *buf;
	size_t size, used;
	uint64_t off;
	bool plus, full;
};

static void listing_free(struct parked *p)
{
	struct listing *l = (struct listing *)p;

	view_drop(l->b->view, l->dir);
	fetch_clear(&l->fetch);
	free(l->buf);
	free(l);
}

static void listing_cancel(struct parked *p)
{
	fetch_cancel(&((struct listing *)p)->fetch);
}

/* In a plus listing an entry without a node (ino 0) tells the kernel to look it up if it cares. */
static bool add(struct listing *l, const char *name, uint64_t ino, mode_t type,
    const struct fuse_entry_param *full, uint64_t off)
{
	struct fuse_entry_param e = { .attr = { .st_ino = ino, .st_mode = type } };
	char *at = l->buf + l->used;
	size_t left = l->size - l->used, n;

	if (l->plus)
		n = fuse_add_direntry_plus(l->parked.req, at, left, name, full ? full : &e,
		    (off_t)off);
	else
		n = fuse_add_direntry(l->parked.req, at, left, name, &e.attr, (off_t)off);
	if (n > left)
		return false;
	l->used += n;
	l->off = off;
	return true;
}

static bool add_dots(struct listing *l)
{
	uint64_t up = l->dir->parent ? l->dir->parent->ino : TREE_ROOT;

	if (l->off < 1 && !add(l, ".", l->dir->ino, S_IFDIR, NULL, 1))
		return false;
	return l->off >= 2 || add(l, "..", up, S_IFDIR, NULL, 2);
}

/* An inode number for a name that has no node yet: it only must not be 0. */
#define NO_INO BYHASH_BIT

static void list_prefixes(struct listing *l)
{
	uint64_t from = l->off < OFF_FIRST ? 0 : l->off - OFF_FIRST + 1;
	char name[3];

	for (uint64_t i = from; i < 256; i++) {
		snprintf(name, sizeof(name), "%02x", (unsigned int)i);
		if (!add(l, name, NO_INO, S_IFDIR, NULL, OFF_FIRST + i))
			return;
	}
}

static uint64_t address_off(const struct address *a)
{
	uint64_t off = 0;

	for (int i = 1; i < 8; i++)
		off = off << 8 | a->b[i];
	return OFF_FIRST + off;
}

/* The highest address with this prefix and offset, or, for those below OFF_FIRST, the last before them all. */
static bool address_before(uint8_t prefix, uint64_t off, struct address *a)
{
	memset(a, 0xff, sizeof(*a));
	a->b[0] = prefix;
	if (off < OFF_FIRST) {
		a->b[0]--;
		return prefix > 0;
	}
	off -= OFF_FIRST;
	for (int i = 7; i >= 1; i--, off >>= 8)
		a->b[i] = (uint8_t)off;
	return true;
}

static int list_addresses(struct listing *l)
{
	struct address batch[LIST_BATCH], after;
	bool any = address_before(l->dir->prefix, l->off, &after);
	char name[ADDRESS_TEXT_LEN + 1];
	ssize_t n;

	do {
		n = dht_list(l->b->fs->dht, any ? &after : NULL, LIST_BATCH, batch);
		for (ssize_t i = 0; i < n; i++) {
			if (batch[i].b[0] != l->dir->prefix)
				return 0;
			address_format(&batch[i], name);
			if (!add(l, name, NO_INO, 0, NULL, address_off(&batch[i])))
				return 0;
		}
		if (n > 0)
			after = batch[n - 1];
		any = true;
	} while (n == LIST_BATCH);
	return n < 0 ? (int)n : 0;
}

static bool add_entry(struct listing *l, const struct entry *e, uint64_t off)
{
	char name[NAME_LEN_MAX + 1], target[SYMLINK_LEN_MAX + 1];
	struct fuse_entry_param full;
	struct view_node like, *n;
	bool fits;

	memcpy(name, e->name, e->name_len);
	name[e->name_len] = 0;
	if (!l->plus)
		return add(l, name, NO_INO, e->mode & S_IFMT, NULL, off);
	view_from_entry(e, &like);
	if (e->target) {
		byhash_target(e, target);
		like.target = target;
	}
	n = view_add(l->b->view, l->dir, name, e->name_len, &like);
	if (!n)
		return add(l, name, NO_INO, e->mode & S_IFMT, NULL, off);
	byhash_fill(n, &full);
	fits = add(l, name, n->ino, e->mode & S_IFMT, &full, off);
	if (!fits)
		view_forget(l->b->view, n->ino, 1);
	view_drop(l->b->view, n);
	return fits;
}

/* After -EAGAIN the next run goes on behind what is in the buffer. */
static int list_directory(struct fetch *f)
{
	struct listing *l = (struct listing *)((char *)f - offsetof(struct listing, fetch));
	uint64_t n = l->off < OFF_FIRST ? 0 : l->off - OFF_FIRST + 1;
	struct directory_cursor *c = directory_cursor_new(&f->source, &l->dir->ref);
	struct entry e;
	int r = c ? directory_cursor_seek(c, n) : -ENOMEM;

	while (r == 0 && (r = directory_cursor_next(c, &e)) == 1)
		r = add_entry(l, &e, OFF_FIRST + n++) ? 0 : -ENOSPC;
	directory_cursor_free(c);
	/* The buffer is full: the kernel asks again. */
	l->full = r == -ENOSPC;
	return l->full ? 0 : r;
}

/* Of a follower: with by-hash behind all names. */
static int list_root(struct fetch *f)
{
	struct listing *l = (struct listing *)((char *)f - offsetof(struct listing, fetch));
	int r;

	if (l->off == OFF_BYHASH)
		return 0;
	r = list_directory(f);
	if (r == 0 && !l->full && l->b->fs->options->by_hash != BY_HASH_HIDDEN)
		add(l, BYHASH_NAME, BYHASH_ROOT, S_IFDIR, NULL, OFF_BYHASH);
	return r;
}

static void listed(struct fetch *f, int result)
{
	struct listing *l = (struct listing *)((char *)f - offsetof(struct listing, fetch));
	fuse_req_t req = parked_finish(&l->parked);

	/* What is there is handed out, and the error comes with the next call. */
	if (result < 0 && l->used == 0)
		ops_err(req, result == -ENOENT ? -EIO : result);
	else if (fuse_reply_buf(req, l->buf, l->used) < 0 && l->plus)
		ops_untold(l->b->fs, l->buf, l->used);
	parked_drop(&l->parked);
}

static int list_run(struct fetch *f)
{
	struct listing *l = (struct listing *)((char *)f - offsetof(struct listing, fetch));
	bool nolist = l->b->fs->options->by_hash != BY_HASH_LIST;

	if (!add_dots(l))
		return 0;
	if (l->dir->ino == TREE_ROOT)
		return list_root(f);
	if (l->dir->type == VIEW_ENTRY)
		return list_directory(f);
	if (nolist)
		return 0;
	if (l->dir->type != VIEW_ROOT)
		return list_addresses(l);
	list_prefixes(l);
	return 0;
}

/* Who has a directory open lists the one that he opened, whatever takes its place. */
static struct view_node *opened(const struct fuse_file_info *fi)
{
	return (struct view_node *)(uintptr_t)fi->fh;
}

void byhash_opendir(struct byhash *b, fuse_req_t req, uint64_t ino, struct fuse_file_info *fi)
{
	struct view_node *dir = view_hold(b->view, ino);

	if (!dir || !S_ISDIR(dir->st.st_mode)) {
		ops_err(req, dir ? -ENOTDIR : -ESTALE);
		if (dir)
			view_drop(b->view, dir);
		return;
	}
	walks_directory(b->walks, dir);
	fi->fh = (uintptr_t)dir;
	/* Interrupted: no releasedir will come. */
	if (fuse_reply_open(req, fi) < 0)
		view_drop(b->view, dir);
}

void byhash_releasedir(struct byhash *b, fuse_req_t req, struct fuse_file_info *fi)
{
	view_drop(b->view, opened(fi));
	fuse_reply_err(req, 0);
}

void byhash_readdir(struct byhash *b, fuse_req_t req, struct fuse_file_info *fi, size_t size, off_t off,
    bool plus)
{
	struct view_node *dir = opened(fi);
	struct listing *l = calloc(1, sizeof(*l));
	char *buf = malloc(size);

	if (!l || !buf) {
		ops_err(req, -ENOMEM);
		free(l);
		free(buf);
		return;
	}
	parked_init(&l->parked, req, b->fs->parking, listing_cancel, listing_free);
	l->b = b;
	view_hold_again(b->view, dir);
	l->dir = dir;
	l->buf = buf;
	l->size = size;
	l->off = (uint64_t)off;
	l->plus = plus;
	l->fetch.run = list_run;
	l->fetch.done = listed;
	fetch_init(&l->fetch, b->fs->dht, b->fs->cache);
	fetch_start(&l->fetch);
	parked_started(&l->parked);
}
