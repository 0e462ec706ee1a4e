/* people: what getfattr tells of a file in the set: user.dhtfs.address and others. */
#ifndef FS_PEOPLE_H
#define FS_PEOPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunker/address.h"

struct fs;
struct fuse_req;

/**
 * user.dhtfs.address	64 hex digits: of the bytes received so far, or of the directory
 * user.dhtfs.chunks	how many chunks the content has (a directory: its nodes are not counted)
 * user.dhtfs.replicas	"3/3": how many nodes have all of it, proved just now, of how many should; "1/1" without a ring
 *
 * Readable, never listed (cp -a would try to copy them), never written (EPERM).
 */
bool people_has(const char *name);

/** people_getxattr(fs, req, ino, name, size): answers ${req}: flushes the file, or takes a snapshot for a
 * directory, and then tells.  ENODATA for what has no content of its own. */
void people_getxattr(struct fs *fs, struct fuse_req *req, uint64_t ino, const char *name,
    size_t size);

/** people_answer(fs, req, ref, name, size): the same for content that is known already. */
void people_answer(struct fs *fs, struct fuse_req *req, const struct ref *ref, const char *name,
    size_t size);

#endif
