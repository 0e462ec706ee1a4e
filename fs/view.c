#include "fs/view.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS_MIN 256u

struct view {
	pthread_mutex_t lock;	/* all below, and the counts and links of nodes */
	struct view_node **by_ino, **by_name;
	size_t buckets, count;
	uint64_t next_ino;
	struct view_node *replaced;	/* roots that somebody still holds, by their by_ino */
};

static size_t ino_hash(uint64_t ino)
{
	return (size_t)(ino * UINT64_C(0x9e3779b97f4a7c15) >> 24);
}

/* FNV-1a (Fowler, Noll, Vo), from the parent's number. */
static size_t name_hash(uint64_t parent, const char *name, size_t len)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325) ^ parent;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)name[i]) * UINT64_C(0x100000001b3);
	return (size_t)(h >> 16);
}

static struct view_node **name_bucket(struct view *v, const struct view_node *n)
{
	return &v->by_name[name_hash(n->parent ? n->parent->ino : 0, n->name, n->name_len) &
	    (v->buckets - 1)];
}

static struct view_node **ino_bucket(struct view *v, uint64_t ino)
{
	return &v->by_ino[ino_hash(ino) & (v->buckets - 1)];
}

static void link_node(struct view *v, struct view_node *n)
{
	struct view_node **i = ino_bucket(v, n->ino), **s = name_bucket(v, n);

	n->by_ino = *i;
	*i = n;
	if (n->nameless)
		return;
	n->by_name = *s;
	*s = n;
}

static void unlink_name(struct view *v, struct view_node *n)
{
	struct view_node **s = name_bucket(v, n);

	while (*s != n)
		s = &(*s)->by_name;
	*s = n->by_name;
	n->nameless = true;
}

static void unlink_node(struct view *v, struct view_node *n)
{
	struct view_node **i = n->replaced ? &v->replaced : ino_bucket(v, n->ino);

	while (*i != n)
		i = &(*i)->by_ino;
	*i = n->by_ino;
	if (!n->nameless)
		unlink_name(v, n);
}

/* A table that can't grow works all the same, only slower. */
static void grow(struct view *v)
{
	size_t n = v->buckets * 2;
	struct view_node **i = calloc(n, sizeof(*i)), **s = calloc(n, sizeof(*s));
	struct view_node **old = v->by_ino;
	size_t old_n = v->buckets;

	if (!i || !s) {
		free(i);
		free(s);
		return;
	}
	free(v->by_name);
	v->by_ino = i;
	v->by_name = s;
	v->buckets = n;
	for (size_t b = 0; b < old_n; b++) {
		while (old[b]) {
			struct view_node *node = old[b];

			old[b] = node->by_ino;
			link_node(v, node);
		}
	}
	free(old);
}

static void node_free(struct view_node *n)
{
	free(n->name);
	free(n->target);
	free(n->xattrs);
	free(n);
}

static struct view_node *node_new(const char *name, size_t len, const struct view_node *like)
{
	struct view_node *n = malloc(sizeof(*n));

	if (!n)
		return NULL;
	*n = *like;
	n->lookups = 0;
	n->holds = 0;
	n->replaced = n->nameless = false;
	n->name_len = len;
	n->name = malloc(len + 1);
	n->target = like->target ? strdup(like->target) : NULL;
	n->xattrs = like->xattrs_len ? malloc(like->xattrs_len) : NULL;
	if (!n->name || (like->target && !n->target) || (like->xattrs_len && !n->xattrs)) {
		node_free(n);
		return NULL;
	}
	memcpy(n->name, name, len);
	n->name[len] = 0;
	if (n->xattrs)
		memcpy(n->xattrs, like->xattrs, like->xattrs_len);
	return n;
}

int view_new(uint64_t first_ino, const struct view_node *root, struct view **out)
{
	struct view *v = calloc(1, sizeof(*v));
	struct view_node *n = node_new("", 0, root);

	*out = NULL;
	if (v) {
		v->buckets = BUCKETS_MIN;
		v->by_ino = calloc(v->buckets, sizeof(*v->by_ino));
		v->by_name = calloc(v->buckets, sizeof(*v->by_name));
	}
	if (!v || !n || !v->by_ino || !v->by_name) {
		if (n)
			node_free(n);
		if (v) {
			free(v->by_ino);
			free(v->by_name);
		}
		free(v);
		return -ENOMEM;
	}
	pthread_mutex_init(&v->lock, NULL);
	n->parent = NULL;
	n->ino = n->st.st_ino = first_ino;
	n->holds = 1;	/* ours: the root stays */
	v->next_ino = first_ino + 1;
	v->count = 1;
	link_node(v, n);
	*out = v;
	return 0;
}

static void free_all(struct view_node **first)
{
	while (*first) {
		struct view_node *n = *first;

		*first = n->by_ino;
		node_free(n);
	}
}

void view_free(struct view *v)
{
	if (!v)
		return;
	for (size_t b = 0; b < v->buckets; b++)
		free_all(&v->by_ino[b]);
	free_all(&v->replaced);
	free(v->by_ino);
	free(v->by_name);
	pthread_mutex_destroy(&v->lock);
	free(v);
}

static struct view_node *find(struct view *v, uint64_t ino)
{
	struct view_node *n = *ino_bucket(v, ino);

	while (n && n->ino != ino)
		n = n->by_ino;
	return n;
}

/* Frees it, and then its parents, where nobody knows them any more. */
static void settle(struct view *v, struct view_node *n)
{
	while (n && n->lookups == 0 && n->holds == 0) {
		struct view_node *parent = n->parent;

		unlink_node(v, n);
		node_free(n);
		v->count--;
		if (parent)
			parent->holds--;
		n = parent;
	}
}

