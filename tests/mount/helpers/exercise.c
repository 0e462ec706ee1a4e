/*
 * exercise DIRECTORY SECONDS: random operations on two files, each beside a model in memory, as fsx does.
 *
 * Everything that can change or show a file's bytes is done: write, append, read, truncate,
 * mappings, holes, zeros, clones, reopening, and reading again what the kernel has forgotten.  Now
 * and then a file's address must be that of the same bytes written at one go.  SEED in the
 * environment replays a run (as far as the time allows the same number of operations).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define SIZE_MAX_BYTES	((size_t)4 << 20)
#define LEN_MAX		((size_t)700 << 10)
#define FILES		2u
#define LOG_LINES	40u

struct tested {
	char path[4096];
	int fd;
	size_t size;
	unsigned char *model;	/* zeros behind size */
};

static struct tested files[FILES];
static unsigned char *scratch;
static uint64_t rng_state, operations;
static char journal[LOG_LINES][160];

static uint64_t rng(void)
{
	/* splitmix64 */
	uint64_t z = rng_state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static size_t below(size_t n)
{
	return n ? (size_t)(rng() % n) : 0;
}

/* Small and large lengths alike. */
static size_t length(void)
{
	size_t len = 1 + below((size_t)1 << (4 + below(17)));

	return len < LEN_MAX ? len : LEN_MAX;
}

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(journal[operations++ % LOG_LINES], sizeof(journal[0]), format, args);
	va_end(args);
}

static void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
static void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\nthe last operations, of %" PRIu64 ":\n", operations);
	for (uint64_t i = operations < LOG_LINES ? 0 : operations - LOG_LINES; i < operations; i++)
		printf("%8" PRIu64 " %s\n", i, journal[i % LOG_LINES]);
	exit(1);
}

static void check(bool good, const char *what)
{
	if (!good)
		die("%s: %s", what, strerror(errno));
}

static void compare(const struct tested *t, const unsigned char *got, size_t off, size_t len,
    const char *how)
{
	if (memcmp(got, t->model + off, len) == 0)
		return;
	for (size_t i = 0; i < len; i++)
		if (got[i] != t->model[off + i])
			die("%s by %s: at %zu is %02x, wanted %02x (range %zu + %zu, size %zu)",
			    t->path, how, off + i, got[i], t->model[off + i], off, len, t->size);
}

static void open_file(struct tested *t, int flags)
{
	t->fd = open(t->path, O_RDWR | flags, 0644);
	check(t->fd >= 0, "open");
}

/* Noise, one byte over and over, zeros, or text of sorts: each is cut and compressed differently. */
static void fill(unsigned char *at, size_t len)
{
	unsigned int how = (unsigned int)below(8);
	unsigned char byte = (unsigned char)rng();

	if (how < 2)
		memset(at, how == 0 ? byte : 0, len);
	else
		for (size_t i = 0; i < len; i++)
			at[i] = how < 6 ? (unsigned char)(rng() >> 17) :
			    (unsigned char)('a' + (i * i / 7 + byte) % 26);
}

static void grow(struct tested *t, size_t end)
{
	if (end > t->size)
		t->size = end;
}

static void do_write(struct tested *t)
{
	size_t off = below(SIZE_MAX_BYTES), len = length();

	if (below(3) == 0)
		off = t->size;
	if (off + len > SIZE_MAX_BYTES)
		len = SIZE_MAX_BYTES - off;
	note("write %s %zu + %zu", t->path, off, len);
	fill(t->model + off, len);
	check(pwrite(t->fd, t->model + off, len, (off_t)off) == (ssize_t)len, "pwrite");
	grow(t, off + len);
}

/* As programs write: a run of pieces, one behind the other. */
static void do_stream(struct tested *t)
{
	size_t off = below(SIZE_MAX_BYTES / 2), piece = 1 + below(20000);
	unsigned int n = 1 + (unsigned int)below(60);

	note("stream %s %zu + %u x %zu", t->path, off, n, piece);
	for (unsigned int i = 0; i < n && off + piece <= SIZE_MAX_BYTES; i++, off += piece) {
		fill(t->model + off, piece);
		check(pwrite(t->fd, t->model + off, piece, (off_t)off) == (ssize_t)piece,
		    "pwrite");
		grow(t, off + piece);
	}
}

static void do_append(struct tested *t)
{
	size_t len = length();
	int fd;

	if (t->size + len > SIZE_MAX_BYTES)
		return;
	note("append %s %zu + %zu", t->path, t->size, len);
	fd = open(t->path, O_WRONLY | O_APPEND);
	check(fd >= 0, "open to append");
	fill(t->model + t->size, len);
	check(write(fd, t->model + t->size, len) == (ssize_t)len, "append");
	check(close(fd) == 0, "close after append");
	grow(t, t->size + len);
}

