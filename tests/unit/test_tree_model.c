/*
 * The tree against a model of it that is as simple as can be: arrays that are searched from end
 * to end.  Random operations, commits, crashes, snapshots.  SEED=n replays.
 */
#include "tree_test.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/xattr.h>

#include "fs/tree_internal.h"

#define NODES	120
#define NAMES_N	200
#ifdef __SANITIZE_THREAD__
#define STEPS	20000
#else
#define STEPS	60000
#endif
#define KEYS	4	/* xattrs of an inode: user.0 to user.3 */

struct node {
	uint64_t ino;		/* 0: unused */
	uint32_t mode, uid, nlink;
	uint64_t ref;		/* of the content; 0: empty */
	int64_t atime, mtime, ctime;
	uint8_t xattr[KEYS];	/* 0: none, else its value */
	bool linked;
};

struct link {
	uint64_t dir, ino;	/* ino 0: unused */
	uint64_t cookie;
	char name[4];
};

struct model {
	struct node node[NODES];
	struct link link[NAMES_N];
};

static struct model now, committed, snapshot;	/* as of: now, the last commit, the last snapshot */
static uint64_t rng;
static int64_t clock_s;
static struct {
	unsigned int ops, errors, commits, failed, crashes, snapshots, records, needed;
} seen;

static unsigned int pick(unsigned int n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (unsigned int)((rng >> 20) % n);
}

static struct node *node_of(struct model *m, uint64_t ino)
{
	for (int i = 0; i < NODES && ino; i++)
		if (m->node[i].ino == ino)
			return &m->node[i];
	return NULL;
}

static struct link *link_of(struct model *m, uint64_t dir, const char *name)
{
	for (int i = 0; i < NAMES_N; i++)
		if (m->link[i].ino && m->link[i].dir == dir && strcmp(m->link[i].name, name) == 0)
			return &m->link[i];
	return NULL;
}

static unsigned int names_in(struct model *m, uint64_t dir, bool directories)
{
	unsigned int n = 0;

	for (int i = 0; i < NAMES_N; i++)
		if (m->link[i].ino && m->link[i].dir == dir)
			n += !directories || S_ISDIR(node_of(m, m->link[i].ino)->mode);
	return n;
}

static uint64_t parent_of(struct model *m, uint64_t dir)
{
	for (int i = 0; i < NAMES_N; i++)
		if (m->link[i].ino == dir)
			return m->link[i].dir;
	return 0;
}

/* Is ${ino} a directory that is ${dir} or above it? */
static bool above(struct model *m, uint64_t ino, uint64_t dir)
{
	while (dir && dir != ino)
		dir = parent_of(m, dir);
	return dir == ino;
}

static struct node *free_node(void)
{
	for (int i = 0; i < NODES; i++)
		if (!now.node[i].ino)
			return &now.node[i];
	return NULL;
}

static struct link *free_link(void)
{
	for (int i = 0; i < NAMES_N; i++)
		if (!now.link[i].ino)
			return &now.link[i];
	return NULL;
}

static void touch_dir(uint64_t ino)
{
	struct node *d = node_of(&now, ino);

	d->mtime = d->ctime = clock_s;
}

static uint64_t some_inode(bool directory)
{
	for (int i = 0; i < 50; i++) {
		struct node *n = &now.node[pick(NODES)];

		if (n->ino && (!directory || S_ISDIR(n->mode) || pick(20) == 0))
			return n->ino;
	}
	return pick(3) ? TREE_ROOT : 1000000;
}

static const char *some_name(void)
{
	static const char *const names[] = { "a", "b", "c", "d", "e", "f", "g", "hh" };

	return names[pick(8)];
}

/* What any operation that names something says about its directory. */
static int dir_errno(uint64_t dir)
{
	struct node *d = node_of(&now, dir);

	if (!d)
		return -ENOENT;
	if (!S_ISDIR(d->mode))
		return -ENOTDIR;
	return d->nlink ? 0 : -ENOENT;
}

static void same(int expected, int got, const char *op)
{
	seen.ops++;
	seen.errors += got < 0;
	if (expected != got)
		fail_msg("%s: %d, the model says %d (operation %u)", op, got, expected, seen.ops);
}

