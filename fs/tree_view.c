/* tree_view: rows and names as one transaction sees them.  fs/DESIGN.md has their bytes. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "dht/program/log.h"
#include "fs/tree_internal.h"

struct key key_of(uint64_t a)
{
	struct key k;

	k.len = 8;
	put_be64(k.b, a);
	return k;
}

struct key key_of2(uint64_t a, uint64_t b)
{
	struct key k;

	k.len = 16;
	put_be64(k.b, a);
	put_be64(k.b + 8, b);
	return k;
}

struct key key_of3(uint64_t a, uint64_t b, uint64_t c)
{
	struct key k;

	k.len = 24;
	put_be64(k.b, a);
	put_be64(k.b + 8, b);
	put_be64(k.b + 16, c);
	return k;
}

struct key key_named(uint64_t a, const char *name, size_t name_len)
{
	struct key k;

	k.len = 8 + name_len;
	put_be64(k.b, a);
	memcpy(k.b + 8, name, name_len);
	return k;
}

struct key key_text(const char *text)
{
	struct key k;

	k.len = strlen(text);
	memcpy(k.b, text, k.len);
	return k;
}

bool key_begins(const MDB_val *found, const struct key *key)
{
	return found->mv_size >= key->len && memcmp(found->mv_data, key->b, key->len) == 0;
}

int view_open(struct view *v, const MDB_dbi dbi[TABLES])
{
	for (int i = 0; i < TABLES; i++) {
		int rc = mdb_cursor_open(v->txn, dbi[i], &v->cursor[i]);

		if (rc)
			return tree_errno(rc);
	}
	return 0;
}

void view_hide(struct view *v)
{
	for (int i = 0; i < TABLES; i++) {
		if (v->cursor[i])
			mdb_cursor_close(v->cursor[i]);
		v->cursor[i] = NULL;
	}
}

void view_close(struct view *v)
{
	view_hide(v);
	if (v->txn)
		mdb_txn_abort(v->txn);
	*v = (struct view){ 0 };
}

static int seek(struct view *v, enum table table, MDB_val *found, MDB_val *out, MDB_cursor_op op)
{
	int rc = v->cursor[table] ? mdb_cursor_get(v->cursor[table], found, out, op) : EIO;

	if (rc == 0)
		return 0;
	if (rc == MDB_NOTFOUND)
		return -ENOENT;
	log_line(LOG_ERR, "tree: reading table %d: %s", (int)table, mdb_strerror(rc));
	return -EIO;
}

int view_get(struct view *v, enum table table, const struct key *key, MDB_val *out)
{
	MDB_val k = { key->len, (void *)(uintptr_t)key->b };

	return seek(v, table, &k, out, MDB_SET);
}

int view_seek(struct view *v, enum table table, const struct key *key, MDB_val *found,
    MDB_val *out)
{
	*found = (MDB_val){ key->len, (void *)(uintptr_t)key->b };
	return seek(v, table, found, out, MDB_SET_RANGE);
}

int view_next(struct view *v, enum table table, MDB_val *found, MDB_val *out)
{
	return seek(v, table, found, out, MDB_NEXT);
}

static void put_time(uint8_t *sec, uint8_t *nsec, const struct timestamp *t)
{
	put_le64(sec, (uint64_t)t->sec);
	put_le32(nsec, t->nsec);
}

static struct timestamp get_time(const uint8_t *sec, const uint8_t *nsec)
{
	return (struct timestamp){ .sec = (int64_t)get_le64(sec), .nsec = get_le32(nsec) };
}

void row_encode(const struct inode *i, uint8_t out[ROW_LEN])
{
	put_le32(out, i->mode);
	put_le32(out + 4, i->uid);
	put_le32(out + 8, i->gid);
	put_le32(out + 12, i->nlink);
	put_le32(out + 16, i->flags);
	put_time(out + 32, out + 20, &i->atime);
	put_time(out + 40, out + 24, &i->mtime);
	put_time(out + 48, out + 28, &i->ctime);
	put_le64(out + 56, i->rdev);
	put_le64(out + 64, i->size);
	put_le64(out + 72, i->parent);
	put_le64(out + 80, i->cookie);
	put_le64(out + 88, i->link_id);
	put_le64(out + 96, i->data);
	put_le64(out + 104, i->changed);
	if (i->ref.hash)
		ref_encode(&i->ref, out + 112);
	else
		memset(out + 112, 0, REF_LEN);
}

/* What the tables hold was written by us: other bytes are a damaged file. */
static int damaged(const char *what, uint64_t ino)
{
	log_line(LOG_ERR, "tree: inode %llu has a damaged %s", (unsigned long long)ino, what);
	return -EIO;
}

