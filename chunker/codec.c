#include "chunker/codec.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/codec_impl.h"

/* Pieces from all over a chunk speak for the whole. */
#define SAMPLES	   4
#define SAMPLE_LEN 2048		/* bytes of one */

struct codec {
	const struct codec_impl *impl;
	void *state;
};

#ifdef HAVE_LIBDEFLATE
static const struct codec_impl *const chosen = &codec_libdeflate;
#else
static const struct codec_impl *const chosen = &codec_zlib;
#endif

struct codec *codec_new_with(const struct codec_impl *impl)
{
	struct codec *c = malloc(sizeof(*c));

	if (!c)
		return NULL;
	*c = (struct codec){ .impl = impl, .state = impl->new() };
	if (!c->state) {
		free(c);
		return NULL;
	}
	return c;
}

struct codec *codec_new(void)
{
	return codec_new_with(chosen);
}

void codec_free(struct codec *c)
{
	if (!c)
		return;
	c->impl->free(c->state);
	free(c);
}

/* Would ${raw} compress?  ${out} is scratch.  A sample that saves half of what is asked of the
 * whole will do: matches far apart help only the whole. */
static bool promising(struct codec *c, const uint8_t *raw, size_t len, void *out)
{
	uint8_t sample[SAMPLES * SAMPLE_LEN];
	size_t step = (len - SAMPLE_LEN) / (SAMPLES - 1);

	for (size_t i = 0; i < SAMPLES; i++)
		memcpy(sample + i * SAMPLE_LEN, raw + i * step, SAMPLE_LEN);
	return c->impl->deflate(c->state, sample, sizeof(sample), out,
	    sizeof(sample) - sizeof(sample) / 32) > 0;
}

size_t codec_deflate(struct codec *c, const void *raw, size_t len, void *out)
{
	if (len >= 2 * SAMPLES * SAMPLE_LEN && !promising(c, raw, len, out))
		return 0;
	return c->impl->deflate(c->state, raw, len, out, len - (len + 15) / 16);
}

int codec_inflate(struct codec *c, const void *in, size_t in_len, void *raw, size_t raw_len)
{
	return c->impl->inflate(c->state, in, in_len, raw, raw_len);
}

const char *codec_name(void)
{
	return chosen->name;
}
