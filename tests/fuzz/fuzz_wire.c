/*
 * Any bytes as the body of a message; the first one is its type.  What is taken must be said again in the very same bytes, but
 * for the fields that were skipped: so there is one way to say a thing, and nothing is lost or made up.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dht/net/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The fields that such a message has a use for, as they stand. */
static size_t without_skipped(unsigned int type, const uint8_t *data, size_t size, uint8_t *out)
{
	size_t at = 0, n = 0;

	while (at < size) {
		size_t head = 1, value = 0;
		unsigned int shift = 0;

		do
			value |= (size_t)(data[at + head] & 0x7f) << shift;
		while (shift += 7, data[at + head++] & 0x80);
		assert(at + head + value <= size);
		if (data[at] < FIELD_END && wire_takes(type, data[at])) {
			memcpy(out + n, data + at, head + value);
			n += head + value;
		}
		at += head + value;
	}
	return n;
}

static void lists_come_back(const struct message *m)
{
	struct wire_suspicion suspicion;
	struct wire_summary summary;
	struct wire_path path;
	uint8_t back[WIRE_SUSPICION_LEN];

	for (unsigned int i = 0; i < m->suspicions; i++) {
		wire_suspicion(m, i, &suspicion);
		wire_suspicion_put(&suspicion, back);
		assert(memcmp(back, m->suspicions_bytes + i * WIRE_SUSPICION_LEN, WIRE_SUSPICION_LEN) == 0);
	}
	for (unsigned int i = 0; i < m->summaries; i++) {
		wire_summary(m, i, &summary);
		wire_summary_put(&summary, back);
		assert(memcmp(back, m->summary_bytes + i * WIRE_SUMMARY_LEN, WIRE_SUMMARY_LEN) == 0);
	}
	for (unsigned int i = 0; i < m->path_count; i++) {
		wire_path(m, i, &path);
		assert(path.depth <= 16 && path.nibbles[0] < 0x40);
		wire_path_put(&path, back);
		assert(memcmp(back, m->paths_bytes + i * WIRE_PATH_LEN, WIRE_PATH_LEN) == 0);
	}
	for (unsigned int i = 0; i < m->count_count; i++) {
		wire_count_put(wire_count(m, i), back);
		assert(memcmp(back, m->counts_bytes + i * WIRE_COUNT_LEN, WIRE_COUNT_LEN) == 0);
	}
}

static void blobs_come_back(const struct wire_slice *list)
{
	uint8_t *again = malloc(list->len + 1);
	struct wire_slice blob;
	uint32_t at = 0, n = 0;

	assert(again);
	while (wire_blob(list, &at, &blob)) {
		int len = wire_blob_put(blob.data, blob.len, again + n, list->len - n);

		assert(len > 0);
		n += (uint32_t)len;
	}
	assert(n == list->len && (n == 0 || memcmp(again, list->data, n) == 0));
	free(again);
}

static void chunk_comes_back(const struct wire_slice *bytes)
{
	uint8_t head[WIRE_CHUNK_HEAD];
	struct wire_chunk c;

	if (wire_chunk_read(bytes->data, bytes->len, &c) < 0)
		return;
	assert(c.raw_len <= CHUNK_MAX && c.stored.len <= c.raw_len);
	wire_chunk_head(&c, head);
	assert(memcmp(head, bytes->data, sizeof(head)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *body, *kept, *again;
	struct message m;
	unsigned int type;
	uint32_t request;
	size_t len;
	int rc;

	if (size < 1 || size - 1 > WIRE_MESSAGE_MAX)
		return 0;
	type = data[0];
	request = wire_is_request(type) || type == WIRE_ANSWER ? 7 : 0;
	/* Blocks of their own: a sanitizer sees a read or write behind them. */
	body = malloc(size);
	kept = malloc(size);
	assert(body && kept);
	memcpy(body, data + 1, size - 1);
	rc = wire_decode(type, request, body, size - 1, &m);
	assert(rc == 0 || rc == (wire_known(type) ? -EBADMSG : -EPROTO));
	if (rc == 0) {
		len = without_skipped(type, body, size - 1, kept);
		assert(wire_size(&m, false) == len);
		again = malloc(len ? len : 1);
		assert(again);
		assert(wire_encode(&m, false, again, len) == (int)len);
		assert(memcmp(again, kept, len) == 0);
		assert(len == 0 || wire_encode(&m, false, again, len - 1) == -EMSGSIZE);
		free(again);
		lists_come_back(&m);
		blobs_come_back(&m.records);
		blobs_come_back(&m.blobs);
		chunk_comes_back(&m.bytes);
	}
	free(body);
	free(kept);
	return 0;
}
