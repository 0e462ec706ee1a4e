#include "fs/snapshots.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "chunker/index.h"
#include "chunker/splice.h"
#include "fs/fetch.h"
#include "fs/keep.h"
#include "fs/log.h"
#include "fs/now.h"
#include "fs/snapshot_write.h"

#define REST_S	5	/* without changes, before a snapshot is taken */
#define EVERY_S	30	/* while changes go on */

struct snapshots {
	struct tree *tree;
	struct checkpoint *checkpoint;
	struct dht *dht;
	struct waiting_source source;
	struct dht_sink sink;
	bool read_only;
	pthread_t thread;

	pthread_mutex_t lock;	/* all below */
	pthread_cond_t wake;
	struct list waiting;	/* snapshot_waiter: for the next one */
	struct list served;	/* for the one that is being taken */
	bool changed, stop;
	struct timespec first_change, last_change;	/* since the newest; CLOCK_MONOTONIC */
	struct kept *kept;	/* earlier ones and the newest, oldest first */
	size_t nkept;
	/* the thread's */
	bool newest_stays;	/* somebody asked for it, or may have */
	int last_result;
};

/*
 * The list of the kept ones, as a file in the set.
 */
struct list_piece {
	struct pieces pieces;
	struct chunk *bytes;
};

static int list_next(struct pieces *p, struct piece *out)
{
	struct list_piece *l = (struct list_piece *)p;

	if (!l->bytes || l->bytes->len == 0)
		return 0;
	*out = (struct piece){ .type = PIECE_BYTES, .len = l->bytes->len, .bytes = l->bytes };
	l->bytes = NULL;
	return 1;
}

static int write_list(struct snapshots *s, const struct kept *list, size_t n, struct ref *out)
{
	struct list_piece l = { .pieces.next = list_next };
	struct chunk *bytes;
	uint8_t *p;
	int r;

	bytes = chunk_new(n * KEPT_LEN, &p);
	if (!bytes)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		kept_encode(&list[i], p + i * KEPT_LEN);
	l.bytes = bytes;
	r = splice_all(&l.pieces, &s->source.source, &s->sink.sink, out);
	chunk_drop(bytes);
	return r;
}

/* Records may lie across the ends of chunks: so they are put together first. */
static int read_list(struct snapshots *s, const struct ref *ref, struct kept **list, size_t *n)
{
	struct index_cursor *c;
	struct extent e;
	uint8_t *bytes;
	int r;

	*list = NULL;
	*n = 0;
	if (ref->size % KEPT_LEN != 0 || ref->size > (UINT64_C(1) << 24))
		return -EBADMSG;
	bytes = calloc(1, ref->size + 1);
	*list = calloc(ref->size / KEPT_LEN + 1, sizeof(**list));
	c = index_cursor_new(&s->source.source, ref);
	r = bytes && *list && c ? 0 : -ENOMEM;
	while (r == 0 && (r = index_cursor_next(c, &e)) == 1) {
		struct chunk *chunk = NULL;

		r = e.hole ? 0 : s->source.source.get(&s->source.source, KIND_DATA, &e.address,
		    &chunk);
		if (r == 0 && chunk && chunk->len != e.len)
			r = -EBADMSG;
		if (r == 0 && chunk)
			memcpy(bytes + e.off, chunk->data, chunk->len);
		chunk_drop(chunk);
	}
	for (size_t i = 0; r == 0 && i < ref->size / KEPT_LEN; i++) {
		r = kept_decode(bytes + i * KEPT_LEN, &(*list)[i]);
		*n = i + 1;
	}
	index_cursor_free(c);
	free(bytes);
	return r;
}

static int newest(struct snapshots *s, struct ref *ref, struct chunk **chunk,
    struct snapshot *out)
{
	struct ref kept;
	uint64_t epoch;
	int r = tree_get_head(s->tree, ref, &epoch, &kept);

	*chunk = NULL;
	if (r < 0 || ref->hash == 0)
		return r < 0 ? r : -ENOENT;
	r = s->source.source.get(&s->source.source, KIND_SNAPSHOT, &ref->address, chunk);
	if (r == 0)
		r = snapshot_decode(*chunk, out);
	return r;
}