static void op_create(void)
{
	static const uint32_t types[] = { S_IFREG, S_IFDIR, S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO };
	uint64_t dir = some_inode(true);
	const char *name = some_name();
	struct new_inode n = {
		.mode = types[pick(6)] | 0644, .uid = 3, .target = "x", .now = at(clock_s),
	};
	int rc = dir_errno(dir);
	struct node *node = free_node();
	struct link *l = free_link();
	struct inode i;

	if (!node || !l)
		return;
	if (rc == 0 && link_of(&now, dir, name))
		rc = -EEXIST;
	same(rc, tree_create(t, dir, name, &n, 0, &i), "create");
	if (rc)
		return;
	assert_null(node_of(&now, i.ino));
	*node = (struct node){
		.ino = i.ino, .mode = n.mode, .uid = 3, .nlink = 1,
		.atime = clock_s, .mtime = clock_s, .ctime = clock_s,
	};
	*l = (struct link){ .dir = dir, .ino = i.ino };
	strcpy(l->name, name);
	touch_dir(dir);
}

static void op_link(void)
{
	uint64_t dir = some_inode(true), ino = some_inode(false);
	const char *name = some_name();
	struct node *n = node_of(&now, ino);
	int rc = dir_errno(dir);
	struct link *l = free_link();
	struct inode i;

	if (!l)
		return;
	if (rc == 0 && link_of(&now, dir, name))
		rc = -EEXIST;
	if (rc == 0)
		rc = !n ? -ENOENT : S_ISDIR(n->mode) ? -EPERM : n->nlink == 0 ? -ENOENT : 0;
	same(rc, tree_link(t, ino, dir, name, at(clock_s), &i), "link");
	if (rc)
		return;
	n->nlink++;
	n->linked = true;
	n->ctime = clock_s;
	*l = (struct link){ .dir = dir, .ino = ino };
	strcpy(l->name, name);
	touch_dir(dir);
}

static void drop_link(struct link *l)
{
	struct node *n = node_of(&now, l->ino);

	n->nlink--;
	n->ctime = clock_s;
	touch_dir(l->dir);
	l->ino = 0;
}

static void op_remove(void)
{
	uint64_t dir = some_inode(true);
	const char *name = some_name();
	bool directory = pick(2);
	int rc = dir_errno(dir);
	struct link *l = link_of(&now, dir, name);
	struct node *n = NULL;
	struct inode gone;

	if (rc == 0 && !l)
		rc = -ENOENT;
	if (l)
		n = node_of(&now, l->ino);
	if (rc == 0) {
		if (directory != !!S_ISDIR(n->mode))
			rc = directory ? -ENOTDIR : -EISDIR;
		else if (directory && names_in(&now, l->ino, false) > 0)
			rc = -ENOTEMPTY;
	}
	if (directory)
		same(rc, tree_rmdir(t, dir, name, at(clock_s), &gone), "rmdir");
	else
		same(rc, tree_unlink(t, dir, name, at(clock_s), &gone), "unlink");
	if (rc)
		return;
	assert_int_equal(gone.ino, l->ino);
	drop_link(l);
	assert_int_equal(gone.nlink, n->nlink);
}

static int rename_errno(uint64_t d1, struct link *a, uint64_t d2, struct link *b, unsigned int flags)
{
	bool from_dir, to_dir;

	if (!a || (!b && flags == RENAME_EXCHANGE))
		return -ENOENT;
	if (b && flags == RENAME_NOREPLACE)
		return -EEXIST;
	from_dir = S_ISDIR(node_of(&now, a->ino)->mode);
	if (from_dir && above(&now, a->ino, d2))
		return -EINVAL;
	if (!b)
		return 0;
	to_dir = S_ISDIR(node_of(&now, b->ino)->mode);
	if (to_dir && above(&now, b->ino, d1))
		return flags == RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
	if (a->ino == b->ino || flags == RENAME_EXCHANGE)
		return 0;
	if (from_dir != to_dir)
		return from_dir ? -ENOTDIR : -EISDIR;
	return to_dir && names_in(&now, b->ino, false) > 0 ? -ENOTEMPTY : 0;
}