static void do_read(struct tested *t)
{
	size_t off = below(t->size + 100), len = length();
	size_t wanted = off >= t->size ? 0 : len < t->size - off ? len : t->size - off;
	ssize_t n;

	note("read %s %zu + %zu", t->path, off, len);
	n = pread(t->fd, scratch, len, (off_t)off);
	check(n >= 0, "pread");
	if ((size_t)n != wanted)
		die("%s: read %zd bytes, wanted %zu", t->path, n, wanted);
	compare(t, scratch, off, wanted, "read");
}

static void do_truncate(struct tested *t)
{
	size_t size = below(4) ? below(SIZE_MAX_BYTES) : below(10000);

	note("truncate %s %zu -> %zu", t->path, t->size, size);
	check(ftruncate(t->fd, (off_t)size) == 0, "ftruncate");
	if (size < t->size)
		memset(t->model + size, 0, t->size - size);
	t->size = size;
}

static void do_map(struct tested *t)
{
	size_t off, len;
	unsigned char *map;

	if (t->size == 0)
		return;
	map = mmap(NULL, t->size, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd, 0);
	check(map != MAP_FAILED, "mmap");
	off = below(t->size);
	len = length();
	if (len > t->size - off)
		len = t->size - off;
	if (below(2)) {
		note("map write %s %zu + %zu", t->path, off, len);
		fill(t->model + off, len);
		memcpy(map + off, t->model + off, len);
		if (below(2))
			check(msync(map, t->size, MS_SYNC) == 0, "msync");
	} else {
		note("map read %s %zu + %zu", t->path, off, len);
		compare(t, map + off, off, len, "mapping");
	}
	check(munmap(map, t->size) == 0, "munmap");
}

static void do_zero(struct tested *t)
{
	size_t off = below(SIZE_MAX_BYTES - 1), len = length(), end;
	int mode = below(2) ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE :
	    below(2) ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;

	if (below(3) == 0)
		len *= 4;
	if (len > SIZE_MAX_BYTES - off)
		len = SIZE_MAX_BYTES - off;
	end = off + len;
	note("zero %s %zu + %zu, mode %d", t->path, off, len, mode);
	check(fallocate(t->fd, mode, (off_t)off, (off_t)len) == 0, "fallocate");
	if (!(mode & FALLOC_FL_KEEP_SIZE))
		grow(t, end);
	memset(t->model + off, 0, len);
}

static void do_allocate(struct tested *t)
{
	size_t off = below(SIZE_MAX_BYTES / 2), len = length();
	int mode = below(2) ? FALLOC_FL_KEEP_SIZE : 0;

	note("allocate %s %zu + %zu, mode %d", t->path, off, len, mode);
	check(fallocate(t->fd, mode, (off_t)off, (off_t)len) == 0, "fallocate");
	if (mode == 0)
		grow(t, off + len);
}

static void do_clone(struct tested *to)
{
	struct tested *from = &files[below(FILES)];
	size_t off = below(from->size), to_off = below(SIZE_MAX_BYTES / 2), len = length();
	loff_t in, out;
	ssize_t n;

	if (below(3) == 0)
		len *= 4;
	if (len > from->size - off)
		len = from->size - off;
	if (len > SIZE_MAX_BYTES - to_off)
		len = SIZE_MAX_BYTES - to_off;
	if (len == 0 || (from == to && off < to_off + len && to_off < off + len))
		return;
	note("clone %s %zu + %zu -> %s %zu", from->path, off, len, to->path, to_off);
	in = (loff_t)off;
	out = (loff_t)to_off;
	n = copy_file_range(from->fd, &in, to->fd, &out, len, 0);
	check(n > 0, "copy_file_range");
	memmove(to->model + to_off, from->model + off, (size_t)n);
	grow(to, to_off + (size_t)n);
}

static void do_reopen(struct tested *t)
{
	bool empty = below(10) == 0;

	note("reopen %s%s", t->path, empty ? ", to nothing" : "");
	check(close(t->fd) == 0, "close");
	open_file(t, empty ? O_TRUNC : 0);
	if (empty) {
		memset(t->model, 0, t->size);
		t->size = 0;
	}
}

static void do_sync(struct tested *t)
{
	note("sync %s", t->path);
	check(below(2) ? fsync(t->fd) == 0 : fdatasync(t->fd) == 0, "fsync");
}

/* All of it, and not from the kernel's memory. */
static void do_forget(struct tested *t)
{
	struct stat st;
	ssize_t n;

	note("forget and read %s", t->path);
	check(fsync(t->fd) == 0, "fsync");
	check(posix_fadvise(t->fd, 0, 0, POSIX_FADV_DONTNEED) == 0, "fadvise");
	check(fstat(t->fd, &st) == 0, "fstat");
	n = pread(t->fd, scratch, SIZE_MAX_BYTES, 0);
	check(n >= 0, "pread");
	if ((size_t)n != t->size || (size_t)st.st_size != t->size)
		die("%s: read %zd bytes of %jd, wanted %zu", t->path, n, (intmax_t)st.st_size,
		    t->size);
	compare(t, scratch, 0, t->size, "reading it again");
}

