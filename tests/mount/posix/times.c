/* times: utimensat, and which calls move which times of a file. */
#include "posix.h"

#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <time.h>
#include <utime.h>

static void set(const char *path, long a, long a_ns, long m, long m_ns)
{
	const struct timespec t[2] = { { a, a_ns }, { m, m_ns } };

	OK(utimensat(AT_FDCWD, path, t, AT_SYMLINK_NOFOLLOW));
}

static void are(const char *path, long a, long a_ns, long m, long m_ns)
{
	struct stat st = look(path);

	SAME(st.st_atim.tv_sec, a);
	SAME(st.st_atim.tv_nsec, a_ns);
	SAME(st.st_mtim.tv_sec, m);
	SAME(st.st_mtim.tv_nsec, m_ns);
}

static void utimensat_sets_nanoseconds_of_any_kind_and_moves_the_ctime(void)
{
	static const char *const paths[] = { "file", "dir", "fifo", "link" };

	make("file", "");
	OK(mkdir("dir", 0755));
	OK(mkfifo("fifo", 0644));
	OK(symlink("file", "link"));
	for (size_t i = 0; i < COUNT(paths); i++) {
		set(paths[i], 1234567890, 123456789, 1000000001, 999999999);
		are(paths[i], 1234567890, 123456789, 1000000001, 999999999);
		MOVES(paths[i], "c", set(paths[i], 1234567890, 123456789, 1000000001, 999999999));
		set(paths[i], 0, 0, 0, 1);
		are(paths[i], 0, 0, 0, 1);
		set(paths[i], -1, 0, -1000000000, 999999999);
		are(paths[i], -1, 0, -1000000000, 999999999);
		set(paths[i], 2147483647, 7, 4294967296, 8);
		are(paths[i], 2147483647, 7, 4294967296, 8);
	}
}

static void UTIME_OMIT_leaves_a_time_and_UTIME_NOW_makes_it_now(void)
{
	struct timespec t[2] = { { 0, UTIME_OMIT }, { 3, 4 } }, now;
	struct stat before;

	make("f", "");
	set("f", 11, 22, 33, 44);
	OK(utimensat(AT_FDCWD, "f", t, 0));
	are("f", 11, 22, 3, 4);
	t[0] = (struct timespec){ 5, 6 };
	t[1] = (struct timespec){ 99, UTIME_OMIT };
	OK(utimensat(AT_FDCWD, "f", t, 0));
	are("f", 5, 6, 3, 4);
	t[0].tv_nsec = UTIME_NOW;
	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	OK(utimensat(AT_FDCWD, "f", t, 0));
	YES(look("f").st_atim.tv_sec >= now.tv_sec);
	SAME(look("f").st_mtim.tv_sec, 3);
	t[0].tv_nsec = t[1].tv_nsec = UTIME_OMIT;
	before = look("f");
	MOVES("f", "", OK(utimensat(AT_FDCWD, "f", t, 0)));
	SAME(look("f").st_ctim.tv_nsec, before.st_ctim.tv_nsec);
	t[0].tv_nsec = t[1].tv_nsec = UTIME_NOW;
	OK(utimensat(AT_FDCWD, "f", t, 0));
	YES(look("f").st_mtim.tv_sec >= now.tv_sec);
	set("f", 1, 2, 3, 4);
	MOVES("f", "amc", OK(utimensat(AT_FDCWD, "f", NULL, 0)));
	SAME(look("f").st_atim.tv_nsec, look("f").st_mtim.tv_nsec);
}

static void other_calls_set_times_as_finely_as_they_can(void)
{
	const struct timeval tv[2] = { { 5, 123456 }, { 6, 654321 } };
	const struct utimbuf buf = { 7, 8 };
	int fd;

	make("f", "");
	OK(utimes("f", tv));
	are("f", 5, 123456000, 6, 654321000);
	OK(utime("f", &buf));
	are("f", 7, 0, 8, 0);
	fd = (int)OK(open("f", O_RDONLY));
	OK(futimens(fd, (const struct timespec[2]){ { 9, 1 }, { 10, 2 } }));
	are("f", 9, 1, 10, 2);
}

static void utimensat_refuses_what_is_no_time(void)
{
	const struct timespec *volatile bad = (const struct timespec *)1;

	make("f", "");
	FAILS(EINVAL, utimensat(AT_FDCWD, "f", (const struct timespec[2]){ { 1, 1000000000 }, { 1, 0 } }, 0));
	FAILS(EINVAL, utimensat(AT_FDCWD, "f", (const struct timespec[2]){ { 1, 0 }, { 1, -1 } }, 0));
	FAILS(EINVAL, utimensat(AT_FDCWD, "f", NULL, 1));
	FAILS(EFAULT, utimensat(AT_FDCWD, "f", bad, 0));
	FAILS(EBADF, futimens(-1, NULL));
}

