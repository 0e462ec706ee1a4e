/* Opening and closing a store: whose folder it is, what went wrong, and what to do about it. */
#include "dht/store_impl.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dht/lock.h"

#define LOCK_QUIET_MS 1000u	/* before somebody is told that we wait */

struct opening {
	const struct dht_options *options;
	bool rebuild;
	char *why;
	size_t why_size;
};

__attribute__((format(printf, 3, 4))) static int explain(struct opening *o, int rc,
    const char *format, ...)
{
	va_list args;
	int n = snprintf(o->why, o->why_size, "%s: ", o->options->dir);

	if (n < 0 || (size_t)n >= o->why_size)
		return rc;
	va_start(args, format);
	vsnprintf(o->why + n, o->why_size - (size_t)n, format, args);
	va_end(args);
	return rc;
}

/* For errors that the system found: what to do about the usual ones. */
static int explain_errno(struct opening *o, int rc, const char *what)
{
	const char *hint = "";

	switch (rc) {
	case -ENOSPC:
	case -EDQUOT:
		hint = ": free some space on its disk, or choose another store";
		break;
	case -EROFS:
		hint = ": mount its disk read-write, or choose another store";
		break;
	case -EACCES:
	case -EPERM:
		hint = ": it belongs to somebody else; choose another store, or change its owner";
		break;
	case -ENOTDIR:
	case -ENOENT:
		hint = ": choose a folder whose parent exists";
		break;
	case -EIO:
	case -EUCLEAN:
		hint = ": the disk or its file system is failing; see the kernel's log";
		break;
	}
	return explain(o, rc, "%s: %s%s", what, strerror(-rc), hint);
}

static int open_folder(struct store *s, struct opening *o)
{
	if (mkdir(o->options->dir, 0700) < 0 && errno != EEXIST) {
		struct stat st;
		int error = errno;

		if (stat(o->options->dir, &st) < 0 || !S_ISDIR(st.st_mode))
			return explain_errno(o, -error, "the store's folder can't be made");
	}
	s->dirfd = open(o->options->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dirfd < 0)
		return explain_errno(o, -errno, "the store's folder can't be opened");
	/* Absolute: a process in the background changes its working folder. */
	s->dir = realpath(o->options->dir, NULL);
	return s->dir ? 0 : explain_errno(o, -errno, "the store's folder can't be found");
}

/* One that just closes it is waited for in silence; else whoever waits is told for whom. */
static int take_lock(struct store *s, struct opening *o)
{
	unsigned int wait_ms = o->options->lock_wait_ms, quiet_ms = wait_ms < LOCK_QUIET_MS ? wait_ms : LOCK_QUIET_MS;
	pid_t holder;

	s->lock_fd = lock_take(s->dirfd, quiet_ms, &holder);
	if (s->lock_fd == -EBUSY && wait_ms > quiet_ms) {
		store_say(s, LOG_NOTICE, "%s: in use by process %ld: waiting for up to %u s", s->dir, (long)holder, wait_ms / 1000);
		s->lock_fd = lock_take(s->dirfd, wait_ms - quiet_ms, &holder);
	}
	if (s->lock_fd == -EBUSY)
		return explain(o, -EBUSY, "in use by process %ld; stop it (fusermount3 -u its mount "
		    "point), or choose another store", (long)holder);
	if (s->lock_fd < 0)
		return explain_errno(o, s->lock_fd, "its file `lock' can't be opened");
	return 0;
}

struct contents {
	bool segments;
	char other[256];	/* the name of a file that is not ours */
};

static int look_at(void *arg, const char *name)
{
	/* The keys: somebody has saved them, for a new disk. */
	static const char *const ours[] = { "lock", "format", "ledger", "ledger-lock", "ledger-damaged",
		"cleaned", "node.key", "volume.key" };
	struct contents *c = arg;

	if (segment_parse(name) != 0) {
		c->segments = true;
		return 0;
	}
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (strcmp(name, ours[i]) == 0)
			return 0;
	snprintf(c->other, sizeof(c->other), "%s", name);
	return 0;
}

