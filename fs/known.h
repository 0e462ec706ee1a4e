/*
 * known: which inodes of the tree the kernel knows, and how many lookups of each it will forget.
 *
 * The kernel forgets what it counted itself: a forget that was on its way while the inode was
 * looked up anew is one for the earlier lookups only.
 */
#ifndef FS_KNOWN_H
#define FS_KNOWN_H

#include <stdbool.h>
#include <stdint.h>

struct known;

/** known_new(): NULL: no memory. */
struct known *known_new(void);
void known_free(struct known *k);

/** known_add(k, ino): one lookup more, before the kernel is told.  -ENOMEM: then it must not be told. */
int known_add(struct known *k, uint64_t ino);

/** known_forget(k, ino, n): ${n} fewer.  True: none is left (or there never was one). */
bool known_forget(struct known *k, uint64_t ino, uint64_t n);

#endif
