#include "chunker/xattrs.h"

#include <assert.h>
#include <errno.h>

#include "chunker/bytes.h"

#define XATTR_HEADER_LEN 5

size_t xattr_encoded_len(const struct xattr *x)
{
	return XATTR_HEADER_LEN + (size_t)x->name_len + x->value_len;
}

void xattr_encode(const struct xattr *x, uint8_t *out)
{
	assert(x->name_len > 0 && x->value_len <= XATTR_VALUE_MAX_LEN);
	out[0] = x->name_len;
	put_le32(out + 1, x->value_len);
	memcpy(out + XATTR_HEADER_LEN, x->name, x->name_len);
	if (x->value_len > 0)
		memcpy(out + XATTR_HEADER_LEN + x->name_len, x->value, x->value_len);
}

static bool rising(const struct xattr *a, const struct xattr *b)
{
	int order = memcmp(a->name, b->name, a->name_len < b->name_len ? a->name_len : b->name_len);

	return order < 0 || (order == 0 && a->name_len < b->name_len);
}

int xattr_next(const uint8_t **p, const uint8_t *end, const struct xattr *prev, struct xattr *out)
{
	struct reader r;
	struct xattr x;

	if (*p == end)
		return 0;
	r = reader_of(*p, (size_t)(end - *p));
	x.name_len = reader_u8(&r);
	x.value_len = reader_le32(&r);
	x.name = (const char *)reader_take(&r, x.name_len);
	x.value = reader_take(&r, x.value_len);
	if (r.bad || x.name_len == 0 || memchr(x.name, '\0', x.name_len) ||
	    x.value_len > XATTR_VALUE_MAX_LEN || (prev && !rising(prev, &x)))
		return -EBADMSG;
	*p = r.p;
	*out = x;
	return 1;
}
