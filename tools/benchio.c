/* benchio: what tools/bench times.  Each command prints the seconds it took, without what it needed to prepare,
 * on a line. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MIB (1 << 20)
#define PAGE 4096

static void die(const char *format, ...)
{
	int error = errno;
	va_list args;

	fputs("benchio: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, ": %s\n", strerror(error));
	exit(1);
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* xorshift64* (Vigna 2016): fast, and zlib finds nothing in it. */
static uint64_t random_next(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1d;
}

static int open_file(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0644);

	if (fd < 0)
		die("%s", path);
	return fd;
}

static off_t file_size(int fd, const char *path)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		die("%s", path);
	return st.st_size;
}

static void close_file(int fd, const char *path)
{
	if (close(fd) < 0)
		die("close %s", path);
}

static void write_fully(int fd, const char *data, size_t len, const char *path)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0)
			die("write %s", path);
		data += n;
		len -= n;
	}
}

static void *buffer_new(size_t size)
{
	void *buffer = aligned_alloc(PAGE, size);

	if (!buffer)
		die("no memory");
	memset(buffer, 1, size);	/* its pages are there before the clock starts */
	return buffer;
}

/* The bytes of a file, all in memory before the clock starts. */
static const char *map_file(const char *path, size_t *size)
{
	int fd = open_file(path, O_RDONLY);
	char *bytes;

	*size = file_size(fd, path);
	bytes = mmap(NULL, *size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (bytes == MAP_FAILED)
		die("map %s", path);
	close_file(fd, path);
	return bytes;
}

static void fill_random(char *out, uint64_t *state)
{
	for (size_t i = 0; i < MIB; i += sizeof(uint64_t)) {
		uint64_t word = random_next(state);

		memcpy(out + i, &word, sizeof(word));
	}
}

/* Lines of ${text}, from random places: compresses as it does, but repeats no long part of it. */
static void fill_lines(char *out, uint64_t *state, const char *text, size_t size)
{
	for (size_t used = 0; used < MIB;) {
		size_t from = random_next(state) % size, len = 0;

		while (from > 0 && text[from - 1] != '\n')
			from--;
		while (from + len < size && used + len < MIB && text[from + len] != '\n')
			len++;
		memcpy(out + used, text + from, len);
		used += len;
		if (used < MIB)
			out[used++] = '\n';
	}
}

/* data FILE MIB SEED [TEXT] */
static void make_data(char **arg)
{
	uint64_t state = strtoull(arg[2], NULL, 10) * 0x9e3779b97f4a7c15 + 1;
	char *block = buffer_new(MIB);
	int fd = open_file(arg[0], O_WRONLY | O_CREAT | O_TRUNC);
	const char *text = NULL;
	size_t size = 0;

	if (arg[3])
		text = map_file(arg[3], &size);
	for (long i = strtol(arg[1], NULL, 10); i > 0; i--) {
		if (text)
			fill_lines(block, &state, text, size);
		else
			fill_random(block, &state);
		write_fully(fd, block, MIB, arg[0]);
	}
	close_file(fd, arg[0]);
	free(block);
}

/* write DATA FILE BLOCK_BYTES [fsync]: the file is made, written and closed. */
static double time_write(char **arg)
{
	size_t size, block = strtoul(arg[2], NULL, 10);
	const char *data = map_file(arg[0], &size);
	double start = now_s();
	int fd = open_file(arg[1], O_WRONLY | O_CREAT | O_TRUNC);

	for (size_t at = 0; at < size; at += block)
		write_fully(fd, data + at, size - at < block ? size - at : block, arg[1]);
	if (arg[3] && fsync(fd) < 0)
		die("fsync %s", arg[1]);
	close_file(fd, arg[1]);
	return now_s() - start;
}

/* read FILE BLOCK_BYTES */
static double time_read(char **arg)
{
	size_t block = strtoul(arg[1], NULL, 10);
	char *buffer = buffer_new(block);
	double start = now_s();
	int fd = open_file(arg[0], O_RDONLY);
	ssize_t n;

	do {
		n = read(fd, buffer, block);
		if (n < 0)
			die("read %s", arg[0]);
	} while (n > 0);
	close_file(fd, arg[0]);
	free(buffer);
	return now_s() - start;
}

/* copy FROM TO: every byte through this process. */
static double time_copy(char **arg)
{
	char *buffer = buffer_new(MIB);
	double start = now_s();
	int from = open_file(arg[0], O_RDONLY);
	int to = open_file(arg[1], O_WRONLY | O_CREAT | O_TRUNC);
	ssize_t n;

	while ((n = read(from, buffer, MIB)) > 0)
		write_fully(to, buffer, n, arg[1]);
	if (n < 0)
		die("read %s", arg[0]);
	close_file(from, arg[0]);
	close_file(to, arg[1]);
	free(buffer);
	return now_s() - start;
}

/* ${count} different page numbers below ${pages}, in random order, the same each time. */
static uint32_t *random_pages(size_t pages, size_t count)
{
	uint32_t *order = malloc(pages * sizeof(*order));
	uint64_t state = 1;

	if (!order)
		die("no memory");
	assert(count <= pages);
	for (size_t i = 0; i < pages; i++)
		order[i] = i;
	for (size_t i = 0; i < count; i++) {
		size_t other = i + random_next(&state) % (pages - i);
		uint32_t page = order[other];

		order[other] = order[i];
		order[i] = page;
	}
	return order;
}

static void drop_pages(int fd, const char *path)
{
	if (posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0)
		die("fadvise %s", path);
}

/* random-read FILE COUNT [REGION_BYTES]: 4 KiB each, no page twice.  With a region: only there, and it was
 * read from the filesystem just before, but the kernel has let go of it: what is warm then is the
 * filesystem's own cache. */
static double time_random_read(char **arg)
{
	int fd = open_file(arg[0], O_RDONLY);
	off_t size = arg[2] ? strtoll(arg[2], NULL, 10) : file_size(fd, arg[0]);
	size_t count = strtoul(arg[1], NULL, 10);
	uint32_t *pages = random_pages(size / PAGE, count);
	char *buffer = buffer_new(PAGE);
	double start;

	if (arg[2]) {
		drop_pages(fd, arg[0]);
		for (off_t at = 0; at < size; at += PAGE)
			if (pread(fd, buffer, PAGE, at) != PAGE)
				die("read %s", arg[0]);
		drop_pages(fd, arg[0]);
	}
	if (posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM) != 0)
		die("fadvise %s", arg[0]);
	start = now_s();
	for (size_t i = 0; i < count; i++)
		if (pread(fd, buffer, PAGE, (off_t)pages[i] * PAGE) != PAGE)
			die("read %s", arg[0]);
	start = now_s() - start;
	close_file(fd, arg[0]);
	free(pages);
	free(buffer);
	return start;
}

