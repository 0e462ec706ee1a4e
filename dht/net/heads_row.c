/*
 * A row: format 1, a flag: two of one seq; then heads, each le64 seq, le16 length, bytes.  With the flag the first two are
 * these.  The others follow each other in seq, and each was seen to go on from the one before.
 */
#include <errno.h>
#include <string.h>

#include "chunker/bytes.h"
#include "dht/net/heads.h"

#define FORMAT	  1u
#define ITEM_HEAD 10u

static bool read_item(struct reader *r, struct head_item *out)
{
	const uint8_t *p = reader_take(r, ITEM_HEAD);

	if (!p)
		return false;
	out->seq = get_le64(p);
	out->blob.len = get_le16(p + 8);
	out->blob.data = reader_take(r, out->blob.len);
	return out->blob.data && out->seq > 0 && out->blob.len > 0 && out->blob.len <= SIGNED_MAX;
}

int head_row_read(const struct chunk *row, struct head_row *out)
{
	struct reader r;
	uint8_t format;

	out->count = 0;
	out->forked = false;
	if (!row)
		return 0;
	r = reader_of(row->data, row->len);
	format = reader_u8(&r);
	out->forked = reader_u8(&r) != 0;
	if (r.bad || format != FORMAT)
		return -EBADMSG;
	if (out->forked && (!read_item(&r, &out->fork[0]) || !read_item(&r, &out->fork[1])))
		return -EBADMSG;
	for (; r.left > 0; out->count++)
		if (out->count == HEAD_HISTORY || !read_item(&r, &out->item[out->count]) ||
		    (out->count > 0 && out->item[out->count].seq != out->item[out->count - 1].seq + 1))
			return -EBADMSG;
	return 0;
}

static uint8_t *write_item(uint8_t *p, const struct head_item *i)
{
	put_le64(p, i->seq);
	put_le16(p + 8, (uint16_t)i->blob.len);
	memcpy(p + ITEM_HEAD, i->blob.data, i->blob.len);
	return p + ITEM_HEAD + i->blob.len;
}

struct chunk *head_row_write(const struct head_row *r)
{
	size_t len = 2 + (r->forked ? 2 * ITEM_HEAD + r->fork[0].blob.len + r->fork[1].blob.len : 0);
	struct chunk *c;
	uint8_t *p;

	for (unsigned int i = 0; i < r->count; i++)
		len += ITEM_HEAD + r->item[i].blob.len;
	c = chunk_new(len, &p);
	if (!c)
		return NULL;
	*p++ = FORMAT;
	*p++ = r->forked;
	for (unsigned int i = 0; r->forked && i < 2; i++)
		p = write_item(p, &r->fork[i]);
	for (unsigned int i = 0; i < r->count; i++)
		p = write_item(p, &r->item[i]);
	return c;
}

const struct head_item *head_row_newest(const struct head_row *r)
{
	return r->count > 0 ? &r->item[r->count - 1] : NULL;
}

static bool same(const struct wire_slice *a, const struct wire_slice *b)
{
	return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

/* The one of ${seq}; NULL: not known. */
static const struct head_item *find(const struct head_row *r, uint64_t seq)
{
	const struct head_item *newest = head_row_newest(r);

	if (!newest || seq > newest->seq || newest->seq - seq >= r->count)
		return NULL;
	return newest - (newest->seq - seq);
}

bool head_row_has(const struct head_row *r, const struct wire_slice *blob, uint64_t seq)
{
	const struct head_item *i = find(r, seq);

	return i && same(&i->blob, blob);
}

void head_row_fork(struct head_row *r, const struct wire_slice *a, const struct wire_slice *b, uint64_t seq)
{
	if (r->forked)
		return;
	r->forked = true;
	r->fork[0] = (struct head_item){ seq, *a };
	r->fork[1] = (struct head_item){ seq, *b };
}

static enum head_learned append(struct head_row *r, const struct head *h, const struct wire_slice *blob)
{
	if (r->count == HEAD_HISTORY)
		memmove(r->item, r->item + 1, --r->count * sizeof(*r->item));
	r->item[r->count++] = (struct head_item){ h->seq, *blob };
	return HEAD_NEWS;
}

enum head_learned head_row_learn(struct head_row *r, const struct head *h, const struct wire_slice *blob, bool jump)
{
	const struct head_item *newest = head_row_newest(r), *there = find(r, h->seq);
	struct address hash;

	if (r->forked)
		return HEAD_FORK;
	if (there && same(&there->blob, blob))
		return HEAD_SAME;
	if (there) {
		head_row_fork(r, &there->blob, blob, h->seq);
		return HEAD_FORK;
	}
	if (newest && h->seq < newest->seq)
		return HEAD_OLD;
	if (h->seq == (newest ? newest->seq : 0) + 1) {
		if (newest) {
			head_hash(newest->blob.data, newest->blob.len, &hash);
			if (!address_equal(&hash, &h->previous))
				return HEAD_OTHER;
		}
		return append(r, h, blob);
	}
	if (!jump)
		return HEAD_GAP;
	r->count = 0;
	return append(r, h, blob);
}

uint32_t head_row_before(const struct head_row *r, uint8_t out[WIRE_BLOBS_MAX])
{
	uint32_t len = 0;

	for (unsigned int i = 0; i + 1 < r->count; i++) {
		int put = wire_blob_put(r->item[i].blob.data, r->item[i].blob.len, out + len, WIRE_BLOBS_MAX - len);

		if (put < 0)
			break;	/* cannot be: HEAD_HISTORY x SIGNED_MAX is less */
		len += (uint32_t)put;
	}
	return len;
}
