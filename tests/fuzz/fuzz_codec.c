/*
 * Any bytes as a stream, inflated to a length that the first three bytes say; where
 * both libraries take it, they agree.  And the same bytes compressed come back.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/address.h"
#include "chunker/codec.h"
#include "chunker/codec_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct codec_impl *const impls[] = {
	&codec_zlib,
#ifdef HAVE_LIBDEFLATE
	&codec_libdeflate,
#endif
};
#define IMPLS (sizeof(impls) / sizeof(impls[0]))

static struct codec *codecs[IMPLS];

static void try_inflate(const uint8_t *in, size_t in_len, size_t raw_len)
{
	uint8_t *raw[IMPLS], *good = NULL;

	for (size_t i = 0; i < IMPLS; i++) {
		/* Exactly as long as it may be written: the sanitizer stands behind. */
		raw[i] = malloc(raw_len);
		assert(raw[i]);
		if (codec_inflate(codecs[i], in, in_len, raw[i], raw_len) < 0)
			continue;
		assert(!good || memcmp(good, raw[i], raw_len) == 0);
		good = raw[i];
	}
	for (size_t i = 0; i < IMPLS; i++)
		free(raw[i]);
}

static void try_deflate(const uint8_t *raw, size_t len)
{
	uint8_t *out = malloc(len), *back = malloc(len);

	assert(out && back);
	for (size_t w = 0; w < IMPLS; w++) {
		size_t n = codec_deflate(codecs[w], raw, len, out);

		assert(n <= len - len / 16);
		for (size_t r = 0; n > 0 && r < IMPLS; r++) {
			int rc = codec_inflate(codecs[r], out, n, back, len);

			assert(rc == 0 && memcmp(back, raw, len) == 0);
		}
	}
	free(out);
	free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t raw_len;

	for (size_t i = 0; i < IMPLS && !codecs[i]; i++) {
		codecs[i] = codec_new_with(impls[i]);
		assert(codecs[i]);
	}
	if (size < 4)
		return 0;
	raw_len = (data[0] | (size_t)data[1] << 8 | (size_t)data[2] << 16) % CHUNK_MAX + 1;
	try_inflate(data + 3, size - 3, raw_len);
	try_deflate(data, size);
	return 0;
}
