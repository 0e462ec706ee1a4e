/* mapping: mmap, shared and private, and what it and read and write see of each other. */
#include "posix.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

static unsigned char *mapped(int fd, size_t len, int flags)
{
	unsigned char *map = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, fd, 0);

	YES(map != MAP_FAILED);
	return map;
}

static void a_shared_mapping_writes_to_the_file_and_sees_what_is_written_to_it(void)
{
	unsigned char *data = noise(MIB, 1), *map;
	int fd;

	fill("f", data, MIB);
	fd = (int)OK(open("f", O_RDWR));
	map = mapped(fd, MIB, MAP_SHARED);
	BYTES(map, data, MIB);
	memcpy(map + 4095, "across", 6);
	memcpy(data + 4095, "across", 6);
	memcpy(map + 700000, data, 100000);
	memcpy(data + 700000, data, 100000);
	filled("f", data, MIB);
	OK(pwrite(fd, "written", 7, 300000));
	BYTES(map + 300000, "written", 7);
	memcpy(data + 300000, "written", 7);
	OK(msync(map, MIB, MS_SYNC));
	forget(fd);
	BYTES(map, data, MIB);
	memcpy(map + 5, "again", 5);
	memcpy(data + 5, "again", 5);
	OK(msync(map, MIB, MS_ASYNC));
	OK(msync(map, MIB, MS_SYNC | MS_INVALIDATE));
	forget(fd);
	filled("f", data, MIB);
	FAILS(EINVAL, msync(map, MIB, MS_SYNC | MS_ASYNC));
	OK(munmap(map, MIB));
	FAILS(ENOMEM, msync(map, MIB, MS_SYNC));
}

static void two_processes_see_each_others_writes_in_a_shared_mapping(void)
{
	unsigned char *map;
	int fd;

	fill("f", zeros(10000), 10000);
	fd = (int)OK(open("f", O_RDWR));
	map = mapped(fd, 10000, MAP_SHARED);
	IN_CHILD {
		unsigned char *other = mapped((int)OK(open("f", O_RDWR)), 10000, MAP_SHARED);

		other[9999] = 'c';
	}
	SAME(map[9999], 'c');
	IN_CHILD OK(pwrite((int)OK(open("f", O_RDWR)), "w", 1, 5000));
	SAME(map[5000], 'w');
}

static void a_private_mapping_does_not_write_to_the_file(void)
{
	unsigned char *data = noise(10000, 1), *map;
	int fd;

	fill("f", data, 10000);
	fd = (int)OK(open("f", O_RDONLY));
	map = mapped(fd, 10000, MAP_PRIVATE);
	memset(map, 'y', 10000);
	SAME(map[9999], 'y');
	forget(fd);
	filled("f", data, 10000);
	SAME(map[0], 'y');
}

static void a_mapping_goes_on_when_its_file_is_closed_and_removed(void)
{
	unsigned char *map;
	char got[4] = "";
	int fd;

	fill("f", zeros(100000), 100000);
	fd = (int)OK(open("f", O_RDWR));
	map = mapped(fd, 100000, MAP_SHARED);
	OK(close(fd));
	memcpy(map + 50000, "abc", 3);
	fd = (int)OK(open("f", O_RDONLY));
	SAME(pread(fd, got, 3, 50000), 3);
	TEXT(got, "abc");
	OK(unlink("f"));
	memcpy(map, "def", 3);
	OK(msync(map, 100000, MS_SYNC));
	SAME(pread(fd, got, 3, 0), 3);
	TEXT(got, "def");
	OK(close(fd));
	memcpy(map + 99990, "ghi", 3);
	OK(msync(map, 100000, MS_SYNC));
	SAME(map[50001], 'b');
}

static void what_a_mapping_wrote_is_there_after_it_is_gone(void)
{
	unsigned char *data = noise(3 * MIB, 1), *map;
	int fd = (int)OK(open("f", O_CREAT | O_RDWR, 0644));

	OK(ftruncate(fd, 3 * MIB));
	map = mapped(fd, 3 * MIB, MAP_SHARED);
	OK(close(fd));
	memcpy(map, data, 3 * MIB);
	OK(munmap(map, 3 * MIB));
	filled("f", data, 3 * MIB);
	fd = (int)OK(open("f", O_RDONLY));
	forget(fd);
	filled("f", data, 3 * MIB);
}

static sigjmp_buf escape;

static void on_bus(int number)
{
	(void)number;
	siglongjmp(escape, 1);
}

static bool faults(const volatile unsigned char *at)
{
	if (sigsetjmp(escape, 1))
		return true;
	(void)*at;
	return false;
}

