/*
 * The power fails at every change that the store makes to its files, and what was not synced is lost,
 * torn or kept at random.  After that the store opens, everything that a sync acknowledged is
 * there, and nothing wrong is ever read; with the ledger as of its last commit, with an older one, and
 * with none.
 */
#include "tests/lib/dhttest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/faultio.h"

#define CHUNKS 60

enum ledger { LEDGER_LAST, LEDGER_OLDER, LEDGER_MISSING, LEDGERS };

struct power {
	struct dhttest t;
	struct faultio *files;
	size_t len[CHUNKS];
	bool put[CHUNKS], acked[CHUNKS];	/* insert said 0; a sync after it said 0 */
	char ledger[512], cut[512], older[512];	/* the ledger's file, and copies of it */
};

static void copy_file(const char *from, const char *to)
{
	char buf[65536];
	FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
	size_t n;

	assert_non_null(in);
	assert_non_null(out);
	while ((n = fread(buf, 1, sizeof(buf), in)) > 0)
		assert_int_equal(fwrite(buf, 1, n, out), n);
	fclose(in);
	assert_int_equal(fclose(out), 0);
}

static void read_head(const char *path, char *head, size_t len)
{
	FILE *in = fopen(path, "rb");

	assert_non_null(in);
	assert_int_equal(fread(head, 1, len, in), len);
	fclose(in);
}

/*
 * The moment of the cut: the ledger as it was committed last.  LMDB writes pages first that
 * no commit refers to, then one of the two at the head of its file: while those do not change,
 * a copy is whole.
 */
static void keep_ledger(void *arg)
{
	struct power *p = arg;
	char before[8192], after[8192];

	do {
		read_head(p->ledger, before, sizeof(before));
		copy_file(p->ledger, p->cut);
		read_head(p->ledger, after, sizeof(after));
	} while (memcmp(before, after, sizeof(before)) != 0);
}

/* What an insert has said 0 of when the sync starts, the sync answers for. */
static void sync_and_note(struct power *p)
{
	bool done[CHUNKS];

	memcpy(done, p->put, sizeof(done));
	if (dht_sync_now(p->t.dht) != 0)
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
			faultio_fail(p->files, FAULT_SYNC, 0, 1, -EIO);
		dhttest_burst(&p->t, &b, from, n, p->len + from);
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
	dhttest_begin(&p->t);
	p->files = faultio_new();
	p->t.options.io = faultio_io(p->files);
	/* A ledger that hardly lags, one that lags by some, and one that is told at the end only. */
	p->t.options.ledger_batch = (unsigned int)(dhttest_random(random) % 3 * 5);
	/* Some fit into one tail, others need several, which are written out in any order. */
	most = dhttest_random(random) % 2 ? 9000 : 150000;
	for (size_t i = 0; i < CHUNKS; i++)
		p->len[i] = dhttest_random(random) % 3 ? dhttest_random(random) % most
						       : dhttest_random(random) % 200;
	faultio_direct(p->files, (enum fault_direct)(dhttest_random(random) % 3));
	if (dhttest_random(random) % 3 == 0)
		faultio_fail(p->files, FAULT_ALLOCATE, 0, 1000000, -EOPNOTSUPP);
	snprintf(p->ledger, sizeof(p->ledger), "%s/ledger", p->t.dir);
	snprintf(p->older, sizeof(p->older), "%s.older", p->t.dir);
	snprintf(p->cut, sizeof(p->cut), "%s.cut", p->t.dir);
}

static void end(struct power *p)
{
	dhttest_end(&p->t);
	faultio_free(p->files);
	unlink(p->older);
	unlink(p->cut);
}

static void check(struct power *p, bool all)
{
	for (size_t i = 0; i < CHUNKS; i++) {
		int rc = dhttest_get(&p->t, i, p->len[i]);

		if (rc != 0 && (all || p->acked[i]))
			fail_msg("chunk %zu: %s\n%s", i, strerror(-rc), p->t.log);
		assert_true(rc == 0 || rc == -ENOENT || rc == -EBADMSG);
	}
}

/* One life: a first session that ends well, a second that is cut off, and what comes after. */
static unsigned int live(uint64_t seed, unsigned int off_at, enum ledger ledger)
{
	uint64_t random = seed;
	unsigned int changes;
	struct power p;

	begin(&p, &random);
	assert_int_equal(dhttest_open(&p.t), 0);
	work(&p, 0, CHUNKS / 3, &random);
	sync_and_note(&p);
	dhttest_reopen(&p.t);
	assert_int_equal(dht_close(p.t.dht), 0);
	p.t.dht = NULL;
	copy_file(p.ledger, p.older);

	changes = faultio_changes(p.files);
	if (off_at > 0)
		faultio_off_at(p.files, changes + off_at, keep_ledger, &p);
	assert_int_equal(dhttest_open(&p.t), 0);
	work(&p, CHUNKS / 3, CHUNKS, &random);
	dht_close(p.t.dht);
	p.t.dht = NULL;
	changes = faultio_changes(p.files) - changes;

	faultio_power_cut(p.files, seed + off_at);
	if (ledger == LEDGER_MISSING)
		assert_int_equal(unlink(p.ledger), 0);
	else if (ledger == LEDGER_OLDER)
		copy_file(p.older, p.ledger);
	else if (access(p.cut, F_OK) == 0)
		copy_file(p.cut, p.ledger);
	if (dhttest_open(&p.t) < 0)
		fail_msg("%s\n%s", p.t.why, p.t.log);
	if (dhttest_random(&random) % 2)
		check(&p, false);
	/* Whatever is missing can be put again, and is then as safe as the rest. */
	for (size_t i = 0; i < CHUNKS; i++)
		assert_int_equal(dhttest_put(&p.t, i, p.len[i]), 0);
	check(&p, true);
	assert_int_equal(dht_sync_now(p.t.dht), 0);
	dhttest_reopen(&p.t);
	check(&p, true);
	end(&p);
	return changes;
}

static void cut_everywhere(enum ledger ledger)
{
	unsigned int rounds = getenv("SOAK") ? 40 : 6;
	uint64_t seed = dhttest_seed();

	for (unsigned int round = 0; round < rounds; round++) {
		unsigned int changes = live(seed, 0, ledger);

		for (unsigned int off_at = 1; off_at <= changes; off_at++)
			live(seed, off_at, ledger);
		seed = dhttest_random(&seed);
		printf("# %u cuts, next SEED=%" PRIu64 "\n", changes, seed);
	}
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

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
