/* sizes: truncate both ways, and the limits of a file. */
#include "posix.h"

#include <signal.h>
#include <sys/resource.h>

static void truncation_works_both_ways_and_what_was_cut_off_does_not_come_back(void)
{
	static const off_t lengths[] = { MIB - 1, 500000, 4097, 4096, 100, 1, 0 };
	unsigned char *data = noise(MIB, 1), *model = zeros(MIB);
	int fd;

	for (size_t i = 0; i < COUNT(lengths); i++) {
		fill("f", data, MIB);
		memset(model, 0, MIB);
		memcpy(model, data, (size_t)lengths[i]);
		OK(truncate("f", lengths[i]));
		filled("f", data, (size_t)lengths[i]);
		OK(truncate("f", MIB));
		filled("f", model, MIB);
		fd = (int)OK(open("f", O_RDWR));
		forget(fd);
		filled("f", model, MIB);
		OK(ftruncate(fd, 3));
		OK(ftruncate(fd, 100000));
		SAME(look_fd(fd).st_size, 100000);
		OK(close(fd));
	}
}

static void truncation_and_writing_between_two_syncs_leave_the_last(void)
{
	unsigned char *data = noise(MIB, 1), *model = zeros(MIB);
	int fd = (int)OK(open("f", O_CREAT | O_RDWR, 0644));

	for (int i = 0; i < 50; i++) {
		off_t cut = i * 7919 % 900000;

		SAME(pwrite(fd, data, MIB, 0), MIB);
		OK(ftruncate(fd, cut));
		OK(ftruncate(fd, MIB));
		SAME(pwrite(fd, data, 1000, cut / 2), 1000);
		memcpy(model, data, (size_t)cut);
		memset(model + cut, 0, (size_t)(MIB - cut));
		memcpy(model + cut / 2, data, 1000);
		if (i % 5 == 0)
			forget(fd);
		filled("f", model, MIB);
	}
}

static void truncate_refuses_what_it_should(void)
{
	int fd;

	make("f", "12345");
	OK(mkdir("dir", 0755));
	OK(mkfifo("fifo", 0644));
	fd = (int)OK(open("f", O_RDWR));
	FAILS(EINVAL, truncate("f", -1));
	FAILS(EINVAL, ftruncate(fd, -1));
	FAILS(EISDIR, truncate("dir", 0));
	FAILS(EINVAL, truncate("fifo", 0));
	FAILS(EINVAL, ftruncate((int)OK(open("dir", O_RDONLY)), 0));
	FAILS(EBADF, ftruncate(-1, 0));
	content("f", "12345");
}

/* The largest size that ftruncate takes. */
static off_t largest(int fd)
{
	off_t fits = TIB, limit = INT64_MAX;

	if (ftruncate(fd, limit) == 0)
		return limit;
	while (limit - fits > 1) {
		off_t between = fits + (limit - fits) / 2;

		if (ftruncate(fd, between) == 0)
			fits = between;
		else
			limit = between;
	}
	return fits;
}

static void a_file_reaches_to_its_largest_size_and_what_is_behind_is_EFBIG(void)
{
	int fd = (int)OK(open("f", O_CREAT | O_RDWR, 0644));
	off_t max = largest(fd);
	char got[8];

	signal(SIGXFSZ, SIG_IGN);
	if (max < INT64_MAX) {
		FAILS(EFBIG, ftruncate(fd, max + 1));
		FAILS(EFBIG, truncate("f", max + 1));
		FAILS(EFBIG, pwrite(fd, "x", 1, max));
		SAME(pwrite(fd, "12345678", 8, max - 3), 3);
	}
	OK(ftruncate(fd, max - 5));
	FAILS(EFBIG, fallocate(fd, 0, max - 100, 101));
	FAILS(EFBIG, fallocate(fd, 0, INT64_MAX, MIB));
	SAME(pwrite(fd, "123", 3, max - 3), 3);
	for (int pass = 0; pass < 2; pass++) {
		SAME(look("f").st_size, max);
		SAME(pread(fd, got, 4, max - 4), 4);
		BYTES(got, "\0" "123", 4);
		SAME(lseek(fd, 0, SEEK_END), max);
		forget(fd);
	}
	SAME(lseek(fd, 0, SEEK_DATA) > max - 65536, 1);
	OK(ftruncate(fd, max - 1));
	OK(ftruncate(fd, max));
	forget(fd);
	SAME(pread(fd, got, 4, max - 4), 4);
	BYTES(got, "\0" "12\0", 4);
}

