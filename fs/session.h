/* session: what a kernel can do, and three bits in the INIT reply that libfuse 3.14 cannot ask for. */
#ifndef FS_SESSION_H
#define FS_SESSION_H

#include <stdbool.h>

struct fuse_session;

/* In the flags of a setxattr of an access ACL: who sets it may not keep the set-gid bit. */
#define SESSION_KILL_SGID	(1 << 30)

/**
 * session_custom_io(se): after fuse_session_mount(), set FUSE_HANDLE_KILLPRIV_V2 (else every write(2)
 * costs a getxattr of security.capability), FUSE_PARALLEL_DIROPS and FUSE_SETXATTR_EXT in the
 * reply to FUSE_INIT, where the kernel offers them.  All else passes through.  0 or -errno.
 */
int session_custom_io(struct fuse_session *se);

/**
 * session_read_ahead(mountpoint): after fuse_session_mount(), have the kernel read 1 MiB ahead: a request
 * costs more than its bytes.  INIT can only lower its 128 KiB; raising it is root's, so for others nothing
 * changes.  Asks the filesystem nothing.
 */
void session_read_ahead(const char *mountpoint);

/**
 * session_calls_in(release): does a kernel of this release (uname(2)) wait, when pages are invalidated, for those too that it is writing
 * back?  Before 6.16 ("fuse: remove tmp folio for writebacks") it wrote back copies, and took the pages for clean.
 */
bool session_calls_in(const char *release);

#endif
