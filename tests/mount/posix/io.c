/* io: read and write in all their forms. */
#include "posix.h"

#include <sys/uio.h>

static void random_writes_are_read_back_at_random(void)
{
	static const size_t lengths[] = { 1, 100, 4096, 5000, 70000, 300000 };
	const size_t end = 4 * MIB;
	unsigned char *model = zeros(end), *got = malloc(end), *data = noise(end, 1);
	unsigned int x = 12345;
	size_t size = 0;
	int fd = (int)OK(open("f", O_CREAT | O_RDWR, 0644));

	for (int i = 0; i < 600; i++) {
		size_t off, len;

		x = x * 1103515245 + 12345;
		len = lengths[x >> 8 & 0xff & 7 ? (x >> 16) % COUNT(lengths) : 0];
		x = x * 1103515245 + 12345;
		off = (x >> 4) % (3 * MIB);
		if (i % 2) {
			SAME(pwrite(fd, data + i, len, (off_t)off), len);
			memcpy(model + off, data + i, len);
			size = off + len > size ? off + len : size;
		} else {
			size_t wanted = off >= size ? 0 : size - off < len ? size - off : len;

			SAME(pread(fd, got, len, (off_t)off), wanted);
			BYTES(got, model + off, wanted);
		}
		if (i % 100 == 99)
			forget(fd);
	}
	filled("f", model, size);
}

static void reads_stop_at_the_end_and_nothing_written_is_nothing_changed(void)
{
	char got[100];
	int fd;

	make("f", "12345");
	fd = (int)OK(open("f", O_RDWR));
	SAME(pread(fd, got, 100, 3), 2);
	SAME(pread(fd, got, 100, 5), 0);
	SAME(pread(fd, got, 100, TIB), 0);
	SAME(pread(fd, got, 0, 0), 0);
	SAME(pwrite(fd, "", 0, 100), 0);
	SAME(look("f").st_size, 5);
	SAME(lseek(fd, 100, SEEK_SET), 100);
	SAME(read(fd, got, 10), 0);
	SAME(look("f").st_size, 5);
	SAME(write(fd, "x", 1), 1);
	SAME(look("f").st_size, 101);
	SAME(pread(fd, got, 100, 5), 96);
	BYTES(got, zeros(95), 95);
}

static void offsets_that_can_not_be_are_EINVAL(void)
{
	char c = 0;
	int fd;

	make("f", "12345");
	fd = (int)OK(open("f", O_RDWR));
	FAILS(EINVAL, pread(fd, &c, 1, -1));
	FAILS(EINVAL, pwrite(fd, &c, 1, -1));
	FAILS(EINVAL, lseek(fd, -1, SEEK_SET));
	FAILS(EINVAL, lseek(fd, -6, SEEK_END));
	FAILS(EINVAL, lseek(fd, 0, 99));
	SAME(lseek(fd, 0, SEEK_CUR), 0);
	SAME(lseek(fd, -5, SEEK_END), 0);
	SAME(lseek(fd, 10, SEEK_END), 15);
	SAME(lseek(fd, -15, SEEK_CUR), 0);
}

static void vectors_move_the_same_bytes(void)
{
	char a[5000], b[1] = { 'b' }, c[9000], got[14001];
	struct iovec out[3] = { { a, sizeof a }, { b, 1 }, { c, sizeof c } };
	struct iovec in[3] = { { got, 1 }, { got + 1, 7000 }, { got + 7001, 7000 } };
	struct iovec empty[2] = { { NULL, 0 }, { NULL, 0 } };
	volatile int too_few = -1, too_many = IOV_MAX + 1;
	int fd = (int)OK(open("f", O_CREAT | O_RDWR, 0644));

	memset(a, 'a', sizeof a);
	memset(c, 'c', sizeof c);
	SAME(writev(fd, out, 3), 14001);
	SAME(lseek(fd, 0, SEEK_CUR), 14001);
	SAME(preadv(fd, in, 3, 0), 14001);
	BYTES(got, a, 5000);
	SAME(got[5000], 'b');
	BYTES(got + 5001, c, 9000);
	SAME(pwritev(fd, out, 2, 1), 5001);
	SAME(pread(fd, got, 2, 0), 2);
	SAME(got[1], 'a');
	SAME(writev(fd, empty, 2), 0);
	SAME(readv(fd, empty, 2), 0);
	SAME(writev(fd, out, 0), 0);
	FAILS(EINVAL, writev(fd, out, too_few));
	FAILS(EINVAL, writev(fd, out, too_many));
	FAILS(EINVAL, preadv(fd, in, 3, -1));
	SAME(pwritev2(fd, out, 1, 0, RWF_APPEND), 5000);
	SAME(look("f").st_size, 19001);
	SAME(pwritev2(fd, out, 1, -1, RWF_SYNC), 5000);
	SAME(pwritev2(fd, out, 1, 0, RWF_DSYNC), 5000);
	FAILS(EOPNOTSUPP, pwritev2(fd, out, 1, 0, 1 << 30));
}

static void as_many_vectors_as_there_may_be(void)
{
	static struct iovec v[IOV_MAX];
	unsigned char *data = noise(IOV_MAX * 100, 1), *got = zeros(IOV_MAX * 100);
	int fd = (int)OK(open("f", O_CREAT | O_RDWR, 0644));

	for (size_t i = 0; i < IOV_MAX; i++)
		v[i] = (struct iovec){ data + 100 * i, 100 };
	SAME(writev(fd, v, IOV_MAX), IOV_MAX * 100);
	for (size_t i = 0; i < IOV_MAX; i++)
		v[i] = (struct iovec){ got + 100 * (IOV_MAX - 1 - i), 100 };
	SAME(preadv(fd, v, IOV_MAX, 0), IOV_MAX * 100);
	for (size_t i = 0; i < IOV_MAX; i++)
		BYTES(got + 100 * i, data + 100 * (IOV_MAX - 1 - i), 100);
}

