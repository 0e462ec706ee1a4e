/*
 * view: read-only directories straight from the set, as inodes for the kernel.
 *
 * A node is one entry in one parent: made when it is looked up, gone when the kernel
 * forgets it.  Two places that show the same content are two nodes.  What a node says
 * never changes, so it is read without a lock by whoever holds it.
 *
 * A root may be replaced by one that says something else under the same number.  What was looked up in the old one lives
 * on, with all below it, as long as somebody holds it; a name that is the same in both keeps its node.
 */
#ifndef FS_VIEW_H
#define FS_VIEW_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "chunker/address.h"
#include "chunker/directory.h"

struct fs;
struct view;
struct fuse_req;

enum view_type {
	VIEW_ROOT,	/* by-hash: prefixes, and every address */
	VIEW_PREFIX,	/* by-hash/ab: the addresses here that begin so */
	VIEW_ENTRY,	/* something in the set */
};

struct view_node {
	uint64_t ino;
	enum view_type type;
	struct view_node *parent;	/* NULL: the root */
	struct stat st;
	struct ref ref;			/* VIEW_ENTRY: content of files and directories */
	uint8_t prefix;			/* VIEW_PREFIX */
	char *target;			/* symlinks */
	uint8_t *xattrs;		/* encoded, or NULL */
	uint32_t xattrs_len;
	bool xattrs_apart;
	struct ref xattrs_ref;
	char *name;			/* in the parent; ends with NUL */
	size_t name_len;
	/* private */
	uint64_t lookups;		/* of the kernel */
	unsigned int holds;		/* of children, and of requests on their way */
	bool replaced;			/* a root: another one has its number */
	bool nameless;			/* its parent's name leads to another one by now */
	struct view_node *by_ino, *by_name;
};

/** view_new(first_ino, root, out): ${root} describes the root (type, st); numbers go up from ${first_ino}, the root's. */
int view_new(uint64_t first_ino, const struct view_node *root, struct view **out);
void view_free(struct view *v);

/** view_set_root(v, ino, root): the root with the number ${ino}, of which there may be one already, is described by ${root} from now on.
 * Not the one of view_new().  0 or -ENOMEM: then all is as it was. */
int view_set_root(struct view *v, uint64_t ino, const struct view_node *root);

/** view_hold(v, ino): the node, held until view_drop(); NULL: the kernel has forgotten it.  view_hold_again(v, n): once more. */
struct view_node *view_hold(struct view *v, uint64_t ino);
void view_hold_again(struct view *v, struct view_node *n);
void view_drop(struct view *v, struct view_node *n);

/** view_add(v, parent, name, len, like): the node of that name in ${parent}, made like ${like} (whose target and
 * xattrs are copied; ino, name and counts are not looked at) if it is not there, or there is another
 * from before ${parent} was replaced, with one more lookup of the kernel's, and held.  NULL: no memory. */
struct view_node *view_add(struct view *v, struct view_node *parent, const char *name,
    size_t name_len, const struct view_node *like);

/** view_forget(v, ino, lookups): the kernel drops so many. */
void view_forget(struct view *v, uint64_t ino, uint64_t lookups);

/** view_from_entry(e, out): what a node says for a directory's entry.  Set-id bits are masked; devices lose
 * their number, so that opening them is ENXIO.  Pointers are the entry's. */
void view_from_entry(const struct entry *e, struct view_node *out);

/** view_count(v): nodes there are. */
uint64_t view_count(struct view *v);

#endif
