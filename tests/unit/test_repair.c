/*
 * Two or three nodes whose disks differ.  SEED=n replays.
 *
 * The disks are arrays (address_catalogue): a million addresses each, all leased but those that a test takes out; only what
 * is to be copied has bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <sodium.h>

#include "chunker/bytes.h"
#include "dht/net/repair_impl.h"
#include "tests/lib/address_catalogue.h"
#include "tests/lib/netkit.h"

#define NODES 3u
#define BULK  4096u			/* bytes of a chunk */

/* The part of the network's traffic that is repair's, by sort. */
struct traffic {
	uint64_t questions, bytes, gets, chunk_bytes;
};

struct disk {
	struct catalogue catalogue;	/* the first: replaces that of the kit's disk */
	struct address_catalogue here, not_leased;
	struct memory_catalogue *kit;
};

struct fixture {
	struct netkit *k;
	struct disk disk[NODES];
	struct traffic traffic;
	unsigned int asked[NODES];	/* GETs that came to a node */
	bool counting;
	bool (*meddle)(struct fixture *f, unsigned int from, unsigned int to, struct link_message *m);
};

static uint64_t seed;

/* ---- disks ---- */

static struct disk *disk_of(struct catalogue *c)
{
	return (struct disk *)((char *)c - offsetof(struct disk, catalogue));
}

static bool in(struct address_catalogue *c, const struct address *a)
{
	struct address first;

	return c->catalogue.list(&c->catalogue, a, 0, 1, &first) && address_equal(&first, a);
}

static bool leased(struct catalogue *c, const struct address *a)
{
	return !in(&disk_of(c)->not_leased, a);
}

static unsigned int state(struct catalogue *c, const struct address *a)
{
	return in(&disk_of(c)->here, a) ? STATE_OWNED | (leased(c, a) ? STATE_LEASED : 0) : 0;
}

static size_t list(struct catalogue *c, const struct address *from, unsigned int states, size_t n, struct address *out)
{
	struct disk *d = disk_of(c);
	size_t got, kept = 0;

	if (!(states & STATE_OWNED))
		return 0;
	got = d->here.catalogue.list(&d->here.catalogue, from, states, n, out);
	if (!(states & STATE_LEASED) || !d->not_leased.n)
		return got;
	for (size_t i = 0; i < got; i++)	/* tests that have any have fewer addresses than a page */
		if (leased(c, &out[i]))
			out[kept++] = out[i];
	return kept;
}

static struct chunk *row(struct catalogue *c, const struct catalogue_row_key *key)
{
	return disk_of(c)->kit->catalogue.row(&disk_of(c)->kit->catalogue, key);
}

static bool rows(struct catalogue *c, uint8_t table, const struct address *after, struct address *out)
{
	return disk_of(c)->kit->catalogue.rows(&disk_of(c)->kit->catalogue, table, after, out);
}