static void a_write_from_memory_that_ends_writes_what_there_is(void)
{
	long page = sysconf(_SC_PAGESIZE);
	char *map = aligned_alloc((size_t)page, (size_t)page);
	struct iovec v[2] = { { map, 100 }, { (char *)1, 100 } };
	int fd = (int)OK(open("f", O_CREAT | O_RDWR, 0644));

	memset(map, 'x', 100);
	SAME(writev(fd, v, 2), 100);
	SAME(look("f").st_size, 100);
	SAME(lseek(fd, 0, SEEK_CUR), 100);
	FAILS(EFAULT, writev(fd, v + 1, 1));
	SAME(lseek(fd, 0, SEEK_SET), 0);
	SAME(readv(fd, v, 2), 100);
}

static void large_reads_and_writes_move_all_at_once(void)
{
	const size_t len = 37 * MIB + 12345;
	unsigned char *data = noise(len, 1), *got = zeros(len);
	int fd = (int)OK(open("f", O_CREAT | O_RDWR, 0644));

	SAME(write(fd, data, len), len);
	SAME(pread(fd, got, len, 0), len);
	BYTES(got, data, len);
	forget(fd);
	memset(got, 0, len);
	SAME(pread(fd, got, len, 0), len);
	BYTES(got, data, len);
}

static void small_writes_add_up(void)
{
	unsigned char *data = noise(300000, 1);
	int fd = (int)OK(open("f", O_CREAT | O_WRONLY, 0644));

	for (size_t at = 0, n; at < 300000; at += n) {
		n = at % 997 + 1;
		if (n > 300000 - at)
			n = 300000 - at;
		SAME(write(fd, data + at, n), n);
	}
	OK(close(fd));
	filled("f", data, 300000);
	fd = (int)OK(open("f", O_RDONLY));
	forget(fd);
	filled("f", data, 300000);
}

static void files_reach_behind_4_GiB(void)
{
	static const off_t places[] = { 0, 2 * GIB - 3, 4 * GIB - 3, 4 * GIB + 100000, TIB - 2, 8 * TIB - 3 };
	char got[8];
	int fd = (int)OK(open("f", O_CREAT | O_RDWR, 0644));

	for (size_t i = 0; i < COUNT(places); i++)
		SAME(pwrite(fd, "there", 5, places[i]), 5);
	SAME(look("f").st_size, 8 * TIB + 2);
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < COUNT(places); i++) {
			SAME(pread(fd, got, 5, places[i]), 5);
			BYTES(got, "there", 5);
			SAME(pread(fd, got, 5, places[i] + 5), i + 1 < COUNT(places) ? 5 : 0);
		}
		SAME(lseek(fd, 0, SEEK_END), 8 * TIB + 2);
		SAME(lseek(fd, 4 * GIB, SEEK_SET), 4 * GIB);
		SAME(lseek(fd, 4 * GIB, SEEK_CUR), 8 * GIB);
		forget(fd);
	}
	YES(look("f").st_blocks * 512 < 16 * MIB);
}

static void readers_beside_a_writer_see_each_byte_before_or_after(void)
{
	const size_t size = 2 * MIB;
	unsigned char *data = malloc(size);
	pid_t pids[2];
	int fd;

	memset(data, 1, size);
	fill("f", data, size);
	fflush(stdout);
	for (int i = 0; i < 2; i++) {
		pids[i] = (pid_t)OK(fork());
		if (pids[i] > 0)
			continue;
		fd = (int)OK(open("f", O_RDONLY));
		for (int round = 0; round < 40; round++) {
			posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
			SAME(pread(fd, data, size, 0), size);
			for (size_t at = 0; at < size; at++)
				YES(data[at] == 1 || data[at] == 2);
		}
		_exit(0);
	}
	fd = (int)OK(open("f", O_WRONLY));
	for (int round = 0; round < 10; round++) {
		memset(data, 1 + round % 2, size);
		for (size_t at = 0; at < size; at += 100000)
			OK(pwrite(fd, data + at, size - at < 100000 ? size - at : 100000, (off_t)at));
		OK(fsync(fd));
	}
	reap(pids[0]);
	reap(pids[1]);
}

static void advice_is_taken(void)
{
	unsigned char *data = noise(MIB, 1);
	int fd;

	fill("f", data, MIB);
	fd = (int)OK(open("f", O_RDONLY));
	for (int advice = POSIX_FADV_NORMAL; advice <= POSIX_FADV_NOREUSE; advice++)
		SAME(posix_fadvise(fd, 0, MIB, advice), 0);
	OK(readahead(fd, 0, MIB));
	SAME(posix_fadvise(fd, 0, 0, 99), EINVAL);
	filled("f", data, MIB);
}

const struct test io_tests[] = {
	T(random_writes_are_read_back_at_random),
	T(reads_stop_at_the_end_and_nothing_written_is_nothing_changed),
	T(offsets_that_can_not_be_are_EINVAL),
	T(vectors_move_the_same_bytes),
	T(as_many_vectors_as_there_may_be),
	T(a_write_from_memory_that_ends_writes_what_there_is),
	T(large_reads_and_writes_move_all_at_once),
	T(small_writes_add_up),
	T(files_reach_behind_4_GiB),
	T(readers_beside_a_writer_see_each_byte_before_or_after),
	T(advice_is_taken),
	{ 0 }
};
