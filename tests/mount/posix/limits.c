/* limits: statvfs, how many links there may be, and what Linux refuses to a FUSE filesystem (README). */
#include "posix.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#ifndef FALLOC_FL_COLLAPSE_RANGE
#define FALLOC_FL_COLLAPSE_RANGE 8
#define FALLOC_FL_INSERT_RANGE 32
#endif

static void statvfs_tells_sane_values(void)
{
	struct statvfs st, again;
	struct statfs linux_st;
	int fd = (int)OK(open(".", O_RDONLY));

	OK(statvfs(".", &st));
	OK(fstatvfs(fd, &again));
	OK(statfs(".", &linux_st));
	SAME(st.f_namemax, 255);
	SAME(st.f_blocks, again.f_blocks);
	YES(st.f_bsize >= 512 && st.f_frsize >= 512);
	YES(st.f_blocks >= st.f_bfree && st.f_bfree >= st.f_bavail && st.f_bavail > 0);
	YES(st.f_files > st.f_ffree && st.f_ffree >= st.f_favail && st.f_favail > 0);
	YES(!(st.f_flag & ST_RDONLY));
	SAME(linux_st.f_namelen, 255);
	SAME(linux_st.f_blocks * (uint64_t)linux_st.f_frsize, st.f_blocks * st.f_frsize);
}

static void statvfs_moves_with_what_is_written(void)
{
	unsigned char *data = noise(32 * MIB, 4711);
	struct statvfs before, after;
	int fd;

	OK(statvfs(".", &before));
	fd = (int)OK(open("f", O_CREAT | O_RDWR, 0644));
	SAME(write(fd, data, 32 * MIB), 32 * MIB);
	OK(fsync(fd));
	OK(statvfs(".", &after));
	if (before.f_bavail * before.f_frsize < after.f_bavail * after.f_frsize + 24 * MIB)
		SKIP("others use the disk too");
	YES(after.f_files - after.f_ffree > before.f_files - before.f_ffree);
}

static void pathconf_tells_the_limits(void)
{
	SAME(pathconf(".", _PC_NAME_MAX), 255);
	SAME(pathconf(".", _PC_PATH_MAX), 4096);
	YES(pathconf(".", _PC_LINK_MAX) > 100);
	SAME(pathconf(".", _PC_NO_TRUNC), 1);
	SAME(pathconf(".", _PC_CHOWN_RESTRICTED), 1);
}

static void a_file_has_65000_names_and_then_EMLINK(void)
{
	char name[16];
	int i;

	make("f", "");
	OK(mkdir("names", 0755));
	for (i = 1; i < 65000; i++) {
		snprintf(name, sizeof name, "names/%d", i);
		OK(link("f", name));
	}
	SAME(look("f").st_nlink, 65000);
	FAILS(EMLINK, link("f", "one more"));
	OK(unlink("names/1"));
	OK(link("f", "one more"));
	FAILS(EMLINK, link("f", "names/1"));
	OK(chmod("f", 0600));
	SAME(mode_of("names/64999"), 0600);
	for (i = 2; i < 65000; i++) {
		snprintf(name, sizeof name, "names/%d", i);
		OK(unlink(name));
	}
	SAME(look("f").st_nlink, 2);
}

static void a_directory_has_as_many_subdirectories_as_one_likes(void)
{
	char name[16];

	for (int i = 0; i < 2000; i++) {
		snprintf(name, sizeof name, "%d", i);
		OK(mkdir(name, 0755));
	}
	SAME(look(".").st_nlink, 2002);
	for (int i = 0; i < 2000; i++) {
		snprintf(name, sizeof name, "%d", i);
		OK(rmdir(name));
	}
	SAME(look(".").st_nlink, 2);
}

/* Of dhtfs alone: the folder of all content at the top of the mount. */
static const char *by_hash(void)
{
	static char path[PATH_MAX] = ".";
	struct stat here = look(path), up;
	size_t len;

	for (;; here = up) {
		len = strlen(path);
		strcpy(path + len, "/..");
		up = look(path);
		if (up.st_dev != here.st_dev || up.st_ino == here.st_ino)
			break;
	}
	strcpy(path + len, "/by-hash");
	if (!there(path))
		SKIP("not dhtfs");
	return path;
}