static void op_rename(void)
{
	static const unsigned int kinds[] = { 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE };
	uint64_t d1 = some_inode(true), d2 = pick(3) ? some_inode(true) : d1;
	const char *n1 = some_name(), *n2 = some_name();
	unsigned int flags = kinds[pick(4)];
	struct link *a = link_of(&now, d1, n1), *b = link_of(&now, d2, n2);
	struct inode moved, gone;
	int rc = dir_errno(d1);

	if (rc == 0)
		rc = dir_errno(d2);
	if (rc == 0)
		rc = rename_errno(d1, a, d2, b, flags);
	same(rc, tree_rename(t, d1, n1, d2, n2, flags, at(clock_s), &moved, &gone), "rename");
	if (rc)
		return;
	assert_int_equal(moved.ino, a->ino);
	if (b && a->ino == b->ino) {
		assert_int_equal(gone.ino, 0);
		return;
	}
	if (flags == RENAME_EXCHANGE) {
		uint64_t ino = a->ino;

		a->ino = b->ino;
		b->ino = ino;
		node_of(&now, a->ino)->ctime = node_of(&now, b->ino)->ctime = clock_s;
		touch_dir(d1);
		touch_dir(d2);
		return;
	}
	assert_int_equal(gone.ino, b ? b->ino : 0);
	if (b)
		drop_link(b);
	node_of(&now, a->ino)->ctime = clock_s;
	touch_dir(d1);
	touch_dir(d2);
	if (b || d1 != d2)
		a->cookie = b ? b->cookie : 0;
	a->dir = d2;
	strcpy(a->name, n2);
}

static void op_attr(void)
{
	uint64_t ino = some_inode(false);
	struct node *n = node_of(&now, ino);
	unsigned int which = pick(4) ? (unsigned int[]){ SET_MODE, SET_UID, SET_MTIME }[pick(3)] | SET_CTIME
				     : SET_ATIME;
	struct inode in = {
		.mode = pick(01000), .uid = pick(5),
		.atime = at(clock_s), .mtime = at(clock_s - 5), .ctime = at(clock_s),
	}, out;

	same(n ? 0 : -ENOENT, tree_set_attr(t, ino, &in, which, &out), "set_attr");
	if (!n)
		return;
	if (which & SET_MODE)
		n->mode = (n->mode & S_IFMT) | in.mode;
	if (which & SET_UID)
		n->uid = in.uid;
	if (which & SET_ATIME)
		n->atime = clock_s;
	if (which & SET_MTIME)
		n->mtime = clock_s - 5;
	if (which & SET_CTIME)
		n->ctime = clock_s;
}

static void op_xattr(void)
{
	uint64_t ino = some_inode(false);
	struct node *n = node_of(&now, ino);
	unsigned int k = pick(KEYS);
	char name[] = { 'u', 's', 'e', 'r', '.', (char)('0' + k), '\0' };
	uint8_t value = (uint8_t)(1 + pick(200));
	static uint8_t bytes[3000];
	int flags = (int[]){ 0, XATTR_CREATE, XATTR_REPLACE }[pick(3)], rc = n ? 0 : -ENOENT;

	if (pick(2)) {
		if (n && n->xattr[k] && flags == XATTR_CREATE)
			rc = -EEXIST;
		if (n && !n->xattr[k] && flags == XATTR_REPLACE)
			rc = -ENODATA;
		memset(bytes, value, sizeof bytes);
		same(rc, tree_set_xattr(t, ino, name, bytes, value * 14u, flags, at(clock_s)), "set_xattr");
		if (rc == 0)
			n->xattr[k] = value;
	} else {
		if (n && !n->xattr[k])
			rc = -ENODATA;
		same(rc, tree_remove_xattr(t, ino, name, at(clock_s)), "remove_xattr");
		if (rc == 0)
			n->xattr[k] = 0;
	}
	if (rc == 0)
		n->ctime = clock_s;
}

static void op_forget(void)
{
	uint64_t ino = some_inode(false);
	struct node *n = node_of(&now, ino);

	assert_int_equal(tree_is_orphan(t, ino), n && n->nlink == 0);
	tree_forget(t, ino);
	if (n && n->nlink == 0)
		n->ino = 0;
}