static bool same_root(const struct entry *a, const struct entry *b)
{
	uint8_t x[ENTRY_LEN_MAX], y[ENTRY_LEN_MAX];
	int n = entry_encode(a, x, sizeof(x));

	return n > 0 && n == entry_encode(b, y, sizeof(y)) && memcmp(x, y, (size_t)n) == 0;
}

/* A new snapshot of this root becomes the newest; *${ref} is it. */
static int record(struct snapshots *s, const struct entry *root, uint64_t epoch,
    const char *note, struct ref *ref)
{
	struct snapshot snap = { .time = fs_now(), .root = *root, .note = note ? note : "" };
	struct kept *list;
	struct chunk *chunk = NULL;
	size_t n;
	int r;

	snap.note_len = (uint16_t)strlen(snap.note);
	pthread_mutex_lock(&s->lock);
	n = s->nkept;
	list = calloc(n + 1, sizeof(*list));
	if (list && n > 0)
		memcpy(list, s->kept, n * sizeof(*list));
	pthread_mutex_unlock(&s->lock);
	if (!list)
		return -ENOMEM;
	/* Or a database, which syncs its folder at every transaction, would fill the list. */
	if (n > 1 && !s->newest_stays && list[n - 1].time.sec - list[n - 2].time.sec < EVERY_S)
		n--;
	n = keep_thin(list, n, snap.time);
	r = write_list(s, list, n, &snap.kept);
	if (r == 0)
		r = snapshot_encode(&snap, &chunk);
	if (r == 0) {
		*ref = (struct ref){
			.hash = HASH_BLAKE2B_256, .kind = KIND_SNAPSHOT, .size = chunk->len
		};
		address_of(KIND_SNAPSHOT, chunk->data, chunk->len, &ref->address);
		r = s->sink.sink.put(&s->sink.sink, KIND_SNAPSHOT, &ref->address, chunk);
	}
	chunk_drop(chunk);
	if (r == 0)
		r = dht_sync_now(s->dht);
	if (r == 0)
		r = tree_set_head(s->tree, ref, epoch, &snap.kept);
	if (r < 0) {
		free(list);
		return r;
	}
	list[n++] = (struct kept){ .time = snap.time, .ref = *ref };
	s->newest_stays = note;
	pthread_mutex_lock(&s->lock);
	free(s->kept);
	s->kept = list;
	s->nkept = n;
	pthread_mutex_unlock(&s->lock);
	return 0;
}

/* Lost directories cost no snapshot: the tree knows all that was in them. */
static int write_tree(struct snapshots *s, struct tree_reader *reader, struct written *out)
{
	int r = snapshot_write(reader, false, &s->source.source, &s->sink.sink, out);

	if (r != -EBADMSG && r != -ENOENT && r != -EIO)
		return r;
	log_line(LOG_WARNING, "directories of the last snapshot can't be read (%s): all are "
	    "written anew", strerror(-r));
	snapshot_written_free(out);
	return snapshot_write(reader, true, &s->source.source, &s->sink.sink, out);
}

/* Nothing can be written: either the newest one is all of it, or there is none that is. */
static int take_read_only(struct snapshots *s, const char *note, struct ref *ref)
{
	struct tree_reader *reader;
	struct tree_name name;
	uint64_t epoch;
	struct ref kept;
	int r = tree_reader_open(s->tree, &reader);

	if (r < 0)
		return r;
	r = tree_reader_changed(reader, 0, "", 0, &name);
	tree_reader_close(reader);
	if (r == 0 || (note && note[0]))
		return -EROFS;
	if (r == -ENOENT)
		r = tree_get_head(s->tree, ref, &epoch, &kept);
	return r == 0 && ref->hash == 0 ? -EROFS : r;
}

/*
 * The order: checkpoint, so that there is something to read; chunks; sync; then the tree
 * learns of them, and the next checkpoint makes that durable.
 * Without ${all}, files that were cut to nothing and are about to be written are left as they were:
 * nobody has asked for this moment.
 */
