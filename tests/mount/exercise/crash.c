#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "tests/mount/exercise/crash.h"

#define NEVER	SIZE_MAX

/* State i is the one after i operations: begun by operation i - 1, ended by operation i. */
struct crash {
	struct real *r;
	const struct model *base;
	const struct op *const *ops;
	const struct done *done;
	size_t n;
	struct model *found;
};

/* A file that was found, and which it is. */
struct file {
	uint64_t id;
	const struct node *found;
	size_t since;		/* the state from which on its content may be the one found */
	unsigned char *good;	/* of each byte, whether it was there in one of those */
	size_t size_min, size_max;
	bool whole;		/* all of it was, at once */
	bool loose;
};

struct files {
	struct file *files;
	size_t n;
};

static uint64_t from_ns(const struct crash *c, size_t state)
{
	return state == 0 ? 0 : c->done[state - 1].begin_ns;
}

static uint64_t to_ns(const struct crash *c, size_t state)
{
	return state == c->n || c->done[state].end_ns == 0 ? UINT64_MAX : c->done[state].end_ns;
}

/* Operations on common files are none of the model's. */
static void apply(struct model *m, const struct op *op, struct outcome *out)
{
	*out = (struct outcome){ .result = SKIPPED };
	if (op->kind < OP_RECORD)
		model_apply(m, op, out);
}

static void add_moment(const struct crash *c, size_t state, struct moment *moments,
    unsigned int *n_moments)
{
	struct moment *last = &moments[*n_moments - 1];
	uint64_t from = from_ns(c, state), to = to_ns(c, state);

	if (*n_moments > 0 && from <= last->to_ns) {
		last->to_ns = to > last->to_ns ? to : last->to_ns;
	} else {
		/* Too many to tell: as good as any time in between. */
		if (*n_moments == MOMENTS)
			last->to_ns = to;
		else
			moments[(*n_moments)++] = (struct moment){ from, to };
	}
}

/* matches[v]: a state of version v (of names) that is like what was found, + 1. */
static int find_moments(struct crash *c, uint64_t synced_ns, struct moment *moments,
    unsigned int *n_moments, size_t **matches, size_t *n_matches)
{
	struct model *m = model_clone(c->base);
	uint64_t wanted = model_digest(c->found), digest = 0, version = 0;
	struct outcome out;
	size_t first = NEVER, *list;

	*matches = list = calloc(c->n + 1, sizeof(*list));
	*n_matches = *n_moments = 0;
	if (!m || !list)
		abort();
	for (size_t state = 0; state <= c->n; state++) {
		if (state == 0 || m->version != version)
			digest = model_digest(m);
		if (digest == wanted && to_ns(c, state) >= synced_ns) {
			add_moment(c, state, moments, n_moments);
			if (*n_matches > 0 && m->version == version)
				list[*n_matches - 1] = state;
			else
				list[(*n_matches)++] = state;
		}
		if (digest == wanted && first == NEVER)
			first = state;
		version = m->version;
		if (state < c->n)
			apply(m, c->ops[state], &out);
	}
	model_free(m);
	if (*n_matches > 0)
		return 0;
	if (first != NEVER)
		return wrong(c->r, "names are as after %zu operations of %zu, but a later sync was "
		    "acknowledged", first, c->n);
	return -ENOENT;
}

/* What was found is like no state: say how it differs from the one that it is nearest to. */
static int no_moment(struct crash *c)
{
	char text[WHY_LEN / 2], last[WHY_LEN / 2] = "";
	struct model *m = model_clone(c->base);
	struct outcome out;

	for (size_t i = 0; m && i < c->n; i++)
		apply(m, c->ops[i], &out);
	if (m)
		model_diff(m, c->found, false, last, sizeof(last));
	model_free(m);
	m = model_clone(c->base);
	if (!m || model_diff(m, c->found, false, text, sizeof(text)) == 0)
		text[0] = '\0';
	model_free(m);
	return wrong(c->r, "the tree is that of no moment.  Against the last state: %s.  Against "
	    "the first: %s", last, text);
}

static void note_files(struct files *files, struct node *node)
{
	if (S_ISREG(node->mode)) {
		struct file *f = realloc(files->files, (files->n + 1) * sizeof(*f));

		if (!f)
			abort();
		files->files = f;
		files->files[files->n++] = (struct file){ .id = node->id, .found = node->twin,
		    .good = calloc(1, node->twin->size + 1), .size_min = SIZE_MAX };
	}
	for (size_t i = 0; i < node->n_entries; i++)
		note_files(files, node->entries[i].node);
}

static void files_free(struct files *files)
{
	for (size_t i = 0; i < files->n; i++)
		free(files->files[i].good);
	free(files->files);
}

static void since(struct files *files, uint64_t id, size_t state)
{
	for (size_t i = 0; i < files->n; i++)
		if (files->files[i].id == id)
			files->files[i].since = state;
}

static void since_all(struct files *files, const struct node *node, size_t state)
{
	if (S_ISREG(node->mode) && node->pushed)
		since(files, node->id, state);
	for (size_t i = 0; i < node->n_entries; i++)
		since_all(files, node->entries[i].node, state);
}

