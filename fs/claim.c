#include "fs/claim.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dht/peer/volume.h"
#include "dht/program/log.h"
#include "fs/kept.h"
#include "fs/mark.h"

#define AT_ONCE	4096u	/* addresses: one transaction of the shelf */
#define MARK	"alone"

struct claiming {
	const struct claim *c;
	struct marker *marker;
	struct address *address;
	size_t count;
	uint64_t all;
	int error;
};

static void flush(struct claiming *g)
{
	if (g->error == 0)
		g->error = dht_keep(g->c->dht, g->address, g->count);
	g->all += g->count;
	g->count = 0;
	g->c->tell(g->c->arg, g->all);
}

static void mark(void *arg, const struct address *a)
{
	struct claiming *g = arg;

	g->address[g->count++] = *a;
	if (g->count == AT_ONCE)
		flush(g);
}

static bool go_on(void *arg)
{
	return ((struct claiming *)arg)->error == 0;
}

static int begin(struct claiming *g, const struct claim *c)
{
	const struct mark_options o = { .source = c->source, .mark = mark, .go_on = go_on, .arg = g, .job = "claiming" };

	*g = (struct claiming){ .c = c, .address = malloc(AT_ONCE * sizeof(*g->address)), .marker = marker_new(&o) };
	return g->address && g->marker ? 0 : -ENOMEM;
}

static int end(struct claiming *g, int rc)
{
	struct marked count = { .gone = 0 };

	if (rc == 0)
		flush(g);
	if (g->marker)
		marker_count(g->marker, &count);
	if (count.gone > 0)
		log_line(LOG_WARNING, "%" PRIu64 " nodes can't be had from anybody: what only they refer to can't be read", count.gone);
	marker_free(g->marker);
	free(g->address);
	return g->error < 0 ? g->error : rc;
}

static int claim_kept(struct claiming *g, const struct ref *snapshot, const struct ref *kept)
{
	struct kept *list = NULL;
	size_t n = 0;
	int rc = marker_ref(g->marker, snapshot, "snapshot", 0);

	if (rc == 0)
		rc = marker_ref(g->marker, kept, "the list of kept snapshots, of bytes", kept->size);
	if (rc == 0 && kept->hash)
		rc = kept_read(g->c->source, kept, &list, &n);
	/* Then there are no earlier ones any more. */
	if (rc == -ENOENT || rc == -EBADMSG) {
		log_line(LOG_WARNING, "the list of kept snapshots is lost");
		rc = 0;
		n = 0;
	}
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = marker_ref(g->marker, &list[i].ref, "the snapshot of second", (uint64_t)list[i].time.sec);
	free(list);
	return rc;
}

int claim_snapshot(const struct claim *c, const struct ref *snapshot, const struct ref *kept)
{
	struct claiming g;
	int rc = begin(&g, c);

	if (rc == 0)
		rc = claim_kept(&g, snapshot, kept);
	return end(&g, rc);
}

static int claim_rows(struct claiming *g, struct tree_reader *r)
{
	struct inode inode = { .ino = 0 };
	const struct address *after = NULL;
	struct ref pin, snapshot, kept;
	int rc;

	while ((rc = tree_reader_inode(r, inode.ino, &inode)) == 0 &&
	    (rc = marker_ref(g->marker, &inode.ref, "inode", inode.ino)) == 0)
		continue;
	while (rc == -ENOENT && (rc = tree_reader_pin(r, after, &pin)) == 0) {
		rc = marker_ref(g->marker, &pin, "a pinned file, of bytes", pin.size);
		after = &pin.address;
		rc = rc == 0 ? -ENOENT : rc;
	}
	if (rc == -ENOENT)
		rc = tree_reader_head(r, &snapshot, &kept);
	return rc == 0 && snapshot.hash ? claim_kept(g, &snapshot, &kept) : rc;
}

int claim_tree(const struct claim *c, struct tree *t)
{
	struct tree_reader *r;
	struct claiming g;
	int rc = tree_reader_open(t, &r);

	if (rc < 0)
		return rc;
	rc = begin(&g, c);
	if (rc == 0)
		rc = claim_rows(&g, r);
	tree_reader_close(r);
	return end(&g, rc);
}

static const char *path_of(const char *store, const char *name, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/%s", store, name);
	return path;
}

static int sync_folder(const char *store)
{
	int fd = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	r = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static bool has(const char *store, const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	return stat(path_of(store, name, path), &st) == 0;
}

bool claim_is_due(const char *store)
{
	return has(store, MARK);
}

bool claim_has_key(const char *store)
{
	return has(store, VOLUME_KEY_FILE);
}

int claim_alone(const char *store)
{
	char path[PATH_MAX];
	int fd;

	if (claim_is_due(store))
		return 0;
	fd = open(path_of(store, MARK, path), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	close(fd);
	return sync_folder(store);
}

int claim_done(const char *store)
{
	char path[PATH_MAX];

	if (unlink(path_of(store, MARK, path)) < 0)
		return errno == ENOENT ? 0 : -errno;
	return sync_folder(store);
}