static int take(struct snapshots *s, const char *note, bool all, struct ref *ref, int *unflushed)
{
	struct tree_reader *reader = NULL;
	struct written w = { .n = 0 };
	struct snapshot old;
	struct chunk *chunk;
	int r, ignored;
	bool same;

	r = checkpoint_now(s->checkpoint, all, unflushed);
	if (r == 0)
		r = tree_reader_open(s->tree, &reader);
	if (r < 0)
		return r;
	r = write_tree(s, reader, &w);
	if (r < 0)
		goto out;
	r = newest(s, ref, &chunk, &old);
	same = r == 0 && same_root(&old.root, &w.root);
	chunk_drop(chunk);
	if (same && !(note && note[0])) {
		s->newest_stays |= note != NULL;
		goto out;
	}
	r = dht_sync_now(s->dht);
	if (r == 0)
		r = tree_snapshot_done(s->tree, tree_reader_epoch(reader), w.dirs, w.refs, w.n);
	if (r == 0)
		r = record(s, &w.root, tree_reader_epoch(reader), note, ref);
	if (r == 0)
		r = checkpoint_now(s->checkpoint, false, &ignored);
out:
	tree_reader_close(reader);
	snapshot_written_free(&w);
	return r;
}

static struct timespec plus(struct timespec t, int seconds)
{
	t.tv_sec += seconds;
	return t;
}

static bool before(struct timespec a, struct timespec b)
{
	return a.tv_sec < b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec < b.tv_nsec);
}

/*
 * One snapshot serves all that have no note to add to it, or only the one who has.  The note is
 * copied, for its owner may leave.
 */
struct wanted {
	bool asked;	/* somebody waits for it */
	bool last;
	char *note;
	int result;	/* of the copy */
};

static void serve_waiters(struct snapshots *s, struct wanted *wanted)
{
	bool alone = false;

	while (!list_empty(&s->waiting) && !alone) {
		struct snapshot_waiter *w =
		    list_item(s->waiting.next, struct snapshot_waiter, link);

		alone = w->note;
		if (alone && wanted->asked)
			break;
		list_remove(&w->link);
		list_append(&s->served, &w->link);
		wanted->asked = true;
		if (alone && !(wanted->note = strdup(w->note)))
			wanted->result = -ENOMEM;
	}
}

/* Waits until one is wanted; false: the end. */
static bool next_snapshot(struct snapshots *s, struct wanted *wanted)
{
	struct timespec now, due;
	bool more;

	pthread_mutex_lock(&s->lock);
	while (list_empty(&s->waiting) && !s->stop) {
		if (!s->changed) {
			pthread_cond_wait(&s->wake, &s->lock);
			continue;
		}
		due = plus(s->last_change, REST_S);
		if (before(plus(s->first_change, EVERY_S), due))
			due = plus(s->first_change, EVERY_S);
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (!before(now, due))
			break;
		pthread_cond_timedwait(&s->wake, &s->lock, &due);
	}
	*wanted = (struct wanted){ .last = s->stop };
	serve_waiters(s, wanted);
	more = wanted->asked || !s->stop;
	s->changed = false;
	pthread_mutex_unlock(&s->lock);
	return more;
}

static void answer(struct snapshots *s, int result, const struct ref *ref)
{
	pthread_mutex_lock(&s->lock);
	while (!list_empty(&s->served)) {
		struct snapshot_waiter *w =
		    list_item(s->served.next, struct snapshot_waiter, link);

		list_remove(&w->link);
		w->waiting = false;
		pthread_mutex_unlock(&s->lock);
		w->ref = *ref;
		w->done(w, result);
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
}

static int take_any(struct snapshots *s, const struct wanted *wanted, struct ref *ref,
    int *unflushed)
{
	if (wanted->result < 0)
		return wanted->result;
	return s->read_only ? take_read_only(s, wanted->note, ref) :
	    take(s, wanted->note, wanted->asked || wanted->last, ref, unflushed);
}

static void *snapshots_thread(void *arg)
{
	struct snapshots *s = arg;
	struct wanted wanted;
	bool more;
	int r;

	do {
		struct ref ref = { .hash = 0 };
		int unflushed = 0;

		more = next_snapshot(s, &wanted);
		if (!wanted.asked && s->read_only)
			continue;
		r = take_any(s, &wanted, &ref, &unflushed);
		free(wanted.note);
		if (r < 0 && !s->read_only && r != s->last_result)
			log_line(LOG_ERR, "snapshot failed: %s", strerror(-r));
		s->last_result = r;
		/* It is tried again after a rest. */
		if (r < 0 && !s->read_only && !tree_failed(s->tree))
			snapshots_changed(s);
		/* Changes have rested: what they needed for a while goes back to the system. */
		if (!wanted.asked)
			malloc_trim(0);
		answer(s, r < 0 ? r : unflushed, &ref);
	} while (more);
	return NULL;
}

void snapshots_changed(void *arg)
{
	struct snapshots *s = arg;

	pthread_mutex_lock(&s->lock);
	clock_gettime(CLOCK_MONOTONIC, &s->last_change);
	if (!s->changed) {
		s->changed = true;
		s->first_change = s->last_change;
		pthread_cond_signal(&s->wake);
	}
	pthread_mutex_unlock(&s->lock);
}

static void destroy(struct snapshots *s)
{
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->lock);
	free(s->kept);
	free(s);
}

