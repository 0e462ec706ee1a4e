#include "chunker/snapshot.h"

#include <assert.h>
#include <errno.h>
#include <sys/stat.h>

#include "chunker/bytes.h"

#define FORMAT		    1
#define SNAPSHOT_HEADER_LEN (28 + REF_LEN)	/* what comes before the root's entry */
#define NSEC_MAX	    999999999u

static const char magic[4] = "dhts";
static const uint8_t format[4] = { FORMAT, 0, 0, 0 };

/* What the decoder of entries does not ask for, since it holds for this one only. */
static bool snapshot_valid(const struct snapshot *s)
{
	return s->time.nsec <= NSEC_MAX && S_ISDIR(s->root.mode) && s->root.name_len == 4 &&
	    memcmp(s->root.name, "root", 4) == 0 && ref_is_file(&s->kept) &&
	    s->kept.size % KEPT_LEN == 0 && s->note_len <= SNAPSHOT_NOTE_MAX &&
	    (s->note_len == 0 || !memchr(s->note, '\0', s->note_len));
}

int snapshot_encode(const struct snapshot *s, struct chunk **out)
{
	uint8_t entry[ENTRY_LEN_MAX], *p;
	struct chunk *c;
	int len;

	if (!snapshot_valid(s))
		return -EINVAL;
	len = entry_encode(&s->root, entry, sizeof(entry));
	if (len < 0)
		return len;
	c = chunk_new(SNAPSHOT_HEADER_LEN + (size_t)len + s->note_len, &p);
	if (!c)
		return -ENOMEM;
	memcpy(p, magic, 4);
	memcpy(p + 4, format, 4);
	put_le64(p + 8, (uint64_t)s->time.sec);
	put_le32(p + 16, s->time.nsec);
	put_le16(p + 20, s->note_len);
	put_le16(p + 22, 0);
	ref_encode(&s->kept, p + 24);
	put_le32(p + 24 + REF_LEN, (uint32_t)len);
	memcpy(p + SNAPSHOT_HEADER_LEN, entry, (size_t)len);
	if (s->note_len > 0)
		memcpy(p + SNAPSHOT_HEADER_LEN + len, s->note, s->note_len);
	*out = c;
	return 0;
}

/* ${p} may be NULL, as reader_take() gives it. */
static bool same(const uint8_t *p, const void *want, size_t len)
{
	return p && memcmp(p, want, len) == 0;
}

int snapshot_decode(const struct chunk *chunk, struct snapshot *out)
{
	struct reader r = reader_of(chunk->data, chunk->len);
	const uint8_t *kept, *root;
	struct snapshot s = { 0 };
	uint32_t root_len;

	if (!same(reader_take(&r, 4), magic, 4) || !same(reader_take(&r, 4), format, 4))
		return -EBADMSG;
	s.time.sec = (int64_t)reader_le64(&r);
	s.time.nsec = reader_le32(&r);
	s.note_len = reader_le16(&r);
	if (reader_le16(&r) != 0)
		return -EBADMSG;
	kept = reader_take(&r, REF_LEN);
	root_len = reader_le32(&r);
	root = reader_take(&r, root_len);
	s.note = (const char *)reader_take(&r, s.note_len);
	if (r.bad || r.left != 0 || ref_decode(kept, &s.kept) < 0 ||
	    entry_decode(root, root_len, &s.root) < 0 || !snapshot_valid(&s))
		return -EBADMSG;
	*out = s;
	return 0;
}

static bool kept_valid(const struct kept *k)
{
	return k->time.nsec <= NSEC_MAX && k->ref.kind == KIND_SNAPSHOT;
}

void kept_encode(const struct kept *k, uint8_t out[KEPT_LEN])
{
	assert(kept_valid(k));
	put_le64(out, (uint64_t)k->time.sec);
	put_le32(out + 8, k->time.nsec);
	put_le32(out + 12, 0);
	ref_encode(&k->ref, out + 16);
}

int kept_decode(const uint8_t in[KEPT_LEN], struct kept *out)
{
	struct kept k = {
		.time = { .sec = (int64_t)get_le64(in), .nsec = get_le32(in + 8) },
	};

	if (get_le32(in + 12) != 0 || ref_decode(in + 16, &k.ref) < 0 || !kept_valid(&k))
		return -EBADMSG;
	*out = k;
	return 0;
}
