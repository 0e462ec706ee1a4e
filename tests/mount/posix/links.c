/* links: names of one file, and symbolic ones. */
#include "posix.h"

static void a_link_is_another_name_of_the_same_file(void)
{
	make("a", "1");
	OK(mkdir("dir", 0755));
	OK(link("a", "dir/b"));
	SAME(look("a").st_nlink, 2);
	SAME(look("a").st_ino, look("dir/b").st_ino);
	make("dir/b", "22");
	content("a", "22");
	OK(chmod("a", 0751));
	SAME(mode_of("dir/b"), 0751);
	OK(link("dir/b", "c"));
	OK(unlink("a"));
	SAME(look("c").st_nlink, 2);
	OK(unlink("dir/b"));
	content("c", "22");
	SAME(look("c").st_nlink, 1);
}

static void a_link_moves_the_ctime_of_the_file_and_the_times_of_the_directory(void)
{
	make("f", "");
	OK(mkdir("dir", 0755));
	age("f");
	age("dir");
	MOVES("f", "c", OK(link("f", "dir/x")));
	age("dir");
	MOVES("dir", "mc", OK(link("f", "dir/y")));
	MOVES("f", "", FAILS(EEXIST, link("f", "dir/y")));
	MOVES("dir", "", FAILS(EEXIST, link("f", "dir/y")));
	MOVES("f", "c", OK(unlink("dir/y")));
	MOVES("dir", "mc", OK(unlink("dir/x")));
	MOVES("dir", "", FAILS(ENOENT, unlink("dir/x")));
}

static void every_kind_but_a_directory_can_be_linked(void)
{
	OK(mkfifo("fifo", 0644));
	OK(symlink("fifo", "link"));
	OK(mkdir("dir", 0755));
	OK(mknod("sock", S_IFSOCK | 0644, 0));
	OK(link("fifo", "fifo2"));
	OK(link("link", "link2"));
	OK(link("sock", "sock2"));
	FAILS(EPERM, link("dir", "dir2"));
	FAILS(EPERM, link(".", "dir2"));
	SAME(look("fifo2").st_nlink, 2);
	YES(S_ISLNK(look("link2").st_mode));
	SAME(look("link2").st_ino, look("link").st_ino);
	OK(linkat(AT_FDCWD, "link", AT_FDCWD, "followed", AT_SYMLINK_FOLLOW));
	SAME(look("followed").st_ino, look("fifo").st_ino);
	FAILS(EINVAL, linkat(AT_FDCWD, "fifo", AT_FDCWD, "x", 1 << 20));
}

static void a_link_to_a_name_that_is_taken_is_EEXIST(void)
{
	make("f", "");
	OK(mkdir("dir", 0755));
	OK(symlink("none", "dangling"));
	OK(mkfifo("fifo", 0644));
	FAILS(EEXIST, link("f", "f"));
	FAILS(EEXIST, link("f", "dir"));
	FAILS(EEXIST, link("f", "dangling"));
	FAILS(EEXIST, link("f", "fifo"));
	SAME(look("f").st_nlink, 1);
}

static void an_open_file_that_lost_its_last_name_gets_none_again(void)
{
	char path[64];
	int fd;

	make("f", "x");
	fd = (int)OK(open("f", O_RDWR));
	OK(link("f", "g"));
	OK(unlink("f"));
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	OK(linkat(AT_FDCWD, path, AT_FDCWD, "h", AT_SYMLINK_FOLLOW));
	SAME(look_fd(fd).st_nlink, 2);
	OK(unlink("g"));
	OK(unlink("h"));
	SAME(look_fd(fd).st_nlink, 0);
	FAILS(ENOENT, linkat(AT_FDCWD, path, AT_FDCWD, "h", AT_SYMLINK_FOLLOW));
}

