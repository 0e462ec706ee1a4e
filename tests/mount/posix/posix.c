/* posix: the checks, and the program that runs the tests. */
#include "posix.h"

#include <grp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>

#define TEST_SECONDS 120u
#define SKIPPED 77

static const struct test *const families[] = {
	names_tests, links_tests, nodes_tests, rename_tests, directories_tests, attributes_tests, times_tests,
	permissions_tests, setid_tests, opening_tests, io_tests, sizes_tests, holes_tests, copies_tests,
	mapping_tests, locking_tests, xattrs_tests, acls_tests, notify_tests, threads_tests, limits_tests,
};

static void __attribute__((noreturn, format(printf, 3, 4))) fail(const char *file, int line, const char *format, ...)
{
	va_list args;

	printf("# %s:%d: ", file, line);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	_exit(1);
}

long check_ok(long result, const char *what, const char *file, int line)
{
	if (result == -1)
		fail(file, line, "%s: %s", what, strerrorname_np(errno));
	return result;
}

void check_fails(long result, int error, const char *what, const char *file, int line)
{
	int got = errno;

	if (result != -1)
		fail(file, line, "%s: %ld, wanted %s", what, result, strerrorname_np(error));
	if (got != error)
		fail(file, line, "%s: %s, wanted %s", what, strerrorname_np(got), strerrorname_np(error));
}

void check_same(long long got, long long wanted, const char *what, const char *file, int line)
{
	if (got != wanted)
		fail(file, line, "%s: %lld (0%llo), wanted %lld (0%llo)", what, got, got, wanted, wanted);
}

void check_text(const char *got, const char *wanted, const char *what, const char *file, int line)
{
	if (strcmp(got, wanted) != 0)
		fail(file, line, "%s: \"%.200s\", wanted \"%.200s\"", what, got, wanted);
}

void check_bytes(const void *got, const void *wanted, size_t len, const char *what, const char *file, int line)
{
	const unsigned char *a = got, *b = wanted;
	size_t i = 0;

	if (memcmp(a, b, len) == 0)
		return;
	while (a[i] == b[i])
		i++;
	fail(file, line, "%s: byte %zu of %zu is %d, wanted %d", what, i, len, a[i], b[i]);
}

void check_yes(bool yes, const char *what, const char *file, int line)
{
	if (!yes)
		fail(file, line, "not %s", what);
}

static int later(struct timespec before, struct timespec after)
{
	if (before.tv_sec != after.tv_sec)
		return before.tv_sec < after.tv_sec ? 1 : -1;
	return (before.tv_nsec < after.tv_nsec) - (before.tv_nsec > after.tv_nsec);
}

/* One MOVES may stand in another. */
static struct stat befores[8];
static unsigned int nested;

void check_times(const char *path)
{
	YES(nested < COUNT(befores));
	befores[nested++] = look(path);
	tick();
}

void check_moved(const char *path, const char *which, const char *what, const char *file, int line)
{
	const struct stat *before = &befores[--nested], after = look(path);
	const struct timespec was[] = { before->st_atim, before->st_mtim, before->st_ctim };
	const struct timespec is[] = { after.st_atim, after.st_mtim, after.st_ctim };

	for (int i = 0; i < 3; i++) {
		bool wanted = strchr(which, "amc"[i]) != NULL;
		int moved = later(was[i], is[i]);

		if (i == 0 && moved >= 0 && strchr(which, 'r'))
			continue;
		if (moved != wanted)
			fail(file, line, "%s: the %ctime of %s %s", what, "amc"[i], path,
			    moved < 0 ? "went back" : moved ? "moved" : "did not move");
	}
}

void check_skip(const char *why)
{
	printf("# skipped: %s\n", why);
	fflush(stdout);
	_exit(SKIPPED);
}

pid_t as_begin(const struct user *u)
{
	pid_t pid;

	fflush(stdout);
	pid = (pid_t)OK(fork());
	if (pid > 0) {
		reap(pid);
		return pid;
	}
	if (u) {
		OK(setgroups(u->group_count, u->groups));
		OK(setresgid(u->gid, u->gid, u->gid));
		OK(setresuid(u->uid, u->uid, u->uid));
	}
	return 0;
}

void as_end(void)
{
	fflush(stdout);
	_exit(0);
}

void reap(pid_t pid)
{
	int status;

	OK(waitpid(pid, &status, 0));
	if (WIFSIGNALED(status))
		fail(HERE, "signal %d", WTERMSIG(status));
	if (WEXITSTATUS(status) != 0)
		_exit(WEXITSTATUS(status));
}

void fill(const char *path, const void *data, size_t len)
{
	int fd = (int)OK(open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644));

	SAME(write(fd, data, len), len);
	OK(close(fd));
}

