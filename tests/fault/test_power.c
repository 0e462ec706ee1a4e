/*
 * The power fails at every change that the store makes to its files, and what was not synced is lost,
 * torn or kept at random.  After that the store opens, everything that a sync acknowledged is
 * there, and nothing wrong is ever read; with the ledger as of its last commit, with an older one, and
 * with none.
 */
#include "tests/lib/disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNKS 60

struct power {
	struct disk d;
	size_t len[CHUNKS];
	bool put[CHUNKS], acked[CHUNKS];	/* insert said 0; a sync after it said 0 */
};

/* What an insert has said 0 of when the sync starts, the sync answers for. */
static void sync_and_note(struct power *p)
{
	bool done[CHUNKS];

	memcpy(done, p->put, sizeof(done));
	if (dht_sync_now(p->d.t.dht) != 0)
		return;
	for (size_t i = 0; i < CHUNKS; i++)
		p->acked[i] |= done[i];
}

/* Chunks [from, to), several at once, and syncs while others are being written. */
static void work(struct power *p, size_t from, size_t to, uint64_t *random)
{
	struct dhttest_burst b;

	while (from < to) {
		size_t n = dhttest_random(random) % 12 + 1;

		n = n < to - from ? n : to - from;
		/* Each sync that fails seals a segment, so that there are several. */
		if (dhttest_random(random) % 5 == 0)
			faultio_fail(p->d.files, FAULT_SYNC, 0, 1, -EIO);
		dhttest_burst(&p->d.t, &b, from, n, p->len + from);
		for (int i = (int)(dhttest_random(random) % 3); i > 0; i--) {
			dhttest_burst_done(&b, p->put + from);
			sync_and_note(p);
		}
		dhttest_burst_end(&b);
		dhttest_burst_done(&b, p->put + from);
		from += n;
	}
}

static void begin(struct power *p, uint64_t *random)
{
	size_t most;

	memset(p, 0, sizeof(*p));
	disk_begin(&p->d);
	/* A ledger that hardly lags, one that lags by some, and one that is told at the end only. */
	p->d.t.options.ledger_batch = (unsigned int)(dhttest_random(random) % 3 * 5);
	/* Some fit into one tail, others need several, which are written out in any order. */
	most = dhttest_random(random) % 2 ? 9000 : 150000;
	for (size_t i = 0; i < CHUNKS; i++)
		p->len[i] = dhttest_random(random) % 3 ? dhttest_random(random) % most
						       : dhttest_random(random) % 200;
	faultio_direct(p->d.files, (enum fault_direct)(dhttest_random(random) % 3));
	if (dhttest_random(random) % 3 == 0)
		faultio_fail(p->d.files, FAULT_ALLOCATE, 0, 1000000, -EOPNOTSUPP);
}

static void check(struct power *p, bool all)
{
	for (size_t i = 0; i < CHUNKS; i++) {
		int rc = dhttest_get(&p->d.t, i, p->len[i]);

		if (rc != 0 && (all || p->acked[i]))
			fail_msg("chunk %zu: %s\n%s", i, strerror(-rc), p->d.t.log);
		assert_true(rc == 0 || rc == -ENOENT || rc == -EBADMSG);
	}
}

/* One life: a first session that ends well, a second that is cut off, and what comes after. */
static unsigned int live(uint64_t seed, unsigned int off_at, enum disk_ledger ledger)
{
	uint64_t random = seed;
	unsigned int changes;
	struct power p;

	begin(&p, &random);
	assert_int_equal(dhttest_open(&p.d.t), 0);
	work(&p, 0, CHUNKS / 3, &random);
	sync_and_note(&p);
	dhttest_reopen(&p.d.t);
	dhttest_close(&p.d.t);
	disk_keep_ledger(&p.d);

	changes = faultio_changes(p.d.files);
	if (off_at > 0)
		disk_off_at(&p.d, changes + off_at);
	assert_int_equal(dhttest_open(&p.d.t), 0);
	work(&p, CHUNKS / 3, CHUNKS, &random);
	dht_close(p.d.t.dht);
	p.d.t.dht = NULL;
	changes = faultio_changes(p.d.files) - changes;

	disk_power_cut(&p.d, seed + off_at, ledger);
	dhttest_must_open(&p.d.t);
	if (dhttest_random(&random) % 2)
		check(&p, false);
	/* Whatever is missing can be put again, and is then as safe as the rest. */
	for (size_t i = 0; i < CHUNKS; i++)
		assert_int_equal(dhttest_put(&p.d.t, i, p.len[i]), 0);
	check(&p, true);
	assert_int_equal(dht_sync_now(p.d.t.dht), 0);
	dhttest_reopen(&p.d.t);
	check(&p, true);
	disk_end(&p.d);
	return changes;
}

static void cut_everywhere(enum disk_ledger ledger)
{
	disk_cut_everywhere(live, ledger, getenv("SOAK") ? 40 : 6);
}

static void after_a_power_cut_what_was_synced_is_there(void **state)
{
	(void)state;
	cut_everywhere(LEDGER_LAST);
}

static void an_older_ledger_costs_nothing(void **state)
{
	(void)state;
	cut_everywhere(LEDGER_OLDER);
}

static void a_missing_ledger_costs_nothing(void **state)
{
	(void)state;
	cut_everywhere(LEDGER_MISSING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(after_a_power_cut_what_was_synced_is_there),
		cmocka_unit_test(an_older_ledger_costs_nothing),
		cmocka_unit_test(a_missing_ledger_costs_nothing),
	};

	return suite_run(tests);
}