int row_decode(uint64_t ino, const MDB_val *row, struct inode *out)
{
	const uint8_t *p = row->mv_data;

	if (row->mv_size != ROW_LEN)
		return damaged("row", ino);
	*out = (struct inode){
		.ino = ino,
		.mode = get_le32(p),
		.uid = get_le32(p + 4),
		.gid = get_le32(p + 8),
		.nlink = get_le32(p + 12),
		.flags = get_le32(p + 16),
		.atime = get_time(p + 32, p + 20),
		.mtime = get_time(p + 40, p + 24),
		.ctime = get_time(p + 48, p + 28),
		.rdev = get_le64(p + 56),
		.size = get_le64(p + 64),
		.parent = get_le64(p + 72),
		.cookie = get_le64(p + 80),
		.link_id = get_le64(p + 88),
		.data = get_le64(p + 96),
		.changed = get_le64(p + 104),
	};
	if (p[112] && ref_decode(p + 112, &out->ref) != 0)
		return damaged("ref", ino);
	return 0;
}

int view_inode(struct view *v, uint64_t ino, struct inode *out)
{
	struct key key = key_of(ino);
	MDB_val row;
	int rc = view_get(v, INODES, &key, &row);

	return rc ? rc : row_decode(ino, &row, out);
}

int view_directory(struct view *v, uint64_t ino, struct inode *out)
{
	int rc = view_inode(v, ino, out);

	if (rc)
		return rc;
	if (!S_ISDIR(out->mode))
		return -ENOTDIR;
	return out->nlink ? 0 : -ENOENT;
}

int view_name(struct view *v, uint64_t dir, const char *name, size_t name_len,
    struct name_value *out)
{
	struct key key = key_named(dir, name, name_len);
	MDB_val value;
	int rc = view_get(v, NAMES, &key, &value);
	const uint8_t *p;

	if (rc)
		return rc;
	if (value.mv_size != NAME_VALUE_LEN)
		return damaged("name", dir);
	p = value.mv_data;
	*out = (struct name_value){ get_le64(p), get_le64(p + 8), p[16] };
	return 0;
}

int tree_name_of(const MDB_val *key, const MDB_val *value, struct tree_name *out)
{
	const uint8_t *p = value->mv_data;

	if (key->mv_size != 16 || value->mv_size < 10 || value->mv_size > 9 + NAME_LEN_MAX)
		return damaged("cookie", key->mv_size >= 8 ? get_be64(key->mv_data) : 0);
	out->ino = get_le64(p);
	out->cookie = get_be64((const uint8_t *)key->mv_data + 8);
	out->type = p[8];
	out->name_len = (uint8_t)(value->mv_size - 9);
	memcpy(out->name, p + 9, out->name_len);
	out->name[out->name_len] = '\0';
	return 0;
}

int view_cookie(struct view *v, uint64_t dir, uint64_t cookie, struct tree_name *out)
{
	struct key key = key_of2(dir, cookie);
	MDB_val k = { key.len, key.b }, value;
	int rc = view_get(v, COOKIES, &key, &value);

	return rc ? rc : tree_name_of(&k, &value, out);
}

int view_target(struct view *v, uint64_t ino, char target[SYMLINK_LEN_MAX + 1])
{
	struct key key = key_of(ino);
	MDB_val value;
	int rc = view_get(v, TARGETS, &key, &value);

	if (rc == -ENOENT)
		return -EINVAL;
	if (rc)
		return rc;
	if (value.mv_size > SYMLINK_LEN_MAX)
		return damaged("target", ino);
	memcpy(target, value.mv_data, value.mv_size);
	target[value.mv_size] = '\0';
	return 0;
}

int name_check(const char *name, size_t *len)
{
	*len = strnlen(name, NAME_LEN_MAX + 1);
	if (*len > NAME_LEN_MAX)
		return -ENAMETOOLONG;
	return entry_name_valid(name, *len) ? 0 : -EINVAL;
}
