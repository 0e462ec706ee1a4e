#include "tests/lib/chunkset.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"

struct chunkset_slot {
	struct address address;
	enum kind kind;
	struct chunk *chunk;	/* NULL: free */
	bool asked;
};

/* Open addressing: the slot of an address, or the free one where it would go. */
static struct chunkset_slot *slot_of(struct chunkset_slot *slots, size_t cap, enum kind kind,
    const struct address *a)
{
	size_t i = (size_t)get_le64(a->b) & (cap - 1);

	while (slots[i].chunk && (slots[i].kind != kind || !address_equal(&slots[i].address, a)))
		i = (i + 1) & (cap - 1);
	return &slots[i];
}

static void grow(struct chunkset *s)
{
	size_t cap = s->cap ? 2 * s->cap : 1024;
	struct chunkset_slot *slots = calloc(cap, sizeof(*slots));

	assert(slots);
	for (size_t i = 0; i < s->cap; i++)
		if (s->slots[i].chunk)
			*slot_of(slots, cap, s->slots[i].kind, &s->slots[i].address) = s->slots[i];
	free(s->slots);
	s->slots = slots;
	s->cap = cap;
}

static int set_get(struct source *source, enum kind kind, const struct address *a,
    struct chunk **out)
{
	struct chunkset *s = (void *)((char *)source - offsetof(struct chunkset, source));
	struct chunkset_slot *slot = slot_of(s->slots, s->cap, kind, a);

	s->gets++;
	if (!slot->chunk)
		return -ENOENT;
	if (s->shy && !slot->asked) {
		slot->asked = true;
		return -EAGAIN;
	}
	*out = chunk_hold(slot->chunk);
	return 0;
}

static int set_put(struct sink *sink, enum kind kind, const struct address *a, struct chunk *c)
{
	struct chunkset *s = (struct chunkset *)((char *)sink - offsetof(struct chunkset, sink));
	struct chunkset_slot *slot = slot_of(s->slots, s->cap, kind, a);

	s->puts++;
	if (slot->chunk)
		return 0;
	*slot = (struct chunkset_slot){ .address = *a, .kind = kind, .chunk = chunk_hold(c) };
	if (2 * ++s->count > s->cap)
		grow(s);
	return 0;
}

void chunkset_init(struct chunkset *s)
{
	*s = (struct chunkset){ .source.get = set_get, .sink.put = set_put };
	grow(s);
}

void chunkset_free(struct chunkset *s)
{
	for (size_t i = 0; i < s->cap; i++)
		chunk_drop(s->slots[i].chunk);
	free(s->slots);
}

void chunkset_add(struct chunkset *s, enum kind kind, const void *data, size_t len,
    struct address *out)
{
	struct chunk *c = chunk_copy(data, len);

	assert(c);
	address_of(kind, data, len, out);
	set_put(&s->sink, kind, out, c);
	chunk_drop(c);
}

struct chunk *chunkset_get(struct chunkset *s, enum kind kind, const struct address *a)
{
	return slot_of(s->slots, s->cap, kind, a)->chunk;
}
