/*
 * A Bloom filter for each epoch, in layers of which each is four times as large as the one before: a node that is touched little
 * pays 1 kB, and none has to be copied when it grows (its addresses are not known any more).  An epoch that is full says yes to
 * everything, which errs on the safe side: nothing is deleted.
 */
#include "dht/net/touches.h"

#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"

#define FIRST_BYTES 1024u
#define BITS_EACH   16u		/* of a layer that is full; with these probes one in 2,000 is found that is not there */
#define PROBES	    11u		/* ln 2 x BITS_EACH, which is best */

static size_t layer_bytes(unsigned int layer)
{
	return (size_t)FIRST_BYTES << 2 * layer;
}

static void epoch_clear(struct touches_epoch *e, uint64_t salt)
{
	for (unsigned int i = 0; i < e->layers; i++)
		free(e->layer[i]);
	*e = (struct touches_epoch){ .salt = salt };
}

void touches_init(struct touches *t)
{
	*t = (struct touches){ 0 };
}

void touches_free(struct touches *t)
{
	for (unsigned int i = 0; i < DELETE_EPOCHS; i++)
		epoch_clear(&t->epoch[i], 0);
}

void touches_turn(struct touches *t, uint64_t uptime, uint64_t salt)
{
	uint64_t now = uptime / DELETE_EPOCH;
	/* After a long sleep each place is cleared once, however many epochs have passed. */
	uint64_t first = now - t->now > DELETE_EPOCHS ? now - DELETE_EPOCHS : t->now;

	for (uint64_t i = first + 1; i <= now; i++)
		epoch_clear(&t->epoch[i % DELETE_EPOCHS], salt + i);
	t->now = now;
}

/* An address is a hash, so its own bytes do for the probes.  The first eight are left out: one slot's are all alike. */
static uint64_t probe(const struct touches_epoch *e, const struct address *a, unsigned int i, unsigned int layer)
{
	uint64_t start = get_le64(a->b + 8) ^ e->salt, step = get_le64(a->b + 16) | 1;

	return (start + i * step) & (layer_bytes(layer) * 8 - 1);
}

static bool layer_has(const struct touches_epoch *e, unsigned int layer, const struct address *a)
{
	for (unsigned int i = 0; i < PROBES; i++) {
		uint64_t bit = probe(e, a, i, layer);

		if (!(e->layer[layer][bit / 8] >> bit % 8 & 1))
			return false;
	}
	return true;
}

static bool epoch_has(const struct touches_epoch *e, const struct address *a)
{
	for (unsigned int i = 0; i < e->layers; i++)
		if (layer_has(e, i, a))
			return true;
	return e->full;
}

/* Room for one more address in the last layer; else the epoch is full. */
static void epoch_grow(struct touches_epoch *e)
{
	if (e->layers > 0 && e->count < layer_bytes(e->layers - 1) * 8 / BITS_EACH)
		return;
	e->full = e->layers == TOUCHES_LAYERS || !(e->layer[e->layers] = calloc(1, layer_bytes(e->layers)));
	if (e->full)
		return;
	e->layers++;
	e->count = 0;
}

void touches_add(struct touches *t, const struct address *a)
{
	struct touches_epoch *e = &t->epoch[t->now % DELETE_EPOCHS];

	/* Once an epoch is enough, however often a chunk is asked for. */
	if (epoch_has(e, a))
		return;
	epoch_grow(e);
	if (e->full)
		return;
	for (unsigned int i = 0; i < PROBES; i++) {
		uint64_t bit = probe(e, a, i, e->layers - 1);

		e->layer[e->layers - 1][bit / 8] |= (uint8_t)(1u << bit % 8);
	}
	e->count++;
}

bool touches_have(const struct touches *t, const struct address *a)
{
	for (unsigned int i = 0; i < DELETE_EPOCHS; i++)
		if (epoch_has(&t->epoch[i], a))
			return true;
	return false;
}

size_t touches_memory(const struct touches *t)
{
	size_t sum = 0;

	for (unsigned int i = 0; i < DELETE_EPOCHS; i++)
		for (unsigned int l = 0; l < t->epoch[i].layers; l++)
			sum += layer_bytes(l);
	return sum;
}
