#include "dht/record.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "chunker/bytes.h"

/* "dhr1": the last byte is the format's version. */
#define MAGIC 0x31726864u
/* "dhg1": a gap. */
#define GAP   0x31676864u

enum {
	AT_MAGIC = 0,
	AT_HASH = 4,
	AT_KIND = 5,
	AT_CODEC = 6,
	AT_FLAGS = 7,
	AT_RAW_LEN = 8,
	AT_STORED_LEN = 12,
	AT_SPAN = 8,		/* of a gap */
	AT_ADDRESS = 16,
	AT_STORE_ID = 48,
	AT_SEGMENT = 56,
	AT_CRC = 60,
};

uint32_t record_span(uint32_t stored_len)
{
	return (RECORD_HEADER + stored_len + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
}

bool record_valid(const struct record *r)
{
	if (r->hash != HASH_BLAKE2B_256 || !kind_valid(r->kind))
		return false;
	if (r->raw_len > CHUNK_MAX)
		return false;
	if (r->codec == CODEC_RAW) {
		if (r->stored_len != r->raw_len)
			return false;
	} else if (r->codec != CODEC_ZLIB || r->stored_len == 0 || r->stored_len >= r->raw_len) {
		return false;
	}
	return r->offset % RECORD_ALIGN == 0 && r->offset < SEGMENT_MAX &&
	    SEGMENT_MAX - r->offset >= record_span(r->stored_len);
}

bool record_same_place(const struct record *a, const struct record *b)
{
	return a->segment == b->segment && a->offset == b->offset;
}

/*
 * The offset is in the checksum though not in the header: a copy of a segment that
 * was itself stored as a chunk holds no header that is valid where it lies now.
 */
static uint32_t header_crc(const uint8_t *in, uint32_t offset)
{
	uint8_t place[4];
	uLong crc = crc32(0, in, AT_CRC);

	put_le32(place, offset);
	return (uint32_t)crc32(crc, place, sizeof(place));
}

void record_encode(const struct record *r, uint64_t store_id, uint8_t out[RECORD_HEADER])
{
	assert(record_valid(r) && !r->bad);
	put_le32(out + AT_MAGIC, MAGIC);
	out[AT_HASH] = r->hash;
	out[AT_KIND] = r->kind;
	out[AT_CODEC] = r->codec;
	out[AT_FLAGS] = 0;
	put_le32(out + AT_RAW_LEN, r->raw_len);
	put_le32(out + AT_STORED_LEN, r->stored_len);
	memcpy(out + AT_ADDRESS, r->address.b, ADDRESS_LEN);
	put_le64(out + AT_STORE_ID, store_id);
	put_le32(out + AT_SEGMENT, r->segment);
	put_le32(out + AT_CRC, header_crc(out, r->offset));
}

bool record_magic(const uint8_t *in)
{
	return get_le32(in) == MAGIC;
}

int record_store_id(const uint8_t in[RECORD_HEADER], uint32_t segment, uint32_t offset,
    uint64_t *store_id)
{
	if ((!record_magic(in) && get_le32(in) != GAP) || get_le32(in + AT_CRC) != header_crc(in, offset) ||
	    get_le32(in + AT_SEGMENT) != segment)
		return -EBADMSG;
	*store_id = get_le64(in + AT_STORE_ID);
	return 0;
}

int record_decode(const uint8_t in[RECORD_HEADER], uint32_t segment, uint32_t offset,
    uint64_t store_id, struct record *out)
{
	uint64_t id;

	if (!record_magic(in) || record_store_id(in, segment, offset, &id) < 0 || id != store_id)
		return -EBADMSG;
	*out = (struct record){
		.segment = segment,
		.offset = offset,
		.raw_len = get_le32(in + AT_RAW_LEN),
		.stored_len = get_le32(in + AT_STORED_LEN),
		.hash = in[AT_HASH],
		.kind = in[AT_KIND],
		.codec = in[AT_CODEC],
	};
	memcpy(out->address.b, in + AT_ADDRESS, ADDRESS_LEN);
	return in[AT_FLAGS] == 0 && record_valid(out) ? 0 : -EBADMSG;
}

void gap_encode(uint32_t segment, uint32_t offset, uint32_t span, uint64_t store_id,
    uint8_t out[RECORD_HEADER])
{
	assert(span >= RECORD_HEADER && span % RECORD_ALIGN == 0 && span <= SEGMENT_MAX - offset);
	memset(out, 0, RECORD_HEADER);
	put_le32(out + AT_MAGIC, GAP);
	put_le32(out + AT_SPAN, span);
	put_le64(out + AT_STORE_ID, store_id);
	put_le32(out + AT_SEGMENT, segment);
	put_le32(out + AT_CRC, header_crc(out, offset));
}

int gap_decode(const uint8_t in[RECORD_HEADER], uint32_t segment, uint32_t offset,
    uint64_t store_id, uint32_t *span)
{
	uint32_t said = get_le32(in + AT_SPAN);
	uint64_t id;

	if (get_le32(in) != GAP || record_store_id(in, segment, offset, &id) < 0 || id != store_id)
		return -EBADMSG;
	if (offset >= SEGMENT_MAX || said < RECORD_HEADER || said % RECORD_ALIGN != 0 || said > SEGMENT_MAX - offset)
		return -EBADMSG;
	*span = said;
	return 0;
}

int record_verify(const struct record *r, enum kind kind, const uint8_t *stored,
    struct codec *codec, uint8_t *raw)
{
	const uint8_t *bytes = stored;
	struct address found;

	if (r->codec == CODEC_ZLIB) {
		if (codec_inflate(codec, stored, r->stored_len, raw, r->raw_len) < 0)
			return -EBADMSG;
		bytes = raw;
	}
	address_of(kind, bytes, r->raw_len, &found);
	return address_equal(&found, &r->address) ? 0 : -EBADMSG;
}