static void times_are_set_by_the_owner_and_to_now_by_who_may_write(void)
{
	const struct timespec now[2] = { { 0, UTIME_NOW }, { 0, UTIME_NOW } };
	const struct timespec half[2] = { { 0, UTIME_NOW }, { 0, UTIME_OMIT } };
	const struct timespec omit[2] = { { 0, UTIME_OMIT }, { 0, UTIME_OMIT } };
	const struct timespec some[2] = { { 1, 2 }, { 3, 4 } };

	make("f", "");
	OK(chmod("f", 0666));
	AS(ALICE) {
		FAILS(EPERM, utimensat(AT_FDCWD, "f", some, 0));
		FAILS(EPERM, utimensat(AT_FDCWD, "f", half, 0));
		OK(utimensat(AT_FDCWD, "f", NULL, 0));
		OK(utimensat(AT_FDCWD, "f", now, 0));
		OK(utimensat(AT_FDCWD, "f", omit, 0));
	}
	OK(chmod("f", 0644));
	AS(ALICE) {
		FAILS(EACCES, utimensat(AT_FDCWD, "f", NULL, 0));
		FAILS(EACCES, utimensat(AT_FDCWD, "f", now, 0));
		FAILS(EPERM, utimensat(AT_FDCWD, "f", half, 0));
		OK(utimensat(AT_FDCWD, "f", omit, 0));
	}
	OK(chown("f", ALICE_ID, ALICE_ID));
	OK(chmod("f", 0444));
	AS(ALICE) {
		OK(utimensat(AT_FDCWD, "f", some, 0));
		OK(utimensat(AT_FDCWD, "f", half, 0));
		OK(utimensat(AT_FDCWD, "f", NULL, 0));
	}
}

static void writing_moves_mtime_and_ctime(void)
{
	const struct iovec v = { (char []){ "xyz" }, 3 };
	int fd = (int)OK(open("f", O_CREAT | O_RDWR, 0644));

	age("f");
	MOVES("f", "mc", OK(write(fd, "12345", 5)));
	MOVES("f", "mc", OK(pwrite(fd, "1", 1, 0)));
	MOVES("f", "mc", OK(writev(fd, &v, 1)));
	MOVES("f", "", OK(write(fd, "", 0)));
	MOVES("f", "", OK(fsync(fd)));
	MOVES("f", "mc", OK(write(fd, "12345", 5)); OK(fsync(fd)));
	fd = (int)OK(open("f", O_WRONLY | O_APPEND));
	MOVES("f", "mc", OK(write(fd, "12345", 5)));
	fd = (int)OK(open("f", O_WRONLY | O_SYNC));
	MOVES("f", "mc", OK(write(fd, "12345", 5)));
	MOVES("f", "", OK(close(fd)));
}

static void truncating_moves_mtime_and_ctime_where_it_is_asked_for(void)
{
	int fd;

	make("f", "12345");
	age("f");
	MOVES("f", "mc", OK(truncate("f", 3)));
	MOVES("f", "mc", OK(truncate("f", 10)));
	fd = (int)OK(open("f", O_RDWR));
	MOVES("f", "mc", OK(ftruncate(fd, 10)));
	MOVES("f", "mc", OK(ftruncate(fd, 0)));
	MOVES("f", "mc", OK(ftruncate(fd, 0)));
	MOVES("f", "mc", OK(close((int)OK(open("f", O_WRONLY | O_TRUNC)))));
	MOVES("f", "mc", OK(close((int)OK(open("f", O_WRONLY | O_TRUNC | O_CREAT, 0644)))));
	MOVES("f", "", FAILS(EINVAL, truncate("f", -1)));
	MOVES("f", "", OK(close((int)OK(open("f", O_RDWR)))));
}

static void allocating_and_copying_move_the_times_of_what_changes(void)
{
	int from, to;

	make("from", "some content");
	make("to", "");
	age("from");
	from = (int)OK(open("from", O_RDWR));
	to = (int)OK(open("to", O_RDWR));
	MOVES("to", "mc", OK(fallocate(to, 0, 0, 100000)));
	MOVES("to", "mc", OK(fallocate(to, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096)));
	MOVES("to", "mc", OK(fallocate(to, FALLOC_FL_ZERO_RANGE, 0, 4096)));
	MOVES("to", "mc", OK(copy_file_range(from, NULL, to, NULL, 5, 0)));
	MOVES("to", "mc", OK(sendfile(to, from, NULL, 5)));
	SAME(look("from").st_mtim.tv_sec, LONG_AGO);
}

