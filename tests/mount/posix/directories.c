/* directories: making and removing them, and reading what is in them while it changes. */
#include "posix.h"

#include <dirent.h>
#include <sys/syscall.h>

static void mkdir_and_rmdir_keep_to_what_is_theirs(void)
{
	OK(mkdir("dir", 0751));
	SAME(look("dir").st_mode, S_IFDIR | 0751);
	SAME(look("dir").st_nlink, 2);
	make("f", "");
	OK(symlink("none", "dangling"));
	FAILS(EEXIST, mkdir("dir", 0755));
	FAILS(EEXIST, mkdir("f", 0755));
	FAILS(EEXIST, mkdir("dangling", 0755));
	OK(mkdir("dir/sub", 0755));
	SAME(look("dir").st_nlink, 3);
	FAILS(ENOTEMPTY, rmdir("dir"));
	FAILS(ENOTDIR, rmdir("f"));
	FAILS(ENOTDIR, rmdir("dangling"));
	FAILS(ENOENT, rmdir("none"));
	OK(rmdir("dir/sub"));
	SAME(look("dir").st_nlink, 2);
	OK(rmdir("dir"));
}

static void a_name_that_comes_or_goes_moves_the_times_of_its_directory(void)
{
	OK(mkdir("dir", 0755));
	age("dir");
	MOVES("dir", "mc", make("dir/f", ""));
	age("dir");
	MOVES("dir", "mc", OK(mkdir("dir/d", 0755)));
	age("dir");
	MOVES("dir", "mc", OK(symlink("x", "dir/s")));
	age("dir");
	MOVES("dir", "mc", OK(unlink("dir/s")));
	age("dir");
	age("dir/d");
	MOVES("dir", "mc", OK(rmdir("dir/d")));
	MOVES("dir", "", make("dir/f", "content"));
	MOVES("dir", "", OK(chmod("dir/f", 0600)));
	MOVES("dir", "", OK(truncate("dir/f", 3)));
	MOVES("dir", "", FAILS(EEXIST, mkdir("dir/f", 0755)));
	MOVES("dir", "", FAILS(ENOENT, rmdir("dir/none")));
	MOVES("dir", "", FAILS(ENOENT, unlink("dir/none")));
	MOVES("dir", "", FAILS(EISDIR, unlink(".")));
}

static void what_is_made_has_the_time_of_its_making(void)
{
	const struct stat before = look(".");

	tick();
	make("f", "");
	OK(mkdir("d", 0755));
	OK(symlink("x", "s"));
	for (const char *const *p = (const char *const[]){ "f", "d", "s", NULL }; *p; p++) {
		struct stat st = look(*p);

		SAME(st.st_atim.tv_sec, st.st_mtim.tv_sec);
		SAME(st.st_ctim.tv_sec, st.st_mtim.tv_sec);
		YES(st.st_mtim.tv_sec > before.st_mtim.tv_sec || st.st_mtim.tv_nsec > before.st_mtim.tv_nsec);
	}
}

static void in_a_removed_directory_nothing_can_be_made_and_nothing_is_listed(void)
{
	struct dirent *e;
	DIR *d;
	int fd;

	OK(mkdir("gone", 0755));
	fd = (int)OK(open("gone", O_RDONLY | O_DIRECTORY));
	make("f", "");
	OK(rmdir("gone"));
	SAME(look_fd(fd).st_nlink, 0);
	FAILS(ENOENT, openat(fd, "x", O_CREAT | O_WRONLY, 0644));
	FAILS(ENOENT, mkdirat(fd, "x", 0755));
	FAILS(ENOENT, mknodat(fd, "x", S_IFIFO | 0644, 0));
	FAILS(ENOENT, symlinkat("y", fd, "x"));
	FAILS(ENOENT, linkat(AT_FDCWD, "f", fd, "x", 0));
	FAILS(ENOENT, renameat(AT_FDCWD, "f", fd, "x"));
	FAILS(ENOENT, openat(fd, "x", O_RDONLY));
	OK(fchmod(fd, 0700));
	OK(futimens(fd, NULL));
	SAME(look_fd(fd).st_mode & 07777, 0700);
	d = fdopendir(fd);
	YES(d != NULL);
	while ((e = readdir(d)))
		YES(strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0);
	OK(closedir(d));
	OK(mkdir("gone", 0755));
	make("gone/x", "");
}

static void make_many(const char *prefix, int n)
{
	char name[32];

	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof name, "%s%05d", prefix, i);
		OK(close((int)OK(open(name, O_CREAT | O_EXCL | O_WRONLY, 0644))));
	}
}

static void remove_many(const char *prefix, int n)
{
	char name[32];

	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof name, "%s%05d", prefix, i);
		OK(unlink(name));
	}
}

