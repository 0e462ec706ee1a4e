/* tree: open, close, and what is read under the lock. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "dht/program/log.h"
#include "fs/tree_internal.h"

/* Address space for the file, not memory; less of it where that much can't be had. */
static const uint64_t map_sizes[] = {
	UINT64_C(1) << 40, UINT64_C(1) << 37, UINT64_C(1) << 34, UINT64_C(1) << 31,
};

static const char *const table_names[TABLES] = {
	[INODES] = "inodes", [NAMES] = "names", [COOKIES] = "cookies", [LINKS] = "links",
	[TARGETS] = "targets", [XATTRS] = "xattrs", [ORPHANS] = "orphans",
	[CHANGES] = "changes", [PINS] = "pins", [META] = "meta",
};

struct why {
	const char *dir;
	char *text;
	size_t size;
};

static int say(const struct why *why, int rc, const char *what)
{
	snprintf(why->text, why->size, "%s/%s: %s", why->dir, TREE_FILE, what);
	return rc;
}

static int say_errno(const struct why *why, int rc, const char *doing)
{
	snprintf(why->text, why->size, "%s/%s: %s: %s", why->dir, TREE_FILE, doing,
	    mdb_strerror(rc));
	return tree_errno(rc);
}

static int open_env(struct tree *t, const char *path, unsigned int flags)
{
	int rc = ENOMEM;

	for (size_t i = 0; i < sizeof map_sizes / sizeof *map_sizes && rc == ENOMEM; i++) {
		rc = mdb_env_create(&t->env);
		if (rc)
			return rc;
		rc = mdb_env_set_mapsize(t->env, map_sizes[i]);
		if (rc == 0)
			rc = mdb_env_set_maxdbs(t->env, TABLES);
		if (rc == 0)
			rc = mdb_env_open(t->env, path, flags, 0600);
		if (rc) {
			mdb_env_close(t->env);
			t->env = NULL;
		}
	}
	return rc;
}

/* A file shorter than what its meta page says would kill the process with SIGBUS. */
static int check_length(struct tree *t, const struct why *why)
{
	mdb_filehandle_t fd;
	MDB_envinfo info;
	struct stat st;
	MDB_stat s;

	if (mdb_env_info(t->env, &info) != 0 || mdb_env_stat(t->env, &s) != 0 ||
	    mdb_env_get_fd(t->env, &fd) != 0 || fstat(fd, &st) != 0)
		return say(why, -EIO, "can't be read");
	t->page_size = s.ms_psize;
	t->map_pages = info.me_mapsize / t->page_size;
	if ((uint64_t)st.st_size / t->page_size <= info.me_last_pgno && info.me_last_txnid > 0)
		return say(why, -EBADMSG, "has been cut short: put a copy of it back");
	return 0;
}

/* The format is looked at before the other tables: those of another one may differ. */
static int check_format(MDB_txn *txn, MDB_dbi meta)
{
	struct key key = key_text("state");
	MDB_val k = { key.len, key.b }, v;
	int rc = mdb_get(txn, meta, &k, &v);

	if (rc)
		return rc == MDB_NOTFOUND ? 0 : rc;
	return v.mv_size >= 4 && get_le32(v.mv_data) == TREE_FORMAT ? 0 : MDB_VERSION_MISMATCH;
}

static int open_tables(struct tree *t, bool read_only, const struct why *why)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(t->env, NULL, read_only ? MDB_RDONLY : 0, &txn);

	if (rc)
		return say_errno(why, rc, "can't begin");
	for (int i = TABLES - 1; i >= 0 && rc == 0; i--) {
		rc = mdb_dbi_open(txn, table_names[i], read_only ? 0 : MDB_CREATE, &t->dbi[i]);
		if (rc == 0 && i == META)
			rc = check_format(txn, t->dbi[META]);
	}
	if (rc) {
		mdb_txn_abort(txn);
		if (rc == MDB_VERSION_MISMATCH)
			return say(why, -EPROTO, "has another format: use the dhtfs that made it");
		if (rc == MDB_NOTFOUND)
			return say(why, -EBADMSG, "lacks a table: put a copy of it back");
		return say_errno(why, rc, "can't open its tables");
	}
	rc = mdb_txn_commit(txn);
	return rc ? say_errno(why, rc, "can't make its tables") : 0;
}

