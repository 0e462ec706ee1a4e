/* holes: fallocate in each mode, SEEK_HOLE and SEEK_DATA. */
#include "posix.h"

#include <sys/mman.h>

#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

/* The ranges of data, as "first-end first-end", in KiB: every filesystem's grain is a page or two. */
static const char *ranges(int fd)
{
	static char text[1000];
	off_t at = 0, end = look_fd(fd).st_size, first;

	text[0] = '\0';
	while (at < end && (first = lseek(fd, at, SEEK_DATA)) >= 0) {
		at = OK(lseek(fd, first, SEEK_HOLE));
		snprintf(text + strlen(text), sizeof text - strlen(text), "%s%ld-%ld", *text ? " " : "",
		    (long)(first / KIB), (long)(at / KIB));
	}
	YES(at >= end || errno == ENXIO);
	return text;
}

static void seek_finds_data_and_holes(void)
{
	unsigned char *data = noise(MIB, 1);
	int fd = (int)OK(open("f", O_CREAT | O_RDWR, 0644));

	OK(pwrite(fd, data, MIB, MIB));
	OK(pwrite(fd, data, MIB, 5 * MIB));
	OK(ftruncate(fd, 8 * MIB));
	for (int pass = 0; pass < 2; pass++) {
		TEXT(ranges(fd), "1024-2048 5120-6144");
		SAME(lseek(fd, 3 * MIB, SEEK_HOLE), 3 * MIB);
		SAME(lseek(fd, 3 * MIB + 7, SEEK_DATA), 5 * MIB);
		SAME(lseek(fd, 5 * MIB + 3, SEEK_DATA), 5 * MIB + 3);
		SAME(lseek(fd, 5 * MIB + 3, SEEK_HOLE), 6 * MIB);
		FAILS(ENXIO, lseek(fd, 6 * MIB, SEEK_DATA));
		FAILS(ENXIO, lseek(fd, 8 * MIB, SEEK_HOLE));
		FAILS(ENXIO, lseek(fd, 8 * MIB, SEEK_DATA));
		FAILS(ENXIO, lseek(fd, TIB, SEEK_DATA));
		FAILS(ENXIO, lseek(fd, -1, SEEK_DATA));
		FAILS(ENXIO, lseek(fd, -1, SEEK_HOLE));
		SAME(lseek(fd, 0, SEEK_HOLE), 0);
		forget(fd);
	}
}

static void a_full_file_has_its_hole_at_the_end_and_an_empty_one_none(void)
{
	unsigned char *data = noise(100000, 1);
	int fd;

	fill("f", data, 100000);
	fd = (int)OK(open("f", O_RDONLY));
	SAME(lseek(fd, 0, SEEK_HOLE), 100000);
	SAME(lseek(fd, 99999, SEEK_DATA), 99999);
	SAME(lseek(fd, 99999, SEEK_HOLE), 100000);
	FAILS(ENXIO, lseek(fd, 100000, SEEK_DATA));
	make("empty", "");
	fd = (int)OK(open("empty", O_RDONLY));
	FAILS(ENXIO, lseek(fd, 0, SEEK_DATA));
	FAILS(ENXIO, lseek(fd, 0, SEEK_HOLE));
}

static void seek_sees_what_was_written_just_before_also_through_a_mapping(void)
{
	unsigned char *data = noise(MIB, 1), *map;
	char name[16];

	for (int i = 0; i < 20; i++) {
		int fd, reader;

		snprintf(name, sizeof name, "f%d", i);
		fd = (int)OK(open(name, O_CREAT | O_RDWR, 0644));
		reader = (int)OK(open(name, O_RDONLY));
		OK(ftruncate(fd, 4 * MIB));
		OK(pwrite(fd, data, MIB, MIB));
		SAME(lseek(fd, 0, SEEK_DATA), MIB);
		SAME(lseek(fd, MIB, SEEK_HOLE), 2 * MIB);
		OK(pwrite(fd, data, MIB, 3 * MIB));
		SAME(lseek(reader, 2 * MIB, SEEK_DATA), 3 * MIB);
		map = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		memcpy(map + 2 * MIB, data, 65536);
		SAME(lseek(reader, 2 * MIB, SEEK_DATA), 2 * MIB);
		TEXT(ranges(fd), "1024-2112 3072-4096");
		OK(munmap(map, 4 * MIB));
		OK(close(fd));
	}
}

