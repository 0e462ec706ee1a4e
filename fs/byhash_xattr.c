#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/index.h"
#include "chunker/xattrs.h"
#include "fs/byhash_internal.h"
#include "fs/people.h"

/* As set-id bits, it gives a program more than its caller has, whoever put it there: so there is none here. */
#define MASKED "security.capability"

/*
 * Extended attributes, as they were in the tree.  Long ones are a file in the set.
 */
struct attributes {
	struct parked parked;
	struct fetch fetch;
	struct byhash *b;
	struct view_node *node;
	uint8_t *bytes;
	size_t len, size;
	bool list, trusted;	/* ... those for root, too */
	char name[XATTR_NAME_MAX_LEN + 1];
};

static void attributes_free(struct parked *p)
{
	struct attributes *a = (struct attributes *)p;

	view_drop(a->b->view, a->node);
	fetch_clear(&a->fetch);
	free(a->bytes);
	free(a);
}

static void attributes_cancel(struct parked *p)
{
	fetch_cancel(&((struct attributes *)p)->fetch);
}

static int attributes_run(struct fetch *f)
{
	struct attributes *a = (struct attributes *)((char *)f -
	    offsetof(struct attributes, fetch));
	const struct view_node *n = a->node;

	a->len = n->xattrs_apart ? n->xattrs_ref.size : n->xattrs_len;
	if (a->len > 2 * TREE_XATTRS_MAX)
		return -EBADMSG;
	free(a->bytes);
	a->bytes = calloc(1, a->len + 1);
	if (!a->bytes)
		return -ENOMEM;
	if (!n->xattrs_apart) {
		if (a->len > 0)
			memcpy(a->bytes, n->xattrs, a->len);
		return 0;
	}
	return index_read(&f->source, &n->xattrs_ref, a->bytes);
}

static void reply_bytes(fuse_req_t req, size_t size, const void *bytes, size_t len)
{
	if (size == 0)
		fuse_reply_xattr(req, len);
	else if (size < len)
		ops_err(req, -ERANGE);
	else
		fuse_reply_buf(req, bytes, len);
}

static bool begins(const struct xattr *x, const char *with)
{
	return x->name_len >= strlen(with) && memcmp(x->name, with, strlen(with)) == 0;
}

static bool is_listed(const struct attributes *a, const struct xattr *x)
{
	if (x->name_len == strlen(MASKED) && begins(x, MASKED))
		return false;
	return a->trusted || !begins(x, "trusted.");
}

static void reply_names(struct attributes *a, fuse_req_t req)
{
	const uint8_t *p = a->bytes, *end = a->bytes + a->len;
	char *names = malloc(a->len + 1);
	struct xattr x, last;
	const struct xattr *prev = NULL;
	size_t len = 0;
	int r = names ? 1 : -ENOMEM;

	while (r == 1 && (r = xattr_next(&p, end, prev, &x)) == 1) {
		if (is_listed(a, &x)) {
			memcpy(names + len, x.name, x.name_len);
			len += x.name_len;
			names[len++] = 0;
		}
		last = x;
		prev = &last;
	}
	if (r < 0)
		ops_err(req, r);
	else
		reply_bytes(req, a->size, names, len);
	free(names);
}

static void reply_value(struct attributes *a, fuse_req_t req)
{
	const uint8_t *p = a->bytes, *end = a->bytes + a->len;
	struct xattr x, last;
	const struct xattr *prev = NULL;
	int r;

	while ((r = xattr_next(&p, end, prev, &x)) == 1) {
		if (x.name_len == strlen(a->name) && memcmp(x.name, a->name, x.name_len) == 0) {
			reply_bytes(req, a->size, x.value, x.value_len);
			return;
		}
		last = x;
		prev = &last;
	}
	ops_err(req, r < 0 ? r : -ENODATA);
}

static void attributes_done(struct fetch *f, int result)
{
	struct attributes *a = (struct attributes *)((char *)f -
	    offsetof(struct attributes, fetch));
	fuse_req_t req = parked_finish(&a->parked);

	if (result < 0)
		ops_err(req, result == -ENOENT ? -EIO : result);
	else if (a->list)
		reply_names(a, req);
	else
		reply_value(a, req);
	parked_drop(&a->parked);
}

static void attributes_start(struct byhash *b, fuse_req_t req, uint64_t ino, const char *name,
    size_t size)
{
	struct view_node *node = view_hold(b->view, ino);
	struct attributes *a = node ? calloc(1, sizeof(*a)) : NULL;

	if (!a) {
		ops_err(req, node ? -ENOMEM : -ESTALE);
		if (node)
			view_drop(b->view, node);
		return;
	}
	parked_init(&a->parked, req, b->fs->parking, attributes_cancel, attributes_free);
	a->b = b;
	a->node = node;
	a->size = size;
	a->list = !name;
	/* The kernel leaves that to the filesystem. */
	a->trusted = fuse_req_ctx(req)->uid == 0;
	snprintf(a->name, sizeof(a->name), "%s", name ? name : "");
	a->fetch.run = attributes_run;
	a->fetch.done = attributes_done;
	fetch_init(&a->fetch, b->fs->dht, b->fs->cache);
	fetch_start(&a->fetch);
	parked_started(&a->parked);
}

void byhash_getxattr(struct byhash *b, fuse_req_t req, uint64_t ino, const char *name,
    size_t size)
{
	struct view_node *n;
	struct ref ref;

	if (strcmp(name, MASKED) == 0) {
		ops_err(req, -ENODATA);
		return;
	}
	if (!people_has(name)) {
		attributes_start(b, req, ino, name, size);
		return;
	}
	n = view_hold(b->view, ino);
	if (!n || n->ref.hash == 0) {
		ops_err(req, n ? -ENODATA : -ESTALE);
		if (n)
			view_drop(b->view, n);
		return;
	}
	ref = n->ref;
	view_drop(b->view, n);
	people_answer(b->fs, req, &ref, name, size);
}

void byhash_listxattr(struct byhash *b, fuse_req_t req, uint64_t ino, size_t size)
{
	attributes_start(b, req, ino, NULL, size);
}
