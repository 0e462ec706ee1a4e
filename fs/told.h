/*
 * told: what the kernel was told of attributes that a change may overtake.
 *
 * An answer with attributes (to getattr, lookup, readdirplus) and a change hold no common lock of the
 * kernel's.  Of some changes it counts that they were (writes, links, setattr), and refuses an older answer.  Of others it
 * throws away what it remembered when the change is answered, and may then take what the older answer says, for as long as
 * it may remember that: of the names in a directory, of ACLs, which change the mode, and, of all but regular files, of
 * renames and xattrs, which change the ctime.  An invalidation makes it refuse all answers to what was asked before; but it
 * costs, and takes ACLs along, so it is sent only after attributes were told.
 *
 * When a name of several is removed, it subtracts one from the links that it remembers.  An answer that has one less
 * already must not get there before.
 */
#ifndef FS_TOLD_H
#define FS_TOLD_H

#include <stdbool.h>
#include <stdint.h>

struct fuse_session;
struct told;

/** told_new(): NULL: no memory. */
struct told *told_new(void);
void told_free(struct told *t);

/** told_soon(t, ino): the kernel will be told attributes of this inode, which are read after this call. */
void told_soon(struct told *t, uint64_t ino);

/** told_changed(t, session, ino): this inode has been changed in a way that the kernel does not count, which is answered
 * after this call. */
void told_changed(struct told *t, struct fuse_session *session, uint64_t ino);

/** told_removing(t): a name is about to be removed.  told_removed(t, ino): it is, which is answered after this call, and
 * ${ino} has others; 0: it has none, or no name was removed. */
void told_removing(struct told *t);
void told_removed(struct told *t, uint64_t ino);

/** told_subtracts(t, ino): the kernel may be yet to subtract a name that this inode did not have when it was read, before this call. */
bool told_subtracts(struct told *t, uint64_t ino);

#endif