static struct ref ref_numbered(uint64_t n)
{
	struct ref ref = { .hash = HASH_BLAKE2B_256, .kind = KIND_DATA, .size = n % 5000 };

	memcpy(ref.address.b, &n, sizeof n);
	return ref;
}

/* An inode of the tree is as the model has it. */
static void check_inode(struct model *m, const struct node *n, const struct inode *i)
{
	uint64_t size = n->ref % 5000;
	bool any = false;

	assert_int_equal(i->mode, n->mode);
	assert_int_equal(i->uid, n->uid);
	assert_int_equal(i->atime.sec, n->atime);
	assert_int_equal(i->mtime.sec, n->mtime);
	assert_int_equal(i->ctime.sec, n->ctime);
	assert_int_equal(i->link_id != 0, n->linked);
	for (int k = 0; k < KEYS; k++)
		any |= n->xattr[k] != 0;
	assert_int_equal(i->flags, any ? INODE_XATTRS : 0);
	if (S_ISDIR(n->mode)) {
		size = names_in(m, n->ino, false);
		assert_int_equal(i->nlink, n->nlink ? 2 + names_in(m, n->ino, true) : 0);
		if (n->nlink && n->ino != TREE_ROOT)
			assert_int_equal(i->parent, parent_of(m, n->ino));
	} else {
		assert_int_equal(i->nlink, n->nlink);
	}
	if (S_ISLNK(n->mode))
		size = 1;
	assert_int_equal(i->size, size);
	if (S_ISREG(n->mode) && n->ref) {
		struct ref ref = ref_numbered(n->ref);

		assert_true(ref_equal(&i->ref, &ref));
	}
	if (n->nlink == 0)
		assert_int_equal(i->parent, 0);
}

/* The row says one of the inode's names. */
static void check_row_name(struct model *m, const struct inode *i)
{
	bool found = false;

	for (int k = 0; k < NAMES_N; k++) {
		struct link *l = &m->link[k];

		found |= l->ino == i->ino && l->dir == i->parent && (!l->cookie || l->cookie == i->cookie);
	}
	assert_int_equal(found, i->nlink > 0 && i->ino != TREE_ROOT);
}

static void check_xattrs(const struct node *n)
{
	char name[] = "user.0", list[64];
	static uint8_t bytes[4096];
	ssize_t total = 0;

	for (int k = 0; k < KEYS; k++) {
		ssize_t len;

		name[5] = (char)('0' + k);
		len = tree_get_xattr(t, n->ino, name, bytes, sizeof bytes);
		assert_int_equal(len, n->xattr[k] ? n->xattr[k] * 14 : -ENODATA);
		if (len > 0)
			assert_int_equal(bytes[len - 1], n->xattr[k]);
		total += n->xattr[k] ? (ssize_t)sizeof name : 0;
	}
	assert_int_equal(tree_list_xattr(t, n->ino, list, sizeof list), total);
}

/* Each name of a directory is there once, under the cookie it always had. */
static void check_directory(struct model *m, uint64_t dir)
{
	struct tree_name names[3];
	struct inode inodes[3];
	uint64_t after = 2;
	unsigned int total = 0;
	int n;

	while ((n = tree_readdir(t, dir, after, 3, names, inodes)) > 0) {
		for (int i = 0; i < n; i++) {
			struct link *l = link_of(m, dir, names[i].name);

			assert_true(names[i].cookie > after);
			after = names[i].cookie;
			assert_non_null(l);
			assert_int_equal(names[i].ino, l->ino);
			assert_int_equal(inodes[i].ino, l->ino);
			assert_int_equal(names[i].type, node_of(m, l->ino)->mode >> 12);
			assert_int_equal(find(dir, l->name), l->ino);
			if (l->cookie && m == &now)
				assert_int_equal(l->cookie, after);
			l->cookie = m == &now ? after : 0;
			total++;
		}
	}
	assert_int_equal(n, 0);
	assert_int_equal(total, names_in(m, dir, false));
}

