/*
 * A ring as it is after months: all that its nodes would have on their disks is written there by hand, and they start from it.
 *
 * To let 1,000 nodes join one another, and write 100,000 chunks through them, takes longer than what is to be measured.  What is
 * written is what the core itself writes: a row that it would not take shows at once, because grown_start() waits until all is in
 * its place.
 */
#include "tests/sim/grown.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "chunker/bytes.h"
#include "dht/net/signed.h"
#include "tests/sim/books.h"
#include "tests/sim/check.h"
#include "tests/sim/disk.h"
#include "tests/sim/host.h"
#include "tests/sim/run.h"

/* As self.c and placement.c write them: version 1 of both. */
#define SELF_RESERVED 64u

/* Incarnations up to SELF_RESERVED were given out by the life before: this one begins above them. */
static void write_self(struct host *h)
{
	uint8_t row[64], *p = row;
	size_t zone = strlen(h->zone);
	static const struct address zeros;

	*p++ = 1;
	put_le64(p, SELF_RESERVED);
	p += 8;
	*p++ = MEMBER_HERE;
	for (unsigned int i = 0; i < 2; i++) {
		*p++ = h->weight;
		*p++ = (uint8_t)zone;
		memcpy(p, h->zone, zone);
		p += zone;
	}
	disk_row(h->disk, ROW_SELF, &zeros, row, (size_t)(p - row));
}

/* All slots, those of others too: which are its own only the table says, and the row of a node that lost slots looks so as well. */
static void write_complete(struct host *h)
{
	static const struct address zeros;
	uint8_t row[9 + RING_SLOTS / 8];

	row[0] = 1;
	put_le64(row + 1, h->disk->generation);
	memset(row + 9, 0xff, sizeof(row) - 9);
	disk_row(h->disk, ROW_COMPLETE, &zeros, row, sizeof(row));
}

static struct member *record_of(struct world *w, const struct host *h)
{
	struct member fields = {
		.incarnation = 1, .instance = h->disk->generation, .generation = h->disk->generation, .state = MEMBER_HERE,
		.weight = h->weight,
	}, *m;

	memcpy(fields.key, h->key, sizeof(fields.key));
	strcpy(fields.zone, h->zone);
	strcpy(fields.address[0], h->address);
	if (member_sign(&fields, &w->file.id, h->secret, &m) != 0)
		must(NULL);
	return m;
}

void grown_ring(struct world *w)
{
	for (unsigned int i = 0; i < w->options.nodes; i++) {
		struct host *h = host_new(w);

		h->member = true;
		write_self(h);
		write_complete(h);
	}
	for (unsigned int i = 0; i < w->hosts; i++) {
		struct member *m = record_of(w, w->host[i]);

		for (unsigned int k = 0; k < w->hosts; k++)
			disk_row(w->host[k]->disk, ROW_MEMBER, &m->id, m->bytes, m->len);
		member_drop(m);
	}
	books_changed(w);
}

/* ${item}: by address, so that those of one slot lie together.  One volume, whose key nobody else has: no user changes these leases. */
static void write_leases(struct world *w, struct item **item, unsigned int n)
{
	const struct ring *r = books_table(w);
	uint8_t seed[crypto_sign_SEEDBYTES] = { 1 }, secret[MEMBER_SECRET], blob[SIGNED_MAX];
	struct address *address = must(malloc((n + 1) * sizeof(*address)));
	struct lease l = { .seq = 1 };

	crypto_sign_seed_keypair(l.key, secret, seed);
	volume_id(l.key, &l.volume);
	for (unsigned int at = 0, end; at < n; at = end) {
		unsigned int slot = ring_slot(&item[at]->address);
		struct catalogue_lease row = { .volume = l.volume, .slot = (uint16_t)slot, .seq = 1, .addresses = address };

		for (end = at; end < n && ring_slot(&item[end]->address) == slot; end++) {
			address[end - at] = item[end]->address;
			item[end]->leased = 1;
		}
		l.slot = (uint16_t)slot;
		l.count = row.count = end - at;
		lease_root(address, l.count, &l.root);
		row.blob = must(chunk_copy(blob, lease_sign(&l, &w->file.id, secret, blob)));
		for (unsigned int k = 0; k < r->replicas; k++)
			disk_lease(books_owner(w, r, address, k)->disk, &row);
		chunk_drop(row.blob);
	}
	free(address);
}

static int by_address(const void *a, const void *b)
{
	return address_compare(&(*(struct item *const *)a)->address, &(*(struct item *const *)b)->address);
}

void grown_chunks(struct world *w, unsigned int n, size_t len)
{
	const struct ring *r = books_table(w);
	struct item **item = must(calloc(n + 1, sizeof(struct item *)));
	uint8_t *bytes = must(malloc(len));

	dice_fill(&w->dice, bytes, len);
	for (unsigned int i = 0; i < n; i++) {
		/* Alike but for the number: the books keep the bytes once for all disks, and only addresses must differ. */
		put_le64(bytes, i);
		item[i] = books_add(w, bytes, len);
		item[i]->wanted = item[i]->inserted = true;
		item[i]->acked = 1;
		item[i]->promised = r->replicas;
		for (unsigned int k = 0; k < r->replicas; k++)
			disk_put(books_owner(w, r, &item[i]->address, k)->disk, &item[i]->address, KIND_DATA, item[i]->chunk,
			    STATE_OWNED);
	}
	qsort(item, n, sizeof(struct item *), by_address);
	write_leases(w, item, n);
	free(bytes);
	free(item);
}

static void fire_start(struct world *w, void *arg, uint64_t unused)
{
	(void)w;
	(void)unused;
	host_start(arg);
}

bool grown_start(struct world *w, uint64_t us)
{
	for (unsigned int i = 0; i < w->hosts; i++)
		world_plan(w, w->now + dice_below(&w->dice, us), fire_start, w->host[i], 0);
	world_run(w, w->now + us);
	return run_settled(w, 600 * S);
}
