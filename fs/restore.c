#include "fs/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "chunker/snapshot.h"
#include "dht/peer/volume.h"
#include "dht/program/log.h"
#include "dht/program/progress.h"
#include "fs/cache.h"
#include "fs/claim.h"
#include "fs/fetch.h"
#include "fs/unpack.h"

#define FOLDER		"restoring"
#define ASK_AGAIN_MS	500u

struct restore {
	const struct options *o;
	struct dht *dht;
	struct cache *cache;
	struct waiting_source source;
	struct volume_key key;
	struct ref snapshot;
	struct progress progress;
	char *why;
	size_t why_size;
};

static int fail(struct restore *r, int error, const char *what)
{
	snprintf(r->why, r->why_size, "the volume can't be restored: %s", what);
	return error;
}

/* STORE/${name}, or STORE/restoring/${name}. */
static const char *path_of(const struct options *o, bool inside, const char *name, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/%s%s%s", o->store, inside ? FOLDER : name, inside && *name ? "/" : "",
	    inside ? name : "");
	return path;
}

static bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

bool restore_unfinished(const char *store)
{
	const struct options o = { .store = (char *)(uintptr_t)store };
	char path[PATH_MAX];

	return exists(path_of(&o, true, "", path));
}

static int sync_store(const struct options *o)
{
	int fd = open(o->store, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	r = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return r;
}

/* What was half made goes; the folder itself is the mark that there may be such, and goes last. */
static int clear(const struct options *o, bool with_tree)
{
	static const char *const names[] = { "tree", "tree-lock", "tree-new", "tree-new-lock" };
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (unlink(path_of(o, true, names[i], path)) < 0 && errno != ENOENT)
			return -errno;
		if (with_tree && unlink(path_of(o, false, names[i], path)) < 0 && errno != ENOENT)
			return -errno;
	}
	return sync_store(o);
}

static int remove_folder(const struct options *o)
{
	char path[PATH_MAX];
	int r = clear(o, false);

	if (r == 0 && rmdir(path_of(o, true, "", path)) < 0 && errno != ENOENT)
		r = -errno;
	return r < 0 ? r : sync_store(o);
}

static int begin(struct restore *r)
{
	char path[PATH_MAX];
	int rc = 0;

	if (restore_unfinished(r->o->store)) {
		log_line(LOG_NOTICE, "restoring was interrupted: it begins anew");
		rc = clear(r->o, true);
	} else if (exists(path_of(r->o, false, "tree", path))) {
		snprintf(r->why, r->why_size, "the store %s has a tree of its own: to restore a volume, give --store DIR with "
		    "one that is not there yet", r->o->store);
		return -EEXIST;
	} else if (mkdir(path_of(r->o, true, "", path), 0700) < 0) {
		rc = -errno;
	} else {
		rc = sync_store(r->o);
	}
	return rc < 0 ? fail(r, rc, strerror(-rc)) : 0;
}

