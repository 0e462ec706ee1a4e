/* codec: a chunk's bytes in fewer bytes (zlib format, RFC 1950).  Pure. */
#ifndef CHUNKER_CODEC_H
#define CHUNKER_CODEC_H

#include <stddef.h>
#include <stdint.h>

/* How bytes are kept.  Part of formats; no part of the address. */
enum codec_id {
	CODEC_RAW = 0,
	CODEC_ZLIB = 1,
};

struct codec;	/* the working memory of one thread */

/** codec_new(): NULL where there is no memory.  codec_free(NULL) does nothing. */
struct codec *codec_new(void);
void codec_free(struct codec *c);

/**
 * codec_deflate(c, raw, len, out): compress into ${out}, which has room for ${len} bytes.
 * Returns the compressed length, or 0 where less than 1/16 would be saved (then ${out} is
 * undefined): it gives up early, after a sample, on what does not compress.
 */
size_t codec_deflate(struct codec *c, const void *raw, size_t len, void *out);

/**
 * codec_inflate(c, in, in_len, raw, raw_len): the reverse, to exactly ${raw_len} bytes.
 * -EBADMSG where the stream is malformed, is shorter or longer than that, has bytes behind
 * its end, or asks for a preset dictionary.  Never writes past ${raw_len} bytes.
 */
int codec_inflate(struct codec *c, const void *in, size_t in_len, void *raw, size_t raw_len);

/** codec_name(): "libdeflate" or "zlib": which library does the work in this build. */
const char *codec_name(void);

#endif
