#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "dht/program/log.h"
#include "fs/kept.h"
#include "fs/now.h"
#include "fs/snapshot_write.h"
#include "fs/snapshots_impl.h"

static int newest(struct snapshots *s, struct ref *ref, struct ref *kept, struct chunk **chunk,
    struct snapshot *out)
{
	uint64_t epoch;
	int r = tree_get_head(s->o.tree, ref, &epoch, kept);

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

/* A copy of the list, with room for one more; NULL: no memory. */
static struct kept *copy_kept(struct snapshots *s, size_t *n)
{
	struct kept *list;

	pthread_mutex_lock(&s->lock);
	*n = s->nkept;
	list = calloc(*n + 1, sizeof(*list));
	if (list && *n > 0)
		memcpy(list, s->kept, *n * sizeof(*list));
	pthread_mutex_unlock(&s->lock);
	return list;
}

/* ${list} is the list now, newest last; it is taken over. */
static void set_kept(struct snapshots *s, struct kept *list, size_t n)
{
	pthread_mutex_lock(&s->lock);
	free(s->kept);
	s->kept = list;
	s->nkept = n;
	pthread_mutex_unlock(&s->lock);
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
	list = copy_kept(s, &n);
	if (!list)
		return -ENOMEM;
	/* Or a database, which syncs its folder at every transaction, would fill the list. */
	if (n > 1 && !s->newest_stays && list[n - 1].time.sec - list[n - 2].time.sec < SNAPSHOT_EVERY_S)
		n--;
	n = keep_thin(&s->o.keep, list, n, snap.time);
	r = kept_write(&s->source.source, &s->sink.sink, list, n, &snap.kept);
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
		r = dht_sync_now(s->o.dht);
	if (r == 0)
		r = tree_set_head(s->o.tree, ref, epoch, &snap.kept);
	if (r < 0) {
		free(list);
		return r;
	}
	list[n++] = (struct kept){ .time = snap.time, .ref = *ref };
	s->newest_stays = note;
	set_kept(s, list, n);
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
int snapshot_take_read_only(struct snapshots *s, const char *note, struct ref *ref)
{
	struct tree_reader *reader;
	struct tree_name name;
	uint64_t epoch;
	struct ref kept;
	int r = tree_reader_open(s->o.tree, &reader);

	if (r < 0)
		return r;
	r = tree_reader_changed(reader, 0, "", 0, &name);
	tree_reader_close(reader);
	if (r == 0 || (note && note[0]))
		return -EROFS;
	if (r == -ENOENT)
		r = tree_get_head(s->o.tree, ref, &epoch, &kept);
	return r == 0 && ref->hash == 0 ? -EROFS : r;
}

/*
 * The order: chunks; sync; then the tree learns of them, and the next checkpoint makes that durable.
 */
static int write_snapshot(struct snapshots *s, struct tree_reader **reader, const char *note,
    struct ref *ref)
{
	const uint64_t epoch = tree_reader_epoch(*reader);
	struct written w = { .n = 0 };
	struct snapshot old;
	struct chunk *chunk;
	struct ref kept;
	int r, ignored;
	bool same;

	r = write_tree(s, *reader, &w);
	/* A tree that has to be opened anew waits for its readers, and what follows waits for the tree. */
	tree_reader_close(*reader);
	*reader = NULL;
	if (r < 0)
		goto out;
	r = newest(s, ref, &kept, &chunk, &old);
	same = r == 0 && same_root(&old.root, &w.root);
	chunk_drop(chunk);
	if (same && !(note && note[0])) {
		s->newest_stays |= note != NULL;
		goto out;
	}
	r = dht_sync_now(s->o.dht);
	if (r == 0)
		r = tree_snapshot_done(s->o.tree, epoch, w.dirs, w.refs, w.n);
	if (r == 0)
		r = record(s, &w.root, epoch, note, ref);
	if (r == 0)
		r = checkpoint_now(s->o.checkpoint, false, &ignored);
out:
	snapshot_written_free(&w);
	return r;
}

/* A checkpoint first, so that there is something to read. */
int snapshot_take(struct snapshots *s, const char *note, bool all, struct ref *ref,
    int *unflushed)
{
	struct tree_reader *reader = NULL;
	int r = checkpoint_now(s->o.checkpoint, all, unflushed);

	if (r < 0)
		return r;
	pthread_mutex_lock(&s->taking);
	r = tree_reader_open(s->o.tree, &reader);
	if (r == 0)
		r = write_snapshot(s, &reader, note, ref);
	pthread_mutex_unlock(&s->taking);
	/* Where there is a ring, to hear of it. */
	if (r == 0)
		dht_publish(s->o.dht, ref);
	return r;
}

int snapshots_reader(struct snapshots *s, struct tree_reader **out)
{
	int r, ignored;

	*out = NULL;
	pthread_mutex_lock(&s->taking);
	/* What a snapshot that failed has left in the tree is in this one. */
	r = checkpoint_now(s->o.checkpoint, false, &ignored);
	if (r == 0)
		r = tree_reader_open(s->o.tree, out);
	pthread_mutex_unlock(&s->taking);
	return r;
}

static bool among(const struct ref *v, size_t n, const struct ref *ref)
{
	while (n > 0 && !ref_equal(&v[n - 1], ref))
		n--;
	return n > 0;
}

/* The list without those, in the tree; the newest is not in it.  *${stay}: how many are left. */
static int write_shorter(struct snapshots *s, const struct ref *drop, size_t n, struct kept *list,
    size_t *stay)
{
	struct ref newest_ref, kept;
	size_t earlier = *stay - 1;
	uint64_t epoch;
	int r = tree_get_head(s->o.tree, &newest_ref, &epoch, &kept);

	*stay = 0;
	for (size_t i = 0; i <= earlier; i++) {
		if (i == earlier || !among(drop, n, &list[i].ref))
			list[(*stay)++] = list[i];
	}
	if (r == 0)
		r = kept_write(&s->source.source, &s->sink.sink, list, *stay - 1, &kept);
	if (r == -ENOSPC) {
		/* Not even for a shorter list: the empty one needs nothing. */
		list[0] = list[*stay - 1];
		*stay = 1;
		ref_empty(&kept);
		r = 0;
	}
	if (r == 0)
		r = dht_sync_now(s->o.dht);
	return r < 0 ? r : tree_set_head(s->o.tree, &newest_ref, epoch, &kept);
}

int snapshots_drop(struct snapshots *s, const struct ref *drop, size_t n)
{
	struct kept *list;
	size_t stay;
	int r = 0, ignored;

	pthread_mutex_lock(&s->taking);
	list = copy_kept(s, &stay);
	if (!list)
		r = -ENOMEM;
	else if (stay > 0)
		r = write_shorter(s, drop, n, list, &stay);
	if (r == 0)
		set_kept(s, list, stay);
	else
		free(list);
	if (r == 0)
		r = checkpoint_now(s->o.checkpoint, false, &ignored);
	pthread_mutex_unlock(&s->taking);
	return r;
}

int snapshots_load(struct snapshots *s)
{
	struct snapshot snap;
	struct chunk *chunk;
	struct ref ref, list;
	int r = newest(s, &ref, &list, &chunk, &snap);
	bool decoded = r == 0;

	if (r < 0 && r != -ENOENT)
		log_line(LOG_ERR, "the newest snapshot can't be read: %s", strerror(-r));
	if (decoded) {
		/* Not the one that the snapshot names, from which some may have been dropped. */
		r = kept_read(&s->source.source, &list, &s->kept, &s->nkept);
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
	return r == -ENOMEM ? r : 0;
}

int snapshots_list(struct snapshots *s,
    void (*tell)(void *arg, const struct timestamp *time, const struct ref *ref), void *arg)
{
	struct kept *list;
	size_t n;

	list = copy_kept(s, &n);
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
	int r = tree_get(s->o.tree, ino, &inode);

	if (r < 0)
		return r;
	*out = inode.ref;
	return S_ISDIR(inode.mode) && inode.ref.hash ? 0 : -ENOENT;
}
