/* nulltree: nullfs's names, attributes and xattrs, in memory.  One lock of the caller's protects it all. */
#ifndef TOOLS_NULLTREE_H
#define TOOLS_NULLTREE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

struct directory;
struct xattr;

/* Lives while it has a name (attr.st_nlink) or the kernel knows it (lookups). */
struct inode {
	struct stat attr;
	uint64_t lookups;
	struct inode *parent;		/* of a directory */
	struct directory *directory;	/* its entries */
	struct xattr *xattrs;
	char *target;			/* of a symlink */
	char *bytes;			/* of a file that is kept; zeros behind its end */
	size_t room;			/* of bytes */
};

/* One name in a directory.  Cookies rise in the order of creation, and are never used again. */
struct entry {
	struct entry *next;		/* of the same hash bucket */
	struct inode *inode;
	uint64_t cookie;
	uint32_t hash;
	char name[];
};

#define COOKIE_DOTS 2	/* the cookie of ".."; entries' are larger */

/** tree_init(): the root, empty; NULL: no memory. */
struct inode *tree_init(void);

/** tree_make(dir, name, mode, out): a new inode of that type with its first name, owned by nobody in
 * particular.  0, -EEXIST, -ENOENT (${dir} was removed) or -ENOMEM. */
int tree_make(struct inode *dir, const char *name, mode_t mode, struct inode **out);

/** tree_find(dir, name): NULL when there is none. */
struct inode *tree_find(struct inode *dir, const char *name);

/** tree_next(dir, cookie): the first entry after that cookie, or NULL. */
struct entry *tree_next(struct inode *dir, uint64_t cookie);

/** tree_link(inode, dir, name): 0, -EEXIST, -ENOENT or -ENOMEM. */
int tree_link(struct inode *inode, struct inode *dir, const char *name);

/** tree_unlink(dir, name, directory): 0, -ENOENT, -EISDIR, -ENOTDIR or -ENOTEMPTY. */
int tree_unlink(struct inode *dir, const char *name, bool directory);

/** tree_rename(from, name, to, new_name, flags): as renameat2(2), which says the errors.  That no
 * directory comes below itself is the kernel's to check. */
int tree_rename(struct inode *from, const char *name, struct inode *to, const char *new_name,
		unsigned int flags);

/** tree_forget(inode, count): the kernel let go of it that many times. */
void tree_forget(struct inode *inode, uint64_t count);

/** tree_touch(inode): mtime and ctime are now.  tree_change(): ctime only. */
void tree_touch(struct inode *inode);
void tree_change(struct inode *inode);

/** tree_resize(inode, size): with the blocks that this takes. */
void tree_resize(struct inode *inode, off_t size);

/** tree_store(inode, data, len, offset): keep what was written.  0 or -ENOMEM. */
int tree_store(struct inode *inode, const char *data, size_t len, off_t offset);

/** tree_load(inode, out, len, offset): what was kept there, or zeros. */
void tree_load(const struct inode *inode, char *out, size_t len, off_t offset);

/** xattr_set(inode, name, value, size, flags): 0, -EEXIST, -ENODATA or -ENOMEM. */
int xattr_set(struct inode *inode, const char *name, const void *value, size_t size, int flags);

/** xattr_get(inode, name, value): its size, and where it is; or -ENODATA. */
ssize_t xattr_get(const struct inode *inode, const char *name, const char **value);

/** xattr_list(inode, out, size): the size of all names, each with its NUL; those are written if they fit. */
size_t xattr_list(const struct inode *inode, char *out, size_t size);

/** xattr_remove(inode, name): 0 or -ENODATA. */
int xattr_remove(struct inode *inode, const char *name);

#endif
