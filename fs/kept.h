/* kept: the list of the kept snapshots, as a file in the set. */
#ifndef FS_KEPT_H
#define FS_KEPT_H

#include "chunker/chunk.h"
#include "chunker/snapshot.h"

/** kept_write(source, sink, list, n, out): write it.  0 or what the sink said; -ENOMEM. */
int kept_write(struct source *source, struct sink *sink, const struct kept *list, size_t n,
    struct ref *out);

/** kept_read(source, ref, out, n): into memory that is the caller's to free, whatever this returns.  -EBADMSG,
 * -ENOMEM, or what the source said. */
int kept_read(struct source *source, const struct ref *ref, struct kept **out, size_t *n);

#endif