/* Counts the names that begin with ${prefix} in the rest of the stream, each in seen[]; others are passed over. */
static int count(DIR *d, const char *prefix, unsigned char *seen)
{
	struct dirent *e;
	int n = 0;

	errno = 0;
	while ((e = readdir(d)))
		if (strncmp(e->d_name, prefix, strlen(prefix)) == 0) {
			seen[atoi(e->d_name + strlen(prefix))]++;
			n++;
		}
	SAME(errno, 0);
	return n;
}

static void a_listing_has_every_name_once_with_its_type_and_number(void)
{
	static const struct { const char *name; unsigned char type; } wanted[] = {
		{ ".", DT_DIR }, { "..", DT_DIR }, { "dir", DT_DIR }, { "file", DT_REG }, { "link", DT_LNK },
		{ "fifo", DT_FIFO }, { "sock", DT_SOCK },
	};
	struct dirent *e;
	int seen[COUNT(wanted)] = { 0 };
	DIR *d;

	OK(mkdir("in", 0755));
	OK(chdir("in"));
	make("file", "");
	OK(mkdir("dir", 0755));
	OK(symlink("x", "link"));
	OK(mkfifo("fifo", 0644));
	OK(mknod("sock", S_IFSOCK | 0644, 0));
	d = opendir(".");
	while ((e = readdir(d))) {
		size_t i = 0;

		while (i < COUNT(wanted) && strcmp(wanted[i].name, e->d_name) != 0)
			i++;
		YES(i < COUNT(wanted));
		seen[i]++;
		SAME(e->d_type, wanted[i].type);
		SAME(e->d_ino, look(e->d_name).st_ino);
	}
	for (size_t i = 0; i < COUNT(wanted); i++)
		SAME(seen[i], 1);
}

static void ten_thousand_names_are_made_listed_renamed_and_removed(void)
{
	enum { N = 10000 };
	unsigned char *seen = zeros(N);
	char old[32], new[32];
	DIR *d;

	make_many("name", N);
	d = opendir(".");
	SAME(count(d, "name", seen), N);
	for (int i = 0; i < N; i++)
		SAME(seen[i], 1);
	OK(closedir(d));
	for (int i = 0; i < N; i += 2) {
		snprintf(old, sizeof old, "name%05d", i);
		snprintf(new, sizeof new, "moved%05d", i);
		OK(rename(old, new));
		snprintf(old, sizeof old, "name%05d", i + 1);
		OK(unlink(old));
	}
	memset(seen, 0, N);
	d = opendir(".");
	SAME(count(d, "moved", seen), N / 2);
	rewinddir(d);
	SAME(count(d, "name", seen), 0);
}

/* Cookies of a stream lead back to where they were taken, in any order. */
static void telldir_and_seekdir_find_every_place_again(void)
{
	enum { N = 1000 };
	static struct { long at; char name[32]; } places[N + 2];
	struct dirent *e;
	DIR *d;
	int n = 0;

	make_many("name", N);
	d = opendir(".");
	for (long at = telldir(d); (e = readdir(d)); at = telldir(d)) {
		places[n].at = at;
		snprintf(places[n++].name, sizeof places[0].name, "%.31s", e->d_name);
	}
	SAME(n, N + 2);
	for (int i = 0; i < N; i++) {
		int at = i * 7919 % n;

		seekdir(d, places[at].at);
		e = readdir(d);
		YES(e != NULL);
		TEXT(e->d_name, places[at].name);
	}
	rewinddir(d);
	TEXT(readdir(d)->d_name, places[0].name);
	seekdir(d, places[N].at);
	SAME(telldir(d), places[N].at);
}

static void a_place_in_a_listing_stays_when_names_before_it_go(void)
{
	enum { N = 600 };
	static char names[N + 2][32];
	struct dirent *e;
	long place;
	DIR *d;
	int n = 0, left = 0;

	make_many("name", N);
	d = opendir(".");
	while (n < N / 2 && (e = readdir(d)))
		snprintf(names[n++], sizeof names[0], "%.31s", e->d_name);
	place = telldir(d);
	while ((e = readdir(d)))
		left++;
	for (int i = 0; i < n; i++)
		if (names[i][0] != '.')
			OK(unlink(names[i]));
	seekdir(d, place);
	while ((e = readdir(d)))
		left--;
	SAME(left, 0);
}

