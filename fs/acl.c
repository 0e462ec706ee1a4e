/* acl: POSIX ACLs and modes. */
#include <errno.h>

#include "chunker/bytes.h"
#include "fs/acl.h"

#define ACL_VERSION	2u
#define HEADER_LEN	4u
#define ENTRY_LEN	8u
#define NO_ID		UINT32_MAX

enum tag {
	USER_OBJ = 0x01,
	USER = 0x02,
	GROUP_OBJ = 0x04,
	GROUP = 0x08,
	MASK = 0x10,
	OTHER = 0x20,
};

static unsigned int perm_of(const uint8_t *e)
{
	return get_le16(e + 2);
}

bool acl_empty(const uint8_t *acl, size_t len)
{
	return len == HEADER_LEN && get_le32(acl) == ACL_VERSION;
}

/* The tags that may follow ${tag}. */
static unsigned int after(unsigned int tag)
{
	switch (tag) {
	case USER_OBJ:
	case USER:
		return USER | GROUP_OBJ;
	case GROUP_OBJ:
	case GROUP:
		return GROUP | MASK | OTHER;
	case MASK:
		return OTHER;
	}
	return 0;
}

int acl_check(const uint8_t *acl, size_t len)
{
	unsigned int allowed = USER_OBJ, tags = 0;

	if (len < HEADER_LEN)
		return -EINVAL;
	if (get_le32(acl) != ACL_VERSION)
		return -EOPNOTSUPP;
	if ((len - HEADER_LEN) % ENTRY_LEN != 0)
		return -EINVAL;
	for (const uint8_t *e = acl + HEADER_LEN; e < acl + len; e += ENTRY_LEN) {
		unsigned int tag = get_le16(e);

		if (perm_of(e) > 7 || (tag & (tag - 1)) || !(tag & allowed))
			return -EINVAL;
		if ((tag & (USER | GROUP)) && get_le32(e + 4) == NO_ID)
			return -EINVAL;
		allowed = after(tag);
		tags |= tag;
	}
	if (!(tags & OTHER) || ((tags & (USER | GROUP)) && !(tags & MASK)))
		return -EINVAL;
	return 0;
}

void acl_normalize(uint8_t *acl, size_t len)
{
	for (uint8_t *e = acl + HEADER_LEN; e < acl + len; e += ENTRY_LEN)
		if (!(get_le16(e) & (USER | GROUP)))
			put_le32(e + 4, NO_ID);
}

bool acl_to_mode(const uint8_t *acl, size_t len, uint32_t *mode)
{
	uint32_t bits = 0;
	bool more = false;

	for (const uint8_t *e = acl + HEADER_LEN; e < acl + len; e += ENTRY_LEN) {
		switch (get_le16(e)) {
		case USER_OBJ:
			bits |= perm_of(e) << 6;
			break;
		case GROUP_OBJ:
			bits |= perm_of(e) << 3;
			break;
		case MASK:
			/* Comes behind the group's entry, whose place in the mode it takes. */
			bits = (bits & ~070u) | perm_of(e) << 3;
			more = true;
			break;
		case OTHER:
			bits |= perm_of(e);
			break;
		default:
			more = true;
		}
	}
	*mode = (*mode & ~0777u) | bits;
	return more;
}

/* The entry that the group bits of a mode stand for. */
static uint8_t *group_class(uint8_t *acl, size_t len)
{
	uint8_t *group = NULL;

	for (uint8_t *e = acl + HEADER_LEN; e < acl + len; e += ENTRY_LEN)
		if (get_le16(e) == MASK || get_le16(e) == GROUP_OBJ)
			group = e;
	return group;
}

void acl_chmod(uint8_t *acl, size_t len, uint32_t mode)
{
	put_le16(group_class(acl, len) + 2, (uint16_t)(mode >> 3 & 7));
	put_le16(acl + HEADER_LEN + 2, (uint16_t)(mode >> 6 & 7));
	put_le16(acl + len - ENTRY_LEN + 2, (uint16_t)(mode & 7));
}

bool acl_inherit(uint8_t *acl, size_t len, uint32_t *mode)
{
	uint32_t allowed = *mode;
	bool more = acl_to_mode(acl, len, &allowed);

	*mode &= allowed;
	acl_chmod(acl, len, *mode);
	return more;
}