static void check_all(struct model *m)
{
	uint64_t count, expected = 0;

	for (int i = 0; i < NODES; i++) {
		struct node *n = &m->node[i];
		struct inode inode;

		if (!n->ino)
			continue;
		expected++;
		assert_int_equal(tree_get(t, n->ino, &inode), 0);
		check_inode(m, n, &inode);
		check_row_name(m, &inode);
		check_xattrs(n);
		if (S_ISDIR(n->mode))
			check_directory(m, n->ino);
	}
	tree_count(t, &count);
	assert_int_equal(count, expected);
}

/* Has the entry of this name changed in a way that the name itself must tell? */
static bool differs(struct model *a, struct link *x, struct model *b, struct link *y)
{
	struct node *m, *n;

	if (!x || !y)
		return x != y;
	m = node_of(a, x->ino);
	n = node_of(b, y->ino);
	if (m->ino != n->ino || m->mode != n->mode || m->uid != n->uid || m->linked != n->linked ||
	    m->ref != n->ref || memcmp(m->xattr, n->xattr, KEYS) != 0)
		return true;
	return !S_ISDIR(m->mode) && (m->mtime != n->mtime || m->ctime != n->ctime);
}

static bool recorded(struct tree_reader *r, uint64_t dir, const char *name)
{
	struct tree_name c = { 0 };

	while (tree_reader_changed(r, c.ino, c.name, c.name_len, &c) == 0)
		if (c.ino == dir && strcmp(c.name, name) == 0)
			return true;
	return false;
}

/* No name that differs between the last snapshot and the last checkpoint lacks its record. */
static void check_records(struct tree_reader *r)
{
	struct model *both[] = { &snapshot, &committed };

	for (int k = 0; k < 2; k++)
		for (int i = 0; i < NAMES_N; i++) {
			struct link *l = &both[k]->link[i];
			struct node *dir;

			if (!l->ino)
				continue;
			dir = node_of(&committed, l->dir);
			if (!dir || dir->nlink == 0)
				continue;
			if (!differs(&snapshot, link_of(&snapshot, l->dir, l->name), &committed,
				link_of(&committed, l->dir, l->name)))
				continue;
			seen.needed++;
			if (!recorded(r, l->dir, l->name))
				fail_msg("no record of %s in %lu", l->name, (unsigned long)l->dir);
		}
}