void filled(const char *path, const void *data, size_t len)
{
	unsigned char *got = malloc(len + 1);
	int fd = (int)OK(open(path, O_RDONLY));
	size_t n = 0;
	long more;

	while ((more = OK(read(fd, got + n, len + 1 - n))) > 0)
		n += (size_t)more;
	SAME(n, len);
	BYTES(got, data, len);
	OK(close(fd));
	free(got);
}

void make(const char *path, const char *text)
{
	fill(path, text, strlen(text));
}

void content(const char *path, const char *text)
{
	filled(path, text, strlen(text));
}

unsigned char *noise(size_t len, unsigned int seed)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15u + 0x1234567;
	unsigned char *data = malloc(len + 8);

	YES(data != NULL);
	for (size_t i = 0; i < len; i += 8) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		memcpy(data + i, &x, 8);
	}
	return data;
}

unsigned char *zeros(size_t len)
{
	unsigned char *data = calloc(1, len);

	YES(data != NULL);
	return data;
}

struct stat look(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		fail(HERE, "lstat of %s: %s", path, strerrorname_np(errno));
	return st;
}

struct stat look_fd(int fd)
{
	struct stat st;

	OK(fstat(fd, &st));
	return st;
}

mode_t mode_of(const char *path)
{
	return look(path).st_mode & 07777;
}

bool there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

void age(const char *path)
{
	const struct timespec times[2] = { { .tv_sec = LONG_AGO }, { .tv_sec = LONG_AGO } };

	OK(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW));
}

void tick(void)
{
	struct timespec started, now;

	/* The kernel gives the coarse clock, or the finest time that it has given to anybody so far. */
	clock_gettime(CLOCK_REALTIME, &started);
	do {
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
	} while (later(started, now) != 1);
}

void forget(int fd)
{
	OK(fsync(fd));
	SAME(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
}

bool on_fuse(void)
{
	struct statfs st;

	OK(statfs(".", &st));
	return st.f_type == 0x65735546;
}

void pause_ms(long n)
{
	const struct timespec t = { .tv_sec = n / 1000, .tv_nsec = n % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

/* In the test's process: its directory is new, what it does not expect ends it. */
static void __attribute__((noreturn)) enter(const struct test *t, const char *directory)
{
	const struct rlimit no_core = { 0, 0 };
	const char *slow = getenv("SLOW"); /* what serves the mount is so many times slower */

	if (t->root && geteuid() != 0)
		SKIP("only root can");
	setrlimit(RLIMIT_CORE, &no_core);
	alarm(TEST_SECONDS * (slow ? (unsigned int)atoi(slow) : 1u));
	umask(022);
	OK(mkdir(directory, 0755));
	OK(chdir(directory));
	t->run();
	fflush(stdout);
	_exit(0);
}

static int outcome(const struct test *t, const char *directory)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = (pid_t)OK(fork());
	if (pid == 0)
		enter(t, directory);
	OK(waitpid(pid, &status, 0));
	if (WIFSIGNALED(status))
		printf("# signal %d\n", WTERMSIG(status));
	return WIFSIGNALED(status) ? 1 : WEXITSTATUS(status);
}

static void clear(const char *directory)
{
	char command[PATH_MAX + 64];

	snprintf(command, sizeof command, "rm -rf '%s'", directory);
	if (system(command) != 0)
		printf("# %s can't be removed\n", directory);
}

static bool chosen(const struct test *t, char *const words[])
{
	bool any = !words[0];

	for (; *words && !any; words++)
		any = strstr(t->name, *words) != NULL;
	return any;
}

static bool run(const struct test *t, const char *top, int number)
{
	char directory[PATH_MAX + 32], sentence[256];
	struct timespec from, to;
	int result;

	snprintf(directory, sizeof directory, "%s/posix.%d", top, number);
	snprintf(sentence, sizeof sentence, "%s", t->name);
	for (char *at = sentence; *at; at++)
		if (*at == '_')
			*at = ' ';
	clear(directory);
	clock_gettime(CLOCK_MONOTONIC, &from);
	result = outcome(t, directory);
	clock_gettime(CLOCK_MONOTONIC, &to);
	printf("%sok %d - %s%s", result && result != SKIPPED ? "not " : "", number, sentence,
	    result == SKIPPED ? " # SKIP" : "");
	if (getenv("POSIX_TIMES"))
		printf(" (%ld ms)", (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000);
	printf("\n");
	clear(directory);
	return !result || result == SKIPPED;
}

int main(int argc, char *argv[])
{
	char top[PATH_MAX];
	int count = 0, failed = 0;

	if (argc < 2 || !realpath(argv[1], top)) {
		fprintf(stderr, "usage: posix DIRECTORY [WORD...]\n");
		return 2;
	}
	for (size_t i = 0; i < COUNT(families); i++)
		for (const struct test *t = families[i]; t->name; t++)
			if (chosen(t, argv + 2))
				failed += !run(t, top, ++count);
	printf("1..%d\n", count);
	return failed || !count;
}
