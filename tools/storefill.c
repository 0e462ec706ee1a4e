/*
 * storefill: a store as a ring leaves it: many small records, owned, and leased by one volume, in all slots.
 *
 *	storefill DIR RING COUNT [LACKING]
 *
 * RING is the ring file.  It is made by what a node makes it with: the records by the store, what they are to the ring by the shelf.  They come in
 * the order of addresses, which costs the disk a hundredth.  COUNT decides what they are, so two stores have the same, with the same leases; but
 * for LACKING of them, which the leases name and the store lacks.  Prints SHOWN of all addresses.
 */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"
#include "dht/net/ring.h"
#include "dht/net/signed.h"
#include "dht/peer/settings.h"
#include "dht/peer/shelf.h"
#include "dht/store.h"

#define RECORD_BYTES 32u
#define HASHED	     32u	/* at a time */
#define BATCH	     16384u	/* changes of the shelf in a commit: all of a slot fit */
#define SHOWN	     1000u

/* Its bytes are ${number}, and zeros. */
struct item {
	struct address address;
	uint64_t number;
};

struct filling {
	struct ring_file ring;
	struct address volume;
	uint8_t key[MEMBER_KEY], secret[MEMBER_SECRET];
	struct store *store;
	struct shelf *shelf;
	uint64_t count, lacking;
	struct item *item;		/* ${count} of them, in order */
	struct shelf_change change[BATCH];
	struct catalogue_lease lease[BATCH];
	struct address leased[BATCH];
	size_t changes, leases, leaseds;
};

static void fail(const char *why, int rc)
{
	fprintf(stderr, "storefill: %s\n", *why ? why : strerror(-rc));
	exit(1);
}

static void must(int rc, const char *what)
{
	if (rc < 0) {
		fprintf(stderr, "storefill: %s: %s\n", what, strerror(-rc));
		exit(1);
	}
}

/* ---- what there shall be ---- */

static void encode(uint64_t number, uint8_t out[RECORD_BYTES])
{
	memset(out, 0, RECORD_BYTES);
	put_le64(out, number);
}

static void name_some(struct item *item, uint64_t first, size_t n)
{
	uint8_t bytes[HASHED][RECORD_BYTES];
	struct address_job job[HASHED];

	for (size_t i = 0; i < n; i++) {
		encode(first + i, bytes[i]);
		job[i] = (struct address_job){ .kind = KIND_DATA, .data = bytes[i], .len = RECORD_BYTES };
	}
	address_of_many(job, n);
	for (size_t i = 0; i < n; i++)
		item[i] = (struct item){ job[i].address, first + i };
}

static int compare(const void *a, const void *b)
{
	return address_compare(&((const struct item *)a)->address, &((const struct item *)b)->address);
}

static void name_all(struct filling *f)
{
	f->item = calloc(f->count, sizeof(*f->item));
	must(f->item ? 0 : -ENOMEM, "addresses");
	for (uint64_t i = 0; i < f->count; i += HASHED)
		name_some(f->item + i, i, f->count - i < HASHED ? f->count - i : HASHED);
	qsort(f->item, f->count, sizeof(*f->item), compare);
}

/* ---- the store ---- */

/* One in each (count / of). */
static bool falls_on(uint64_t i, uint64_t count, uint64_t of)
{
	return of > 0 && i * of / count != (i + 1) * of / count;
}

static void put(struct filling *f, const struct item *item)
{
	uint8_t bytes[RECORD_BYTES];
	struct chunk *c;

	encode(item->number, bytes);
	c = chunk_copy(bytes, sizeof(bytes));
	must(c ? 0 : -ENOMEM, "a chunk");
	must(store_put(f->store, KIND_DATA, &item->address, c, false), "a record");
	chunk_drop(c);
	f->change[f->changes++] = (struct shelf_change){ .kind = SHELF_ADD, .address = item->address, .states = STATE_OWNED,
		.volume = f->volume, .bytes = RECORD_BYTES };
}

/* Those addresses are all of a slot. */
static void lease(struct filling *f, const struct address *all, size_t n)
{
	struct lease l = { .slot = (uint16_t)ring_slot(all), .seq = 1, .count = (uint32_t)n };
	struct catalogue_lease *row = &f->lease[f->leases++];
	uint8_t blob[SIGNED_MAX];

	memcpy(l.key, f->key, sizeof(l.key));
	lease_root(all, l.count, &l.root);
	*row = (struct catalogue_lease){ .volume = f->volume, .slot = l.slot, .seq = l.seq, .addresses = all, .count = l.count };
	row->blob = chunk_copy(blob, lease_sign(&l, &f->ring.id, f->secret, blob));
	must(row->blob ? 0 : -ENOMEM, "a lease");
	f->change[f->changes++] = (struct shelf_change){ .kind = SHELF_LEASE, .lease = row };
}

/* As a node does: first the records, then what is noted of them. */
static void commit(struct filling *f)
{
	must(store_sync_wait(f->store, store_sync_start(f->store)), "the store");
	must(shelf_commit(f->shelf, f->change, f->changes), "the shelf");
	for (size_t i = 0; i < f->leases; i++)
		chunk_drop(f->lease[i].blob);
	f->changes = f->leases = f->leaseds = 0;
}

static void put_slot(struct filling *f, uint64_t from, uint64_t to)
{
	struct address *all;
	char text[ADDRESS_TEXT_LEN + 1];

	must(to - from < BATCH ? 0 : -E2BIG, "a slot");
	if (f->leaseds + f->leases + (to - from) + 1 > BATCH)
		commit(f);
	all = f->leased + f->leaseds;
	for (uint64_t i = from; i < to; i++) {
		f->leased[f->leaseds++] = f->item[i].address;
		address_format(&f->item[i].address, text);
		if (falls_on(i, f->count, SHOWN))
			puts(text);
		if (!falls_on(i, f->count, f->lacking))
			put(f, &f->item[i]);
	}
	lease(f, all, to - from);
}

static void put_all(struct filling *f)
{
	for (uint64_t from = 0, to = 0; from < f->count; from = to) {
		while (to < f->count && ring_slot(&f->item[to].address) == ring_slot(&f->item[from].address))
			to++;
		put_slot(f, from, to);
	}
	commit(f);
}

int main(int argc, char **argv)
{
	static const uint8_t seed[crypto_sign_SEEDBYTES] = "storefill";
	struct dht_options options = { .dir = argc > 1 ? argv[1] : NULL };
	struct filling *f = calloc(1, sizeof(*f));
	char why[1024] = "";
	int rc;

	if (argc < 4 || argc > 5 || !f || sodium_init() < 0) {
		fprintf(stderr, "usage: storefill DIR RING COUNT [LACKING]\n");
		return 2;
	}
	f->count = strtoull(argv[3], NULL, 10);
	f->lacking = argc > 4 ? strtoull(argv[4], NULL, 10) : 0;
	crypto_sign_seed_keypair(f->key, f->secret, seed);
	volume_id(f->key, &f->volume);
	rc = settings_ring(argv[2], &f->ring, why, sizeof(why));
	if (rc == 0)
		rc = store_open(&options, false, NULL, NULL, NULL, &f->store, why, sizeof(why));
	if (rc == 0)
		rc = shelf_open(options.dir, f->store, &f->shelf, why, sizeof(why));
	if (rc < 0)
		fail(why, rc);
	name_all(f);
	put_all(f);
	must(shelf_close(f->shelf), "the shelf");
	must(store_close(f->store), "the store");
	free(f->item);
	free(f);
	return 0;
}