/*
 * What is called a hole must read as zeros; a long run of zeros need not be called so.  (A flush
 * between the two calls may make the zeros at the start of what was called data part of the hole
 * before them.)
 */
static void do_seek(struct tested *t)
{
	off_t off = 0, data, hole;
	unsigned int still = 0;

	note("seek %s", t->path);
	while ((size_t)off < t->size) {
		data = lseek(t->fd, off, SEEK_DATA);
		check(data >= off || errno == ENXIO, "SEEK_DATA");
		if (data < 0)
			data = (off_t)t->size;
		for (off_t i = off; i < data; i++)
			if (t->model[i] != 0)
				die("%s: no hole at %jd of [%jd, %jd)", t->path, (intmax_t)i,
				    (intmax_t)off, (intmax_t)data);
		if ((size_t)data >= t->size)
			break;
		hole = lseek(t->fd, data, SEEK_HOLE);
		check(hole >= data && (hole > data || ++still < 100), "SEEK_HOLE");
		if ((size_t)hole > t->size)
			die("%s: a hole at %jd, size %zu", t->path, (intmax_t)hole, t->size);
		off = hole;
	}
}

static void address(const char *path, char out[65])
{
	ssize_t n = getxattr(path, "user.dhtfs.address", out, 64);

	if (n != 64)
		die("%s: its address has %zd bytes: %s", path, n, strerror(errno));
	out[64] = '\0';
}

/* The address is that of the bytes, whatever the way they came. */
static void do_address(struct tested *t)
{
	char fresh[sizeof(t->path) + 8], wanted[65], got[65];
	int fd;

	if (getxattr(t->path, "user.dhtfs.address", got, 64) < 0 &&
	    (errno == ENODATA || errno == EOPNOTSUPP))
		return;		/* not on dhtfs: the exerciser itself is being tried */
	note("address %s", t->path);
	check(fsync(t->fd) == 0, "fsync");
	address(t->path, got);
	snprintf(fresh, sizeof(fresh), "%s.fresh", t->path);
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL, 0644);
	check(fd >= 0, "open of a fresh file");
	check(write(fd, t->model, t->size) == (ssize_t)t->size, "write of a fresh file");
	check(close(fd) == 0, "close of a fresh file");
	address(fresh, wanted);
	if (strcmp(got, wanted) != 0)
		die("%s (%zu bytes): its address is %s, of the same bytes written afresh %s "
		    "(kept as %s)", t->path, t->size, got, wanted, fresh);
	check(unlink(fresh) == 0, "unlink");
}

static const struct {
	void (*run)(struct tested *t);
	unsigned int weight;
} kinds[] = {
	{ do_write, 30 }, { do_stream, 6 }, { do_append, 6 }, { do_read, 30 }, { do_truncate, 6 },
	{ do_map, 16 }, { do_zero, 10 }, { do_allocate, 3 }, { do_clone, 14 }, { do_reopen, 4 },
	{ do_sync, 3 }, { do_forget, 4 }, { do_seek, 4 }, { do_address, 2 },
};

static void step(void)
{
	unsigned int total = 0, at;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		total += kinds[i].weight;
	at = (unsigned int)below(total);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (at < kinds[i].weight) {
			kinds[i].run(&files[below(FILES)]);
			return;
		}
		at -= kinds[i].weight;
	}
}

int main(int argc, char **argv)
{
	const char *seed = getenv("SEED");
	time_t until;

	if (argc != 3) {
		fprintf(stderr, "usage: exercise DIRECTORY SECONDS\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	rng_state = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL) ^ (uint64_t)getpid();
	printf("SEED=%" PRIu64 "\n", rng_state);
	scratch = malloc(SIZE_MAX_BYTES + 1);
	for (unsigned int i = 0; i < FILES; i++) {
		snprintf(files[i].path, sizeof(files[i].path), "%s/file%u", argv[1], i);
		files[i].model = calloc(1, SIZE_MAX_BYTES + 1);
		if (!scratch || !files[i].model)
			die("no memory");
		open_file(&files[i], O_CREAT | O_TRUNC);
	}
	until = time(NULL) + atoi(argv[2]);
	while (time(NULL) < until)
		step();
	for (unsigned int i = 0; i < FILES; i++) {
		do_forget(&files[i]);
		do_seek(&files[i]);
		do_address(&files[i]);
		check(close(files[i].fd) == 0, "close");
		free(files[i].model);
	}
	free(scratch);
	printf("%" PRIu64 " operations\n", operations);
	return 0;
}