/* From which state on each file's content counts, if the names are those of ${seen}. */
static void find_since(struct crash *c, struct files *files, size_t seen)
{
	struct model *m = model_clone(c->base);
	struct outcome out;

	for (size_t i = 0; m && i < c->n; i++) {
		apply(m, c->ops[i], &out);
		if (out.result < 0)
			continue;
		if (c->ops[i]->kind == OP_SYNCDIR && c->done[i].synced)
			since_all(files, m->root, i + 1);
		if (out.node && (out.created || (out.synced && c->done[i].synced) ||
		    (out.replaced && out.node->pushed && i < seen)))
			since(files, out.node->id, i + 1);
	}
	model_free(m);
}

static void compare(struct file *f, const struct node *node, size_t from, size_t to)
{
	size_t size = f->found->size, end = node->size < to ? node->size : to;

	if (node->size < f->size_min)
		f->size_min = node->size;
	if (node->size > f->size_max)
		f->size_max = node->size;
	for (size_t i = from; i < size && i < end; i++)
		f->good[i] |= f->found->data[i] == node->data[i];
	for (size_t i = from > node->size ? from : node->size; i < size; i++)
		f->good[i] |= f->found->data[i] == 0;
	f->whole = f->whole || (node->size == size &&
	    (size == 0 || memcmp(node->data, f->found->data, size) == 0));
	f->loose = f->loose || node->loose;
}

static void compare_all(struct files *files, const struct node *node, size_t state)
{
	for (size_t i = 0; i < files->n && S_ISREG(node->mode); i++)
		if (files->files[i].id == node->id && files->files[i].since == state)
			compare(&files->files[i], node, 0, SIZE_MAX);
	for (size_t i = 0; i < node->n_entries; i++)
		compare_all(files, node->entries[i].node, state);
}

static void compare_changed(struct files *files, const struct outcome *out, size_t state)
{
	for (size_t i = 0; i < files->n; i++) {
		struct file *f = &files->files[i];

		if (out->node && f->id == out->node->id)
			f->loose = f->loose || out->node->loose;
		if (out->changed && f->id == out->changed->id && f->since < state)
			compare(f, out->changed, out->from, out->to);
		else if (out->node && f->id == out->node->id && f->since == state)
			compare(f, out->node, 0, SIZE_MAX);
	}
}

static int judge(struct crash *c, const struct files *files)
{
	for (size_t i = 0; i < files->n; i++) {
		const struct file *f = &files->files[i];
		size_t size = f->found->size;
		const unsigned char *bad = memchr(f->good, 0, size);

		if (bad)
			return wrong(c->r, "inode %ju, %zu bytes: byte %zu (%02x) was never so since "
			    "operation %zu of %zu", (uintmax_t)f->found->ino, size,
			    (size_t)(bad - f->good), f->found->data[bad - f->good], f->since, c->n);
		if (size < f->size_min || size > f->size_max)
			return wrong(c->r, "inode %ju: size %zu, but since operation %zu of %zu it was "
			    "%zu to %zu", (uintmax_t)f->found->ino, size, f->since, c->n,
			    f->size_min, f->size_max);
		if (!f->loose && !f->whole)
			return wrong(c->r, "inode %ju, %zu bytes: a mixture of what it was since "
			    "operation %zu of %zu", (uintmax_t)f->found->ino, size, f->since, c->n);
	}
	return 0;
}

/* Whether contents are right, if the names are those of ${seen}. */
static int check_contents(struct crash *c, size_t seen)
{
	struct files files = { 0 };
	struct model *m = model_clone(c->base);
	struct outcome out;
	char text[WHY_LEN];
	int err;

	for (size_t i = 0; m && i < seen; i++)
		apply(m, c->ops[i], &out);
	if (!m || model_diff(m, c->found, false, text, sizeof(text)) != 0)
		abort();	/* their digests are the same */
	note_files(&files, m->root);
	model_free(m);
	find_since(c, &files, seen);
	m = model_clone(c->base);
	if (!m)
		abort();
	compare_all(&files, m->root, 0);
	for (size_t i = 0; i < c->n; i++) {
		apply(m, c->ops[i], &out);
		if (out.result == SKIPPED)
			continue;
		compare_changed(&files, &out, i + 1);
		if (c->ops[i]->kind == OP_SYNCDIR)
			compare_all(&files, m->root, i + 1);
	}
	err = judge(c, &files);
	files_free(&files);
	model_free(m);
	return err;
}

int crash_check(struct real *r, const struct model *base, const struct op *const *ops,
    const struct done *done, size_t n, struct model *found, uint64_t synced_ns,
    struct moment *moments, unsigned int *n_moments)
{
	struct crash c = { r, base, ops, done, n, found };
	size_t *matches, n_matches;
	int err = find_moments(&c, synced_ns, moments, n_moments, &matches, &n_matches);

	if (err == -ENOENT)
		err = no_moment(&c);
	/* The newest first: what it complains about is the most telling. */
	for (size_t i = n_matches; i > 0 && !err; i--) {
		err = check_contents(&c, matches[i - 1]);
		if (!err)
			break;
		if (i > 1)
			err = 0;
	}
	free(matches);
	return err;
}
