/* copies: copy_file_range, the clone ioctls, sendfile and splice. */
#include "posix.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>

/* As many calls as it takes. */
static size_t copy(int from, off_t from_off, int to, off_t to_off, size_t len)
{
	size_t done = 0;
	long n;

	while (done < len && (n = OK(copy_file_range(from, &from_off, to, &to_off, len - done, 0))) > 0)
		done += (size_t)n;
	return done;
}

static void copy_file_range_copies_the_whole_a_part_and_within_one_file(void)
{
	const size_t len = 3 * MIB;
	unsigned char *data = noise(len, 1), *model = zeros(8 * MIB);
	int from, to;

	fill("from", data, len);
	from = (int)OK(open("from", O_RDWR));
	to = (int)OK(open("to", O_CREAT | O_RDWR, 0644));
	SAME(copy(from, 0, to, 0, 4 * MIB), len);
	filled("to", data, len);
	SAME(copy(from, 3 * MIB, to, 0, 1000), 0);
	SAME(copy(from, 3 * MIB - 10, to, 7, 1000), 10);
	SAME(copy(from, 12345, to, 5 * MIB + 3, 700001), 700001);
	memcpy(model, data, len);
	memcpy(model + 7, data + len - 10, 10);
	memcpy(model + 5 * MIB + 3, data + 12345, 700001);
	filled("to", model, 5 * MIB + 3 + 700001);
	forget(to);
	filled("to", model, 5 * MIB + 3 + 700001);
	/* What was not yet written back, on both sides. */
	OK(pwrite(from, "dirty source", 12, 500));
	OK(pwrite(to, "dirty target", 12, 100000));
	SAME(copy(from, 0, to, 100004, 1000), 1000);
	memcpy(data + 500, "dirty source", 12);
	memcpy(model + 100000, "dirty target", 12);
	memcpy(model + 100004, data, 1000);
	filled("to", model, 5 * MIB + 3 + 700001);
	SAME(copy(from, 0, from, 2 * MIB, MIB), MIB);
	memcpy(data + 2 * MIB, data, MIB);
	filled("from", data, len);
	forget(from);
	filled("from", data, len);
}

static void a_copy_moves_the_places_of_its_descriptors(void)
{
	loff_t at = 2;
	int from, to;

	make("from", "0123456789");
	from = (int)OK(open("from", O_RDONLY));
	to = (int)OK(open("to", O_CREAT | O_WRONLY, 0644));
	SAME(copy_file_range(from, NULL, to, NULL, 4, 0), 4);
	SAME(lseek(from, 0, SEEK_CUR), 4);
	SAME(lseek(to, 0, SEEK_CUR), 4);
	SAME(copy_file_range(from, &at, to, NULL, 3, 0), 3);
	SAME(at, 5);
	SAME(lseek(from, 0, SEEK_CUR), 4);
	content("to", "0123234");
	SAME(copy_file_range(from, NULL, to, NULL, 0, 0), 0);
}

static void a_copy_keeps_what_its_source_held_at_that_moment(void)
{
	unsigned char *a = noise(500000, 1), *b = noise(500000, 2);
	int from, to;

	fill("from", a, 500000);
	from = (int)OK(open("from", O_RDWR));
	to = (int)OK(open("to", O_CREAT | O_RDWR, 0644));
	SAME(copy(from, 0, to, 0, 500000), 500000);
	OK(pwrite(from, b, 500000, 0));
	OK(ftruncate(from, 10));
	filled("to", a, 500000);
	forget(to);
	filled("to", a, 500000);
	OK(unlink("from"));
	OK(close(from));
	filled("to", a, 500000);
}

static void a_copy_of_a_hole_is_zeros(void)
{
	unsigned char *data = noise(3 * MIB, 1), *model = zeros(3 * MIB);
	int from = (int)OK(open("from", O_CREAT | O_RDWR, 0644)), to;

	fill("to", data, 3 * MIB);
	to = (int)OK(open("to", O_RDWR));
	OK(ftruncate(from, 2 * MIB));
	OK(pwrite(from, "x", 1, MIB));
	SAME(copy(from, 0, to, 500000, 2 * MIB), 2 * MIB);
	memcpy(model, data, 500000);
	model[500000 + MIB] = 'x';
	memcpy(model + 500000 + 2 * MIB, data + 500000 + 2 * MIB, MIB - 500000);
	filled("to", model, 3 * MIB);
	forget(to);
	filled("to", model, 3 * MIB);
}