static const char *explain(int error)
{
	switch (error) {
	case -ENOENT:
		return "the ring knows no head of it: is this the right ring, and did it ever reach it?";
	case -ENODATA:
		return "nobody has all of the directories of its newest snapshot; what there is can be read below by-hash";
	case -EHOSTUNREACH:
		return "too few nodes of the ring can be reached; if machines are lost for good, dhtctl evict them";
	case -ETIMEDOUT:
		return "the ring did not answer in time; if machines are lost for good, dhtctl evict them";
	case -EKEYREVOKED:
		return "it was retired";
	case -EUCLEAN:
		return "two machines have written it at a time; its snapshots can be read below by-hash";
	default:
		return strerror(-error);
	}
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* The ring is being joined meanwhile, so the first answers count for little. */
static int find_head(struct restore *r)
{
	const uint64_t until = now_ms() + r->o->settings.timeout_s * UINT64_C(1000);
	const struct timespec pause = { .tv_nsec = ASK_AGAIN_MS * 1000000L };
	uint64_t seq = 0;
	int rc;

	do {
		uint64_t now = now_ms();

		rc = dht_newest(r->dht, r->key.key, now < until ? (unsigned int)(until - now) : 1, &seq, &r->snapshot);
		if (rc == 0 || rc == -EKEYREVOKED || rc == -EUCLEAN)
			break;
		nanosleep(&pause, NULL);
	} while (now_ms() < until);
	if (rc == 0 && r->snapshot.kind != KIND_SNAPSHOT)
		rc = -EBADMSG;
	if (rc < 0)
		return fail(r, rc, explain(rc));
	r->key.since = seq;
	log_line(LOG_NOTICE, "restoring the volume as of its head %" PRIu64, seq);
	return 0;
}

static void tell(void *arg, uint64_t done, uint64_t total)
{
	struct restore *r = arg;

	progress_update(&r->progress, done, total);
}

static void ahead(void *arg, const struct address *directory)
{
	struct restore *r = arg;

	fetch_ahead(r->dht, r->cache, KIND_DIRECTORY, directory);
}

/* The tree in STORE/restoring, whole and durable. */
static int make_tree(struct restore *r, const struct snapshot *s)
{
	const struct unpack_watch watch = { .tell = tell, .ahead = ahead, .arg = r };
	char path[PATH_MAX];
	struct tree *t;
	int rc = tree_open(path_of(r->o, true, "", path), false, &t, r->why, r->why_size);

	if (rc < 0)
		return rc;
	rc = tree_begin(t);
	if (rc == 0)
		rc = unpack_tree(t, &r->source.source, &s->root, &watch);
	if (rc == 0)
		rc = tree_set_head(t, &r->snapshot, 0, &s->kept);
	if (rc == 0)
		rc = tree_commit(t, NULL, NULL, NULL);
	tree_end(t);
	tree_close(t);
	return rc < 0 ? fail(r, rc == -ENOENT || rc == -EBADMSG ? -ENODATA : rc, explain(rc == -ENOENT || rc == -EBADMSG ? -ENODATA : rc)) : 0;
}

static void tell_claimed(void *arg, uint64_t addresses)
{
	struct restore *r = arg;

	progress_update(&r->progress, addresses, addresses);
}

/* So that they are leased from here: our leases come after those of the machine before, and end them (dht/peer/leasing.h). */
static int claim_all(struct restore *r, const struct snapshot *s)
{
	const struct claim c = { .dht = r->dht, .source = &r->source.source, .tell = tell_claimed, .arg = r };
	int rc;

	progress_phase(&r->progress, "claimed", true);
	rc = claim_snapshot(&c, &r->snapshot, &s->kept);
	return rc < 0 ? fail(r, rc, explain(rc)) : 0;
}

/* In this order: a crash leaves the folder, or all of it. */
static int finish(struct restore *r)
{
	char from[PATH_MAX], to[PATH_MAX];
	struct volume_key key;
	int rc;

	if (rename(path_of(r->o, true, "tree", from), path_of(r->o, false, "tree", to)) < 0)
		rc = -errno;
	else
		rc = sync_store(r->o);
	if (rc < 0)
		return fail(r, rc, strerror(-rc));
	rc = volume_key_import(r->o->store, r->o->settings.volume, r->key.since, &key, r->why, r->why_size);
	volume_key_wipe(&key);
	if (rc < 0)
		return rc;
	rc = remove_folder(r->o);
	return rc < 0 ? fail(r, rc, strerror(-rc)) : 0;
}

static int restore(struct restore *r)
{
	struct chunk *chunk = NULL;
	struct snapshot s;
	int rc = begin(r);

	if (rc == 0)
		rc = find_head(r);
	if (rc < 0)
		return rc;
	rc = dht_renumber(r->dht);
	if (rc == 0)
		rc = dht_volume(r->dht, &r->key);
	/* Until all has been claimed; where it can't be, for good. */
	dht_hold_leases(r->dht, true);
	if (rc == 0)
		rc = r->source.source.get(&r->source.source, KIND_SNAPSHOT, &r->snapshot.address, &chunk);
	if (rc == 0)
		rc = snapshot_decode(chunk, &s);
	if (rc < 0) {
		rc = rc == -ENOENT || rc == -EBADMSG ? -ENODATA : rc;
		fail(r, rc, explain(rc));
	}
	progress_start(&r->progress, "restored");
	r->progress.counts = true;
	if (rc == 0)
		rc = make_tree(r, &s);
	if (rc == 0)
		rc = claim_all(r, &s);
	progress_end(&r->progress);
	chunk_drop(chunk);
	if (rc == 0)
		dht_hold_leases(r->dht, false);
	return rc < 0 ? rc : finish(r);
}

/* Is it the store's own already?  1; 0: the store has none; -EEXIST: it has another one. */
static int is_here(struct restore *r)
{
	struct volume_key here;
	char path[PATH_MAX], none[256];
	int rc = volume_key_read(path_of(r->o, false, VOLUME_KEY_FILE, path), &here, none, sizeof(none));

	if (rc == -ENOENT)
		return 0;
	if (rc < 0) {
		snprintf(r->why, r->why_size, "%s", none);
		return rc;
	}
	rc = memcmp(here.key, r->key.key, sizeof(here.key)) == 0;
	volume_key_wipe(&here);
	if (rc)
		return 1;
	snprintf(r->why, r->why_size, "the store %s has a volume of its own: to restore another one, give --store DIR with one that is "
	    "not there yet", r->o->store);
	return -EEXIST;
}

int restore_volume(const struct options *o, struct dht *d, char *why, size_t why_size)
{
	struct restore r = { .o = o, .dht = d, .why = why, .why_size = why_size };
	int rc = volume_key_read(o->settings.volume, &r.key, why, why_size);

	if (rc == 0)
		rc = is_here(&r);
	if (rc == 0 && o->read_only)
		rc = fail(&r, -EROFS, "that writes to the store: mount it without ro");
	if (rc == 0) {
		r.cache = cache_new(o->cache_max);
		waiting_source_init(&r.source, d, r.cache);
		rc = r.cache ? restore(&r) : -ENOMEM;
		if (r.cache)
			cache_free(r.cache);
		if (rc == 0)
			log_line(LOG_NOTICE, "the volume is restored");
		rc = rc < 0 ? rc : 1;
	} else if (rc == 1) {
		/* A crash between the key and the end of it. */
		rc = remove_folder(o);
		if (rc < 0)
			fail(&r, rc, strerror(-rc));
	}
	volume_key_wipe(&r.key);
	return rc;
}
