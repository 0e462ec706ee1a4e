/* tree_reader: the tree of the last checkpoint, beside the writer and without its lock. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/tree_internal.h"

/* It is in the list before anyone can commit: the oldest reader decides what can be used again. */
static int begin(struct tree *t, struct tree_reader *r)
{
	int rc;

	r->tree = t;
	tree_lock(t);
	rc = !t->env ? MDB_PANIC : mdb_txn_begin(t->env, NULL, MDB_RDONLY, &r->view.txn);
	if (rc) {
		r->view.txn = NULL;
	} else {
		r->next = t->readers;
		if (r->next)
			r->next->prev = r;
		t->readers = r;
	}
	pthread_mutex_unlock(&t->lock);
	return rc ? tree_errno(rc) : 0;
}

int tree_reader_open(struct tree *t, struct tree_reader **out)
{
	struct tree_reader *r = calloc(1, sizeof *r);
	struct key key = key_text("state");
	MDB_val v;
	int rc;

	*out = NULL;
	if (!r)
		return -ENOMEM;
	rc = begin(t, r);
	if (rc) {
		free(r);
		return rc;
	}
	rc = view_open(&r->view, t->dbi);
	if (rc == 0)
		rc = view_get(&r->view, META, &key, &v);
	if (rc == 0 && v.mv_size != STATE_LEN)
		rc = -EIO;
	if (rc) {
		tree_reader_close(r);
		return rc;
	}
	r->epoch = get_le64((const uint8_t *)v.mv_data + 16);
	*out = r;
	return 0;
}

void tree_reader_close(struct tree_reader *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->tree->lock);
	view_close(&r->view);
	if (r->next)
		r->next->prev = r->prev;
	if (r->prev)
		r->prev->next = r->next;
	else
		r->tree->readers = r->next;
	/* A tree that is to be opened anew waits for the last one. */
	if (!r->tree->readers)
		pthread_cond_broadcast(&r->tree->turned);
	pthread_mutex_unlock(&r->tree->lock);
	free(r);
}

uint64_t tree_reader_epoch(const struct tree_reader *r)
{
	return r->epoch;
}

int tree_reader_get(struct tree_reader *r, uint64_t ino, struct inode *out)
{
	return view_inode(&r->view, ino, out);
}

int tree_reader_name(struct tree_reader *r, uint64_t dir, uint64_t cookie, struct tree_name *out)
{
	return view_cookie(&r->view, dir, cookie, out);
}

int tree_reader_lookup(struct tree_reader *r, uint64_t dir, const char *name, size_t name_len,
    struct inode *out)
{
	struct name_value v;
	int rc;

	if (name_len > NAME_LEN_MAX)
		return -ENAMETOOLONG;
	rc = view_name(&r->view, dir, name, name_len, &v);
	return rc ? rc : view_inode(&r->view, v.ino, out);
}

int tree_reader_readlink(struct tree_reader *r, uint64_t ino, char target[SYMLINK_LEN_MAX + 1])
{
	return view_target(&r->view, ino, target);
}

/* The xattr that a record of XATTRS says. */
static struct xattr xattr_of(const MDB_val *k, const MDB_val *v)
{
	return (struct xattr){
		.name = (const char *)k->mv_data + 8,
		.name_len = (uint8_t)(k->mv_size - 8),
		.value = v->mv_data,
		.value_len = (uint32_t)v->mv_size,
	};
}

/* Encode them into ${out}, or only add up their length where that is NULL.  They lie in order. */
static int encode_xattrs(struct tree_reader *r, uint64_t ino, uint8_t *out, size_t *len)
{
	struct key prefix = key_of(ino);
	MDB_val k, v;
	int rc = view_seek(&r->view, XATTRS, &prefix, &k, &v);

	*len = 0;
	while (rc == 0 && key_begins(&k, &prefix)) {
		struct xattr x = xattr_of(&k, &v);

		if (out)
			xattr_encode(&x, out + *len);
		*len += xattr_encoded_len(&x);
		rc = view_next(&r->view, XATTRS, &k, &v);
	}
	return rc == -ENOENT ? 0 : rc;
}

int tree_reader_xattrs(struct tree_reader *r, uint64_t ino, uint8_t **out, size_t *len)
{
	int rc = encode_xattrs(r, ino, NULL, len);

	*out = NULL;
	if (rc || *len == 0)
		return rc;
	*out = malloc(*len);
	if (!*out)
		return -ENOMEM;
	return encode_xattrs(r, ino, *out, len);
}

/* The first key of ${table}, which are (directory, name), behind this one. */
static int next_name(struct tree_reader *r, enum table table, uint64_t dir, const char *name,
    size_t name_len, struct tree_name *out)
{
	struct key key = key_named(dir, name, name_len);
	uint64_t live = dir;	/* a directory that is known to be there */
	MDB_val k, v;
	int rc;

	assert(name_len <= NAME_LEN_MAX);
	rc = view_seek(&r->view, table, &key, &k, &v);
	if (rc == 0 && k.mv_size == key.len && key_begins(&k, &key))
		rc = view_next(&r->view, table, &k, &v);
	while (rc == 0) {
		const uint8_t *p = k.mv_data;
		struct inode i;

		if (k.mv_size < 9 || k.mv_size > 8 + NAME_LEN_MAX)
			return -EIO;
		*out = (struct tree_name){ .ino = get_be64(p) };
		out->name_len = (uint8_t)(k.mv_size - 8);
		memcpy(out->name, p + 8, out->name_len);
		if (out->ino == live)
			return 0;
		rc = view_directory(&r->view, out->ino, &i);
		if (rc != -ENOENT)
			return rc;
		/* It was removed: its records wait for tree_forget(). */
		key = key_of(out->ino + 1);
		rc = view_seek(&r->view, table, &key, &k, &v);
	}
	return rc;
}

int tree_reader_changed(struct tree_reader *r, uint64_t dir, const char *name, size_t name_len,
    struct tree_name *out)
{
	return next_name(r, CHANGES, dir, name, name_len, out);
}

int tree_reader_next(struct tree_reader *r, uint64_t dir, const char *name, size_t name_len,
    struct tree_name *out)
{
	return next_name(r, NAMES, dir, name, name_len, out);
}