static void an_unlinked_open_file_goes_on_until_it_is_closed(void)
{
	const size_t len = 3 * MIB;
	unsigned char *data = noise(len, 1), *got = malloc(len + 1);
	char path[64];
	int fd = (int)OK(open("f", O_CREAT | O_RDWR, 0644)), again;

	SAME(write(fd, data, len), len);
	OK(unlink("f"));
	YES(!there("f"));
	SAME(look_fd(fd).st_nlink, 0);
	SAME(look_fd(fd).st_size, len);
	for (int i = 0; i < 2; i++) {
		SAME(pread(fd, got, len + 1, 0), len);
		BYTES(got, data, len);
		forget(fd);
	}
	OK(pwrite(fd, "after", 5, (off_t)len));
	OK(ftruncate(fd, (off_t)len + 2));
	forget(fd);
	SAME(pread(fd, got, 100, (off_t)len), 2);
	BYTES(got, "af", 2);
	OK(fchmod(fd, 0600));
	SAME(look_fd(fd).st_mode & 07777, 0600);
	OK(fchown(fd, (uid_t)-1, (gid_t)-1));
	OK(futimens(fd, NULL));
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	again = (int)OK(open(path, O_RDONLY));
	SAME(pread(again, got, 1, 0), 1);
	make("f", "another");
	SAME(look_fd(fd).st_size, len + 2);
	OK(close(again));
	OK(close(fd));
	content("f", "another");
}

struct handle {
	struct file_handle h;
	unsigned char bytes[MAX_HANDLE_SZ];
};

static void handle_of(const char *path, struct handle *h)
{
	int mount;

	h->h.handle_bytes = MAX_HANDLE_SZ;
	OK(name_to_handle_at(AT_FDCWD, path, &h->h, &mount, 0));
}

/* Names and inodes that the kernel remembers, and are not in use. */
static void drop_caches(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);

	if (fd < 0)
		SKIP("caches can't be dropped");
	OK(write(fd, "2", 1));
	OK(close(fd));
}

static void a_file_is_opened_by_its_handle_wherever_it_is(void)
{
	struct handle file, dir;
	char got[8] = "", path[64], to[PATH_MAX];
	int mount = (int)OK(open(".", O_RDONLY)), fd;

	OK(mkdir("dir", 0755));
	OK(mkdir("dir/sub", 0755));
	make("dir/sub/f", "x");
	handle_of("dir/sub/f", &file);
	handle_of("dir/sub", &dir);
	drop_caches();
	fd = (int)OK(open_by_handle_at(mount, &file.h, O_RDWR));
	SAME(read(fd, got, sizeof got), 1);
	OK(close(fd));
	OK(rename("dir/sub", "moved"));
	drop_caches();
	fd = (int)OK(open_by_handle_at(mount, &dir.h, O_RDONLY));
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	SAME(readlink(path, to, sizeof to) > 6 ? 1 : 0, 1);
	OK(faccessat(fd, "f", F_OK, 0));
	OK(faccessat(fd, "../dir", F_OK, 0));
	OK(close(fd));
	OK(unlink("moved/f"));
	make("another", "");
	drop_caches();
	FAILS(ESTALE, open_by_handle_at(mount, &file.h, O_RDONLY));
}

static void unlink_keeps_to_what_is_no_directory(void)
{
	OK(mkdir("dir", 0755));
	make("f", "");
	OK(symlink("dir", "link"));
	FAILS(EISDIR, unlink("dir"));
	FAILS(EISDIR, unlinkat(AT_FDCWD, "dir", 0));
	FAILS(ENOTDIR, unlinkat(AT_FDCWD, "f", AT_REMOVEDIR));
	FAILS(EINVAL, unlinkat(AT_FDCWD, "f", 1));
	OK(unlink("link"));
	YES(there("dir"));
	OK(unlinkat(AT_FDCWD, "f", 0));
	OK(unlinkat(AT_FDCWD, "dir", AT_REMOVEDIR));
}

