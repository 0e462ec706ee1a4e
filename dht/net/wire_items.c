/* The items of the lists of a message. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "chunker/bytes.h"
#include "chunker/codec.h"
#include "dht/net/wire.h"

void wire_suspicion(const struct message *m, unsigned int i, struct wire_suspicion *out)
{
	const uint8_t *p = m->suspicions_bytes + (size_t)i * WIRE_SUSPICION_LEN;

	assert(i < m->suspicions);
	memcpy(out->id.b, p, ADDRESS_LEN);
	out->incarnation = get_le64(p + 32);
	memcpy(out->from.b, p + 40, ADDRESS_LEN);
	out->dead = p[72];
}

void wire_suspicion_put(const struct wire_suspicion *s, uint8_t out[WIRE_SUSPICION_LEN])
{
	memcpy(out, s->id.b, ADDRESS_LEN);
	put_le64(out + 32, s->incarnation);
	memcpy(out + 40, s->from.b, ADDRESS_LEN);
	out[72] = s->dead;
}

void wire_summary(const struct message *m, unsigned int i, struct wire_summary *out)
{
	const uint8_t *p = m->summary_bytes + (size_t)i * WIRE_SUMMARY_LEN;

	assert(i < m->summaries);
	memcpy(out->id.b, p, ADDRESS_LEN);
	out->incarnation = get_le64(p + 32);
	memcpy(out->hash, p + 40, sizeof(out->hash));
}

void wire_summary_put(const struct wire_summary *s, uint8_t out[WIRE_SUMMARY_LEN])
{
	memcpy(out, s->id.b, ADDRESS_LEN);
	put_le64(out + 32, s->incarnation);
	memcpy(out + 40, s->hash, sizeof(s->hash));
}

void wire_path(const struct message *m, unsigned int i, struct wire_path *out)
{
	const uint8_t *p = m->paths_bytes + (size_t)i * WIRE_PATH_LEN;

	assert(i < m->path_count);
	out->depth = p[0];
	memcpy(out->nibbles, p + 1, sizeof(out->nibbles));
}

void wire_path_put(const struct wire_path *p, uint8_t out[WIRE_PATH_LEN])
{
	out[0] = p->depth;
	memcpy(out + 1, p->nibbles, sizeof(p->nibbles));
}

uint32_t wire_count(const struct message *m, unsigned int i)
{
	assert(i < m->count_count);
	return get_le32(m->counts_bytes + (size_t)i * WIRE_COUNT_LEN);
}

void wire_count_put(uint32_t n, uint8_t out[WIRE_COUNT_LEN])
{
	put_le32(out, n);
}

bool wire_blob(const struct wire_slice *list, uint32_t *at, struct wire_slice *out)
{
	if (*at >= list->len)
		return false;
	assert(list->len - *at > 2);
	out->len = get_le16(list->data + *at);
	out->data = list->data + *at + 2;
	*at += 2 + out->len;
	assert(*at <= list->len);
	return true;
}

int wire_blob_put(const void *blob, size_t len, uint8_t *out, size_t size)
{
	assert(len > 0 && len <= WIRE_BLOB_MAX);
	if (size < 2 + len)
		return -EMSGSIZE;
	put_le16(out, (uint16_t)len);
	memcpy(out + 2, blob, len);
	return (int)(2 + len);
}

int wire_chunk_read(const uint8_t *bytes, size_t len, struct wire_chunk *out)
{
	if (len < WIRE_CHUNK_HEAD || bytes[0] != HASH_BLAKE2B_256)
		return -EBADMSG;
	out->codec = bytes[1];
	out->raw_len = get_le32(bytes + 2);
	out->stored = (struct wire_slice){ bytes + WIRE_CHUNK_HEAD, (uint32_t)(len - WIRE_CHUNK_HEAD) };
	if (out->raw_len > CHUNK_MAX)
		return -EBADMSG;
	if (out->codec == CODEC_RAW)
		return out->stored.len == out->raw_len ? 0 : -EBADMSG;
	return out->codec == CODEC_ZLIB && out->stored.len > 0 && out->stored.len < out->raw_len ? 0 : -EBADMSG;
}

void wire_chunk_head(const struct wire_chunk *c, uint8_t out[WIRE_CHUNK_HEAD])
{
	assert(c->raw_len <= CHUNK_MAX);
	out[0] = HASH_BLAKE2B_256;
	out[1] = c->codec;
	put_le32(out + 2, c->raw_len);
}
