#include "fs/fs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "dht/control/metrics.h"
#include "dht/control/server.h"
#include "dht/peer/joining.h"
#include "dht/peer/volume.h"
#include "dht/program/home.h"
#include "dht/program/log.h"
#include "dht/program/progress.h"
#include "fs/byhash.h"
#include "fs/claim.h"
#include "fs/control.h"
#include "fs/follow.h"
#include "fs/restore.h"
#include "fs/session.h"

#define JOB_THREADS	2u

static int load_inode(void *arg, uint64_t ino, struct inode *out)
{
	struct fs *fs = arg;

	return tree_get(fs->tree, ino, out);
}

/* Nothing is dirty before the first request, and no request comes before all is set. */
static void content_changed(void *arg)
{
	struct fs *fs = arg;

	checkpoint_due(fs->checkpoint);
}

static void content_freed(void *arg, uint64_t bytes)
{
	struct fs *fs = arg;

	collector_freed(fs->collector, bytes);
}

static void set_is_full(void *arg)
{
	struct fs *fs = arg;

	collector_rested(fs->collector);
}

/* Its part of the ring is over; what is here can still be read and written, as without one. */
static void left_ring(void *arg, int result, const char *why)
{
	const struct options *o = arg;

	log_line(result == 0 ? LOG_NOTICE : LOG_CRIT, "this node takes no part in the ring any more, so what is written from now on is on this machine "
	    "only%s: %s", o->settings.sync == SYNC_LOCAL ? "" : ", and fsync fails", why);
}

static int open_dht(const struct options *o, struct dht **out, char *why, size_t why_size)
{
	struct dht_options d = {
		.dir = o->store,
		.size_max = o->size_max,
		.lock_wait_ms = FS_LOCK_WAIT_MS,
		/* A follower keeps what it reads. */
		.read_only = o->read_only && !o->settings.follow,
		.timeout_ms = o->settings.timeout_s * 1000,
		.sync_local = o->settings.sync == SYNC_LOCAL,
		.log = log_text,
	};
	struct joining joining;
	int r = o->store_default ? home_make_parents(o->store) : 0;

	if (r < 0) {
		snprintf(why, why_size, "the folders above the store %s: %s", o->store, strerror(-r));
		return r;
	}
	if (!settings_networked(&o->settings))
		return dht_open(&d, out, why, why_size);
	r = joining_init(&joining, &o->settings, o->size_max, why, why_size);
	if (r < 0)
		return r;
	joining.options.log = log_text;
	joining.options.stopped = left_ring;
	joining.options.arg = (void *)(uintptr_t)o;
	d.ring = &joining.options;
	r = dht_open(&d, out, why, why_size);
	if (r == 0 && !joining_wait(&joining, dht_peer(*out)))
		log_line(LOG_WARNING, "no member of the ring has answered yet: it goes on trying");
	joining_wipe(&joining);
	return r;
}

/* 1: it is restored from the ring, and the set knows it. */
static int bring_volume(struct fs *fs, char *why, size_t why_size)
{
	const struct options *o = fs->options;

	if (o->settings.volume)
		return restore_volume(o, fs->dht, why, why_size);
	if (!restore_unfinished(o->store))
		return 0;
	snprintf(why, why_size, "a volume was being restored into %s, and that has not ended: mount it with --volume FILE again", o->store);
	return -EINPROGRESS;
}

static void tell_claimed(void *arg, uint64_t addresses)
{
	progress_update(arg, addresses, addresses);
}

/* What was written while there was no ring, or lost its leases with the shelf, is the volume's too, before it is published. */
static int claim_old(struct fs *fs, char *why, size_t why_size)
{
	const char *store = fs->options->store;
	struct waiting_source source;
	struct progress progress;
	uint64_t inodes;
	struct claim c = { .dht = fs->dht, .source = &source.source, .tell = tell_claimed, .arg = &progress };
	int r;

	if (!claim_is_due(store))
		return 0;
	tree_count(fs->tree, &inodes);
	if (inodes > 1)
		log_line(LOG_NOTICE, "what the ring was not told of yet goes there now");
	progress_start(&progress, "claimed");
	progress.counts = true;
	waiting_source_init(&source, fs->dht, NULL);
	dht_hold_leases(fs->dht, true);
	r = claim_tree(&c, fs->tree);
	progress_end(&progress);
	if (r == 0)
		r = claim_done(store);
	dht_hold_leases(fs->dht, r < 0);
	if (r < 0)
		snprintf(why, why_size, "what the ring was not told of yet could not be looked through: %s", strerror(-r));
	return r;
}

