/* chunkkit_impl: what chunkkit.c (the node and its disk) and chunkkit_peers.c (the others) share. */
#ifndef TESTS_CHUNKKIT_IMPL_H
#define TESTS_CHUNKKIT_IMPL_H

#include <assert.h>

#include "tests/lib/chunkkit.h"

extern struct kit *kit;		/* the only one: what is stood in for has no other way to it */

static inline struct kit_peer *kit_of(const struct peer *p)
{
	return (struct kit_peer *)(uintptr_t)p;
}

static inline void *must(void *p)
{
	assert(p);
	return p;
}

/** kit_answer_due(k): when the next answer of a peer is there; UINT64_MAX: none is to come.  kit_answer_next(k): here
 * it is. */
uint64_t kit_answer_due(struct kit *k);
void kit_answer_next(struct kit *k);

#endif
