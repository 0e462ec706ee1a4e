/*
 * directory_diff: the names in which two directories differ.  Pure.
 *
 * Nodes that both have are passed over, so what is loaded is in proportion to what differs.
 */
#ifndef CHUNKER_DIRECTORY_DIFF_H
#define CHUNKER_DIRECTORY_DIFF_H

#include "chunker/directory.h"

struct directory_diff;

/** directory_diff_new(source, a, b): NULL: no memory.  ${a} or ${b} NULL: no directory, without names.  Keeps
 * ${source}, which must not say -EAGAIN.  directory_diff_free(NULL) does nothing. */
struct directory_diff *directory_diff_new(struct source *source, const struct ref *a,
    const struct ref *b);
void directory_diff_free(struct directory_diff *d);

/** directory_diff_next(d, a, b): the next name, in their order, whose entries are not the same: *${a} and *${b}, of
 * which one may be NULL, are valid until the next call.  1, 0 at the end, or -errno: -EBADMSG, or
 * what the source said. */
int directory_diff_next(struct directory_diff *d, const struct entry **a, const struct entry **b);

#endif