static void writing_through_a_mapping_moves_mtime_and_ctime(void)
{
	char *map;
	int fd;

	make("f", "12345");
	age("f");
	fd = (int)OK(open("f", O_RDWR));
	map = mmap(NULL, 5, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MOVES("f", "mc", map[0] = 'x'; OK(msync(map, 5, MS_SYNC)));
	OK(msync(map, 5, MS_SYNC));
	MOVES("f", "mc", map[1] = 'y'; OK(msync(map, 5, MS_SYNC)));
	MOVES("f", "", OK(munmap(map, 5)); OK(close(fd)));
	content("f", "xy345");
}

static void set_times_stay_when_the_file_is_written_back(void)
{
	unsigned char *data = noise(200000, 1);
	int fd = (int)OK(open("f", O_CREAT | O_RDWR, 0644));

	OK(write(fd, data, 200000));
	OK(futimens(fd, (const struct timespec[2]){ { 1, 2 }, { 3, 4 } }));
	are("f", 1, 2, 3, 4);
	OK(fsync(fd));
	are("f", 1, 2, 3, 4);
	OK(close(fd));
	are("f", 1, 2, 3, 4);
	fd = (int)OK(open("f", O_RDONLY));
	forget(fd);
	are("f", 1, 2, 3, 4);
	filled("f", data, 200000);
	SAME(look("f").st_mtim.tv_sec, 3);
}

static void what_does_not_change_a_file_moves_neither_mtime_nor_ctime(void)
{
	char buf[64];
	int fd;

	make("f", "12345");
	OK(setxattr("f", "user.x", "1", 1, 0));
	fd = (int)OK(open("f", O_RDONLY));
	MOVES("f", "", OK(look_fd(fd).st_size));
	MOVES("f", "", OK(access("f", R_OK)));
	MOVES("f", "", OK(getxattr("f", "user.x", buf, sizeof buf)));
	MOVES("f", "", OK(listxattr("f", buf, sizeof buf)));
	MOVES("f", "", OK(lseek(fd, 0, SEEK_END)));
	MOVES("f", "", OK(close((int)OK(open("f", O_RDWR)))));
	MOVES("f", "", OK(fsync(fd)));
	MOVES("f", "", FAILS(EBADF, write(fd, "x", 1)));
	MOVES("f", "", FAILS(ENODATA, removexattr("f", "user.none")));
	age("f");
	MOVES("f", "c", OK(setxattr("f", "user.x", "2", 1, 0)));
	MOVES("f", "c", OK(removexattr("f", "user.x")));
}

static void no_time_goes_back_from_one_file_to_the_next(void)
{
	struct timespec last = { 0, 0 };
	char name[16];

	for (int i = 0; i < 300; i++) {
		struct stat made, written;
		int fd;

		snprintf(name, sizeof name, "f%d", i);
		fd = (int)OK(open(name, O_CREAT | O_WRONLY, 0644));
		made = look_fd(fd);
		OK(write(fd, "x", 1));
		written = look_fd(fd);
		OK(close(fd));
		/* Within one tick of the kernel's clock, the finer of two may be the earlier. */
		YES(made.st_mtim.tv_sec * 100 + made.st_mtim.tv_nsec / 10000000 + 1 >=
		    last.tv_sec * 100 + last.tv_nsec / 10000000);
		YES(written.st_mtim.tv_sec * 1000000000 + written.st_mtim.tv_nsec >=
		    made.st_mtim.tv_sec * 1000000000 + made.st_mtim.tv_nsec);
		SAME(look(name).st_mtim.tv_nsec, written.st_mtim.tv_nsec);
		last = written.st_mtim;
	}
}

const struct test times_tests[] = {
	T(utimensat_sets_nanoseconds_of_any_kind_and_moves_the_ctime),
	T(UTIME_OMIT_leaves_a_time_and_UTIME_NOW_makes_it_now),
	T(other_calls_set_times_as_finely_as_they_can),
	T(utimensat_refuses_what_is_no_time),
	ROOT(times_are_set_by_the_owner_and_to_now_by_who_may_write),
	T(writing_moves_mtime_and_ctime),
	T(truncating_moves_mtime_and_ctime_where_it_is_asked_for),
	T(allocating_and_copying_move_the_times_of_what_changes),
	T(writing_through_a_mapping_moves_mtime_and_ctime),
	T(set_times_stay_when_the_file_is_written_back),
	T(what_does_not_change_a_file_moves_neither_mtime_nor_ctime),
	T(no_time_goes_back_from_one_file_to_the_next),
	{ 0 }
};
