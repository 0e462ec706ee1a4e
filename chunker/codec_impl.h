/*
 * codec_impl: the two libraries that can do codec.h's work.  Private to codec*.c and
 * to the test that runs each against the other: a chunk written where libdeflate is
 * installed must be readable where only zlib is, and the reverse.
 */
#ifndef CHUNKER_CODEC_IMPL_H
#define CHUNKER_CODEC_IMPL_H

#include <stddef.h>
#include <stdint.h>

#include "chunker/codec.h"

struct codec_impl {
	const char *name;

	/* Working memory of the library, or NULL.  free() takes NULL. */
	void *(*new)(void);
	void (*free)(void *state);

	/* Length of the stream, or 0 where it takes more than ${room} bytes. */
	size_t (*deflate)(void *state, const void *raw, size_t len, void *out, size_t room);

	/* As codec_inflate(). */
	int (*inflate)(void *state, const void *in, size_t in_len, void *raw, size_t raw_len);
};

extern const struct codec_impl codec_zlib;
#ifdef HAVE_LIBDEFLATE
extern const struct codec_impl codec_libdeflate;
#endif

/** codec_new_with(impl): codec_new() with this library. */
struct codec *codec_new_with(const struct codec_impl *impl);

#endif
