/*
 * acl: POSIX ACLs in the form in which Linux keeps them in xattrs, and what they and a file's
 * mode do to each other.  Pure.
 *
 * The kernel enforces them (FUSE_POSIX_ACL); what it leaves to a filesystem is here: an access
 * ACL sets the mode, chmod changes the ACL, a directory's default ACL is inherited.
 * Source: POSIX.1e draft 17, 23.1; Linux' fs/posix_acl.c for what the draft leaves open.
 */
#ifndef FS_ACL_H
#define FS_ACL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Bytes, little-endian: u32 version 2, then entries of u16 tag, u16 permissions (rwx as in a
 * mode), u32 id.  In this order: the owner; users by id; the group; groups by id; the mask
 * (which must be there where there is a user or a group by id); others.
 */

/** acl_check(acl, len): 0, -EINVAL (a header alone, too), or -EOPNOTSUPP (another version).
 * The functions below but acl_empty() want one that passed. */
int acl_check(const uint8_t *acl, size_t len);

/** acl_empty(acl, len): a header alone, which sets no ACL and removes the one that is there. */
bool acl_empty(const uint8_t *acl, size_t len);

/** acl_normalize(acl, len): entries that have no id get the one that Linux writes there. */
void acl_normalize(uint8_t *acl, size_t len);

/** acl_to_mode(acl, len, mode): set the nine permission bits of *${mode}.  Returns whether the ACL
 * says more than they do. */
bool acl_to_mode(const uint8_t *acl, size_t len, uint32_t *mode);

/** acl_chmod(acl, len, mode): the permission bits of ${mode} go into the ACL. */
void acl_chmod(uint8_t *acl, size_t len, uint32_t mode);

/** acl_inherit(acl, len, mode): ${acl} is the directory's default one; make it the access ACL of a
 * new file that was asked for with *${mode}, which gets what both allow.  The umask plays no part.
 * Returns whether the ACL says more than the mode. */
bool acl_inherit(uint8_t *acl, size_t len, uint32_t *mode);

#endif