static volatile sig_atomic_t signalled;

static void on_signal(int number)
{
	(void)number;
	signalled++;
}

static void a_limit_of_the_process_is_kept_with_EFBIG_and_SIGXFSZ(void)
{
	const struct rlimit limit = { 100000, 100000 };
	unsigned char *data = noise(200000, 1);
	int fd = (int)OK(open("f", O_CREAT | O_RDWR, 0644));

	signal(SIGXFSZ, on_signal);
	OK(setrlimit(RLIMIT_FSIZE, &limit));
	SAME(write(fd, data, 200000), 100000);
	SAME(signalled, 0);
	FAILS(EFBIG, write(fd, data, 1));
	SAME(signalled, 1);
	FAILS(EFBIG, ftruncate(fd, 100001));
	FAILS(EFBIG, truncate("f", 100001));
	FAILS(EFBIG, pwrite(fd, "x", 1, 100000));
	FAILS(EFBIG, fallocate(fd, 0, 0, 100001));
	SAME(signalled, 5);
	OK(ftruncate(fd, 100000));
	SAME(pwrite(fd, data, 100, 99950), 50);
	SAME(look("f").st_size, 100000);
}

static void a_hole_that_is_written_around_stays_zeros(void)
{
	unsigned char *got = malloc(MIB);
	int fd = (int)OK(open("f", O_CREAT | O_RDWR, 0644));

	OK(pwrite(fd, "x", 1, MIB - 1));
	for (int pass = 0; pass < 2; pass++) {
		SAME(pread(fd, got, MIB, 0), MIB);
		BYTES(got, zeros(MIB - 1), MIB - 1);
		forget(fd);
	}
	OK(pwrite(fd, "y", 1, 500000));
	forget(fd);
	SAME(pread(fd, got, MIB, 0), MIB);
	BYTES(got, zeros(500000), 500000);
	SAME(got[500000], 'y');
	BYTES(got + 500001, zeros(MIB), MIB - 500002);
}

static void a_grown_file_has_zeros_behind_its_old_end_whatever_was_there(void)
{
	unsigned char *got = malloc(8192);
	int fd = (int)OK(open("f", O_CREAT | O_RDWR, 0644));

	for (off_t cut = 1; cut < 4100; cut += 273) {
		memset(got, 'x', 8192);
		SAME(pwrite(fd, got, 8192, 0), 8192);
		OK(ftruncate(fd, cut));
		SAME(pwrite(fd, "end", 3, 8189), 3);
		forget(fd);
		SAME(pread(fd, got, 8192, 0), 8192);
		SAME(got[cut - 1], 'x');
		BYTES(got + cut, zeros(8192), (size_t)(8189 - cut));
	}
}

const struct test sizes_tests[] = {
	T(truncation_works_both_ways_and_what_was_cut_off_does_not_come_back),
	T(truncation_and_writing_between_two_syncs_leave_the_last),
	T(truncate_refuses_what_it_should),
	T(a_file_reaches_to_its_largest_size_and_what_is_behind_is_EFBIG),
	T(a_limit_of_the_process_is_kept_with_EFBIG_and_SIGXFSZ),
	T(a_hole_that_is_written_around_stays_zeros),
	T(a_grown_file_has_zeros_behind_its_old_end_whatever_was_there),
	{ 0 }
};
