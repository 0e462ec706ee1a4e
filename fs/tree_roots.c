/* tree_roots: all refs that a checkpoint of the tree has, for the collection. */
#include <errno.h>

#include "fs/tree_internal.h"

int tree_reader_inode(struct tree_reader *r, uint64_t after, struct inode *out)
{
	struct key key = key_of(after + 1);
	MDB_val k, v;
	int rc = view_seek(&r->view, INODES, &key, &k, &v);

	if (rc)
		return rc;
	if (k.mv_size != 8)
		return -EIO;
	return row_decode(get_be64(k.mv_data), &v, out);
}

/* Zeros: none. */
static int take_ref(const uint8_t *p, struct ref *out)
{
	*out = (struct ref){ 0 };
	return p[0] && ref_decode(p, out) != 0 ? -EIO : 0;
}

int tree_reader_head(struct tree_reader *r, struct ref *snapshot, struct ref *kept)
{
	struct key key = key_text("head");
	MDB_val v;
	int rc = view_get(&r->view, META, &key, &v);

	*snapshot = *kept = (struct ref){ 0 };
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	if (v.mv_size != HEAD_LEN)
		return -EIO;
	rc = take_ref(v.mv_data, snapshot);
	return rc ? rc : take_ref((const uint8_t *)v.mv_data + REF_LEN + 8, kept);
}

int tree_reader_pin(struct tree_reader *r, const struct address *after, struct ref *out)
{
	struct key key = { .len = ADDRESS_LEN };
	MDB_val k, v;
	int rc;

	/* The record that a table has so that it is never empty has a shorter key. */
	memset(key.b, 0, ADDRESS_LEN);
	if (after)
		memcpy(key.b, after->b, ADDRESS_LEN);
	rc = view_seek(&r->view, PINS, &key, &k, &v);
	if (rc == 0 && after && key_begins(&k, &key))
		rc = view_next(&r->view, PINS, &k, &v);
	if (rc)
		return rc;
	return v.mv_size == PIN_LEN ? take_ref(v.mv_data, out) : -EIO;
}
