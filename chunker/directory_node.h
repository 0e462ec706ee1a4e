/* directory_node: one chunk of a directory's tree, checked.  Private to the chunker. */
#ifndef CHUNKER_DIRECTORY_NODE_H
#define CHUNKER_DIRECTORY_NODE_H

#include <stdbool.h>

#include "chunker/directory.h"
#include "chunker/node.h"

extern const struct node_type directory_type;

/* A name by its bytes, in someone else's memory.  s is NULL where there is none. */
struct name {
	const char *s;
	size_t len;
};

/** name_compare(a, b): the order of names: memcmp, shorter first. */
int name_compare(struct name a, struct name b);

/*
 * One thing that a node lists.  In a leaf, an entry (see directory.h).  Above:
 *    0  1  length n of the first name below
 *    1  n  that name
 *  1+n  8  le64 number of names below
 *  9+n 32  address
 */
struct item {
	const uint8_t *bytes;
	size_t len;
	struct name name;		/* in a leaf the entry's, above the first below */
	uint64_t names;			/* below; in a leaf 1 */
	struct address address;		/* above leaves only */
};

#define LEVEL_ANY	UINT32_MAX

/* What is known of a node before it is loaded. */
struct expected {
	struct address address;
	unsigned int level;	/* or LEVEL_ANY: a root */
	uint64_t names;
	struct name first;	/* its first name, where known */
	struct name bound;	/* all its names are less than this, where known */
};

struct directory_node {
	struct chunk *chunk;	/* held; entries and names point into it */
	unsigned int level;
	uint32_t entries;
	uint64_t names;
	const uint8_t *p, *end;
	struct name bound;
};

/**
 * directory_node_load(source, want, out): get a node and check all that can be checked without
 * its children: every name, their order, lengths, sums, and that it is what ${want} says.  The
 * bytes of entries beyond length and name are left to entry_decode().  ${want}'s names must
 * outlive ${out}.  0, -EBADMSG, or what the source said; on error there is nothing to drop.
 */
int directory_node_load(struct source *source, const struct expected *want,
    struct directory_node *out);
void directory_node_drop(struct directory_node *n);

/** directory_expect_root(ref, out): how to load the root of ${ref}.  -EBADMSG: no directory. */
int directory_expect_root(const struct ref *ref, struct expected *out);

/** directory_node_next(n, p, out): the item at *${p}, which moves on; at first *${p} = n->p.
 * False at the end. */
bool directory_node_next(const struct directory_node *n, const uint8_t **p, struct item *out);

/** directory_node_child(n, item, p, out): how to load the node below ${item}, which ${p} is behind. */
void directory_node_child(const struct directory_node *n, const struct item *item,
    const uint8_t *p, struct expected *out);

#endif
