/*
 * children: what a chunk refers to.  Pure.
 */
#ifndef CHUNKER_CHILDREN_H
#define CHUNKER_CHILDREN_H

#include "chunker/address.h"
#include "chunker/chunk.h"

/**
 * children_of(kind, a, chunk, tell, arg): call tell(arg, kind, address) for each chunk that ${chunk},
 * which was verified as ${a} under ${kind}, refers to: an index's nodes and data, a directory's nodes,
 * files, directories and xattrs kept apart, a snapshot's root and the list of the kept ones (not what
 * that lists).  Holes and empty files refer to nothing.  0, -EBADMSG where it is malformed (some may
 * have been told), or what tell() said that was not 0, which ends it.
 */
int children_of(enum kind kind, const struct address *a, struct chunk *chunk,
    int (*tell)(void *arg, enum kind kind, const struct address *a), void *arg);

#endif
