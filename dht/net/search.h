/* search: where an id is among others in their order.  Pure. */
#ifndef DHT_NET_SEARCH_H
#define DHT_NET_SEARCH_H

#include <stdint.h>

#include "chunker/address.h"

/** search_head(id): its first 8 bytes, big-endian: ids are in the order of these, but for those that share them. */
uint64_t search_head(const struct address *id);

/** search_from(heads, count, head): the first of ${count} rising ${heads} that is >= ${head}; ${count}: none is. */
unsigned int search_from(const uint64_t *heads, unsigned int count, uint64_t head);

#endif
