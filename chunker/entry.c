/* entry: one name of a directory to bytes and back.  directory.h has the layout. */
#include <assert.h>
#include <errno.h>
#include <sys/stat.h>

#include "chunker/bytes.h"
#include "chunker/directory.h"
#include "chunker/xattrs.h"

enum {
	FLAG_LINK = 1,
	FLAG_XATTRS = 2,
	FLAG_XATTRS_APART = 4,
};

_Static_assert(ENTRY_NAME_AT + NAME_LEN_MAX + 2 + SYMLINK_LEN_MAX + 8 + 2 + XATTRS_INLINE_MAX
		<= ENTRY_LEN_MAX, "the longest entry fits");
_Static_assert(S_IFMT == 0170000 && S_IFDIR == 0040000 && S_IFREG == 0100000,
    "modes are kept with the numbers that Linux gives them");

bool entry_name_valid(const char *name, size_t len)
{
	if (len == 0 || len > NAME_LEN_MAX)
		return false;
	if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
		return false;
	return !memchr(name, '/', len) && !memchr(name, '\0', len);
}

/* Is what the entry's type asks for there, and nothing that belongs to another type? */
static bool content_valid(const struct entry *e)
{
	if (!S_ISCHR(e->mode) && !S_ISBLK(e->mode) && e->rdev != 0)
		return false;
	switch (e->mode & S_IFMT) {
	case S_IFREG:
		return ref_is_file(&e->ref) && e->ref.size == e->size;
	case S_IFDIR:
		/* A directory with a second name would be a loop waiting for a walker. */
		return e->ref.hash == HASH_BLAKE2B_256 && e->ref.kind == KIND_DIRECTORY &&
		    e->ref.size == e->size && e->size <= INT64_MAX && e->link_id == 0;
	case S_IFLNK:
		return e->size >= 1 && e->size <= SYMLINK_LEN_MAX &&
		    !memchr(e->target, '\0', e->size);
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return e->size == 0;
	}
	return false;
}

/* The same xattrs are always kept in the same place, or equal trees would differ. */
static bool xattrs_valid(const struct entry *e)
{
	const uint8_t *p = e->xattrs, *end;
	struct xattr x[2];
	int i = 0, rc;

	if (e->xattrs_apart)
		return e->xattrs_len == 0 && ref_is_file(&e->xattrs_ref) &&
		    e->xattrs_ref.size > XATTRS_INLINE_MAX;
	if (e->xattrs_len == 0)
		return true;
	if (e->xattrs_len > XATTRS_INLINE_MAX)
		return false;
	end = p + e->xattrs_len;
	while ((rc = xattr_next(&p, end, i ? &x[(i - 1) & 1] : NULL, &x[i & 1])) > 0)
		i++;
	return rc == 0;
}

static bool entry_valid(const struct entry *e)
{
	return entry_name_valid(e->name, e->name_len) &&
	    !(e->mode & ~(uint32_t)(S_IFMT | 07777)) && e->mtime.nsec < 1000000000 &&
	    e->ctime.nsec < 1000000000 && content_valid(e) && xattrs_valid(e);
}

static uint8_t entry_flags(const struct entry *e)
{
	return (uint8_t)((e->link_id ? FLAG_LINK : 0) | (e->xattrs_len ? FLAG_XATTRS : 0) |
	    (e->xattrs_apart ? FLAG_XATTRS_APART : 0));
}

static size_t entry_len(const struct entry *e)
{
	size_t len = ENTRY_NAME_AT + e->name_len;

	if (S_ISREG(e->mode) || S_ISDIR(e->mode))
		len += REF_LEN;
	else if (S_ISLNK(e->mode))
		len += 2 + e->size;
	else if (S_ISCHR(e->mode) || S_ISBLK(e->mode))
		len += 8;
	if (e->link_id)
		len += 8;
	if (e->xattrs_len)
		len += 2 + e->xattrs_len;
	if (e->xattrs_apart)
		len += REF_LEN;
	return len;
}

static uint8_t *put_bytes(uint8_t *p, const void *bytes, size_t len)
{
	memcpy(p, bytes, len);
	return p + len;
}

