#include "fs/collect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dht/program/log.h"
#include "fs/fetch.h"
#include "fs/file.h"
#include "fs/grace.h"
#include "fs/kept.h"
#include "fs/mark.h"
#include "fs/roots.h"
#include "fs/snapshots.h"
#include "fs/tree.h"
#include "fs/uploads.h"

#define TELL_EVERY	1024u	/* inodes without a node between two looks whether to go on */

struct collection {
	const struct collect_parts *p;
	collect_tell *tell;
	void *arg;
	enum collect_phase phase;
	uint64_t done, total;	/* of the phase */
	struct dht_gc *gc;
	struct marker *marker;
	struct waiting_source source;
	struct tree_reader *reader;
	struct ref newest;
	struct kept *kept;	/* oldest first, without the newest */
	size_t nkept;
	size_t drop;		/* so many of them go */
	struct collect_result *out;
};

static bool go_on(void *arg)
{
	struct collection *c = arg;

	return c->tell(c->arg, c->phase, c->done, c->total);
}

static void mark(void *arg, const struct address *a)
{
	dht_gc_mark(((struct collection *)arg)->gc, a);
}

/* What has come up since; then, for now, there is nothing more. */
static int mark_roots(struct collection *c)
{
	struct ref ref;
	int rc = 0;

	while (rc == 0 && roots_take(c->p->roots, &ref))
		rc = marker_ref(c->marker, &ref, "a file in use, of bytes", ref.size);
	return rc;
}

static int mark_inodes(struct collection *c)
{
	struct inode inode = { .ino = 0 };
	int rc;

	while ((rc = tree_reader_inode(c->reader, inode.ino, &inode)) == 0) {
		rc = marker_ref(c->marker, &inode.ref, "inode", inode.ino);
		if (rc == 0 && ++c->done % TELL_EVERY == 0 && !go_on(c))
			rc = -ECANCELED;
		if (rc < 0)
			return rc;
	}
	return rc == -ENOENT ? 0 : rc;
}

static int mark_pins(struct collection *c)
{
	const struct address *after = NULL;
	struct ref pin;
	int rc;

	while ((rc = tree_reader_pin(c->reader, after, &pin)) == 0) {
		rc = marker_ref(c->marker, &pin, "a pinned file, of bytes", pin.size);
		if (rc < 0)
			return rc;
		after = &pin.address;
	}
	return rc == -ENOENT ? 0 : rc;
}

/* How many the mount knows of; ${list} NULL: no more than that. */
struct known {
	struct kept *list;
	size_t n, room;
};

static void add_known(void *arg, const struct timestamp *time, const struct ref *ref)
{
	struct known *k = arg;

	if (k->n < k->room)
		k->list[k->n] = (struct kept){ .time = *time, .ref = *ref };
	k->n++;
}

/*
 * The list can't be had: the mount has read it when it started, and writes it anew with the next snapshot.
 * Of what it knows neither the newest one of the head is among the older ones, nor what has come since.
 */
static int known_kept(struct collection *c)
{
	struct known k = { .n = 0 };
	int rc = snapshots_list(c->p->snapshots, add_known, &k);

	free(c->kept);
	c->kept = NULL;
	c->nkept = 0;
	if (rc < 0)
		return rc;
	k.list = calloc(k.n + 1, sizeof(*k.list));
	if (!k.list)
		return -ENOMEM;
	k = (struct known){ .list = k.list, .room = k.n };
	rc = snapshots_list(c->p->snapshots, add_known, &k);
	if (k.n > k.room)
		k.n = k.room;
	c->kept = k.list;
	while (c->nkept + 1 < k.n && !ref_equal(&k.list[c->nkept].ref, &c->newest))
		c->nkept++;
	return rc;
}

/* The head: the newest snapshot is marked with all that it has, the others are only listed. */
static int read_head(struct collection *c)
{
	struct ref list;
	int rc = tree_reader_head(c->reader, &c->newest, &list);

	if (rc < 0 || c->newest.hash == 0)
		return rc;
	rc = marker_ref(c->marker, &c->newest, "snapshot", 0);
	/* Some may have been dropped from the list that the snapshot itself names. */
	if (rc == 0)
		rc = marker_ref(c->marker, &list, "the list of kept snapshots, of bytes", list.size);
	if (rc == 0)
		rc = kept_read(&c->source.source, &list, &c->kept, &c->nkept);
	if (rc == -ENOENT || rc == -EBADMSG) {
		log_line(LOG_WARNING, "collection: the list of kept snapshots is lost: %s; those that were in it "
		    "when the mount began, or came since, stay", strerror(-rc));
		rc = known_kept(c);
	}
	return rc;
}

/* What is there now: without it nothing that is in use could be read. */
static int mark_live(struct collection *c)
{
	int rc = mark_inodes(c);

	if (rc == 0)
		rc = mark_pins(c);
	if (rc == 0)
		rc = read_head(c);
	return rc == 0 ? mark_roots(c) : rc;
}