/* The format file is lost: whose segments are these?  Their first headers say so. */
static int find_id(void *arg, const char *name)
{
	struct store *s = arg;
	uint32_t number = segment_parse(name);
	uint8_t header[RECORD_HEADER];
	int fd, rc = -EBADMSG;

	if (number == 0)
		return 0;
	fd = s->io->open(s->io->ctx, s->dirfd, name, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	for (uint32_t off = 0; off < SEGMENT_MAX && rc < 0; off += RECORD_ALIGN) {
		if (s->io->pread(s->io->ctx, fd, header, sizeof(header), off) != sizeof(header))
			break;
		rc = record_store_id(header, number, off, &s->id);
	}
	s->io->close(s->io->ctx, fd);
	return rc == 0 ? 1 : 0;
}

/*
 * The folder may be new, whoever made it: its name is made durable before it becomes a store.  Best
 * effort: not every file system can sync a folder, nor is every one ours to open.
 */
static void sync_parent(struct store *s)
{
	int parent = openat(s->dirfd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (parent < 0)
		return;
	if (fsync(parent) < 0)
		errno = 0;
	close(parent);
}

static int make_format(struct store *s, struct opening *o)
{
	int rc;

	sync_parent(s);
	rc = format_write(s->io, s->dirfd, s->id);
	return rc < 0 ? explain_errno(o, rc, "its file `format' can't be written") : 0;
}

/* Before anything is put into it: a folder that others use is left as it is. */
static int check_foreign(struct store *s, struct opening *o)
{
	struct contents c = { .segments = false };
	unsigned int version;
	int rc = format_read(s->io, s->dirfd, &version, &s->id);

	if (rc != -ENOENT && rc != -EBADMSG)
		return 0;
	rc = s->io->list(s->io->ctx, s->dirfd, look_at, &c);
	if (rc < 0)
		return explain_errno(o, rc, "the store's folder can't be read");
	if (!c.other[0] || c.segments)
		return 0;
	return explain(o, -ENOTEMPTY, "this is no store, and it holds other files (%s); "
	    "choose an empty folder", c.other);
}

/* No format file, or half of one: a store that was being made, a damaged one, or none at all. */
static int no_format(struct store *s, struct opening *o)
{
	struct contents c = { .segments = false };
	int rc = s->io->list(s->io->ctx, s->dirfd, look_at, &c);

	if (rc < 0)
		return explain_errno(o, rc, "the store's folder can't be read");
	if (c.segments && !o->rebuild)
		return explain(o, -EBADMSG, "its file `format' is missing or damaged; "
		    "`dhtctl rebuild' makes it again from the segments");
	if (c.segments) {
		rc = s->io->list(s->io->ctx, s->dirfd, find_id, s);
		if (rc < 0)
			return explain_errno(o, rc, "its segments can't be read");
		if (rc == 0)
			return explain(o, -EBADMSG, "its segments hold no record of format %d; restore "
			    "its file `format'", FORMAT_VERSION);
		return make_format(s, o);
	}
	randombytes_buf(&s->id, sizeof(s->id));
	return make_format(s, o);
}

static int check_format(struct store *s, struct opening *o)
{
	unsigned int version;
	int rc = format_read(s->io, s->dirfd, &version, &s->id);

	if (rc == -EPROTO)
		return explain(o, rc, "a store of format %u, and this dhtfs %s reads format %d; use the "
		    "dhtfs that made it", version, DHTFS_VERSION, FORMAT_VERSION);
	if (rc == -ENOENT || rc == -EBADMSG)
		return no_format(s, o);
	return rc < 0 ? explain_errno(o, rc, "its file `format' can't be read") : 0;
}

/* What is wrong with the ledger, where it is made anew. */
static const char *ledger_fault(int rc)
{
	switch (rc) {
	case -EUCLEAN:
		return "damaged";
	case -EPROTO:
		return "of another format";
	case -ESTALE:
		return "older than the segments";
	}
	return NULL;
}

static int open_ledger(struct store *s, struct opening *o)
{
	uint64_t cleans;
	int rc = cleans_read(s->io, s->dirfd, &cleans);

	if (rc < 0)
		return explain_errno(o, rc, "its file `cleaned' can't be read");
	if (o->rebuild)
		rc = ledger_remove(s->dir);
	if (rc == 0)
		rc = ledger_open(s->dir, s->id, cleans, &s->ledger);
	if (ledger_fault(rc)) {
		store_say(s, LOG_WARNING, "the ledger is %s; it is made anew from the segments",
		    ledger_fault(rc));
		rc = ledger_remove(s->dir);
		if (rc == 0)
			rc = ledger_open(s->dir, s->id, cleans, &s->ledger);
	}
	return rc < 0 ? explain_errno(o, rc, "the ledger can't be opened") : 0;
}

static int first_row(void *arg, const struct ledger_segment *row)
{
	(void)arg;
	return row->end > 0;
}

static int recover_store(struct store *s, struct opening *o, dht_tell *tell, void *arg,
    struct dht_progress *progress)
{
	int rc = ledger_segments(s->ledger, first_row, NULL);

	if (rc >= 0)
		rc = recover(s, rc == 0, tell, arg, progress);
	if (rc == -ECANCELED)
		return explain(o, rc, "stopped before it was done; the rest is done when it is opened");
	return rc < 0 ? explain_errno(o, rc, "it can't be recovered") : 0;
}

/* They end once nothing is left to do for them. */
static void stop_threads(struct store *s, unsigned int n)
{
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_cond_broadcast(&s->tail_moved);
	pthread_cond_broadcast(&s->sync_wanted);
	pthread_cond_broadcast(&s->commit_wanted);
	pthread_mutex_unlock(&s->lock);
	for (unsigned int i = 0; i < n; i++)
		pthread_join(s->thread[i], NULL);
}

static int start_threads(struct store *s)
{
	static void *(*const mains[THREADS])(void *store) = { tail_main, sync_main, commit_main };
	int rc;

	for (unsigned int i = 0; i < THREADS; i++) {
		rc = pthread_create(&s->thread[i], NULL, mains[i], s);
		if (rc) {
			stop_threads(s, i);
			return -rc;
		}
	}
	return 0;
}

static uint32_t segment_max_of(uint64_t size_max)
{
	uint64_t part = size_max / SEGMENT_PART / SEGMENT_LEAST * SEGMENT_LEAST;

	if (size_max == 0 || part > SEGMENT_MAX)
		return SEGMENT_MAX;
	return part < SEGMENT_LEAST ? SEGMENT_LEAST : (uint32_t)part;
}

static struct store *store_new(const struct dht_options *options)
{
	struct store *s = calloc(1, sizeof(*s));
	pthread_condattr_t monotonic;

	if (!s)
		return NULL;
	s->dirfd = s->lock_fd = -1;
	s->io = options->io ? options->io : &io_system;
	s->size_max = options->size_max;
	s->segment_max = segment_max_of(s->size_max);
	s->read_only = options->read_only;
	s->commit_records = options->ledger_batch ? options->ledger_batch : COMMIT_RECORDS;
	s->log = options->log;
	s->log_arg = options->log_arg;
	s->recents_max = RECENTS_FACTOR * s->commit_records;
	list_init(&s->astray);
	list_init(&s->durable);
	pthread_mutex_init(&s->ledger_lock, NULL);
	pthread_mutex_init(&s->clean_lock, NULL);
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->scratch_lock, NULL);
	pthread_cond_init(&s->tail_moved, NULL);
	pthread_cond_init(&s->moved, NULL);
	pthread_cond_init(&s->sync_wanted, NULL);
	pthread_cond_init(&s->mend_done, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&s->commit_wanted, &monotonic);
	pthread_condattr_destroy(&monotonic);
	s->verified = calloc(VERIFIED_WORDS, sizeof(*s->verified));
	if (recents_init(&s->recents) == 0 && s->verified)
		return s;
	store_free(s);
	return NULL;
}

void store_free(struct store *s)
{
	struct scratch *x;

	/* Entries that no sync could make durable are still linked to their segments. */
	for (size_t i = 0; s->segments && i < segments_count(s->segments); i++) {
		struct segment *g = segments_at(s->segments, i);

		while (!list_empty(&g->unsynced))
			unsynced_remove(s, g, g->unsynced.next);
	}
	recents_free(&s->recents);
	tail_free_all(s);
	segments_free(s->segments);
	ledger_close(s->ledger);
	while ((x = s->scratch)) {
		s->scratch = x->next;
		codec_free(x->codec);
		free(x);
	}
	if (s->dirfd >= 0)
		close(s->dirfd);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	pthread_cond_destroy(&s->tail_moved);
	pthread_cond_destroy(&s->moved);
	pthread_cond_destroy(&s->sync_wanted);
	pthread_cond_destroy(&s->commit_wanted);
	pthread_cond_destroy(&s->mend_done);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->ledger_lock);
	pthread_mutex_destroy(&s->clean_lock);
	pthread_mutex_destroy(&s->scratch_lock);
	free(s->verified);
	free(s->dir);
	free(s);
}