static void a_symlink_holds_up_to_4095_bytes_of_anything(void)
{
	static const size_t lengths[] = { 1, 59, 60, 61, 255, 256, 1000, 4094, 4095 };
	char target[PATH_MAX + 1], got[PATH_MAX + 1];

	for (size_t i = 0; i < COUNT(lengths); i++) {
		for (size_t j = 0; j < lengths[i]; j++)
			target[j] = (char)(1 + (j * 7 + i) % 255);
		target[lengths[i]] = '\0';
		OK(symlink(target, "link"));
		SAME(readlink("link", got, sizeof got), lengths[i]);
		BYTES(got, target, lengths[i]);
		SAME(look("link").st_size, lengths[i]);
		SAME(readlink("link", got, 1), 1);
		OK(unlink("link"));
	}
	memset(target, 'x', PATH_MAX);
	target[PATH_MAX] = '\0';
	FAILS(ENAMETOOLONG, symlink(target, "link"));
	FAILS(ENOENT, symlink("", "link"));
	FAILS(EEXIST, symlink("x", "."));
	OK(symlink("x", "link"));
	FAILS(EEXIST, symlink("x", "link"));
	FAILS(EINVAL, readlink("link", got, 0));
	FAILS(EINVAL, readlink(".", got, sizeof got));
	SAME(look("link").st_mode, S_IFLNK | 0777);
}

static void a_symlink_has_an_owner_and_times_of_its_own(void)
{
	const struct timespec times[2] = { { 3, 5 }, { 7, 11 } };

	make("f", "");
	age("f");
	OK(symlink("f", "link"));
	MOVES("f", "", OK(utimensat(AT_FDCWD, "link", times, AT_SYMLINK_NOFOLLOW)));
	SAME(look("link").st_atim.tv_nsec, 5);
	SAME(look("link").st_mtim.tv_sec, 7);
	MOVES("link", "r", OK(chmod("link", 0600)));
	SAME(mode_of("f"), 0600);
	if (geteuid() == 0) {
		MOVES("link", "c", OK(lchown("link", 12, 34)));
		SAME(look("link").st_uid, 12);
		SAME(look("f").st_uid, 0);
		OK(chown("link", 56, 78));
		SAME(look("f").st_gid, 78);
	}
	FAILS(EOPNOTSUPP, fchmodat(AT_FDCWD, "link", 0600, AT_SYMLINK_NOFOLLOW));
}

static void a_symlink_is_followed_where_calls_follow_and_not_elsewhere(void)
{
	char got[16];

	OK(mkdir("dir", 0755));
	make("dir/f", "x");
	OK(symlink("dir", "d"));
	OK(symlink("d/f", "f"));
	content("f", "x");
	content("d/f", "x");
	OK(truncate("f", 0));
	SAME(look("dir/f").st_size, 0);
	FAILS(ELOOP, open("f", O_RDONLY | O_NOFOLLOW));
	OK(open("d/f", O_RDONLY | O_NOFOLLOW));
	FAILS(ENOTDIR, open("d", O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
	FAILS(ENOTDIR, rmdir("d"));
	FAILS(EEXIST, mkdir("d", 0755));
	SAME(readlink("d", got, sizeof got), 3);
	OK(rename("d", "e"));
	YES(S_ISLNK(look("e").st_mode));
	int fd = (int)OK(open("e", O_PATH | O_NOFOLLOW));
	SAME(readlinkat(fd, "", got, sizeof got), 3);
	YES(S_ISLNK(look_fd(fd).st_mode));
}

const struct test links_tests[] = {
	T(a_link_is_another_name_of_the_same_file),
	T(a_link_moves_the_ctime_of_the_file_and_the_times_of_the_directory),
	T(every_kind_but_a_directory_can_be_linked),
	T(a_link_to_a_name_that_is_taken_is_EEXIST),
	T(an_open_file_that_lost_its_last_name_gets_none_again),
	T(an_unlinked_open_file_goes_on_until_it_is_closed),
	ROOT(a_file_is_opened_by_its_handle_wherever_it_is),
	T(unlink_keeps_to_what_is_no_directory),
	T(a_symlink_holds_up_to_4095_bytes_of_anything),
	T(a_symlink_has_an_owner_and_times_of_its_own),
	T(a_symlink_is_followed_where_calls_follow_and_not_elsewhere),
	{ 0 }
};