/*
 * Where the map begins, which LMDB does not tell: pages of the map lie on page boundaries,
 * and begin with their number.
 */
static void find_map(struct tree *t, const void *in_map)
{
	const uint8_t *page = (const uint8_t *)in_map - (uintptr_t)in_map % t->page_size;
	size_t number;

	memcpy(&number, page, sizeof number);
	t->map = page - number * t->page_size;
}

static int find_state(struct tree *t, MDB_val *v)
{
	struct key key = key_text("state");
	int rc = view_get(&t->last, META, &key, v);

	if (rc == 0 && v->mv_size != STATE_LEN)
		rc = -EBADMSG;
	if (rc == 0)
		find_map(t, v->mv_data);
	return rc;
}

static int read_state(struct tree *t, const struct why *why)
{
	MDB_val v;
	int rc = find_state(t, &v);

	if (rc == -ENOENT)
		return rc;
	if (rc)
		return say(why, -EBADMSG, "is damaged: put a copy of it back");
	t->next_number = get_le64((const uint8_t *)v.mv_data + 8);
	t->epoch = get_le64((const uint8_t *)v.mv_data + 16) + 1;
	return 0;
}

/*
 * A table that becomes empty gives up its root page, but LMDB uses that again only in a later
 * transaction: an orphan that comes and goes would cost a page each time.  So no table that
 * changes much is ever empty: it has a record with the number 0, which nothing else has.
 */
static int put_keepers(struct tree *t)
{
	static const enum table changing[] = {
		NAMES, COOKIES, LINKS, TARGETS, XATTRS, ORPHANS, CHANGES,
	};
	struct key key = key_of(0);
	int rc = 0;

	for (size_t i = 0; i < sizeof changing / sizeof *changing && rc == 0; i++)
		rc = tree_put(t, changing[i], &key, NULL, 0);
	return rc;
}

static int make_root(struct tree *t)
{
	struct timespec now;
	struct inode root = {
		.ino = TREE_ROOT, .mode = S_IFDIR | 0755, .nlink = 2, .parent = TREE_ROOT,
		.uid = geteuid(), .gid = getegid(),
	};
	int rc;

	clock_gettime(CLOCK_REALTIME, &now);
	root.atime = (struct timestamp){ now.tv_sec, (uint32_t)now.tv_nsec };
	root.mtime = root.ctime = root.atime;
	tree_start(t);
	rc = tree_reserve(t, true, 1);
	if (rc == 0)
		rc = tree_put_inode(t, &root);
	if (rc == 0)
		rc = put_keepers(t);
	return tree_finish(t, rc);
}

/* What was open without a name when the last run ended.  -ENOENT: there is no more. */
static int delete_orphan(struct tree *t)
{
	struct key first = key_of(1);
	struct inode i;
	MDB_val k, v;
	int rc;

	rc = view_seek(&t->live, ORPHANS, &first, &k, &v);
	if (rc)
		return rc;
	rc = k.mv_size == 8 ? view_inode(&t->live, get_be64(k.mv_data), &i) : -EIO;
	if (rc)
		return -EIO;
	tree_forget(t, i.ino);
	if (t->broken)
		return -EIO;
	/* On a full disk it stays until the next time. */
	return tree_is_orphan(t, i.ino) ? -ENOENT : 0;
}

/* Make what is new, delete what the last run left: in transactions of our own. */
static int prepare(struct tree *t, bool is_new, const struct why *why)
{
	int rc = tree_begin(t);

	if (rc == 0 && is_new)
		rc = make_root(t);
	while (rc == 0) {
		rc = delete_orphan(t);
		if (rc == 0 && t->touched >= TREE_PAGES_MAX)
			rc = tree_commit(t, NULL, NULL, NULL);
	}
	if (rc == -ENOENT)
		rc = tree_commit(t, NULL, NULL, NULL);
	tree_end(t);
	return rc ? say_errno(why, -rc, "can't be prepared") : 0;
}