static void names_that_stay_are_listed_once_each_while_others_come_and_go(void)
{
	enum { N = 1500 };
	unsigned char *first = zeros(N), *again = zeros(N);
	struct dirent *e;
	long place;
	DIR *d;

	make_many("stay", N / 2);
	make_many("go", N);
	for (int i = N / 2; i < N; i++) {
		char name[32];

		snprintf(name, sizeof name, "stay%05d", i);
		make(name, "");
	}
	d = opendir(".");
	for (int i = 0; i < 500 && (e = readdir(d)); i++)
		if (strncmp(e->d_name, "stay", 4) == 0)
			first[atoi(e->d_name + 4)]++;
	memcpy(again, first, N);
	place = telldir(d);
	remove_many("go", N);
	make_many("come", 1000);
	count(d, "stay", first);
	seekdir(d, place);
	count(d, "stay", again);
	for (int i = 0; i < N; i++) {
		SAME(first[i], 1);
		SAME(again[i], 1);
	}
	rewinddir(d);
	memset(first, 0, N);
	SAME(count(d, "come", first), 1000);
}

static void removing_each_name_as_it_is_listed_leaves_none(void)
{
	struct dirent *e;
	DIR *d;

	OK(mkdir("in", 0755));
	OK(chdir("in"));
	make_many("name", 3000);
	d = opendir(".");
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			OK(unlink(e->d_name));
	OK(chdir(".."));
	OK(rmdir("in"));
}

static void renaming_within_a_directory_neither_hides_nor_repeats_others(void)
{
	enum { N = 1000 };
	unsigned char *seen = zeros(N);
	char old[32], new[32];
	struct dirent *e;
	DIR *d;
	int i = 0;

	make_many("stay", N);
	make_many("a", N);
	d = opendir(".");
	while ((e = readdir(d))) {
		if (strncmp(e->d_name, "stay", 4) == 0)
			seen[atoi(e->d_name + 4)]++;
		if (i < N) {
			snprintf(old, sizeof old, "a%05d", i);
			snprintf(new, sizeof new, "b%05d", i++);
			OK(rename(old, new));
		}
	}
	for (i = 0; i < N; i++)
		SAME(seen[i], 1);
}

static void a_listing_is_refused_where_it_should_be(void)
{
	char buf[4];
	int fd;

	make("f", "");
	FAILS(ENOTDIR, open("f", O_RDONLY | O_DIRECTORY));
	fd = (int)OK(open("f", O_RDONLY));
	FAILS(ENOTDIR, syscall(SYS_getdents64, fd, buf, sizeof buf));
	fd = (int)OK(open(".", O_RDONLY));
	FAILS(EINVAL, syscall(SYS_getdents64, fd, buf, sizeof buf));
	FAILS(EISDIR, read(fd, buf, 1));
	FAILS(EBADF, write(fd, buf, 1));
	FAILS(EISDIR, open(".", O_RDWR));
	OK(fsync(fd));
	OK(fdatasync(fd));
	FAILS(EINVAL, ftruncate(fd, 0));
	FAILS(EISDIR, truncate(".", 0));
	OK(lseek(fd, 0, SEEK_SET));
}

static void two_streams_of_a_directory_have_places_of_their_own(void)
{
	unsigned char *seen = zeros(300);
	DIR *a, *b;

	make_many("name", 300);
	a = opendir(".");
	b = opendir(".");
	for (int i = 0; i < 100; i++)
		YES(readdir(a) != NULL);
	SAME(count(b, "name", seen), 300);
	memset(seen, 0, 300);
	YES(count(a, "name", seen) >= 200);
}

static void inode_numbers_agree_and_none_is_used_twice(void)
{
	ino_t numbers[100];
	char name[16];

	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof name, "f%d", i);
		make(name, "");
		numbers[i] = look(name).st_ino;
		for (int j = 0; j < i; j++)
			YES(numbers[j] != numbers[i]);
		YES(look(name).st_dev == look(".").st_dev);
	}
}

const struct test directories_tests[] = {
	T(mkdir_and_rmdir_keep_to_what_is_theirs),
	T(a_name_that_comes_or_goes_moves_the_times_of_its_directory),
	T(what_is_made_has_the_time_of_its_making),
	T(in_a_removed_directory_nothing_can_be_made_and_nothing_is_listed),
	T(a_listing_has_every_name_once_with_its_type_and_number),
	T(ten_thousand_names_are_made_listed_renamed_and_removed),
	T(telldir_and_seekdir_find_every_place_again),
	T(a_place_in_a_listing_stays_when_names_before_it_go),
	T(names_that_stay_are_listed_once_each_while_others_come_and_go),
	T(removing_each_name_as_it_is_listed_leaves_none),
	T(renaming_within_a_directory_neither_hides_nor_repeats_others),
	T(a_listing_is_refused_where_it_should_be),
	T(two_streams_of_a_directory_have_places_of_their_own),
	T(inode_numbers_agree_and_none_is_used_twice),
	{ 0 }
};
