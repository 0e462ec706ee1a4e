#include "tests/lib/disk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void begin_with(struct disk *d, struct faultio *files)
{
	memset(d, 0, sizeof(*d));
	dhttest_begin(&d->t);
	d->files = files;
	d->t.options.io = faultio_io(files);
	snprintf(d->ledger, sizeof(d->ledger), "%s/ledger", d->t.dir);
	snprintf(d->older, sizeof(d->older), "%s.older", d->t.dir);
	snprintf(d->cut, sizeof(d->cut), "%s.cut", d->t.dir);
}

void disk_begin(struct disk *d)
{
	begin_with(d, faultio_new());
}

void disk_end(struct disk *d)
{
	dhttest_end(&d->t);
	faultio_free(d->files);
	unlink(d->older);
	unlink(d->cut);
}

int disk_setup(void **state)
{
	struct disk *d = malloc(sizeof(*d));

	assert_non_null(d);
	disk_begin(d);
	*state = d;
	return 0;
}

int disk_teardown(void **state)
{
	disk_end(*state);
	free(*state);
	return 0;
}

void disk_kill_in_sync(struct disk *d)
{
	faultio_off_at(d->files, faultio_changes(d->files) + 2, NULL, NULL);
	assert_int_equal(dht_sync_now(d->t.dht), -EIO);
}

void disk_crash(struct disk *d, struct disk *next, bool cut)
{
	struct dht_options options = d->t.options;

	begin_with(next, faultio_copy(d->files));
	if (cut)
		faultio_power_cut(next->files, 1);
	options.dir = next->t.dir;
	options.log_arg = &next->t;
	options.io = next->t.options.io;
	next->t.options = options;
	dhttest_copy_ledger(d->ledger, next->ledger);
}

void disk_keep_ledger(struct disk *d)
{
	dhttest_copy(d->ledger, d->older);
}

static void keep_cut(void *arg)
{
	struct disk *d = arg;

	dhttest_copy_ledger(d->ledger, d->cut);
}

void disk_off_at(struct disk *d, unsigned int changes)
{
	faultio_off_at(d->files, changes, keep_cut, d);
}

void disk_power_cut(struct disk *d, uint64_t seed, enum disk_ledger ledger)
{
	faultio_power_cut(d->files, seed);
	if (ledger == LEDGER_MISSING)
		assert_int_equal(unlink(d->ledger), 0);
	else if (ledger == LEDGER_OLDER)
		dhttest_copy(d->older, d->ledger);
	else if (access(d->cut, F_OK) == 0)
		dhttest_copy(d->cut, d->ledger);
}

void disk_cut_everywhere(unsigned int (*live)(uint64_t seed, unsigned int off_at,
    enum disk_ledger ledger), enum disk_ledger ledger, unsigned int rounds)
{
	uint64_t seed = suite_seed(20240229);

	for (unsigned int round = 0; round < rounds; round++) {
		unsigned int changes = live(seed, 0, ledger);

		for (unsigned int off_at = 1; off_at <= changes; off_at++)
			live(seed, off_at, ledger);
		seed = dhttest_random(&seed);
		printf("# %u cuts, next SEED=%" PRIu64 "\n", changes, seed);
	}
}
