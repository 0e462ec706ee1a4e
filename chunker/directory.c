#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "chunker/directory_node.h"

/* Where ${name} is or would be: the last item that is not behind it.  False: before them all. */
static bool find_name(const struct directory_node *n, struct name name, struct item *out,
    const uint8_t **behind)
{
	const uint8_t *p = n->p;
	struct item item;
	bool found = false;

	while (directory_node_next(n, &p, &item) && name_compare(item.name, name) <= 0) {
		*out = item;
		*behind = p;
		found = true;
	}
	return found;
}

int directory_lookup(struct source *source, const struct ref *ref, const char *name,
    size_t name_len, struct entry *out, struct chunk **holder)
{
	const struct name want = { name, name_len };
	struct directory_node node = { 0 }, child;
	struct expected expected;
	const uint8_t *behind;
	struct item item;
	int rc;

	if (!entry_name_valid(name, name_len))
		return -ENOENT;
	rc = directory_expect_root(ref, &expected);
	if (rc != 0)
		return rc;
	for (;;) {
		rc = directory_node_load(source, &expected, &child);
		directory_node_drop(&node);
		if (rc != 0)
			return rc;
		node = child;
		if (!find_name(&node, want, &item, &behind)) {
			rc = -ENOENT;
			goto err;
		}
		if (node.level == 0)
			break;
		directory_node_child(&node, &item, behind, &expected);
	}
	rc = -ENOENT;
	if (name_compare(item.name, want) != 0)
		goto err;
	rc = entry_decode(item.bytes, item.len, out);
	if (rc != 0)
		goto err;
	*holder = node.chunk;
	return 0;
err:
	directory_node_drop(&node);
	return rc;
}

/* A node on the path to the next name. */
struct step {
	struct directory_node node;
	uint64_t start;		/* the number of its first name */
};

/*
 * Invariants:
 * 1. path[0] is the root and each step is a child of the one before it; their names enclose
 *    each other, and bounds point into the step before.
 * 2. ${at} is the number of the next name.  Only next() moves the path to it, so that a
 *    source that says -EAGAIN leaves a path that is short, not wrong.
 * 3. ${p} is in the leaf, if the path ends in one, before its name number ${p_at}.
 */
struct directory_cursor {
	struct source *source;
	struct ref ref;
	uint64_t at;
	struct step path[NODE_LEVELS];
	unsigned int depth;
	const uint8_t *p;
	uint64_t p_at;
};

struct directory_cursor *directory_cursor_new(struct source *source, const struct ref *ref)
{
	struct directory_cursor *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->source = source;
	c->ref = *ref;
	return c;
}

void directory_cursor_free(struct directory_cursor *c)
{
	if (!c)
		return;
	while (c->depth > 0)
		directory_node_drop(&c->path[--c->depth].node);
	free(c);
}

int directory_cursor_seek(struct directory_cursor *c, uint64_t n)
{
	c->at = n;
	return 0;
}

static void rewind_leaf(struct directory_cursor *c)
{
	const struct step *leaf = &c->path[c->depth - 1];

	c->p = leaf->node.p;
	c->p_at = leaf->start;
}

static int push(struct directory_cursor *c, const struct expected *expected, uint64_t start)
{
	struct step *step = &c->path[c->depth];
	int rc;

	assert(c->depth < NODE_LEVELS);
	rc = directory_node_load(c->source, expected, &step->node);
	if (rc != 0)
		return rc;
	step->start = start;
	c->depth++;
	rewind_leaf(c);
	return 0;
}

/* One step down, to the child that has the next name. */
static int descend(struct directory_cursor *c)
{
	const struct step *step = &c->path[c->depth - 1];
	const uint8_t *p = step->node.p;
	uint64_t start = step->start;
	struct expected expected;
	struct item item;

	while (directory_node_next(&step->node, &p, &item)) {
		if (c->at - start < item.names) {
			directory_node_child(&step->node, &item, p, &expected);
			return push(c, &expected, start);
		}
		start += item.names;
	}
	assert(!"a node has fewer names than were counted in it");
	return -EBADMSG;
}

static bool covers(const struct step *s, uint64_t n)
{
	return n >= s->start && n - s->start < s->node.names;
}

int directory_cursor_next(struct directory_cursor *c, struct entry *out)
{
	struct expected expected;
	struct item item;
	int rc;

	if (c->depth == 0) {
		rc = directory_expect_root(&c->ref, &expected);
		if (rc == 0)
			rc = push(c, &expected, 0);
		if (rc != 0)
			return rc;
	}
	if (!covers(&c->path[0], c->at))
		return 0;
	while (!covers(&c->path[c->depth - 1], c->at))
		directory_node_drop(&c->path[--c->depth].node);
	while (c->path[c->depth - 1].node.level > 0) {
		rc = descend(c);
		if (rc != 0)
			return rc;
	}
	if (c->at < c->p_at)
		rewind_leaf(c);
	do {
		if (!directory_node_next(&c->path[c->depth - 1].node, &c->p, &item))
			assert(!"a leaf has fewer names than were counted in it");
	} while (c->p_at++ < c->at);
	rc = entry_decode(item.bytes, item.len, out);
	if (rc != 0) {
		rewind_leaf(c);
		return rc;
	}
	c->at++;
	return 1;
}