/* On a disk that takes nothing.  Whatever is refused, nothing is lost, nor there twice. */
static void fail_commit(const struct publications *what)
{
	struct rlimit was, none;
	int rc;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	none = (struct rlimit){ .rlim_cur = 4096, .rlim_max = was.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	rc = tree_commit(t, what, NULL, NULL);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	assert_true(rc == -EIO || rc == -ENOSPC || (rc == 0 && !tree_dirty(t, NULL)));
	seen.failed += rc == -EIO;
	if (rc == -EIO)
		check_all(&now);
}

static void do_commit(void)
{
	struct publication pub[3] = { 0 };
	struct publications what = { pub, pick(4) };

	for (size_t i = 0; i < what.n; i++) {
		struct node *n = node_of(&now, some_inode(false));
		uint64_t number = 1 + pick(1000000);

		pub[i].ino = n ? n->ino : 999999;
		pub[i].ref = ref_numbered(number);
		pub[i].times = pick(2);
		pub[i].mtime = pub[i].ctime = at(clock_s);
		if (!n || !S_ISREG(n->mode))
			continue;
		n->ref = number;
		if (pub[i].times)
			n->mtime = n->ctime = clock_s;
	}
	if (pick(3) == 0)
		fail_commit(&what);
	assert_int_equal(tree_commit(t, &what, NULL, NULL), 0);
	assert_false(tree_dirty(t, NULL));
	committed = now;
	seen.commits++;
}

/* All directories that a snapshot of the last checkpoint would write anew. */
static void do_snapshot(void)
{
	struct ref refs[NODES] = { 0 };
	uint64_t dirs[NODES];
	struct tree_name c = { 0 };
	struct tree_reader *r;
	uint64_t epoch;
	size_t n = 0;

	do_commit();
	assert_int_equal(tree_reader_open(t, &r), 0);
	check_records(r);
	while (tree_reader_changed(r, c.ino, c.name, c.name_len, &c) == 0) {
		seen.records++;
		if (n == 0 || dirs[n - 1] != c.ino)
			dirs[n++] = c.ino;
	}
	epoch = tree_reader_epoch(r);
	tree_reader_close(r);
	snapshot = committed;
	/* What changes while the snapshot is made is not lost by its end. */
	for (int i = 0; i < 10; i++) {
		clock_s++;
		op_rename();
		op_attr();
	}
	assert_int_equal(tree_snapshot_done(t, epoch, dirs, refs, n), 0);
	do_commit();
	assert_int_equal(tree_reader_open(t, &r), 0);
	check_records(r);
	tree_reader_close(r);
	seen.snapshots++;
}

static void forget_orphans(struct model *m)
{
	for (int i = 0; i < NODES; i++)
		if (m->node[i].nlink == 0)
			m->node[i].ino = 0;
}

static void do_crash(bool clean)
{
	if (clean)
		do_commit();
	tree_test_reopen();
	now = committed;
	forget_orphans(&now);
	committed = now;
	for (int i = 0; i < NAMES_N; i++)
		now.link[i].cookie = 0;
	seen.crashes++;
}

/* A reader is opened, and must show the same long after. */
static struct tree_reader *held;
static struct model held_model;

static void do_reader(void)
{
	if (!held) {
		do_commit();
		assert_int_equal(tree_reader_open(t, &held), 0);
		held_model = committed;
		return;
	}
	for (int i = 0; i < NODES; i++) {
		struct inode inode;

		if (!held_model.node[i].ino)
			continue;
		assert_int_equal(tree_reader_get(held, held_model.node[i].ino, &inode), 0);
		check_inode(&held_model, &held_model.node[i], &inode);
	}
	for (int i = 0; i < NAMES_N; i++) {
		struct link *l = &held_model.link[i];
		struct inode inode;

		if (!l->ino)
			continue;
		assert_int_equal(tree_reader_lookup(held, l->dir, l->name, strlen(l->name), &inode), 0);
		assert_int_equal(inode.ino, l->ino);
	}
	if (pick(3) == 0) {
		tree_reader_close(held);
		held = NULL;
	}
}

static void step(void)
{
	static void (*const ops[])(void) = {
		op_create, op_create, op_create, op_link, op_remove, op_remove, op_rename,
		op_rename, op_attr, op_xattr, op_forget,
	};
	unsigned int r = pick(1000);

	clock_s++;
	if (r < 8) {
		do_commit();
	} else if (r < 12) {
		do_snapshot();
	} else if (r < 20) {
		do_reader();
	} else if (r < 22) {
		if (held)
			tree_reader_close(held);
		held = NULL;
		do_crash(pick(2));
		check_all(&now);
	} else if (r < 60) {
		check_all(&now);
	} else {
		ops[r % (sizeof ops / sizeof *ops)]();
	}
}

static void the_tree_does_what_the_model_does(void **state)
{
	uint64_t seed = suite_seed(1);
	unsigned int steps = getenv("SOAK") ? 2000000 : STEPS;
	struct inode root = get(TREE_ROOT);

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	rng = seed * 0x9e3779b97f4a7c15u + 1;
	clock_s = 1000;
	now.node[0] = (struct node){
		.ino = TREE_ROOT, .mode = root.mode, .uid = root.uid, .nlink = 1,
		.atime = root.atime.sec, .mtime = root.mtime.sec, .ctime = root.ctime.sec,
	};
	committed = snapshot = now;
	print_message("SEED=%llu\n", (unsigned long long)seed);
	for (unsigned int i = 0; i < steps; i++)
		step();
	if (held)
		tree_reader_close(held);
	held = NULL;
	check_all(&now);
	print_message("%u operations, %u refused, %u commits, %u that failed, %u crashes, "
	    "%u snapshots, %u records, %u of them needed\n", seen.ops, seen.errors, seen.commits,
	    seen.failed, seen.crashes, seen.snapshots, seen.records, seen.needed);
	assert_true(seen.failed > 50);
	assert_true(seen.crashes > 20 && seen.snapshots > 20 && seen.errors > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_tree_does_what_the_model_does, tree_test_setup,
		    tree_test_teardown),
	};

	return suite_run(tests);
}