static int load(struct snapshots *s)
{
	struct snapshot snap;
	struct chunk *chunk;
	struct ref ref;
	int r = newest(s, &ref, &chunk, &snap);
	bool decoded = r == 0;

	if (r < 0 && r != -ENOENT)
		log_line(LOG_ERR, "the newest snapshot can't be read: %s", strerror(-r));
	if (decoded) {
		r = read_list(s, &snap.kept, &s->kept, &s->nkept);
		if (r < 0)
			log_line(LOG_ERR, "the list of kept snapshots can't be read: %s",
			    strerror(-r));
	}
	if (decoded) {
		struct kept *more = realloc(s->kept, (s->nkept + 1) * sizeof(*more));

		if (!more) {
			chunk_drop(chunk);
			return -ENOMEM;
		}
		s->kept = more;
		more[s->nkept++] = (struct kept){ .time = snap.time, .ref = ref };
	}
	chunk_drop(chunk);
	/* A damaged list costs the list, not the mount. */
	return r == -ENOMEM ? r : 0;
}

int snapshots_start(struct tree *t, struct checkpoint *c, struct dht *dht, struct cache *cache,
    bool read_only, struct snapshots **out)
{
	struct snapshots *s = calloc(1, sizeof(*s));
	pthread_condattr_t attr;
	int r;

	*out = NULL;
	if (!s)
		return -ENOMEM;
	s->tree = t;
	s->checkpoint = c;
	s->dht = dht;
	s->read_only = read_only;
	s->newest_stays = true;
	list_init(&s->waiting);
	list_init(&s->served);
	waiting_source_init(&s->source, dht, cache);
	dht_sink_init(&s->sink, dht);
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->wake, &attr);
	pthread_condattr_destroy(&attr);
	r = load(s);
	if (r == 0)
		r = -pthread_create(&s->thread, NULL, snapshots_thread, s);
	if (r < 0) {
		destroy(s);
		return r;
	}
	checkpoint_on_commit(c, snapshots_changed, s);
	*out = s;
	return 0;
}

int snapshots_stop(struct snapshots *s)
{
	int r;

	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	checkpoint_on_commit(s->checkpoint, NULL, NULL);
	r = s->last_result;
	destroy(s);
	return r;
}

void snapshots_wait(struct snapshots *s, struct snapshot_waiter *w)
{
	pthread_mutex_lock(&s->lock);
	list_append(&s->waiting, &w->link);
	w->waiting = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
}

bool snapshots_leave(struct snapshots *s, struct snapshot_waiter *w)
{
	bool was;

	pthread_mutex_lock(&s->lock);
	was = w->waiting;
	if (was) {
		list_remove(&w->link);
		w->waiting = false;
	}
	pthread_mutex_unlock(&s->lock);
	return was;
}

int snapshots_list(struct snapshots *s,
    void (*tell)(void *arg, const struct timestamp *time, const struct ref *ref), void *arg)
{
	struct kept *list;
	size_t n;

	pthread_mutex_lock(&s->lock);
	n = s->nkept;
	list = calloc(n + 1, sizeof(*list));
	if (list && n > 0)
		memcpy(list, s->kept, n * sizeof(*list));
	pthread_mutex_unlock(&s->lock);
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		tell(arg, &list[i].time, &list[i].ref);
	free(list);
	return 0;
}

int snapshots_directory(struct snapshots *s, uint64_t ino, struct ref *out)
{
	struct inode inode;
	int r = tree_get(s->tree, ino, &inode);

	if (r < 0)
		return r;
	*out = inode.ref;
	return S_ISDIR(inode.mode) && inode.ref.hash ? 0 : -ENOENT;
}
