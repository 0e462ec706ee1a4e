/* Nodes, trees of them, and how two trees differ. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tests/mount/exercise/model.h"

/* Whoever sees a time before this sees one that was set, not one of this test. */
#define LONG_AGO_S	1500000000

struct node *node_new(struct model *m, mode_t mode)
{
	struct node *node = calloc(1, sizeof(*node));

	if (!node)
		abort();
	node->id = m->next_id++;
	node->mode = mode;
	node->mtime_is = MTIME_NOW;
	node->pushed = true;
	return node;
}

void node_release(struct model *m, struct node *node)
{
	if (node->names > 0 || node->handles > 0 || node->maps > 0)
		return;
	for (size_t i = 0; i < XATTRS; i++)
		free(node->xattrs[i].value);
	m->bytes -= node->size;
	free(node->data);
	free(node->entries);
	free(node);
}

/* With some room to spare, since many files grow bit by bit. */
bool node_resize(struct model *m, struct node *node, size_t size)
{
	size_t capacity = node->capacity;
	unsigned char *data;

	if (size > FILE_MAX || (size > node->size && m->bytes - node->size + size > m->bytes_max))
		return false;
	if (size > capacity) {
		capacity = size + size / 4;
		data = realloc(node->data, capacity);
		if (!data)
			abort();
		memset(data + node->capacity, 0, capacity - node->capacity);
		node->data = data;
		node->capacity = capacity;
	} else if (size < node->size) {
		memset(node->data + size, 0, node->size - size);
	}
	m->bytes += size - node->size;
	node->size = size;
	return true;
}

struct entry *node_entry(struct node *dir, const char *name)
{
	for (size_t i = 0; i < dir->n_entries; i++)
		if (strcmp(dir->entries[i].name, name) == 0)
			return &dir->entries[i];
	return NULL;
}

bool node_enter(struct node *dir, const char *name, struct node *node)
{
	struct entry *entries = realloc(dir->entries, (dir->n_entries + 1) * sizeof(*entries));
	size_t i = dir->n_entries;

	if (!entries || strlen(name) >= PATH_LEN)
		return false;
	dir->entries = entries;
	for (; i > 0 && strcmp(entries[i - 1].name, name) > 0; i--)
		entries[i] = entries[i - 1];
	entries[i].node = node;
	snprintf(entries[i].name, sizeof(entries[i].name), "%s", name);
	dir->n_entries++;
	node->names++;
	return true;
}

void node_modified(struct node *node, enum mtime how)
{
	node->mtime_is = node->maps > 0 ? MTIME_ANY : how;
}

bool node_set_xattr(struct node *node, unsigned int i, const unsigned char *value, size_t len)
{
	unsigned char *copy = value ? malloc(len + 1) : NULL;

	if (value && !copy)
		return false;
	if (value)
		memcpy(copy, value, len);
	free(node->xattrs[i].value);
	node->xattrs[i] = (struct xattr){ copy, value ? len : 0 };
	return true;
}

struct model *model_new(void)
{
	static const char *const tops[] = { "own", "d0", "d1" };
	struct model *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->next_id = 1;
	m->bytes_max = MODEL_MAX;
	m->root = node_new(m, S_IFDIR | 0755);
	m->root->names = 1;
	m->root->common = true;
	for (size_t i = 0; i < 3; i++) {
		struct node *dir = node_new(m, S_IFDIR | 0755);

		dir->common = i > 0;
		if (!node_enter(m->root, tops[i], dir))
			abort();
	}
	return m;
}

static void tree_free(struct model *m, struct node *node)
{
	for (size_t i = 0; i < node->n_entries; i++)
		tree_free(m, node->entries[i].node);
	node->names--;
	node_release(m, node);
}

void model_free(struct model *m)
{
	if (!m)
		return;
	model_close(m);
	tree_free(m, m->root);
	free(m);
}

static uint64_t next_walk(void)
{
	static _Atomic uint64_t walk;

	return ++walk;
}

/* twin is the copy, for who has several names. */
static struct node *tree_clone(struct model *m, struct node *from, uint64_t walk)
{
	struct node *to;

	if (from->walk == walk)
		return (struct node *)(uintptr_t)from->twin;
	to = malloc(sizeof(*to));
	if (!to)
		abort();
	*to = *from;
	to->entries = NULL;
	to->n_entries = to->names = to->capacity = 0;
	to->data = NULL;
	to->size = 0;
	memset(to->xattrs, 0, sizeof(to->xattrs));
	from->walk = walk;
	from->twin = to;
	if (from->size > 0) {
		if (!node_resize(m, to, from->size))
			abort();
		memcpy(to->data, from->data, from->size);
	}
	for (unsigned int i = 0; i < XATTRS; i++)
		if (!node_set_xattr(to, i, from->xattrs[i].value, from->xattrs[i].len))
			abort();
	for (size_t i = 0; i < from->n_entries; i++)
		if (!node_enter(to, from->entries[i].name,
		    tree_clone(m, from->entries[i].node, walk)))
			abort();
	return to;
}


struct model *model_clone(const struct model *m)
{
	struct model *copy = calloc(1, sizeof(*copy));

	if (!copy)
		return NULL;
	copy->version = m->version;
	copy->next_id = m->next_id;
	copy->bytes_max = SIZE_MAX;
	copy->root = tree_clone(copy, m->root, next_walk());
	copy->bytes_max = m->bytes_max;
	copy->root->names = 1;
	return copy;
}

void model_close(struct model *m)
{
	struct outcome out;

	for (unsigned int i = 0; i < SLOTS; i++) {
		struct op op = { .kind = OP_UNMAP, .slot = i };

		model_apply(m, &op, &out);
		op.kind = OP_CLOSE;
		model_apply(m, &op, &out);
	}
}