int store_open(const struct dht_options *options, bool rebuild, dht_tell *tell, void *arg,
    struct dht_progress *progress, struct store **out, char *why, size_t why_size)
{
	struct opening o = { .options = options, .rebuild = rebuild, .why = why, .why_size = why_size };
	struct store *s = store_new(options);
	int rc;

	*out = NULL;
	if (!s)
		return explain(&o, -ENOMEM, "no memory");
	rc = open_folder(s, &o);
	if (rc == 0)
		rc = check_foreign(s, &o);
	if (rc == 0)
		rc = take_lock(s, &o);
	if (rc == 0)
		rc = check_format(s, &o);
	if (rc == 0)
		rc = open_ledger(s, &o);
	if (rc == 0) {
		s->segments = segments_new(s->io, s->dirfd);
		rc = s->segments ? recover_store(s, &o, tell, arg, progress)
				 : explain(&o, -ENOMEM, "no memory");
	}
	if (rc == 0) {
		rc = start_threads(s);
		if (rc < 0)
			explain_errno(&o, rc, "no threads");
	}
	if (rc < 0) {
		store_free(s);
		return rc;
	}
	*out = s;
	return 0;
}

int store_close(struct store *s)
{
	int rc;

	if (!s)
		return 0;
	mend_stop(s);
	rc = store_sync_wait(s, store_sync_start(s));
	stop_threads(s, THREADS);
	for (size_t before = SIZE_MAX; s->durable_count > 0 && s->durable_count < before;) {
		before = s->durable_count;
		commit_round(s);
	}
	/* Also rows without records: the next open then has nothing to scan. */
	commit_round(s);
	for (size_t i = 0; i < segments_count(s->segments); i++)
		segment_trim(s, segments_at(s->segments, i));
	store_free(s);
	return rc;
}

void store_listen(struct store *s, const struct store_listener *listener)
{
	pthread_mutex_lock(&s->lock);
	s->listener = *listener;
	pthread_mutex_unlock(&s->lock);
}
