/* attributes: stat, chmod, chown and the umask. */
#include "posix.h"

#include <grp.h>
#include <sys/sysmacros.h>

#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif

static void make_kinds(void)
{
	make("file", "");
	OK(mkdir("dir", 0755));
	OK(mkfifo("fifo", 0644));
	OK(mknod("sock", S_IFSOCK | 0644, 0));
}

static const char *const kinds[] = { "file", "dir", "fifo", "sock" };

static void chmod_sets_every_bit_of_every_kind_and_moves_the_ctime_alone(void)
{
	static const mode_t modes[] = { 0, 01, 0111, 0644, 0755, 01777, 04711, 02755, 06777, 07777 };

	make_kinds();
	for (size_t i = 0; i < COUNT(kinds); i++) {
		mode_t type = look(kinds[i]).st_mode & S_IFMT;

		age(kinds[i]);
		for (size_t j = 0; j < COUNT(modes); j++) {
			OK(chmod(kinds[i], modes[j]));
			SAME(look(kinds[i]).st_mode, type | modes[j]);
		}
		MOVES(kinds[i], "c", OK(chmod(kinds[i], 0640)));
		MOVES(kinds[i], "c", OK(chmod(kinds[i], 0640)));
		OK(chmod(kinds[i], S_IFMT | 0600));
		SAME(look(kinds[i]).st_mode, type | 0600);
	}
}

static void fchmod_does_the_same_by_descriptor(void)
{
	int fd;

	make_kinds();
	age("file");
	fd = (int)OK(open("file", O_RDONLY));
	MOVES("file", "c", OK(fchmod(fd, 0600)));
	SAME(look_fd(fd).st_mode, S_IFREG | 0600);
	fd = (int)OK(open("dir", O_RDONLY));
	MOVES("dir", "c", OK(fchmod(fd, 0711)));
	FAILS(EBADF, fchmod(-1, 0600));
	fd = (int)OK(open("file", O_PATH));
	FAILS(EBADF, fchmod(fd, 0600));
}

static void chown_sets_owner_and_group_each_alone_and_moves_the_ctime_alone(void)
{
	make_kinds();
	OK(symlink("file", "link"));
	for (size_t i = 0; i < COUNT(kinds); i++) {
		age(kinds[i]);
		MOVES(kinds[i], "c", OK(chown(kinds[i], 12, 34)));
		MOVES(kinds[i], "c", OK(chown(kinds[i], 56, (gid_t)-1)));
		SAME(look(kinds[i]).st_uid, 56);
		SAME(look(kinds[i]).st_gid, 34);
		MOVES(kinds[i], "c", OK(chown(kinds[i], (uid_t)-1, 78)));
		SAME(look(kinds[i]).st_uid, 56);
		SAME(look(kinds[i]).st_gid, 78);
		OK(chown(kinds[i], (uid_t)-1, (gid_t)-1));
		SAME(look(kinds[i]).st_uid, 56);
		OK(chown(kinds[i], 4294967294U, 4294967294U));
		SAME(look(kinds[i]).st_uid, 4294967294U);
		SAME(look(kinds[i]).st_gid, 4294967294U);
	}
	OK(lchown("link", 9, 10));
	SAME(look("link").st_gid, 10);
	SAME(look("file").st_uid, 4294967294U);
	FAILS(EBADF, fchown(-1, 0, 0));
	FAILS(EINVAL, fchownat(AT_FDCWD, "file", 1, 1, 1));
	OK(fchownat((int)OK(open("link", O_PATH | O_NOFOLLOW)), "", 11, 12, AT_EMPTY_PATH));
	SAME(look("link").st_gid, 12);
}

static void chown_to_nothing_new_moves_the_ctime_too(void)
{
	make_kinds();
	for (size_t i = 0; i < COUNT(kinds); i++) {
		age(kinds[i]);
		MOVES(kinds[i], "c", OK(chown(kinds[i], (uid_t)-1, (gid_t)-1)));
		MOVES(kinds[i], "c", OK(chown(kinds[i], geteuid(), getegid())));
	}
}