int tree_open_again(struct tree *t)
{
	char text[256];
	struct why why = { "", text, sizeof text };
	const char *path;
	MDB_val state;
	char *copy;
	int rc = mdb_env_get_path(t->env, &path);

	copy = rc ? NULL : strdup(path);
	if (!copy)
		return rc ? rc : ENOMEM;
	view_close(&t->last);
	mdb_env_close(t->env);
	t->env = NULL;
	rc = open_env(t, copy, MDB_NOSUBDIR | MDB_NOTLS);
	free(copy);
	if (rc == 0)
		rc = -open_tables(t, false, &why);
	if (rc == 0)
		rc = mdb_txn_begin(t->env, NULL, MDB_RDONLY, &t->last.txn);
	if (rc == 0 && view_open(&t->last, t->dbi) != 0)
		rc = ENOMEM;
	return rc ? rc : -find_state(t, &state);
}

static int open_all(struct tree *t, const char *path, bool read_only, const struct why *why)
{
	int rc = open_env(t, path, MDB_NOSUBDIR | MDB_NOTLS | (read_only ? MDB_RDONLY : 0));
	bool is_new;

	if (rc == ENOENT && read_only)
		return say(why, -ENOENT, "is not there yet: mount it once without ro");
	if (rc)
		return say_errno(why, rc, "can't be opened");
	rc = check_length(t, why);
	if (rc == 0)
		rc = open_tables(t, read_only, why);
	if (rc)
		return rc;
	rc = mdb_txn_begin(t->env, NULL, MDB_RDONLY, &t->last.txn);
	if (rc)
		return say_errno(why, rc, "can't be read");
	if (view_open(&t->last, t->dbi) != 0)
		return say(why, -ENOMEM, "out of memory");
	t->view = &t->last;
	rc = read_state(t, why);
	is_new = rc == -ENOENT;
	if (is_new && read_only)
		return say(why, -ENOENT, "is empty: mount it once without ro");
	if (rc && !is_new)
		return rc;
	rc = read_only ? 0 : prepare(t, is_new, why);
	return rc == 0 && is_new ? read_state(t, why) : rc;
}

static int open_file(const char *dir, const char *file, bool read_only, struct tree **out,
    const struct why *why)
{
	char path[PATH_MAX];
	struct tree *t;
	int rc;

	*out = NULL;
	if (snprintf(path, sizeof path, "%s/%s", dir, file) >= (int)sizeof path)
		return say(why, -ENAMETOOLONG, "its path is too long");
	t = calloc(1, sizeof *t);
	if (!t)
		return say(why, -ENOMEM, "out of memory");
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->turned, NULL);
	t->next_number = TREE_NUMBER_FIRST;
	t->epoch = 1;
	rc = -ENOMEM;
	t->scratch = malloc(TREE_XATTRS_MAX);
	t->seen = malloc(SEEN_BITS / 8);
	if (!t->scratch || !t->seen)
		say(why, rc, "out of memory");
	else
		rc = open_all(t, path, read_only, why);
	if (rc) {
		tree_close(t);
		return rc;
	}
	*out = t;
	return 0;
}

/*
 * LMDB syncs neither the pages that a new file begins with nor its name.  So a new tree is made
 * under another name, and is there, whole, or not at all: whenever the power fails.
 */
static int make_tree(const char *dir, int dirfd, const struct why *why)
{
	struct tree *t;
	int rc;

	if ((unlinkat(dirfd, TREE_NEW, 0) < 0 && errno != ENOENT) ||
	    (unlinkat(dirfd, TREE_NEW "-lock", 0) < 0 && errno != ENOENT))
		return say_errno(why, errno, "what is left of an older one can't be removed");
	rc = open_file(dir, TREE_NEW, false, &t, why);
	if (rc)
		return rc;
	tree_close(t);
	unlinkat(dirfd, TREE_NEW "-lock", 0);
	if (renameat(dirfd, TREE_NEW, dirfd, TREE_FILE) < 0 || fsync(dirfd) < 0)
		return say_errno(why, errno, "can't be made");
	return 0;
}

