/*
 * Any bytes as a segment's file, through the scan that recovery makes.  An input can't
 * know checksums: a header's magic gets the rest of what makes it valid, so that lengths,
 * kinds and codecs of every sort are met.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "chunker/bytes.h"
#include "dht/scan.h"

#define STORE_ID 0x1122334455667788u
#define SEGMENT	 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	uint8_t *bytes;
	size_t len;
	uint64_t next;		/* no record may start before it */
	struct codec *codec;
};

static ssize_t read_input(void *ctx, int fd, void *buf, size_t len, uint64_t off)
{
	const struct input *in = ctx;

	(void)fd;
	if (off >= in->len)
		return 0;
	if (len > in->len - off)
		len = in->len - off;
	memcpy(buf, in->bytes + off, len);
	return (ssize_t)len;
}

/* Every byte that is handed out is read, so that a sanitizer sees it. */
static int found(void *arg, const struct record *r, const uint8_t *stored)
{
	static uint8_t raw[CHUNK_MAX];
	struct input *in = arg;

	assert(record_valid(r));
	assert(r->segment == SEGMENT && r->offset >= in->next);
	in->next = (uint64_t)r->offset + record_span(r->stored_len);
	assert(stored || in->next > in->len || r->offset + RECORD_HEADER + r->stored_len > in->len);
	if (stored) {
		assert(memcmp(stored, in->bytes + r->offset + RECORD_HEADER, r->stored_len) == 0);
		record_verify(r, r->kind, stored, in->codec, raw);
	}
	return 0;
}

/* Its header, and the same of a gap. */
static bool magic(const uint8_t *header)
{
	return record_magic(header) || memcmp(header, "dhg1", 4) == 0;
}

static void make_valid(struct input *in)
{
	for (size_t at = 0; at + RECORD_HEADER <= in->len; at += RECORD_ALIGN) {
		uint8_t *header = in->bytes + at, place[4];

		if (!magic(header))
			continue;
		put_le64(header + 48, STORE_ID);
		put_le32(header + 56, SEGMENT);
		put_le32(place, (uint32_t)at);
		put_le32(header + 60, (uint32_t)crc32(crc32(0, header, 60), place, 4));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { .bytes = malloc(size + 1), .len = size, .codec = codec_new() };
	const struct io io = { .ctx = &in, .pread = read_input };
	struct scan scan = { .io = &io, .segment = SEGMENT, .store_id = STORE_ID, .end = size,
		.found = found, .arg = &in };

	assert(in.bytes && in.codec);
	memcpy(in.bytes, data, size);
	if (size > 0 && data[0] % 2 == 0)
		make_valid(&in);
	assert(scan_run(&scan) == 0);
	assert(scan.last == in.next);
	codec_free(in.codec);
	free(in.bytes);
	return 0;
}