static uint8_t *put_ref(uint8_t *p, const struct ref *ref)
{
	ref_encode(ref, p);
	return p + REF_LEN;
}

int entry_encode(const struct entry *e, uint8_t *out, size_t cap)
{
	uint8_t *p = out + ENTRY_NAME_AT;
	size_t len;

	if (!entry_valid(e))
		return -EINVAL;
	len = entry_len(e);
	if (len > cap)
		return -ENOSPC;
	put_le16(out, (uint16_t)len);
	out[2] = entry_flags(e);
	out[3] = (uint8_t)e->name_len;
	put_le32(out + 4, e->mode);
	put_le32(out + 8, e->uid);
	put_le32(out + 12, e->gid);
	put_le64(out + 16, (uint64_t)e->mtime.sec);
	put_le64(out + 24, (uint64_t)e->ctime.sec);
	put_le32(out + 32, e->mtime.nsec);
	put_le32(out + 36, e->ctime.nsec);
	p = put_bytes(p, e->name, e->name_len);
	if (S_ISREG(e->mode) || S_ISDIR(e->mode)) {
		p = put_ref(p, &e->ref);
	} else if (S_ISLNK(e->mode)) {
		put_le16(p, (uint16_t)e->size);
		p = put_bytes(p + 2, e->target, e->size);
	} else if (S_ISCHR(e->mode) || S_ISBLK(e->mode)) {
		put_le64(p, e->rdev);
		p += 8;
	}
	if (e->link_id) {
		put_le64(p, e->link_id);
		p += 8;
	}
	if (e->xattrs_len) {
		put_le16(p, (uint16_t)e->xattrs_len);
		p = put_bytes(p + 2, e->xattrs, e->xattrs_len);
	}
	if (e->xattrs_apart)
		p = put_ref(p, &e->xattrs_ref);
	assert(p == out + len);
	return (int)len;
}

static void take_ref(struct reader *r, struct ref *out)
{
	const uint8_t *p = reader_take(r, REF_LEN);

	if (!p || ref_decode(p, out) != 0)
		r->bad = true;
}

/* What follows the name, by type and flags. */
static void take_tail(struct reader *r, unsigned int flags, struct entry *e)
{
	if (S_ISREG(e->mode) || S_ISDIR(e->mode)) {
		take_ref(r, &e->ref);
		e->size = e->ref.size;
	} else if (S_ISLNK(e->mode)) {
		e->size = reader_le16(r);
		e->target = (const char *)reader_take(r, e->size);
	} else if (S_ISCHR(e->mode) || S_ISBLK(e->mode)) {
		e->rdev = reader_le64(r);
	}
	if (flags & FLAG_LINK)
		e->link_id = reader_le64(r);
	if (flags & FLAG_XATTRS) {
		e->xattrs_len = reader_le16(r);
		e->xattrs = reader_take(r, e->xattrs_len);
	}
	if (flags & FLAG_XATTRS_APART) {
		e->xattrs_apart = true;
		take_ref(r, &e->xattrs_ref);
	}
}

int entry_decode(const uint8_t *in, size_t len, struct entry *out)
{
	struct reader r = reader_of(in, len);
	uint8_t flags;

	*out = (struct entry){ 0 };
	if (reader_le16(&r) != len)
		return -EBADMSG;
	flags = reader_u8(&r);
	out->name_len = reader_u8(&r);
	out->mode = reader_le32(&r);
	out->uid = reader_le32(&r);
	out->gid = reader_le32(&r);
	out->mtime.sec = (int64_t)reader_le64(&r);
	out->ctime.sec = (int64_t)reader_le64(&r);
	out->mtime.nsec = reader_le32(&r);
	out->ctime.nsec = reader_le32(&r);
	out->name = (const char *)reader_take(&r, out->name_len);
	take_tail(&r, flags, out);
	/* Unknown flags; also a flag whose part is empty, a second spelling of the same entry. */
	if (r.bad || r.left != 0 || flags != entry_flags(out) || !entry_valid(out))
		return -EBADMSG;
	return 0;
}