int tree_open(const char *dir, bool read_only, struct tree **out, char *why_text, size_t why_size)
{
	struct why why = { dir, why_text, why_size };
	int dirfd, rc = 0;

	*out = NULL;
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return say_errno(&why, errno, "its folder can't be opened");
	if (!read_only && faccessat(dirfd, TREE_FILE, F_OK, 0) < 0 && errno == ENOENT)
		rc = make_tree(dir, dirfd, &why);
	close(dirfd);
	return rc ? rc : open_file(dir, TREE_FILE, read_only, out, &why);
}

void tree_close(struct tree *t)
{
	if (!t)
		return;
	tree_end(t);
	view_close(&t->last);
	if (t->env)
		mdb_env_close(t->env);
	pthread_cond_destroy(&t->turned);
	pthread_mutex_destroy(&t->lock);
	redo_free(&t->redo);
	free(t->scratch);
	free(t->seen);
	free(t);
}

int tree_get(struct tree *t, uint64_t ino, struct inode *out)
{
	int rc;

	tree_lock(t);
	rc = view_inode(t->view, ino, out);
	pthread_mutex_unlock(&t->lock);
	return rc;
}

static int lookup(struct view *v, uint64_t parent, const char *name, struct inode *out)
{
	struct name_value value;
	size_t len;
	int rc = name_check(name, &len);

	if (rc)
		return rc;
	rc = view_name(v, parent, name, len, &value);
	if (rc == 0) {
		rc = view_inode(v, value.ino, out);
		return rc == -ENOENT ? -EIO : rc;
	}
	if (rc == -ENOENT) {
		struct inode dir;

		rc = view_directory(v, parent, &dir);
		return rc ? rc : -ENOENT;
	}
	return rc;
}

int tree_lookup(struct tree *t, uint64_t parent, const char *name, struct inode *out)
{
	int rc;

	tree_lock(t);
	rc = lookup(t->view, parent, name, out);
	pthread_mutex_unlock(&t->lock);
	return rc;
}

bool tree_is_orphan(struct tree *t, uint64_t ino)
{
	struct key key = key_of(ino);
	MDB_val v;
	bool is;

	tree_lock(t);
	is = view_get(t->view, ORPHANS, &key, &v) == 0;
	pthread_mutex_unlock(&t->lock);
	return is;
}

int tree_readlink(struct tree *t, uint64_t ino, char target[SYMLINK_LEN_MAX + 1])
{
	struct inode i;
	int rc;

	tree_lock(t);
	rc = view_inode(t->view, ino, &i);
	if (rc == 0)
		rc = view_target(t->view, ino, target);
	pthread_mutex_unlock(&t->lock);
	return rc;
}

static int readdir_from(struct view *v, uint64_t dir, uint64_t after, unsigned int n,
    struct tree_name *out, struct inode *inodes)
{
	struct key key = key_of2(dir, after + 1), prefix = key_of(dir);
	unsigned int count = 0;
	struct inode d;
	MDB_val k, val;
	int rc = view_inode(v, dir, &d);

	if (rc)
		return rc;
	if (!S_ISDIR(d.mode))
		return -ENOTDIR;
	if (after == UINT64_MAX || n == 0)
		return 0;
	rc = view_seek(v, COOKIES, &key, &k, &val);
	while (rc == 0 && key_begins(&k, &prefix)) {
		rc = tree_name_of(&k, &val, &out[count]);
		if (rc == 0 && inodes)
			rc = view_inode(v, out[count].ino, &inodes[count]);
		if (rc)
			return rc == -ENOENT ? -EIO : rc;
		if (++count == n)
			return (int)count;
		rc = view_next(v, COOKIES, &k, &val);
	}
	return rc == 0 || rc == -ENOENT ? (int)count : rc;
}

int tree_readdir(struct tree *t, uint64_t dir, uint64_t after, unsigned int n,
    struct tree_name *out, struct inode *inodes)
{
	int rc;

	tree_lock(t);
	rc = readdir_from(t->view, dir, after, n, out, inodes);
	pthread_mutex_unlock(&t->lock);
	return rc;
}

void tree_count(struct tree *t, uint64_t *inodes)
{
	MDB_stat s = { 0 };

	tree_lock(t);
	if (t->view->txn)
		mdb_stat(t->view->txn, t->dbi[INODES], &s);
	pthread_mutex_unlock(&t->lock);
	*inodes = s.ms_entries;
}