static void allocating_sets_the_size_and_leaves_what_is_there(void)
{
	unsigned char *data = noise(MIB, 1);
	int fd = (int)OK(open("f", O_CREAT | O_RDWR, 0644));

	OK(fallocate(fd, 0, 0, 5000));
	SAME(look_fd(fd).st_size, 5000);
	filled("f", zeros(5000), 5000);
	OK(pwrite(fd, data, MIB, 0));
	OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, MIB, MIB));
	SAME(look_fd(fd).st_size, MIB);
	OK(fallocate(fd, 0, 10, 100));
	filled("f", data, MIB);
	SAME(posix_fallocate(fd, 2 * MIB, 1), 0);
	SAME(look_fd(fd).st_size, 2 * MIB + 1);
	SAME(posix_fallocate(fd, 0, 0), EINVAL);
	OK(ftruncate(fd, MIB));
	filled("f", data, MIB);
}

static void punching_and_zeroing_leave_zeros_of_just_that_length(void)
{
	unsigned char *data = noise(MIB, 1), *model = malloc(MIB + 2000);
	int fd;

	memcpy(model, data, MIB);
	memset(model + MIB, 0, 2000);
	fill("f", data, MIB);
	fd = (int)OK(open("f", O_RDWR));
	OK(fallocate(fd, PUNCH, 100000, 300001));
	memset(model + 100000, 0, 300001);
	filled("f", model, MIB);
	forget(fd);
	filled("f", model, MIB);
	OK(fallocate(fd, PUNCH, MIB - 10, 1000));
	memset(model + MIB - 10, 0, 10);
	filled("f", model, MIB);
	OK(fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, MIB - 20, 1000));
	memset(model + MIB - 20, 0, 20);
	filled("f", model, MIB);
	OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, MIB - 30, 1000));
	memset(model + MIB - 30, 0, 30);
	filled("f", model, MIB + 970);
	OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, 7, 1));
	model[7] = 0;
	OK(fallocate(fd, PUNCH, 8, 1));
	model[8] = 0;
	forget(fd);
	filled("f", model, MIB + 970);
	OK(fallocate(fd, PUNCH, 10 * MIB, MIB));
	SAME(look_fd(fd).st_size, MIB + 970);
}

static void a_punched_hole_is_seen_as_one_and_takes_no_blocks(void)
{
	unsigned char *data = noise(4 * MIB, 1);
	blkcnt_t before;
	int fd;

	fill("f", data, 4 * MIB);
	fd = (int)OK(open("f", O_RDWR));
	OK(fsync(fd));
	TEXT(ranges(fd), "0-4096");
	before = look("f").st_blocks;
	OK(fallocate(fd, PUNCH, MIB, 2 * MIB));
	TEXT(ranges(fd), "0-1024 3072-4096");
	OK(fsync(fd));
	YES(look("f").st_blocks <= before - 2 * MIB / 512 + 128);
	OK(fallocate(fd, PUNCH, 0, 4 * MIB));
	OK(fsync(fd));
	TEXT(ranges(fd), "");
	YES(look("f").st_blocks <= 128);
}

