#include "chunker/codec_impl.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#define ZLIB_CONST
#include <zlib.h>

#define LEVEL 1

struct state {
	z_stream deflate, inflate;
};

/* Either End() refuses a stream that was never begun, and does nothing. */
static void state_free(void *state)
{
	struct state *s = state;

	if (!s)
		return;
	deflateEnd(&s->deflate);
	inflateEnd(&s->inflate);
	free(s);
}

static void *state_new(void)
{
	struct state *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	if (deflateInit(&s->deflate, LEVEL) != Z_OK || inflateInit(&s->inflate) != Z_OK) {
		state_free(s);
		return NULL;
	}
	return s;
}

static size_t deflate_all(void *state, const void *raw, size_t len, void *out, size_t room)
{
	z_stream *z = &((struct state *)state)->deflate;
	int rc;

	assert(len <= UINT32_MAX && room <= UINT32_MAX);
	rc = deflateReset(z);
	assert(rc == Z_OK);
	z->next_in = raw;
	z->avail_in = (uInt)len;
	z->next_out = out;
	z->avail_out = (uInt)room;
	return deflate(z, Z_FINISH) == Z_STREAM_END ? room - z->avail_out : 0;
}

static int inflate_all(void *state, const void *in, size_t in_len, void *raw, size_t raw_len)
{
	z_stream *z = &((struct state *)state)->inflate;
	int rc;

	assert(in_len <= UINT32_MAX && raw_len <= UINT32_MAX);
	rc = inflateReset(z);
	assert(rc == Z_OK);
	z->next_in = in;
	z->avail_in = (uInt)in_len;
	z->next_out = raw;
	z->avail_out = (uInt)raw_len;
	rc = inflate(z, Z_FINISH);
	return rc == Z_STREAM_END && z->avail_in == 0 && z->avail_out == 0 ? 0 : -EBADMSG;
}

const struct codec_impl codec_zlib = {
	.name = "zlib",
	.new = state_new,
	.free = state_free,
	.deflate = deflate_all,
	.inflate = inflate_all,
};
