#include "fs/remount.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

/* Those that statvfs() tells, under the same numbers. */
#define KEPT	(MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_SYNCHRONOUS | MS_NOATIME | MS_NODIRATIME)

static int failed(const struct options *o, const char *why)
{
	fprintf(stderr, "dhtfs: %s: %s\n", o->mountpoint, why);
	return -1;
}

/* Mounted with ro, the process itself writes nothing, whatever the kernel lets through. */
static bool serves_read_only(const struct options *o)
{
	return removexattr(o->mountpoint, "user.dhtfs.remount") < 0 && errno == EROFS;
}

int remount(const struct options *o)
{
	struct statvfs now;
	struct statfs fs;
	unsigned long flags;

	if (statfs(o->mountpoint, &fs) < 0 || statvfs(o->mountpoint, &now) < 0)
		return failed(o, strerror(errno));
	if (fs.f_type != FUSE_SUPER_MAGIC)
		return failed(o, "there is no mount of dhtfs to change");
	flags = (now.f_flag & KEPT & ~o->flags_named) | o->flags;
	if (mount(NULL, o->mountpoint, NULL, MS_REMOUNT | flags, NULL) < 0)
		return failed(o, errno == EPERM ? "only root can remount" : strerror(errno));
	if (!(now.f_flag & ST_RDONLY) || (flags & MS_RDONLY) || !serves_read_only(o))
		return 0;
	mount(NULL, o->mountpoint, NULL, MS_REMOUNT | flags | MS_RDONLY, NULL);
	return failed(o, "it was mounted with ro: unmount it, and mount it without");
}
