#include "chunker/codec_impl.h"

#ifdef HAVE_LIBDEFLATE
#include <errno.h>
#include <libdeflate.h>
#include <stdlib.h>

/* The fastest that finds matches at all; DESIGN.md has what the others cost and save. */
#define LEVEL 1

struct state {
	struct libdeflate_compressor *deflate;
	struct libdeflate_decompressor *inflate;
};

static void state_free(void *state)
{
	struct state *s = state;

	if (!s)
		return;
	libdeflate_free_compressor(s->deflate);
	libdeflate_free_decompressor(s->inflate);
	free(s);
}

static void *state_new(void)
{
	struct state *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->deflate = libdeflate_alloc_compressor(LEVEL);
	s->inflate = libdeflate_alloc_decompressor();
	if (!s->deflate || !s->inflate) {
		state_free(s);
		return NULL;
	}
	return s;
}

static size_t deflate_all(void *state, const void *raw, size_t len, void *out, size_t room)
{
	struct state *s = state;

	return libdeflate_zlib_compress(s->deflate, raw, len, out, room);
}

static int inflate_all(void *state, const void *in, size_t in_len, void *raw, size_t raw_len)
{
	struct state *s = state;
	size_t used;

	/* With no place for the length that came out, any but ${raw_len} is an error. */
	if (libdeflate_zlib_decompress_ex(s->inflate, in, in_len, raw, raw_len, &used, NULL) !=
	    LIBDEFLATE_SUCCESS || used != in_len)
		return -EBADMSG;
	return 0;
}

const struct codec_impl codec_libdeflate = {
	.name = "libdeflate",
	.new = state_new,
	.free = state_free,
	.deflate = deflate_all,
	.inflate = inflate_all,
};
#endif