static void behind_the_last_page_of_the_file_is_SIGBUS(void)
{
	unsigned char *map;
	int fd;

	signal(SIGBUS, on_bus);
	make("f", "12345");
	fd = (int)OK(open("f", O_RDWR));
	map = mapped(fd, 3 * 4096, MAP_SHARED);
	YES(!faults(map) && !faults(map + 4095));
	YES(faults(map + 4096));
	OK(ftruncate(fd, 3 * 4096));
	YES(!faults(map + 2 * 4096));
	map[2 * 4096] = 'x';
	OK(ftruncate(fd, 4096));
	YES(faults(map + 4096) && faults(map + 2 * 4096));
	OK(ftruncate(fd, 3 * 4096));
	SAME(map[2 * 4096], 0);
	OK(ftruncate(fd, 0));
	YES(faults(map));
}

static void behind_the_end_the_last_page_reads_as_zeros_and_is_never_written(void)
{
	unsigned char *data = noise(5000, 1), *map, model[9000] = { 0 };
	int fd;

	fill("f", data, 5000);
	memcpy(model, data, 5000);
	fd = (int)OK(open("f", O_RDWR));
	map = mapped(fd, 8192, MAP_SHARED);
	BYTES(map + 5000, zeros(3192), 3192);
	memcpy(map + 6000, "gone!", 5);
	OK(msync(map, 8192, MS_SYNC));
	SAME(look("f").st_size, 5000);
	OK(munmap(map, 8192));
	OK(ftruncate(fd, 9000));
	filled("f", model, 9000);
	forget(fd);
	filled("f", model, 9000);
}

static void a_mapping_sees_truncation_punching_and_copies(void)
{
	unsigned char *data = noise(MIB, 1), *map;
	int fd, other;

	fill("f", data, MIB);
	fill("other", data, MIB);
	fd = (int)OK(open("f", O_RDWR));
	other = (int)OK(open("other", O_RDWR));
	map = mapped(fd, MIB, MAP_SHARED);
	BYTES(map, data, MIB);
	map[600000] = 'm';
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 500000, 200000));
	BYTES(map + 500000, zeros(200000), 200000);
	OK(copy_file_range(other, &(loff_t){ 0 }, fd, &(loff_t){ 550000 }, 100000, 0));
	BYTES(map + 550000, data, 100000);
	OK(ftruncate(fd, 300000));
	OK(ftruncate(fd, MIB));
	BYTES(map, data, 300000);
	BYTES(map + 300000, zeros(MIB), MIB - 300000);
	map[MIB - 1] = 'e';
	OK(msync(map, MIB, MS_SYNC));
	forget(fd);
	SAME(map[MIB - 1], 'e');
}

static void write_and_read_work_from_and_to_a_mapping_of_the_same_file(void)
{
	unsigned char *data = noise(100000, 1), *map;
	int fd;

	fill("f", data, 100000);
	fd = (int)OK(open("f", O_RDWR));
	forget(fd);
	map = mapped(fd, 100000, MAP_SHARED);
	SAME(pwrite(fd, map, 30000, 50000), 30000);
	memcpy(data + 50000, data, 30000);
	filled("f", data, 100000);
	forget(fd);
	SAME(pread(fd, map + 90000, 10000, 0), 10000);
	memcpy(data + 90000, data, 10000);
	filled("f", data, 100000);
	SAME(pwrite(fd, map + 1, 4096, 0), 4096);
}

static void a_mapping_can_be_locked_advised_and_protected(void)
{
	unsigned char *data = noise(100000, 1), *map;
	int fd;

	fill("f", data, 100000);
	fd = (int)OK(open("f", O_RDONLY));
	map = mmap(NULL, 100000, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	YES(map != MAP_FAILED);
	BYTES(map, data, 100000);
	FAILS(EACCES, mprotect(map, 100000, PROT_READ | PROT_WRITE));
	OK(madvise(map, 100000, MADV_WILLNEED));
	OK(madvise(map, 100000, MADV_DONTNEED));
	BYTES(map, data, 100000);
	FAILS(ENODEV, mmap(NULL, 4096, PROT_READ, MAP_SHARED, (int)OK(open(".", O_RDONLY)), 0) == MAP_FAILED ? -1 : 0);
	FAILS(EINVAL, mmap(NULL, 0, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0);
	FAILS(EINVAL, mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 1) == MAP_FAILED ? -1 : 0);
}

const struct test mapping_tests[] = {
	T(a_shared_mapping_writes_to_the_file_and_sees_what_is_written_to_it),
	T(two_processes_see_each_others_writes_in_a_shared_mapping),
	T(a_private_mapping_does_not_write_to_the_file),
	T(a_mapping_goes_on_when_its_file_is_closed_and_removed),
	T(what_a_mapping_wrote_is_there_after_it_is_gone),
	T(behind_the_last_page_of_the_file_is_SIGBUS),
	T(behind_the_end_the_last_page_reads_as_zeros_and_is_never_written),
	T(a_mapping_sees_truncation_punching_and_copies),
	T(write_and_read_work_from_and_to_a_mapping_of_the_same_file),
	T(a_mapping_can_be_locked_advised_and_protected),
	{ 0 }
};