/* What the store noted of the ring is gone, its shelf, though its volume was in it: the leases are made anew, of all that the tree needs. */
static int note_forgotten(struct fs *fs)
{
	int r = claim_alone(fs->options->store);

	log_line(LOG_WARNING, "this store has lost its notes of the ring: all that its tree needs is told to the ring anew");
	return r < 0 ? r : dht_renumber(fs->dht);
}

/* What is written here belongs to a volume that others can follow. */
static int start_volume(struct fs *fs, bool known, char *why, size_t why_size)
{
	struct volume_key key = { .since = 0 };
	struct ref newest, kept;
	uint64_t epoch;
	bool had_key;
	int r = 0;

	if (fs->options->read_only)
		return 0;
	if (!dht_peer(fs->dht))
		return claim_alone(fs->options->store);
	had_key = claim_has_key(fs->options->store);
	if (!had_key)
		r = claim_alone(fs->options->store);
	if (r == 0)
		r = volume_key_open(fs->options->store, &key, why, why_size);
	if (r == 0 && !known && had_key && !dht_knows(fs->dht, &key))
		r = note_forgotten(fs);
	if (r == 0 && !known)
		r = dht_volume(fs->dht, &key);
	if (r < 0) {
		volume_key_wipe(&key);
		return r;
	}
	memcpy(fs->volume, key.key, sizeof(fs->volume));
	fs->writes = true;
	volume_key_wipe(&key);
	if (!known)
		r = claim_old(fs, why, why_size);
	/* The last one of an earlier run may not have got there. */
	if (r == 0)
		r = tree_get_head(fs->tree, &newest, &epoch, &kept);
	if (r == 0 && newest.hash != 0)
		dht_publish(fs->dht, &newest);
	return r;
}

static int start_following(struct fs *fs, char *why, size_t why_size)
{
	const struct settings *s = &fs->options->settings;
	uint8_t key[MEMBER_KEY];

	if (!volume_public_parse(s->follow, key))
		return -EINVAL;
	return follow_start(fs, key, s->timeout_s * 1000, &fs->follow, why, why_size);
}

static unsigned int cores(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n > 0 ? (unsigned int)n : 1;
}

static int start_snapshots(struct fs *fs)
{
	const struct snapshots_options s = {
		.tree = fs->tree,
		.checkpoint = fs->checkpoint,
		.dht = fs->dht,
		.cache = fs->cache,
		.read_only = fs->options->read_only,
		.keep = fs->options->keep,
	};

	return snapshots_start(&s, &fs->snapshots);
}

static int start_collector(struct fs *fs)
{
	const struct collect_parts parts = {
		.tree = fs->tree,
		.files = fs->files,
		.snapshots = fs->snapshots,
		.dht = fs->dht,
		.inserting = &fs->inserting,
		.reading = &fs->reading,
		.roots = &fs->roots,
		.uploads = &fs->uploads,
	};
	int r = collector_start(&parts, &fs->collector);

	if (r == 0)
		snapshots_on_rest(fs->snapshots, collector_rested, fs->collector);
	return r;
}

