/* disk: a store whose files are a faultio's, for the tests of dht on a disk that fails. */
#ifndef TESTS_LIB_DISK_H
#define TESTS_LIB_DISK_H

#include "tests/lib/dhttest.h"
#include "tests/lib/faultio.h"

struct disk {
	struct dhttest t;
	struct faultio *files;
	char ledger[512], cut[512], older[512];	/* the ledger's file, and copies of it */
};

/** disk_begin(d): as dhttest_begin().  disk_end(d): as dhttest_end().
 * disk_setup(state), disk_teardown(state): the same for cmocka, of a struct disk at *${state}. */
void disk_begin(struct disk *d);
void disk_end(struct disk *d);
int disk_setup(void **state);
int disk_teardown(void **state);

/** disk_kill_in_sync(d): as if the process were killed while it waits for an fdatasync: what it appended is
 * written, not yet durable, and in nobody's memory once disk_crash() has copied ${d}. */
void disk_kill_in_sync(struct disk *d);

/** disk_crash(d, next, cut): ${next} is what a killed process, or, with ${cut}, a power cut leaves of ${d},
 * with the same options, not open.  disk_end() ends it. */
void disk_crash(struct disk *d, struct disk *next, bool cut);

/* The ledger that a power cut leaves. */
enum disk_ledger {
	LEDGER_LAST,		/* as of its last commit before the cut */
	LEDGER_OLDER,		/* as disk_keep_ledger() kept it */
	LEDGER_MISSING,
};

/** disk_keep_ledger(d): copy the ledger of a closed store, for LEDGER_OLDER. */
void disk_keep_ledger(struct disk *d);

/** disk_off_at(d, changes): faultio_off_at(), and the ledger of that moment is kept for LEDGER_LAST. */
void disk_off_at(struct disk *d, unsigned int changes);

/** disk_power_cut(d, seed, ledger): faultio_power_cut() of a closed store, which then has that ledger. */
void disk_power_cut(struct disk *d, uint64_t seed, enum disk_ledger ledger);

/** disk_cut_everywhere(live, ledger, rounds): each round lives one life without a cut, and then one with a cut at
 * each of its changes.  live(seed, off_at, ledger) is a life that ${seed} decides, with the power off at
 * change ${off_at} of a part of it, unless 0; it returns how many changes that part made. */
void disk_cut_everywhere(unsigned int (*live)(uint64_t seed, unsigned int off_at,
    enum disk_ledger ledger), enum disk_ledger ledger, unsigned int rounds);

#endif
