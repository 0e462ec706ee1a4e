#include "fs/people.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/index.h"
#include "fs/ops.h"
#include "fs/parked.h"
#include "fs/replicas.h"

#define PREFIX "user.dhtfs."

bool people_has(const char *name)
{
	return strncmp(name, PREFIX, strlen(PREFIX)) == 0;
}

/* One question on its way: first the content is brought into the set, then it is looked at. */
struct question {
	struct parked parked;
	struct fs *fs;
	uint64_t ino;
	size_t size;
	char name[32];		/* behind the prefix */
	struct file_flush flush;
	struct snapshot_waiter snapshot;
	struct job count;
	struct ref ref;
	atomic_bool cancelled;
	atomic_bool counting;	/* it may take long: who is interrupted meanwhile is answered at once */
	atomic_bool replied;
	char answer[ADDRESS_TEXT_LEN + 1];
};

static void question_free(struct parked *p)
{
	struct question *q = (struct question *)p;

	if (q->flush.file)
		file_put(q->flush.file);
	free(q);
}

static void reply(struct question *q, int r)
{
	fuse_req_t req;
	size_t len;

	if (atomic_exchange(&q->replied, true))
		return;
	req = parked_finish(&q->parked);
	len = r < 0 ? 0 : strlen(q->answer);
	if (r < 0)
		ops_err(req, r);
	else if (q->size == 0)
		fuse_reply_xattr(req, len);
	else if (q->size < len)
		ops_err(req, -ERANGE);
	else
		fuse_reply_buf(req, q->answer, len);
	parked_drop(&q->parked);
}

static void question_cancel(struct parked *p)
{
	struct question *q = (struct question *)p;

	atomic_store(&q->cancelled, true);
	if ((q->flush.file && file_flush_leave(&q->flush)) ||
	    snapshots_leave(q->fs->snapshots, &q->snapshot) || atomic_load(&q->counting))
		reply(q, -EINTR);
}

static bool asks_chunks(const struct question *q)
{
	return strcmp(q->name, "chunks") == 0;
}

static int count_chunks(struct question *q, struct source *source)
{
	struct index_cursor *c = index_cursor_new(source, &q->ref);
	uint64_t chunks = 0;
	struct extent e;
	int r = -ENOMEM;

	while (c && (r = index_cursor_next(c, &e)) == 1) {
		if (atomic_load(&q->cancelled)) {
			r = -EINTR;
			break;
		}
		chunks += !e.hole;
	}
	index_cursor_free(c);
	snprintf(q->answer, sizeof(q->answer), "%" PRIu64, chunks);
	return r;
}

static int count_replicas(struct question *q, struct source *source)
{
	struct replicas n;
	int r = replicas_count(q->fs->dht, source, &q->ref, &q->cancelled, &n);

	if (r == 0)
		snprintf(q->answer, sizeof(q->answer), "%" PRIu32 "/%" PRIu32, n.copies, n.owners);
	return r;
}

/* On a thread that may wait, for the index of a large file should pass through memory, not stay there. */
static void count(struct job *j)
{
	struct question *q = (struct question *)((char *)j - offsetof(struct question, count));
	struct waiting_source source;
	int r;

	waiting_source_init(&source, q->fs->dht, q->fs->cache);
	if (atomic_load(&q->cancelled))
		r = -EINTR;
	else
		r = asks_chunks(q) ? count_chunks(q, &source.source) : count_replicas(q, &source.source);
	reply(q, r == -ENOENT ? -EIO : r);
	parked_drop(&q->parked);
}

/* The content is known: q->ref. */
static void answer(struct question *q)
{
	bool file = q->ref.kind == KIND_DATA || q->ref.kind == KIND_INDEX;

	if (strcmp(q->name, "address") == 0) {
		address_format(&q->ref.address, q->answer);
		reply(q, 0);
	} else if (q->ref.size == 0 && file) {
		/* The empty file is one chunk that nobody needs to have. */
		snprintf(q->answer, sizeof(q->answer), asks_chunks(q) ? "1" : "1/1");
		reply(q, 0);
	} else if (!file && asks_chunks(q)) {
		snprintf(q->answer, sizeof(q->answer), "1");
		reply(q, 0);
	} else {
		q->count.run = count;
		parked_hold(&q->parked);
		atomic_store(&q->counting, true);
		if (atomic_load(&q->cancelled))
			reply(q, -EINTR);
		jobs_post(q->fs->counts, &q->count);
	}
}

static void flushed(struct file_flush *w, int result)
{
	struct question *q = (struct question *)((char *)w - offsetof(struct question, flush));

	if (result == 0 && atomic_load(&q->cancelled))
		result = -EINTR;
	if (result < 0) {
		reply(q, result);
		return;
	}
	/* A writer may be ahead again; this is what had come when we were asked, or later. */
	file_ref(q->flush.file, &q->ref);
	answer(q);
}

static void snapshot_taken(struct snapshot_waiter *w, int result)
{
	struct question *q = (struct question *)((char *)w - offsetof(struct question, snapshot));

	if (result == 0)
		result = snapshots_directory(q->fs->snapshots, q->ino, &q->ref);
	if (result < 0)
		reply(q, result);
	else
		answer(q);
}

static struct question *question_new(struct fs *fs, fuse_req_t req, const char *name, size_t size)
{
	struct question *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	parked_init(&q->parked, req, fs->parking, question_cancel, question_free);
	q->fs = fs;
	q->size = size;
	snprintf(q->name, sizeof(q->name), "%s", name + strlen(PREFIX));
	return q;
}

static bool known(const char *name)
{
	name += strlen(PREFIX);
	return strcmp(name, "address") == 0 || strcmp(name, "chunks") == 0 ||
	    strcmp(name, "replicas") == 0;
}

void people_getxattr(struct fs *fs, fuse_req_t req, uint64_t ino, const char *name, size_t size)
{
	struct inode inode;
	struct question *q;
	int r = known(name) ? tree_get(fs->tree, ino, &inode) : -ENODATA;

	if (r == 0 && !S_ISREG(inode.mode) && !S_ISDIR(inode.mode))
		r = -ENODATA;
	q = r == 0 ? question_new(fs, req, name, size) : NULL;
	if (!q) {
		ops_err(req, r < 0 ? r : -ENOMEM);
		return;
	}
	q->ino = ino;
	if (S_ISDIR(inode.mode)) {
		q->snapshot.done = snapshot_taken;
		snapshots_wait(fs->snapshots, &q->snapshot);
	} else {
		r = file_get(fs->files, ino, &q->flush.file);
		q->flush.done = flushed;
		if (r < 0)
			reply(q, r);
		else
			file_flush(&q->flush);
	}
	parked_started(&q->parked);
}

void people_answer(struct fs *fs, fuse_req_t req, const struct ref *ref, const char *name,
    size_t size)
{
	struct question *q = known(name) ? question_new(fs, req, name, size) : NULL;

	if (!q) {
		ops_err(req, known(name) ? -ENOMEM : -ENODATA);
		return;
	}
	q->ref = *ref;
	answer(q);
	parked_started(&q->parked);
}