/*
 * The kept ones, newest first.  What is marked can't be unmarked: so where their oldest are to
 * go, half of what is left is marked at a time, as long as enough stays unmarked, and never the last.
 */
static int mark_kept(struct collection *c, uint64_t need)
{
	struct dht_gc_count unmarked = c->out->garbage;
	size_t left = c->nkept;
	int rc = 0;

	while (rc == 0 && (need == 0 ? left > 0 : left > 1 && unmarked.bytes >= need)) {
		size_t stop = need == 0 ? 0 : (left + 1) / 2;

		while (rc == 0 && left > stop) {
			left--;
			rc = marker_ref(c->marker, &c->kept[left].ref, "the snapshot of second",
			    (uint64_t)c->kept[left].time.sec);
		}
		if (rc == 0)
			rc = dht_gc_unmarked(c->gc, &unmarked);
	}
	c->drop = left;
	c->out->old.chunks = c->out->garbage.chunks - unmarked.chunks;
	c->out->old.bytes = c->out->garbage.bytes - unmarked.bytes;
	c->out->garbage = unmarked;
	c->out->dropped = (unsigned int)c->drop;
	return rc;
}

/* Durable before anything of them goes: a checkpoint never has a snapshot that is not there. */
static int drop_snapshots(struct collection *c)
{
	struct ref *drop = calloc(c->drop, sizeof(*drop));
	int rc;

	if (!drop)
		return -ENOMEM;
	for (size_t i = 0; i < c->drop; i++)
		drop[i] = c->kept[i].ref;
	rc = snapshots_drop(c->p->snapshots, drop, c->drop);
	free(drop);
	return rc;
}

static void condemn(void *arg)
{
	dht_gc_condemn(((struct collection *)arg)->gc);
}

static bool tell_sweep(void *arg, const struct dht_progress *p)
{
	struct collection *c = arg;

	return c->tell(c->arg, COLLECT_REMOVE, p->done, p->total);
}

static int sweep(struct collection *c)
{
	int rc = c->drop > 0 ? drop_snapshots(c) : 0;

	c->phase = COLLECT_WAIT;
	/* What they read may have been replaced before it was seen here. */
	if (rc == 0)
		rc = grace_wait(c->p->reading, go_on, c);
	do {
		if (rc == 0 || rc == -EAGAIN)
			rc = mark_roots(c);
		if (rc == 0)
			rc = roots_close(c->p->roots, condemn, c);
	} while (rc == -EAGAIN);
	return rc == 0 ? dht_gc_sweep(c->gc, tell_sweep, c, &c->out->garbage) : rc;
}

/* Files in memory first, and the tree then: what leaves memory in between is in the tree by then. */
static int find_roots(struct collection *c)
{
	int rc = grace_wait(c->p->inserting, go_on, c);

	if (rc == 0)
		rc = files_roots(c->p->files);
	if (rc == 0)
		uploads_roots(c->p->uploads, c->p->roots);
	if (rc == 0)
		rc = snapshots_reader(c->p->snapshots, &c->reader);
	return rc;
}

static int run(struct collection *c, bool dry_run, uint64_t need)
{
	const struct mark_options o = { .source = &c->source.source, .mark = mark, .go_on = go_on, .arg = c };
	int rc = dht_gc_begin(c->p->dht, &c->gc);

	if (rc < 0)
		return rc;
	c->marker = marker_new(&o);
	if (!c->marker)
		return -ENOMEM;
	waiting_source_init(&c->source, c->p->dht, NULL);
	tree_count(c->p->tree, &c->total);
	rc = find_roots(c);
	c->phase = COLLECT_MARK;
	if (rc == 0)
		rc = mark_live(c);
	/* While there is a reader, the tree's file can't use again what it frees. */
	tree_reader_close(c->reader);
	c->reader = NULL;
	if (rc == 0)
		rc = dht_gc_unmarked(c->gc, &c->out->garbage);
	if (rc == 0)
		rc = mark_kept(c, need);
	return rc == 0 && !dry_run ? sweep(c) : rc;
}

int collect(const struct collect_parts *p, bool dry_run, uint64_t need, collect_tell *tell,
    void *arg, struct collect_result *out)
{
	struct collection c = { .p = p, .tell = tell, .arg = arg, .out = out };
	struct marked marked;
	int rc;

	*out = (struct collect_result){ .dropped = 0 };
	/* Before the set begins: who inserts after that is marked, who moves a ref is heard. */
	roots_open(p->roots);
	rc = run(&c, dry_run, need);
	roots_abandon(p->roots);
	dht_gc_end(c.gc);
	if (c.marker) {
		marker_count(c.marker, &marked);
		out->gone = marked.gone;
	}
	marker_free(c.marker);
	free(c.kept);
	return rc;
}
