/* Any bytes as a snapshot, or (first byte odd) as a record of the list of the kept. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "chunker/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_kept(const uint8_t *data)
{
	uint8_t again[KEPT_LEN];
	struct kept k;

	if (kept_decode(data, &k) < 0)
		return;
	kept_encode(&k, again);
	assert(memcmp(again, data, KEPT_LEN) == 0);
}

/* What is taken has one form only: encoding it again gives the same bytes. */
static void try_snapshot(const uint8_t *data, size_t size)
{
	struct chunk *c = chunk_copy(data, size), *again;
	struct snapshot s;

	assert(c);
	if (snapshot_decode(c, &s) == 0) {
		int rc = snapshot_encode(&s, &again);

		assert(rc == 0 && again->len == size && memcmp(again->data, data, size) == 0);
		chunk_drop(again);
	}
	chunk_drop(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] & 1 && size == 1 + KEPT_LEN)
		try_kept(data + 1);
	else if (!(data[0] & 1))
		try_snapshot(data + 1, size - 1);
	return 0;
}