static void what_is_punched_before_it_was_written_back_stays_zeros(void)
{
	unsigned char *data = noise(MIB, 1), *model = malloc(MIB);

	for (int i = 0; i < 20; i++) {
		int fd = (int)OK(open("f", O_CREAT | O_TRUNC | O_RDWR, 0644));

		OK(pwrite(fd, data, MIB, 0));
		OK(fallocate(fd, PUNCH, 4096 * i + 100, 500000));
		OK(pwrite(fd, "yyyyyyyyyy", 10, 4096 * i + 200));
		memcpy(model, data, MIB);
		memset(model + 4096 * i + 100, 0, 500000);
		memset(model + 4096 * i + 200, 'y', 10);
		filled("f", model, MIB);
		forget(fd);
		filled("f", model, MIB);
		OK(close(fd));
	}
}

static void allocating_beside_the_write_back_cuts_nothing_off(void)
{
	unsigned char *data = noise(8 * MIB, 1);

	for (int i = 0; i < 12; i++) {
		int fd = (int)OK(open("f", O_CREAT | O_TRUNC | O_RDWR, 0644));

		OK(write(fd, data, 8 * MIB));
		OK(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
		for (int j = 0; j < 20; j++)
			OK(fallocate(fd, 0, 0, (i + j + 1) * 100000));
		forget(fd);
		filled("f", data, 8 * MIB);
		OK(close(fd));
	}
}

static void fallocate_refuses_what_it_should(void)
{
	int fd, r, p[2];

	make("f", "12345");
	fd = (int)OK(open("f", O_RDWR));
	r = (int)OK(open("f", O_RDONLY));
	FAILS(EINVAL, fallocate(fd, 0, -1, 10));
	FAILS(EINVAL, fallocate(fd, 0, 0, 0));
	FAILS(EINVAL, fallocate(fd, 0, 0, -1));
	FAILS(EINVAL, fallocate(fd, PUNCH, 0, 0));
	FAILS(EOPNOTSUPP, fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10));
	FAILS(EOPNOTSUPP, fallocate(fd, PUNCH | FALLOC_FL_ZERO_RANGE, 0, 10));
	FAILS(EOPNOTSUPP, fallocate(fd, 1 << 30, 0, 10));
	FAILS(EBADF, fallocate(r, 0, 0, 10));
	FAILS(EBADF, fallocate(r, PUNCH, 0, 10));
	FAILS(EBADF, fallocate(-1, 0, 0, 10));
	OK(pipe(p));
	FAILS(ESPIPE, fallocate(p[1], 0, 0, 10));
	content("f", "12345");
}

static void a_sparse_file_takes_the_blocks_of_its_data(void)
{
	unsigned char *data = noise(MIB, 1);
	int fd = (int)OK(open("f", O_CREAT | O_RDWR, 0644));

	OK(ftruncate(fd, 100 * MIB));
	SAME(look("f").st_blocks, 0);
	for (int i = 1; i < 4; i++) {
		OK(pwrite(fd, data, MIB, 20 * i * MIB));
		OK(fsync(fd));
		YES(look("f").st_blocks * 512 >= i * MIB && look("f").st_blocks * 512 < i * MIB + 128 * KIB);
	}
	OK(ftruncate(fd, 50 * MIB));
	OK(fsync(fd));
	YES(look("f").st_blocks * 512 < 2 * MIB + 128 * KIB);
	OK(ftruncate(fd, 0));
	OK(fsync(fd));
	SAME(look("f").st_blocks, 0);
}

const struct test holes_tests[] = {
	T(seek_finds_data_and_holes),
	T(a_full_file_has_its_hole_at_the_end_and_an_empty_one_none),
	T(seek_sees_what_was_written_just_before_also_through_a_mapping),
	T(allocating_sets_the_size_and_leaves_what_is_there),
	T(punching_and_zeroing_leave_zeros_of_just_that_length),
	T(a_punched_hole_is_seen_as_one_and_takes_no_blocks),
	T(what_is_punched_before_it_was_written_back_stays_zeros),
	T(allocating_beside_the_write_back_cuts_nothing_off),
	T(fallocate_refuses_what_it_should),
	T(a_sparse_file_takes_the_blocks_of_its_data),
	{ 0 }
};