static void what_is_reached_by_its_hash_is_EROFS_and_by_hash_itself_EBUSY(void)
{
	const char *root = by_hash();
	char path[PATH_MAX], address[65] = "", below[PATH_MAX + 16];

	OK(mkdir("dir", 0755));
	make("dir/f", "content");
	SAME(getxattr("dir", "user.dhtfs.address", address, 64), 64);
	snprintf(path, sizeof path, "%s/%s", root, address);
	snprintf(below, sizeof below, "%s/f", path);
	content(below, "content");
	FAILS(EROFS, open(below, O_WRONLY));
	FAILS(EROFS, open(below, O_RDONLY | O_TRUNC));
	FAILS(EROFS, truncate(below, 0));
	FAILS(EROFS, chmod(below, 0600));
	FAILS(EROFS, chown(below, 1, 1));
	FAILS(EROFS, utimensat(AT_FDCWD, below, NULL, 0));
	FAILS(EROFS, unlink(below));
	FAILS(EROFS, rename(below, "x"));
	FAILS(EROFS, rename("dir/f", below));
	FAILS(EROFS, setxattr(below, "user.x", "", 0, 0));
	FAILS(EROFS, rmdir(path));
	FAILS(EXDEV, link(below, "x"));
	snprintf(below, sizeof below, "%s/new", path);
	FAILS(EROFS, mkdir(below, 0755));
	FAILS(EROFS, symlink("x", below));
	FAILS(EROFS, mkfifo(below, 0644));
	FAILS(EROFS, link("dir/f", below));
	FAILS(EROFS, open(below, O_CREAT | O_WRONLY, 0644));
	FAILS(ENOENT, open(below, O_RDONLY));
	FAILS(EBUSY, rmdir(root));
	FAILS(EBUSY, rename(root, "x"));
	FAILS(EEXIST, mkdir(root, 0755));
	content("dir/f", "content");
}

static void values_of_xattrs_may_be_almost_64_KiB(void)
{
	unsigned char *value = noise(65536, 1), got[65536];

	by_hash();
	make("f", "");
	OK(setxattr("f", "user.large", value, 65000, 0));
	SAME(getxattr("f", "user.large", got, sizeof got), 65000);
	BYTES(got, value, 65000);
	FAILS(ENOSPC, setxattr("f", "user.more", value, 5000, 0));
	FAILS(ENOSPC, setxattr("f", "user.large", value, 65536, 0));
	SAME(getxattr("f", "user.large", got, sizeof got), 65000);
	OK(setxattr("f", "user.large", "12345", 5, 0));
	OK(setxattr("f", "user.more", value, 50000, 0));
}

/* What follows is what no FUSE filesystem can do, with the error that lets programs do without. */

static void FUSE_refuses_unnamed_files_with_EOPNOTSUPP(void)
{
	if (!on_fuse())
		SKIP("not FUSE");
	FAILS(EOPNOTSUPP, open(".", O_TMPFILE | O_RDWR, 0600));
	FAILS(EINVAL, open(".", O_TMPFILE | O_RDONLY, 0600));
}

static void FUSE_refuses_to_collapse_and_insert_with_EOPNOTSUPP(void)
{
	int fd;

	if (!on_fuse())
		SKIP("not FUSE");
	fill("f", noise(65536, 1), 65536);
	fd = (int)OK(open("f", O_RDWR));
	FAILS(EOPNOTSUPP, fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096));
	FAILS(EOPNOTSUPP, fallocate(fd, FALLOC_FL_INSERT_RANGE, 0, 4096));
	FAILS(EOPNOTSUPP, fallocate(fd, 0x40, 0, 4096));	/* FALLOC_FL_UNSHARE_RANGE */
	filled("f", noise(65536, 1), 65536);
}

static void FUSE_refuses_to_clone_with_EOPNOTSUPP(void)
{
	struct file_clone_range range = { .src_length = 4096 };
	int from, to;

	if (!on_fuse())
		SKIP("not FUSE");
	make("from", "x");
	make("to", "y");
	from = (int)OK(open("from", O_RDONLY));
	to = (int)OK(open("to", O_RDWR));
	FAILS(EOPNOTSUPP, ioctl(to, FICLONE, from));
	range.src_fd = from;
	FAILS(EOPNOTSUPP, ioctl(to, FICLONERANGE, &range));
	content("to", "y");
}

static void FUSE_syncs_the_filesystem_as_far_as_the_kernels_pages(void)
{
	int fd;

	if (!on_fuse())
		SKIP("not FUSE");
	make("f", "x");
	fd = (int)OK(open("f", O_RDONLY));
	OK(syncfs(fd));
	FAILS(EBADF, syncfs(-1));
}

const struct test limits_tests[] = {
	T(statvfs_tells_sane_values),
	T(statvfs_moves_with_what_is_written),
	T(pathconf_tells_the_limits),
	T(a_file_has_65000_names_and_then_EMLINK),
	T(a_directory_has_as_many_subdirectories_as_one_likes),
	ROOT(what_is_reached_by_its_hash_is_EROFS_and_by_hash_itself_EBUSY),
	T(values_of_xattrs_may_be_almost_64_KiB),
	T(FUSE_refuses_unnamed_files_with_EOPNOTSUPP),
	T(FUSE_refuses_to_collapse_and_insert_with_EOPNOTSUPP),
	T(FUSE_refuses_to_clone_with_EOPNOTSUPP),
	T(FUSE_syncs_the_filesystem_as_far_as_the_kernels_pages),
	{ 0 }
};