static void copy_file_range_refuses_what_it_should(void)
{
	loff_t a = 0, b = 1000;
	int from, to, dir, append, p[2];

	fill("from", noise(5000, 1), 5000);
	make("to", "");
	from = (int)OK(open("from", O_RDWR));
	to = (int)OK(open("to", O_RDWR));
	append = (int)OK(open("to", O_WRONLY | O_APPEND));
	dir = (int)OK(open(".", O_RDONLY));
	OK(pipe(p));
	FAILS(EINVAL, copy_file_range(from, &a, from, &b, 2000, 0));
	FAILS(EINVAL, copy_file_range(from, NULL, to, NULL, 10, 1));
	FAILS(EBADF, copy_file_range(from, NULL, append, NULL, 10, 0));
	FAILS(EBADF, copy_file_range(append, NULL, to, NULL, 10, 0));
	FAILS(EBADF, copy_file_range(from, NULL, (int)OK(open("to", O_RDONLY)), NULL, 10, 0));
	FAILS(EBADF, copy_file_range(-1, NULL, to, NULL, 10, 0));
	FAILS(EISDIR, copy_file_range(dir, NULL, to, NULL, 10, 0));
	FAILS(EINVAL, copy_file_range(p[0], NULL, to, NULL, 10, 0));
	SAME(look("to").st_size, 0);
}

static void a_filesystem_that_does_not_clone_says_so(void)
{
	struct file_clone_range range = { .src_fd = 0, .src_length = 4096 };
	int from, to;

	make("from", "x");
	make("to", "");
	from = (int)OK(open("from", O_RDONLY));
	to = (int)OK(open("to", O_RDWR));
	if (ioctl(to, FICLONE, from) == 0)
		SKIP("it clones");
	SAME(errno, EOPNOTSUPP);
	range.src_fd = from;
	FAILS(EOPNOTSUPP, ioctl(to, FICLONERANGE, &range));
	FAILS(EBADF, ioctl(to, FICLONE, 12345));
	FAILS(ENOTTY, ioctl(to, 0x12345678));
	SAME(look("to").st_size, 0);
}

static void sendfile_and_splice_move_the_same_bytes(void)
{
	unsigned char *data = noise(500000, 1), got[5000];
	loff_t at = 100;
	int from, to, p[2];

	fill("from", data, 500000);
	from = (int)OK(open("from", O_RDONLY));
	to = (int)OK(open("to", O_CREAT | O_RDWR, 0644));
	for (size_t done = 0; done < 500000; )
		done += (size_t)OK(sendfile(to, from, NULL, 500000 - done));
	filled("to", data, 500000);
	OK(pipe(p));
	SAME(splice(from, &at, p[1], NULL, 5000, 0), 5000);
	at = 7;
	SAME(splice(p[0], NULL, to, &at, 5000, 0), 5000);
	SAME(pread(to, got, 5000, 7), 5000);
	BYTES(got, data + 100, 5000);
	SAME(splice(from, &at, p[1], NULL, 3000, SPLICE_F_MOVE), 3000);
	SAME(read(p[0], got, 5000), 3000);
	BYTES(got, data + 5007, 3000);
}

const struct test copies_tests[] = {
	T(copy_file_range_copies_the_whole_a_part_and_within_one_file),
	T(a_copy_moves_the_places_of_its_descriptors),
	T(a_copy_keeps_what_its_source_held_at_that_moment),
	T(a_copy_of_a_hole_is_zeros),
	T(copy_file_range_refuses_what_it_should),
	T(a_filesystem_that_does_not_clone_says_so),
	T(sendfile_and_splice_move_the_same_bytes),
	{ 0 }
};