/* random-write FILE COUNT: 4 KiB each over what is there, each followed by fsync. */
static double time_random_write(char **arg)
{
	int fd = open_file(arg[0], O_WRONLY);
	size_t count = strtoul(arg[1], NULL, 10);
	uint32_t *pages = random_pages(file_size(fd, arg[0]) / PAGE, count);
	uint64_t state = 2;
	char *block = buffer_new(MIB);
	double start;

	fill_random(block, &state);
	start = now_s();
	for (size_t i = 0; i < count; i++) {
		const char *data = block + i % (MIB / PAGE) * PAGE;

		if (pwrite(fd, data, PAGE, (off_t)pages[i] * PAGE) != PAGE || fsync(fd) < 0)
			die("write %s", arg[0]);
	}
	start = now_s() - start;
	close_file(fd, arg[0]);
	free(pages);
	free(block);
	return start;
}

/* clone FILE COUNT: that many copies of it behind it, by copy_file_range. */
static double time_clone(char **arg)
{
	int fd = open_file(arg[0], O_RDWR);
	off_t size = file_size(fd, arg[0]), end = size + size * strtoll(arg[1], NULL, 10);
	double start = now_s();

	for (off_t to = size; to < end;) {
		off_t from = to % size, at = to;
		ssize_t n = copy_file_range(fd, &from, fd, &at, size - from, 0);

		if (n <= 0)
			die("clone %s", arg[0]);
		to += n;
	}
	close_file(fd, arg[0]);
	return now_s() - start;
}