static void the_umask_takes_its_bits_from_what_is_made(void)
{
	umask(027);
	OK(close((int)OK(open("file", O_CREAT | O_WRONLY, 0666))));
	OK(mkdir("dir", 0777));
	OK(mkfifo("fifo", 0666));
	OK(mknod("node", S_IFREG | 0777, 0));
	SAME(mode_of("file"), 0640);
	SAME(mode_of("dir"), 0750);
	SAME(mode_of("fifo"), 0640);
	SAME(mode_of("node"), 0750);
	umask(0777);
	OK(close((int)OK(open("none", O_CREAT | O_RDWR, 0666))));
	SAME(mode_of("none"), 0);
	umask(0);
	OK(mkdir("all", 0777));
	SAME(mode_of("all"), 0777);
	OK(mkdir("sticky", 01777));
	SAME(mode_of("sticky"), 01777);
	OK(close((int)OK(open("bits", O_CREAT | O_RDWR, 07777))));
	SAME(mode_of("bits"), 07777);
	OK(chmod("all", 0700));
	umask(077);
	OK(chmod("all", 0777));
	SAME(mode_of("all"), 0777);
}

static void stat_tells_the_truth_of_a_file(void)
{
	struct stat st;

	make("f", "12345");
	st = look("f");
	SAME(st.st_mode, S_IFREG | 0644);
	SAME(st.st_nlink, 1);
	SAME(st.st_uid, geteuid());
	SAME(st.st_size, 5);
	SAME(st.st_rdev, 0);
	YES(st.st_blksize >= 512);
	SAME(st.st_dev, look(".").st_dev);
	OK(truncate("f", 0));
	SAME(look("f").st_size, 0);
	SAME(look("f").st_blocks, 0);
}

static void statx_tells_the_same_as_stat(void)
{
	struct statx x;
	struct stat st;

	make("f", "12345");
	st = look("f");
	OK(statx(AT_FDCWD, "f", AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &x));
	SAME(x.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
	SAME(x.stx_mode, st.st_mode);
	SAME(x.stx_ino, st.st_ino);
	SAME(x.stx_size, 5);
	SAME(x.stx_nlink, 1);
	SAME(x.stx_mtime.tv_nsec, st.st_mtim.tv_nsec);
	SAME(x.stx_blocks, st.st_blocks);
	SAME(makedev(x.stx_dev_major, x.stx_dev_minor), st.st_dev);
	OK(statx(AT_FDCWD, "f", AT_STATX_FORCE_SYNC, STATX_ALL, &x));
	SAME(x.stx_size, 5);
	OK(statx(AT_FDCWD, "f", AT_STATX_DONT_SYNC, STATX_SIZE, &x));
	SAME(x.stx_size, 5);
	FAILS(EINVAL, statx(AT_FDCWD, "f", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, STATX_ALL, &x));
	FAILS(ENOENT, statx(AT_FDCWD, "", 0, STATX_ALL, &x));
	OK(statx((int)OK(open("f", O_PATH)), "", AT_EMPTY_PATH, STATX_ALL, &x));
	SAME(x.stx_size, 5);
}

static void access_asks_for_the_real_user(void)
{
	make("f", "");
	OK(chmod("f", 0640));
	OK(access("f", F_OK));
	OK(access("f", R_OK | W_OK));
	FAILS(EACCES, access("f", X_OK));
	FAILS(EINVAL, access("f", 8));
	OK(chmod("f", 0100));
	OK(access("f", X_OK));
	OK(chmod("f", 0640));
	AS(ALICE) {
		OK(access("f", F_OK));
		FAILS(EACCES, access("f", R_OK));
	}
	IN_CHILD {
		OK(setgroups(0, NULL));
		OK(setresgid(ALICE_ID, 0, 0));
		OK(setresuid(ALICE_ID, 0, 0));
		FAILS(EACCES, access("f", R_OK));
		OK(faccessat(AT_FDCWD, "f", R_OK, AT_EACCESS));
	}
}

const struct test attributes_tests[] = {
	T(chmod_sets_every_bit_of_every_kind_and_moves_the_ctime_alone),
	T(fchmod_does_the_same_by_descriptor),
	ROOT(chown_sets_owner_and_group_each_alone_and_moves_the_ctime_alone),
	T(chown_to_nothing_new_moves_the_ctime_too),
	T(the_umask_takes_its_bits_from_what_is_made),
	T(stat_tells_the_truth_of_a_file),
	T(statx_tells_the_same_as_stat),
	ROOT(access_asks_for_the_real_user),
	{ 0 }
};