struct digest {
	uint64_t state, walk, order;
};

static void add(struct digest *d, const void *bytes, size_t len)
{
	const unsigned char *at = bytes;

	/* FNV-1a */
	for (size_t i = 0; i < len; i++)
		d->state = (d->state ^ at[i]) * UINT64_C(0x100000001b3);
}

/* A second name of a node adds only which node it is. */
static void digest_node(struct digest *d, struct node *node)
{
	uint32_t plain[] = { node->mode, node->uid, node->gid, node->names };

	if (node->walk == d->walk) {
		add(d, &node->order, sizeof(node->order));
		return;
	}
	node->walk = d->walk;
	node->order = ++d->order;
	if (!node->common)
		add(d, plain, sizeof(plain));
	add(d, node->target, strlen(node->target) + 1);
	for (uint32_t i = 0; i < XATTRS; i++) {
		if (!node->xattrs[i].value)
			continue;
		add(d, &i, sizeof(i));
		add(d, &node->xattrs[i].len, sizeof(node->xattrs[i].len));
		add(d, node->xattrs[i].value, node->xattrs[i].len);
	}
	for (size_t i = 0; i < node->n_entries; i++) {
		add(d, node->entries[i].name, strlen(node->entries[i].name) + 1);
		digest_node(d, node->entries[i].node);
	}
	add(d, "/", 1);
}

uint64_t model_digest(struct model *m)
{
	struct digest d = { UINT64_C(0xcbf29ce484222325), next_walk(), 0 };

	digest_node(&d, m->root);
	return d.state;
}

struct diff {
	uint64_t walk;
	bool contents;
	char *out;
	size_t size;
};

static int differ(struct diff *d, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int differ(struct diff *d, const char *path, const char *format, ...)
{
	size_t n = (size_t)snprintf(d->out, d->size, "%s: ", path);
	va_list args;

	va_start(args, format);
	vsnprintf(d->out + n, d->size - n, format, args);
	va_end(args);
	return -EIO;
}

static int diff_data(struct diff *d, const char *path, const struct node *want,
    const struct node *got)
{
	size_t at = 0, last;

	if (want->size != got->size)
		return differ(d, path, "size %zu, wanted %zu", got->size, want->size);
	if (want->size == 0 || memcmp(want->data, got->data, want->size) == 0)
		return 0;
	while (want->data[at] == got->data[at])
		at++;
	last = want->size - 1;
	while (want->data[last] == got->data[last])
		last--;
	return differ(d, path, "differs in [%zu, %zu] of %zu: %02x, wanted %02x", at, last,
	    want->size, got->data[at], want->data[at]);
}

static int diff_attributes(struct diff *d, const char *path, const struct node *want,
    const struct node *got)
{
	if (want->mode != got->mode || want->uid != got->uid || want->gid != got->gid)
		return differ(d, path, "%o %u:%u, wanted %o %u:%u", got->mode, got->uid, got->gid,
		    want->mode, want->uid, want->gid);
	if (want->names != got->names)
		return differ(d, path, "%u names, wanted %u", got->names, want->names);
	if (strcmp(want->target, got->target) != 0)
		return differ(d, path, "leads to %s, wanted %s", got->target, want->target);
	for (unsigned int i = 0; i < XATTRS; i++) {
		const struct xattr *a = &want->xattrs[i], *b = &got->xattrs[i];

		if (!a->value != !b->value || a->len != b->len ||
		    (a->len > 0 && memcmp(a->value, b->value, a->len) != 0))
			return differ(d, path, "attribute %u is another", i);
	}
	if (!d->contents)
		return 0;
	if (want->ino != 0 && want->ino != got->ino)
		return differ(d, path, "inode %" PRIu64 ", wanted %" PRIu64, got->ino, want->ino);
	if ((want->mtime_is == MTIME_KNOWN && (want->mtime.tv_sec != got->mtime.tv_sec ||
	    want->mtime.tv_nsec != got->mtime.tv_nsec)) ||
	    (want->mtime_is == MTIME_NOW && got->mtime.tv_sec < LONG_AGO_S))
		return differ(d, path, "mtime %jd.%09ld, wanted %s %jd.%09ld",
		    (intmax_t)got->mtime.tv_sec, got->mtime.tv_nsec,
		    want->mtime_is == MTIME_KNOWN ? "" : "a new one, not",
		    (intmax_t)want->mtime.tv_sec, want->mtime.tv_nsec);
	return S_ISREG(want->mode) ? diff_data(d, path, want, got) : 0;
}

static int diff_node(struct diff *d, const char *path, struct node *want, struct node *got)
{
	char below[4 * PATH_LEN];
	int err = 0;

	if (want->walk == d->walk || got->walk == d->walk)
		return want->twin == got && got->twin == want ? 0 :
		    differ(d, path, "is not the same file as under its other name");
	want->walk = got->walk = d->walk;
	want->twin = got;
	got->twin = want;
	if (!want->common)
		err = diff_attributes(d, path, want, got);
	for (size_t i = 0; i < want->n_entries && !err; i++) {
		const struct entry *a = &want->entries[i];
		struct entry *b = node_entry(got, a->name);

		snprintf(below, sizeof(below), "%s/%s", path, a->name);
		err = b ? diff_node(d, below, a->node, b->node) : differ(d, below, "is not there");
	}
	for (size_t i = 0; i < got->n_entries && !err; i++)
		if (!node_entry(want, got->entries[i].name))
			err = differ(d, path, "%s should not be there", got->entries[i].name);
	return err;
}

int model_diff(struct model *want, struct model *got, bool contents, char *out, size_t size)
{
	struct diff d = { next_walk(), contents, out, size };

	return diff_node(&d, "", want->root, got->root);
}
