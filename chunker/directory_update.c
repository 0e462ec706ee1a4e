/*
 * Old tree and changes are merged in the order of names into a builder.  A subtree that no
 * change touches is taken over whole, unread, where two things hold:
 * - the builder is fresh: what came before it ended by content just there;
 * - it ended by content itself, or nothing at all comes behind it.  Every node but the last of
 *   its level did end by content.  So only the subtrees at the old tree's right edge are in
 *   doubt, and they are taken over only when no change is left.
 * Otherwise the merge goes one level down into it.  It comes out of step with the old tree where
 * a boundary moved, and gets back in step at the next boundary that did not.
 */
#include <errno.h>
#include <string.h>

#include "chunker/directory_node.h"

struct merge {
	struct source *source;
	struct builder *builder;
	struct changes *changes;
	struct change change;		/* the next one, if has_change */
	bool has_change;
	char last_name[NAME_LEN_MAX];	/* of the change before it */
	size_t last_len;
	uint64_t adds;			/* to the builder */
	struct expected whole;		/* if adds is 1: what was taken over, if taken_over */
	bool taken_over;
};

static struct name change_name(const struct merge *m)
{
	return (struct name){ m->change.entry.name, m->change.entry.name_len };
}

static int change_next(struct merge *m)
{
	int rc;

	if (m->has_change) {
		m->last_len = m->change.entry.name_len;
		memcpy(m->last_name, m->change.entry.name, m->last_len);
	}
	rc = m->changes->next(m->changes, &m->change);
	m->has_change = rc > 0;
	if (rc <= 0)
		return rc;
	if (!entry_name_valid(m->change.entry.name, m->change.entry.name_len))
		return -EINVAL;
	if (m->last_len > 0 &&
	    name_compare((struct name){ m->last_name, m->last_len }, change_name(m)) >= 0)
		return -EINVAL;
	return 0;
}

static bool change_before(const struct merge *m, struct name bound)
{
	return m->has_change && (!bound.s || name_compare(change_name(m), bound) < 0);
}

static int add(struct merge *m, unsigned int level, const uint8_t *item, size_t len,
    uint64_t names)
{
	m->adds++;
	m->taken_over = false;
	return builder_add(m->builder, level, item, len, names);
}

static int make_change(struct merge *m)
{
	uint8_t bytes[ENTRY_LEN_MAX];
	int len, rc;

	if (!m->change.removed) {
		len = entry_encode(&m->change.entry, bytes, sizeof bytes);
		if (len < 0)
			return len;
		rc = add(m, 0, bytes, (size_t)len, 1);
		if (rc != 0)
			return rc;
	}
	return change_next(m);
}

static int make_changes_before(struct merge *m, struct name bound)
{
	int rc = 0;

	while (rc == 0 && change_before(m, bound))
		rc = make_change(m);
	return rc;
}

static int merge_leaf(struct merge *m, const struct directory_node *leaf)
{
	const uint8_t *p = leaf->p;
	struct entry old;
	struct item item;
	int rc;

	while (directory_node_next(leaf, &p, &item)) {
		rc = make_changes_before(m, item.name);
		if (rc != 0)
			return rc;
		if (m->has_change && name_compare(change_name(m), item.name) == 0) {
			rc = make_change(m);
		} else {
			/* Nothing malformed is copied into a node of ours. */
			rc = entry_decode(item.bytes, item.len, &old);
			if (rc == 0)
				rc = add(m, 0, item.bytes, item.len, 1);
		}
		if (rc != 0)
			return rc;
	}
	return make_changes_before(m, leaf->bound);
}

static int merge_node(struct merge *m, const struct expected *expected)
{
	struct directory_node node;
	struct expected child;
	const uint8_t *p;
	struct item item;
	int rc;

	rc = directory_node_load(m->source, expected, &node);
	if (rc != 0)
		return rc;
	p = node.p;
	if (node.level == 0) {
		rc = merge_leaf(m, &node);
		goto err;
	}
	while (rc == 0 && directory_node_next(&node, &p, &item)) {
		directory_node_child(&node, &item, p, &child);
		/* At the right edge there is no bound: any change at all is before it. */
		if (change_before(m, child.bound) || !builder_fresh(m->builder, node.level)) {
			rc = merge_node(m, &child);
			continue;
		}
		rc = add(m, node.level, item.bytes, item.len, item.names);
		m->taken_over = true;
		m->whole = child;
	}
err:
	directory_node_drop(&node);
	return rc;
}

/*
 * All that is left is one subtree of the old tree.  It may be from the right edge, where a node
 * can have a single entry; then the node below it is the root.
 */
static int shrink(struct merge *m, struct ref *out)
{
	struct directory_node node;
	struct expected root = m->whole;
	bool single = true;
	int rc;

	/* Names of the node above went with it. */
	root.first = root.bound = (struct name){ 0 };
	while (single && root.level > 0) {
		struct expected child;
		struct item item;
		const uint8_t *p;

		rc = directory_node_load(m->source, &root, &node);
		if (rc != 0)
			return rc;
		single = node.entries == 1;
		p = node.p;
		if (single && directory_node_next(&node, &p, &item)) {
			directory_node_child(&node, &item, p, &child);
			child.first = child.bound = (struct name){ 0 };
			root = child;
		}
		directory_node_drop(&node);
	}
	out->address = root.address;
	out->size = root.names;
	return 0;
}

static int finish(struct merge *m, struct ref *out)
{
	unsigned int level;

	*out = (struct ref){ .hash = HASH_BLAKE2B_256, .kind = KIND_DIRECTORY };
	if (m->adds == 1 && m->taken_over)
		return shrink(m, out);
	return builder_finish(m->builder, &level, &out->address, &out->size);
}

int directory_update(struct source *source, struct sink *sink, const struct ref *old,
    struct changes *changes, struct ref *out)
{
	struct merge m = { .source = source, .changes = changes };
	struct expected root;
	int rc;

	m.builder = builder_new(&directory_type, sink);
	if (!m.builder)
		return -ENOMEM;
	rc = change_next(&m);
	if (rc != 0)
		goto err;
	if (old) {
		if (!m.has_change) {
			*out = *old;
			goto err;
		}
		rc = directory_expect_root(old, &root);
		if (rc != 0)
			goto err;
		rc = merge_node(&m, &root);
	} else {
		rc = make_changes_before(&m, (struct name){ 0 });
	}
	if (rc == 0)
		rc = finish(&m, out);
err:
	builder_free(m.builder);
	return rc;
}
