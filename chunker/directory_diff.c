#include "chunker/directory_diff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/directory_node.h"

/* A node on the way, and what follows the current item in it. */
struct step {
	struct directory_node node;
	const uint8_t *behind;
};

/*
 * One of the two, at an item of any level that stands for all that is below it; item.bytes is
 * NULL at the end.
 */
struct walk {
	const struct ref *ref;		/* NULL: none */
	struct step path[NODE_LEVELS];
	unsigned int depth;
	struct item item;
	struct entry entry;
};

struct directory_diff {
	struct source *source;
	struct ref ref[2];
	struct walk walk[2];
	bool started;
};

struct directory_diff *directory_diff_new(struct source *source, const struct ref *a,
    const struct ref *b)
{
	struct directory_diff *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->source = source;
	if (a) {
		d->ref[0] = *a;
		d->walk[0].ref = &d->ref[0];
	}
	if (b) {
		d->ref[1] = *b;
		d->walk[1].ref = &d->ref[1];
	}
	return d;
}

void directory_diff_free(struct directory_diff *d)
{
	for (int i = 0; d && i < 2; i++) {
		while (d->walk[i].depth > 0)
			directory_node_drop(&d->walk[i].path[--d->walk[i].depth].node);
	}
	free(d);
}

static unsigned int level(const struct walk *w)
{
	return w->path[w->depth - 1].node.level;
}

/* The item behind the current one, in this node or one above. */
static void advance(struct walk *w)
{
	w->item.bytes = NULL;
	while (w->depth > 0) {
		struct step *s = &w->path[w->depth - 1];

		if (directory_node_next(&s->node, &s->behind, &w->item))
			return;
		directory_node_drop(&s->node);
		w->depth--;
		w->item.bytes = NULL;
	}
}

static int push(struct directory_diff *d, struct walk *w, const struct expected *want)
{
	struct step *s = &w->path[w->depth];
	int rc = w->depth < NODE_LEVELS ? directory_node_load(d->source, want, &s->node) : -EBADMSG;

	if (rc < 0)
		return rc;
	s->behind = s->node.p;
	w->depth++;
	advance(w);
	return 0;
}

/* To the first item of what the current one lists. */
static int descend(struct directory_diff *d, struct walk *w)
{
	const struct step *s = &w->path[w->depth - 1];
	struct expected want;

	directory_node_child(&s->node, &w->item, s->behind, &want);
	return push(d, w, &want);
}

static int start(struct directory_diff *d)
{
	d->started = true;
	for (int i = 0; i < 2; i++) {
		struct expected want;
		int rc;

		if (!d->walk[i].ref)
			continue;
		rc = directory_expect_root(d->walk[i].ref, &want);
		if (rc == 0)
			rc = push(d, &d->walk[i], &want);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Which of the two has the lower first name; both: 0; an end comes after all names. */
static int order(const struct walk *a, const struct walk *b)
{
	if (!a->item.bytes || !b->item.bytes)
		return a->item.bytes ? -1 : 1;
	return name_compare(a->item.name, b->item.name);
}

/* The current item is in this one alone, or begins before all that the other has left.  1: an entry. */
static int take_one(struct directory_diff *d, struct walk *w, const struct entry **out)
{
	int rc;

	if (level(w) > 0)
		return descend(d, w);
	rc = entry_decode(w->item.bytes, w->item.len, &w->entry);
	*out = &w->entry;
	return rc < 0 ? rc : 1;
}

/* Both begin with the same name.  1: entries that differ. */
static int take_both(struct directory_diff *d, const struct entry **a, const struct entry **b)
{
	struct walk *x = &d->walk[0], *y = &d->walk[1];
	int rc = 0;

	if (level(x) == level(y) && x->item.len == y->item.len &&
	    memcmp(x->item.bytes, y->item.bytes, x->item.len) == 0) {
		advance(x);
		advance(y);
		return 0;
	}
	if (level(x) == 0 && level(y) == 0) {
		rc = take_one(d, x, a);
		return rc < 0 ? rc : take_one(d, y, b);
	}
	if (level(x) > level(y))
		return descend(d, x);
	if (level(x) == level(y))
		rc = descend(d, x);
	return rc < 0 ? rc : descend(d, y);
}

int directory_diff_next(struct directory_diff *d, const struct entry **a, const struct entry **b)
{
	struct walk *x = &d->walk[0], *y = &d->walk[1];
	int rc = 0;

	if (!d->started)
		rc = start(d);
	/* What was given out last is still the current one: the entries point into its node. */
	if (x->entry.name)
		advance(x);
	if (y->entry.name)
		advance(y);
	x->entry.name = y->entry.name = NULL;
	*a = *b = NULL;
	while (rc == 0 && (x->item.bytes || y->item.bytes)) {
		int c = order(x, y);

		rc = c < 0 ? take_one(d, x, a) : c > 0 ? take_one(d, y, b) : take_both(d, a, b);
	}
	return rc;
}