/* open-read FILE: 4 KiB at a random place, another one each time. */
static double time_open_read(char **arg)
{
	uint64_t state = (uint64_t)(now_s() * 1e9) | 1;
	char *buffer = buffer_new(PAGE);
	struct stat st;
	double start;
	off_t at;
	int fd;

	if (stat(arg[0], &st) < 0)
		die("%s", arg[0]);
	random_next(&state);
	at = random_next(&state) % (st.st_size / PAGE) * PAGE;
	start = now_s();
	fd = open_file(arg[0], O_RDONLY);
	if (pread(fd, buffer, PAGE, at) != PAGE)
		die("read %s", arg[0]);
	start = now_s() - start;
	close_file(fd, arg[0]);
	free(buffer);
	return start;
}

/* create FOLDER FOLDERS COUNT: empty files with names in no order, spread over that many new folders.
 * Prints what the first tenth took, and the last. */
static void time_create(char **arg)
{
	unsigned int folders = strtoul(arg[1], NULL, 10), count = strtoul(arg[2], NULL, 10);
	unsigned int tenth = count / 10;
	double start, first = 0;
	char path[4096];

	if (mkdir(arg[0], 0755) < 0)
		die("%s", arg[0]);
	for (unsigned int i = 0; i < folders; i++) {
		snprintf(path, sizeof(path), "%s/d%u", arg[0], i);
		if (mkdir(path, 0755) < 0)
			die("%s", path);
	}
	start = now_s();
	for (unsigned int i = 0; i < count; i++) {
		if (i == tenth)
			first = now_s() - start;
		if (i == count - tenth)
			start = now_s();
		/* An odd factor: no name comes twice. */
		snprintf(path, sizeof(path), "%s/d%u/f%08x", arg[0], i % folders, i * 0x9e3779b1u);
		close_file(open_file(path, O_WRONLY | O_CREAT | O_EXCL), path);
	}
	printf("%.6f %.6f\n", first, now_s() - start);
}

/*
 * hold MIB: touch that much memory, and let go of it but for a page in each 2 MiB; say so, and stay until
 * stdin ends.  What a guest has free in smaller pieces is not given back to the host.
 */
static void hold_memory(char **arg)
{
	size_t size = strtoul(arg[0], NULL, 10) * MIB;
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("no memory");
	/* One by one: huge pages would stay whole, and be kept. */
	madvise(memory, size, MADV_NOHUGEPAGE);
	for (size_t at = 0; at < size; at += PAGE)
		memory[at] = 1;
	for (size_t at = 0; at < size; at += 2 * MIB)
		madvise(memory + at + PAGE, (at + 2 * MIB < size ? 2 * MIB : size - at) - PAGE, MADV_DONTNEED);
	puts("held");
	fflush(stdout);
	while (getchar() != EOF)
		;
}

static const struct {
	const char *name;
	int args_min, args_max;
	double (*run)(char **arg);
} commands[] = {
	{ "write", 3, 4, time_write },
	{ "read", 2, 2, time_read },
	{ "copy", 2, 2, time_copy },
	{ "random-read", 2, 3, time_random_read },
	{ "random-write", 2, 2, time_random_write },
	{ "clone", 2, 2, time_clone },
	{ "open-read", 1, 1, time_open_read },
};

/* Those that print no time, or two. */
static const struct {
	const char *name;
	int args_min, args_max;
	void (*run)(char **arg);
} others[] = {
	{ "data", 3, 4, make_data },
	{ "create", 3, 3, time_create },
	{ "hold", 1, 1, hold_memory },
};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define FITS(command) (strcmp(argv[1], (command).name) == 0 && argc - 2 >= (command).args_min && \
		argc - 2 <= (command).args_max)

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < LENGTH(others); i++) {
		if (!FITS(others[i]))
			continue;
		others[i].run(argv + 2);
		return 0;
	}
	for (size_t i = 0; argc > 1 && i < LENGTH(commands); i++) {
		if (!FITS(commands[i]))
			continue;
		printf("%.6f\n", commands[i].run(argv + 2));
		return 0;
	}
	fputs("usage: benchio data FILE MIB SEED [TEXT] | write DATA FILE BLOCK_BYTES [fsync] |\n"
	      "    read FILE BLOCK_BYTES | copy FROM TO | random-read FILE COUNT [REGION_BYTES] |\n"
	      "    random-write FILE COUNT | clone FILE COUNT | open-read FILE |\n"
	      "    create FOLDER FOLDERS COUNT | hold MIB\n", stderr);
	return 2;
}