/* Each part stands on the ones before it. */
static int open_parts(struct fs *fs, char *why, size_t why_size)
{
	const struct options *o = fs->options;
	struct files_options f = {
		.dirty_max = o->dirty_max,
		.flushers = cores(),
		.load = load_inode,
		.changed = content_changed,
		.freed = content_freed,
		.full = set_is_full,
		.arg = fs,
		.flushing = &fs->inserting,
		.reading = &fs->reading,
		.roots = &fs->roots,
	};
	int r = open_dht(o, &fs->dht, why, why_size);
	bool restored;

	if (r == 0)
		r = bring_volume(fs, why, why_size);
	if (r < 0)
		return r;
	restored = r == 1;
	/* Nobody sees a follower's own tree: it may be made, and stay empty. */
	r = tree_open(o->store, o->read_only && !o->settings.follow, &fs->tree, why, why_size);
	if (r < 0)
		return r;

	fs->ring.peer = dht_peer(fs->dht);
	r = start_volume(fs, restored, why, why_size);
	if (r < 0)
		return r;

	/* From here on only memory, threads or descriptors can be short. */
	why[0] = '\0';
	fs->cache = cache_new(o->cache_max);
	if (!fs->cache)
		return -ENOMEM;
	f.dht = fs->dht;
	f.cache = fs->cache;
	fs->gate = gate_new();
	if (!fs->gate)
		return -ENOMEM;
	r = files_new(&f, &fs->files);
	if (r == 0)
		r = checkpoint_start(fs->tree, fs->files, fs->dht, fs->gate, &fs->checkpoint);
	if (r == 0)
		r = start_snapshots(fs);
	if (r == 0 && !o->read_only)
		r = start_collector(fs);
	if (r < 0)
		return r;
	fs->jobs = jobs_new(JOB_THREADS);
	fs->counts = jobs_new(1);
	fs->parking = parking_new();
	fs->known = known_new();
	fs->told = told_new();
	if (!fs->jobs || !fs->counts || !fs->parking || !fs->known || !fs->told)
		return -ENOMEM;
	r = byhash_new(fs, &fs->byhash);
	if (r == 0 && o->settings.follow)
		r = start_following(fs, why, why_size);
	if (r < 0)
		return r;
	fs->tables[0] = (struct call_table){ fs_commands, fs };
	fs->tables[1] = (struct call_table){ ring_commands, &fs->ring };
	fs->program = (struct call_program){ .name = "dhtfs", .ends = "the mount ends", .tables = fs->tables };
	r = server_start(&fs->program, o->store, &fs->server);
	if (r < 0)
		snprintf(why, why_size, "the control socket in %s: %s", o->store, strerror(-r));
	if (r == 0 && o->settings.metrics)
		r = metrics_start(o->settings.metrics, o->store, &fs->metrics, why, why_size);
	return r;
}

int fs_open(const struct options *o, struct fs **out, char *why, size_t why_size)
{
	struct fs *fs = calloc(1, sizeof(*fs));
	struct utsname kernel;
	int r = -ENOMEM;

	*out = NULL;
	why[0] = '\0';
	if (fs) {
		fs->options = o;
		fs->started = fs_now();
		fs->calls_in = uname(&kernel) == 0 && session_calls_in(kernel.release);
		grace_init(&fs->inserting);
		grace_init(&fs->reading);
		roots_init(&fs->roots);
		uploads_init(&fs->uploads);
		r = open_parts(fs, why, why_size);
	}
	if (r < 0) {
		if (!why[0])
			snprintf(why, why_size, "could not start: %s", strerror(-r));
		fs_close(fs);
		return r;
	}
	*out = fs;
	return 0;
}

static int first_error(int first, int then)
{
	return first < 0 ? first : then;
}

/*
 * Who gives work is stopped before who does it.  A snapshot is recorded by a checkpoint, so
 * the last checkpoint is behind the last snapshot; the set goes before the cache, since a
 * lookup for which nobody waits ends in it.  A snapshot that failed costs nothing that was
 * written here, so it is not among the errors.
 */
int fs_close(struct fs *fs)
{
	int r = 0;

	if (!fs)
		return 0;
	if (fs->dht)
		dht_ending(fs->dht);
	metrics_stop(fs->metrics);
	if (fs->server)
		server_stop(fs->server);
	/* Requests of processes that had files open when SIGTERM came, or of an aborted mount. */
	if (fs->parking)
		parking_end(fs->parking);
	jobs_free(fs->jobs);
	jobs_free(fs->counts);
	parking_free(fs->parking);
	if (fs->snapshots)
		snapshots_on_rest(fs->snapshots, NULL, NULL);
	collector_stop(fs->collector);
	if (fs->snapshots)
		snapshots_stop(fs->snapshots);
	if (fs->checkpoint)
		r = first_error(r, checkpoint_stop(fs->checkpoint));
	follow_stop(fs->follow);
	if (fs->byhash)
		byhash_free(fs->byhash);
	if (fs->files)
		files_free(fs->files);
	collector_free(fs->collector);
	if (fs->tree)
		tree_close(fs->tree);
	r = first_error(r, dht_close(fs->dht));
	if (fs->cache)
		cache_free(fs->cache);
	told_free(fs->told);
	known_free(fs->known);
	gate_free(fs->gate);
	uploads_destroy(&fs->uploads);
	roots_destroy(&fs->roots);
	grace_destroy(&fs->reading);
	grace_destroy(&fs->inserting);
	free(fs);
	return r;
}
