/* tables: each ring table is built once, whoever asks for it, and known by its placement hash. */
#ifndef TESTS_SIM_TABLES_H
#define TESTS_SIM_TABLES_H

#include <stddef.h>

#include "dht/net/ring.h"
#include "tests/sim/world.h"

void tables_open(struct world *w);
void tables_close(struct world *w);

/** tables_get(w, members, n, replicas): a shared table; NULL: no such table can be.  tables_put(): given back.
 * tables_find(w, placement): one that was asked for and is held by somebody; NULL. */
struct ring *tables_get(struct world *w, const struct ring_member *members, size_t n, unsigned int replicas);
void tables_put(struct world *w, struct ring *r);
struct ring *tables_find(struct world *w, const struct address *placement);

#endif