struct view_node *view_hold(struct view *v, uint64_t ino)
{
	struct view_node *n;

	pthread_mutex_lock(&v->lock);
	n = find(v, ino);
	if (n)
		n->holds++;
	pthread_mutex_unlock(&v->lock);
	return n;
}

void view_hold_again(struct view *v, struct view_node *n)
{
	pthread_mutex_lock(&v->lock);
	n->holds++;
	pthread_mutex_unlock(&v->lock);
}

void view_drop(struct view *v, struct view_node *n)
{
	pthread_mutex_lock(&v->lock);
	assert(n->holds > 0);
	n->holds--;
	settle(v, n);
	pthread_mutex_unlock(&v->lock);
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool same_stat(const struct stat *a, const struct stat *b)
{
	return a->st_mode == b->st_mode && a->st_uid == b->st_uid && a->st_gid == b->st_gid && a->st_size == b->st_size &&
	    same_time(&a->st_mtim, &b->st_mtim) && same_time(&a->st_ctim, &b->st_ctim);
}

static bool same_content(const struct view_node *a, const struct view_node *b)
{
	return a->type == b->type && same_stat(&a->st, &b->st) && ref_equal(&a->ref, &b->ref) &&
	    !a->target == !b->target && (!a->target || strcmp(a->target, b->target) == 0) &&
	    a->xattrs_len == b->xattrs_len && (!a->xattrs_len || memcmp(a->xattrs, b->xattrs, a->xattrs_len) == 0) &&
	    a->xattrs_apart == b->xattrs_apart && (!a->xattrs_apart || ref_equal(&a->xattrs_ref, &b->xattrs_ref));
}

/* Of this parent, or of a root that it has replaced. */
static struct view_node *find_name(struct view *v, const struct view_node *parent, const char *name, size_t len)
{
	struct view_node *n = v->by_name[name_hash(parent->ino, name, len) & (v->buckets - 1)];

	while (n && !(n->parent && n->parent->ino == parent->ino && n->name_len == len && memcmp(n->name, name, len) == 0))
		n = n->by_name;
	return n;
}

/* Under a root that was replaced the name stays with what the newer one has. */
static struct view_node *make_child(struct view *v, struct view_node *parent, const char *name, size_t len,
    const struct view_node *like, struct view_node *other)
{
	struct view_node *n = node_new(name, len, like);

	if (!n)
		return NULL;
	n->parent = parent;
	n->nameless = other && parent->replaced;
	if (other && !parent->replaced)
		unlink_name(v, other);
	parent->holds++;
	n->ino = n->st.st_ino = v->next_ino++;
	if (v->count >= v->buckets)
		grow(v);
	link_node(v, n);
	v->count++;
	return n;
}

struct view_node *view_add(struct view *v, struct view_node *parent, const char *name,
    size_t name_len, const struct view_node *like)
{
	struct view_node *n;

	pthread_mutex_lock(&v->lock);
	n = find_name(v, parent, name, name_len);
	if (!n || (n->parent != parent && !same_content(n, like)))
		n = make_child(v, parent, name, name_len, like, n);
	if (n) {
		n->lookups++;
		n->holds++;
	}
	pthread_mutex_unlock(&v->lock);
	return n;
}

int view_set_root(struct view *v, uint64_t ino, const struct view_node *root)
{
	struct view_node *n = node_new("", 0, root), *old;

	if (!n)
		return -ENOMEM;
	n->parent = NULL;
	n->ino = n->st.st_ino = ino;
	n->holds = 1;
	n->nameless = true;
	pthread_mutex_lock(&v->lock);
	old = find(v, ino);
	if (old) {
		unlink_node(v, old);
		old->replaced = true;
		old->by_ino = v->replaced;
		v->replaced = old;
		n->lookups = old->lookups;
		old->lookups = 0;
		old->holds--;
		settle(v, old);
	}
	link_node(v, n);
	v->count++;
	pthread_mutex_unlock(&v->lock);
	return 0;
}

void view_forget(struct view *v, uint64_t ino, uint64_t lookups)
{
	struct view_node *n;

	pthread_mutex_lock(&v->lock);
	n = find(v, ino);
	if (n) {
		n->lookups -= lookups < n->lookups ? lookups : n->lookups;
		settle(v, n);
	}
	pthread_mutex_unlock(&v->lock);
}

static struct timespec to_timespec(struct timestamp t)
{
	return (struct timespec){ .tv_sec = t.sec, .tv_nsec = t.nsec };
}

void view_from_entry(const struct entry *e, struct view_node *out)
{
	*out = (struct view_node){
		.type = VIEW_ENTRY,
		.ref = e->ref,
		.xattrs_len = e->xattrs_len,
		.xattrs_apart = e->xattrs_apart,
		.xattrs_ref = e->xattrs_ref,
		.st = {
			.st_mode = e->mode & ~(mode_t)(S_ISUID | S_ISGID),
			.st_nlink = S_ISDIR(e->mode) ? 2 : 1,
			.st_uid = e->uid,
			.st_gid = e->gid,
			.st_size = (off_t)e->size,
			.st_blksize = 128 * 1024,
			.st_blocks = (blkcnt_t)((e->size + 511) / 512),
			.st_mtim = to_timespec(e->mtime),
			.st_atim = to_timespec(e->mtime),
			.st_ctim = to_timespec(e->ctime),
		},
	};
	memcpy(&out->xattrs, &e->xattrs, sizeof(out->xattrs));
}

uint64_t view_count(struct view *v)
{
	uint64_t n;

	pthread_mutex_lock(&v->lock);
	n = v->count;
	pthread_mutex_unlock(&v->lock);
	return n;
}
