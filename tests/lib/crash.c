#include "tests/lib/crash.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/tree.h"
#include "tests/lib/dhttest.h"

#define BOUND_MS 60000
#define XATTR	 "user.text"

static int64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Every few milliseconds, until it is so; false: not within the bound. */
static bool wait_for(bool (*is_so)(void *arg), void *arg)
{
	const struct timespec pause = { .tv_nsec = 2000000 };
	int64_t end = now_ns(CLOCK_MONOTONIC) + INT64_C(1000000) * BOUND_MS;

	while (!is_so(arg)) {
		if (now_ns(CLOCK_MONOTONIC) > end)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

uint64_t crash_random(struct crash *c, uint64_t below)
{
	return dhttest_random(&c->random) % below;
}

static uint64_t clock_of(struct crash *c)
{
	struct stat st;

	return stat(c->log, &st) < 0 ? 0 : (uint64_t)st.st_size;
}

__attribute__((format(printf, 2, 3))) static const char *in_mount(
    struct crash *c, const char *format, ...)
{
	static char path[2][4096];
	static int turn;
	va_list args;
	int n;

	turn = !turn;
	n = snprintf(path[turn], sizeof(path[turn]), "%s/", c->mnt);
	va_start(args, format);
	vsnprintf(path[turn] + n, sizeof(path[turn]) - (size_t)n, format, args);
	va_end(args);
	return path[turn];
}

static void must(struct crash *c, bool ok, const char *what, const char *path)
{
	if (!ok)
		fail_msg("%s %s: %s (SEED=%" PRIu64 ")", what, path, strerror(errno), c->seed);
}

/*
 * The model.
 */
static uint64_t hash_text(uint64_t h, const char *text)
{
	do
		h = (h ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	while (*text++);
	return h;
}

uint64_t crash_hash(const struct crash_node *n, unsigned int nlink, bool whole)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	char text[128];

	snprintf(text, sizeof(text), "%o", n->mode);
	h = hash_text(hash_text(hash_text(h, n->path), text), n->target);
	if (whole) {
		snprintf(text, sizeof(text), "%" PRIu64 " %u", n->ino, nlink);
		h = hash_text(hash_text(h, text), n->xattr);
	}
	/* Sums of these are compared: so that small changes do not cancel each other. */
	h ^= h >> 32;
	return h * UINT64_C(0x9e3779b97f4a7c15) ^ h >> 29;
}

static unsigned int links_of(struct crash *c, const struct crash_node *n)
{
	size_t len = strlen(n->path);
	unsigned int links = 0;

	for (size_t i = 0; i < c->node_count; i++) {
		const struct crash_node *m = &c->nodes[i];
		const char *slash = strrchr(m->path, '/');
		size_t parent = slash ? (size_t)(slash - m->path) : 0;

		if (S_ISDIR(n->mode))
			links += S_ISDIR(m->mode) && slash && parent == len &&
			    strncmp(m->path, n->path, len) == 0;
		else
			links += m->ino == n->ino;
	}
	return S_ISDIR(n->mode) ? links + 2 : links;
}

static struct crash_node *node(struct crash *c, const char *path)
{
	for (size_t i = 0; i < c->node_count; i++)
		if (strcmp(c->nodes[i].path, path) == 0)
			return &c->nodes[i];
	return NULL;
}

bool crash_has(struct crash *c, const char *path)
{
	return node(c, path);
}

bool crash_same(struct crash *c, const char *a, const char *b)
{
	return node(c, a) && node(c, b) && node(c, a)->ino == node(c, b)->ino;
}

struct crash_object *crash_object(struct crash *c, uint64_t ino)
{
	for (size_t i = 0; i < c->object_count; i++)
		if (c->objects[i].ino == ino)
			return &c->objects[i];
	return NULL;
}

static struct crash_version *add_version(struct crash_object *o, size_t size, uint64_t begun)
{
	struct crash_version *v;

	o->versions = realloc(o->versions, (o->count + 1) * sizeof(*v));
	assert(o->versions);
	v = &o->versions[o->count++];
	*v = (struct crash_version){ .size = size, .data = calloc(1, size + 1),
		.when = { begun, UINT64_MAX, UINT64_MAX } };
	assert(v->data);
	return v;
}

static void add_node(struct crash *c, const char *path, const char *target, uint64_t begun)
{
	struct crash_node *n = &c->nodes[c->node_count++];
	struct crash_object *o;
	struct stat st;

	assert(c->node_count < CRASH_NODES);
	must(c, lstat(in_mount(c, "%s", path), &st) == 0, "lstat", path);
	*n = (struct crash_node){ .ino = st.st_ino, .mode = st.st_mode };
	snprintf(n->path, sizeof(n->path), "%s", path);
	snprintf(n->target, sizeof(n->target), "%s", target);
	if (!S_ISREG(st.st_mode) || crash_object(c, n->ino))
		return;
	o = &c->objects[c->object_count++];
	assert(c->object_count < CRASH_OBJECTS);
	*o = (struct crash_object){ .ino = n->ino };
	add_version(o, 0, begun)->when.ended = begun;
}

static void remove_node(struct crash *c, const char *path)
{
	struct crash_node *n = node(c, path);

	assert(n);
	*n = c->nodes[--c->node_count];
}

/* What has just been done made a new state. */
static struct crash_state *add_state(struct crash *c, uint64_t begun)
{
	struct crash_state *s = &c->states[c->state_count++];

	assert(c->state_count < CRASH_STATES);
	*s = (struct crash_state){ .when = { begun, clock_of(c), UINT64_MAX },
		.snapshot_acked = UINT64_MAX };
	for (size_t i = 0; i < c->node_count; i++) {
		s->hash += crash_hash(&c->nodes[i], links_of(c, &c->nodes[i]), true);
		s->names_hash += crash_hash(&c->nodes[i], 0, false);
	}
	return s;
}

/* A sync that began when the model was as it is has said yes. */
static void acknowledge(struct crash *c, struct crash_object *o, bool snapshot)
{
	uint64_t now = clock_of(c);

	for (size_t i = 0; i < c->state_count; i++) {
		if (c->states[i].when.acked == UINT64_MAX)
			c->states[i].when.acked = now;
		if (snapshot && c->states[i].snapshot_acked == UINT64_MAX)
			c->states[i].snapshot_acked = now;
	}
	for (size_t i = 0; o && i < o->count; i++)
		if (o->versions[i].when.acked == UINT64_MAX)
			o->versions[i].when.acked = now;
}

static void acknowledge_all(struct crash *c)
{
	acknowledge(c, NULL, true);
	for (size_t i = 0; i < c->object_count; i++)
		acknowledge(c, &c->objects[i], true);
}

/*
 * The mount.
 */
static bool is_mounted(void *arg)
{
	struct crash *c = arg;
	struct stat above, at;

	if (waitpid(c->pid, NULL, WNOHANG) == c->pid) {
		c->pid = 0;
		return true;
	}
	return stat(c->top, &above) == 0 && stat(c->mnt, &at) == 0 && above.st_dev != at.st_dev;
}

static bool has_ended(void *arg)
{
	struct crash *c = arg;

	return waitpid(c->pid, &c->status, WNOHANG) == c->pid;
}

static int run(const char *const argv[])
{
	union {
		const char *const *in;
		char *const *out;	/* execvp() changes nothing */
	} u = { .in = argv };
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		dup2(null, STDOUT_FILENO);
		execvp(argv[0], u.out);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

static const char *build_dir(void)
{
	const char *b = getenv("B");

	return b ? b : "build";
}

bool crash_possible(const char **why)
{
	if (access("/dev/fuse", R_OK | W_OK) < 0) {
		*why = "/dev/fuse is missing or not writable";
		return false;
	}
	if (strstr(build_dir(), "thread")) {
		*why = "ThreadSanitizer does not see closes through a recorder";
		return false;
	}
	return true;
}

static void mount(struct crash *c)
{
	char program[700], preload[700], store[700];

	snprintf(program, sizeof(program), "%s/dhtfs", c->build);
	snprintf(
	    preload, sizeof(preload), "LD_PRELOAD=%s/tests/mount/helpers/powerlog.so", c->build);
	snprintf(store, sizeof(store), "--store=%s", c->store);
	c->pid = fork();
	assert(c->pid >= 0);
	if (c->pid == 0) {
		putenv(preload);
		setenv("POWERLOG_ROOT", c->disk, 1);
		setenv("POWERLOG_FILE", c->log, 1);
		/* The recorder comes before AddressSanitizer's library, and needs nothing of it. */
		if (getenv("ASAN_OPTIONS")) {
			char options[512];

			snprintf(options, sizeof(options), "%s:verify_asan_link_order=0",
			    getenv("ASAN_OPTIONS"));
			setenv("ASAN_OPTIONS", options, 1);
		}
		execl(program, program, "-f", store, c->mnt, (char *)NULL);
		_exit(127);
	}
	if (!wait_for(is_mounted, c) || c->pid == 0)
		fail_msg("%s did not mount", program);
}

void crash_begin(struct crash *c, uint64_t seed)
{
	const char *dir = getenv("TEST_DIR");

	memset(c, 0, sizeof(*c));
	c->seed = c->random = seed;
	snprintf(c->build, sizeof(c->build), "%s", build_dir());
	snprintf(c->top, sizeof(c->top), "%s/crash.XXXXXX", dir ? dir : "/tmp");
	assert_non_null(mkdtemp(c->top));
	snprintf(c->disk, sizeof(c->disk), "%s/disk", c->top);
	snprintf(c->store, sizeof(c->store), "%s/disk/store", c->top);
	snprintf(c->mnt, sizeof(c->mnt), "%s/mnt", c->top);
	snprintf(c->log, sizeof(c->log), "%s/log", c->top);
	assert_int_equal(mkdir(c->disk, 0700), 0);
	assert_int_equal(mkdir(c->mnt, 0700), 0);
	add_state(c, 0);
	c->states[0].when.acked = 0;
	mount(c);
}

static void unmount(struct crash *c, bool must_end)
{
	const char *const argv[] = { "fusermount3", must_end ? "-u" : "-uz", c->mnt, NULL };

	if (c->pid <= 0)
		return;
	if (!must_end) {
		kill(c->pid, SIGKILL);
		waitpid(c->pid, NULL, 0);
	}
	assert_int_equal(run(argv), 0);
	if (must_end)
		assert_true(wait_for(has_ended, c));
	c->pid = 0;
}

void crash_remount(struct crash *c)
{
	unmount(c, true);
	assert_int_equal(c->status, 0);
	acknowledge_all(c);
	mount(c);
}

void crash_off(struct crash *c)
{
	/* A process that is killed may have made a change that is not recorded yet. */
	unmount(c, true);
	if (c->status == 0)
		acknowledge_all(c);
	assert_int_equal(powercut_load(c->log, &c->cut), 0);
	assert_int_equal(powercut_now(c->cut, c->disk), 0);
}

void crash_end(struct crash *c)
{
	const char *const argv[] = { "rm", "-rf", "--one-file-system", c->top, NULL };

	unmount(c, false);
	powercut_free(c->cut);
	for (size_t i = 0; i < c->object_count; i++) {
		for (size_t k = 0; k < c->objects[i].count; k++)
			free(c->objects[i].versions[k].data);
		free(c->objects[i].versions);
	}
	run(argv);
}

/*
 * What somebody does.
 */
void crash_create(struct crash *c, const char *path, unsigned int mode)
{
	uint64_t begun = clock_of(c);
	int fd = open(in_mount(c, "%s", path), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

	must(c, fd >= 0, "create", path);
	close(fd);
	add_node(c, path, "", begun);
	add_state(c, begun);
}

void crash_mkdir(struct crash *c, const char *path)
{
	uint64_t begun = clock_of(c);

	must(c, mkdir(in_mount(c, "%s", path), 0755) == 0, "mkdir", path);
	add_node(c, path, "", begun);
	add_state(c, begun);
}

void crash_rmdir(struct crash *c, const char *path)
{
	uint64_t begun = clock_of(c);

	must(c, rmdir(in_mount(c, "%s", path)) == 0, "rmdir", path);
	remove_node(c, path);
	add_state(c, begun);
}

void crash_unlink(struct crash *c, const char *path)
{
	uint64_t begun = clock_of(c);

	must(c, unlink(in_mount(c, "%s", path)) == 0, "unlink", path);
	remove_node(c, path);
	add_state(c, begun);
}

void crash_link(struct crash *c, const char *from, const char *to)
{
	uint64_t begun = clock_of(c);

	must(c, link(in_mount(c, "%s", from), in_mount(c, "%s", to)) == 0, "link", to);
	add_node(c, to, "", begun);
	snprintf(node(c, to)->xattr, CRASH_TEXT, "%s", node(c, from)->xattr);
	add_state(c, begun);
}

void crash_symlink(struct crash *c, const char *target, const char *path)
{
	uint64_t begun = clock_of(c);

	must(c, symlink(target, in_mount(c, "%s", path)) == 0, "symlink", path);
	add_node(c, path, target, begun);
	add_state(c, begun);
}

void crash_rename(struct crash *c, const char *from, const char *to)
{
	uint64_t begun = clock_of(c);
	size_t len = strlen(from);
	char rest[CRASH_PATH];
	struct crash_object *o = NULL;
	struct crash_state *s;
	bool over = node(c, to);

	must(c, rename(in_mount(c, "%s", from), in_mount(c, "%s", to)) == 0, "rename", from);
	if (over)
		remove_node(c, to);
	for (size_t i = 0; i < c->node_count; i++) {
		struct crash_node *n = &c->nodes[i];

		if (strncmp(n->path, from, len) != 0 ||
		    (n->path[len] != '/' && n->path[len] != '\0'))
			continue;
		snprintf(rest, sizeof(rest), "%s", n->path + len);
		snprintf(n->path, sizeof(n->path), "%.120s%.120s", to, rest);
	}
	s = add_state(c, begun);
	if (over)
		o = crash_object(c, node(c, to)->ino);
	if (o)
		s->needs[0] = (struct crash_need){ o->ino, o->count - 1 };
}

void crash_chmod(struct crash *c, const char *path, unsigned int mode)
{
	uint64_t begun = clock_of(c), ino = node(c, path)->ino;

	must(c, chmod(in_mount(c, "%s", path), mode) == 0, "chmod", path);
	for (size_t i = 0; i < c->node_count; i++)
		if (c->nodes[i].ino == ino)
			c->nodes[i].mode = (c->nodes[i].mode & S_IFMT) | mode;
	add_state(c, begun);
}

void crash_xattr(struct crash *c, const char *path, const char *value)
{
	uint64_t begun = clock_of(c), ino = node(c, path)->ino;

	must(c, setxattr(in_mount(c, "%s", path), XATTR, value, strlen(value), 0) == 0,
	    "setxattr", path);
	for (size_t i = 0; i < c->node_count; i++)
		if (c->nodes[i].ino == ino)
			snprintf(c->nodes[i].xattr, CRASH_TEXT, "%s", value);
	add_state(c, begun);
}

static void fill(struct crash *c, uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		data[i] =
		    i % 8 ? (uint8_t)(data[i - 1] * 5 + 1) : (uint8_t)dhttest_random(&c->random);
}

/* The bytes that change: [*off, *off + *len) of the new version. */
static struct crash_version *next_version(struct crash *c, struct crash_object *o,
    enum crash_way way, size_t size, size_t *off, size_t *len)
{
	size_t old = o->versions[o->count - 1].size, now = size;
	struct crash_version *v;

	*off = 0;
	if (way == CRASH_APPEND) {
		*off = old;
		now = old + size;
	} else if (way != CRASH_REPLACE) {
		*off = old > size ? crash_random(c, old - size + 1) : 0;
		if (way == CRASH_DIRECT)
			*off -= *off % 4096;
		now = *off + size > old ? *off + size : old;
	}
	*len = size;
	v = add_version(o, now, clock_of(c));
	if (way != CRASH_REPLACE)
		memcpy(v->data, o->versions[o->count - 2].data, old < now ? old : now);
	fill(c, v->data + *off, *len);
	v->loose = way == CRASH_APPEND || way == CRASH_OVERWRITE || old == 0;
	v->direct = way == CRASH_DIRECT;
	return v;
}

/* Some writes of some sizes, or one of an aligned copy. */
static void write_range(struct crash *c, int fd, const struct crash_version *v, size_t off,
    size_t len, const char *path)
{
	size_t most = 1 + crash_random(c, 3) * 40000, n;
	void *aligned = NULL;

	if (v->direct) {
		assert_int_equal(posix_memalign(&aligned, 4096, len), 0);
		memcpy(aligned, v->data + off, len);
		must(c, pwrite(fd, aligned, len, (off_t)off) == (ssize_t)len, "direct write", path);
		free(aligned);
		return;
	}
	if (most < 1000)
		most = len + 1;
	for (; len > 0; off += n, len -= n) {
		n = len < most ? len : most;
		must(c, pwrite(fd, v->data + off, n, (off_t)off) == (ssize_t)n, "write", path);
	}
}

void crash_write(struct crash *c, const char *path, enum crash_way way, size_t size)
{
	static const int flags[] = {
		[CRASH_REPLACE] = O_TRUNC,
		[CRASH_APPEND] = 0,
		[CRASH_OVERWRITE] = 0,
		[CRASH_DIRECT] = O_DIRECT,
	};
	struct crash_object *o = crash_object(c, node(c, path)->ino);
	struct crash_version *v;
	size_t off, len;
	int fd;

	assert(o);
	if (way == CRASH_DIRECT)
		size = (size + 4095) / 4096 * 4096;
	v = next_version(c, o, way, size, &off, &len);
	v->from_ns = now_ns(CLOCK_REALTIME_COARSE);
	fd = open(in_mount(c, "%s", path), O_WRONLY | O_CLOEXEC | flags[way]);
	must(c, fd >= 0, "open", path);
	write_range(c, fd, v, off, len, path);
	must(c, close(fd) == 0, "close", path);
	v->to_ns = now_ns(CLOCK_REALTIME);
	v->when.ended = clock_of(c);
}

int crash_fsync_try(struct crash *c, const char *path)
{
	int fd = open(in_mount(c, "%s", path), O_RDONLY | O_CLOEXEC);
	struct crash_node *n = node(c, path);
	int rc;

	must(c, fd >= 0, "open", path);
	/* The function of that name is the check's (crash_check.c). */
	rc = syscall(SYS_fsync, fd) < 0 ? -errno : 0;
	close(fd);
	if (rc == 0 && n && S_ISREG(n->mode))
		acknowledge(c, crash_object(c, n->ino), false);
	else if (rc == 0)
		acknowledge_all(c);
	return rc;
}

void crash_fsync(struct crash *c, const char *path)
{
	errno = -crash_fsync_try(c, path);
	must(c, errno == 0, "fsync", path);
}

int crash_dhtctl(struct crash *c, const char *command)
{
	char program[700];
	const char *const argv[] = { program, "--store", c->store, command, NULL };

	snprintf(program, sizeof(program), "%s/dhtctl", c->build);
	return run(argv);
}

void crash_sync(struct crash *c)
{
	assert_int_equal(crash_dhtctl(c, "sync"), 0);
	acknowledge_all(c);
}

void crash_put(struct crash *c, size_t size)
{
	char program[700], file[700];
	const char *const argv[] = { program, "--store", c->store, "put", file, NULL };
	struct crash_pin *p = &c->pins[c->pin_count++];
	uint8_t *data = malloc(size);
	FILE *f;

	assert(data && c->pin_count <= CRASH_PINS && size <= 32768);
	fill(c, data, size);
	/* One chunk: so its address is its content's. */
	address_of(KIND_DATA, data, size, &p->address);
	snprintf(program, sizeof(program), "%s/dhtctl", c->build);
	snprintf(file, sizeof(file), "%s/put", c->top);
	f = fopen(file, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, size, f), size);
	fclose(f);
	free(data);
	p->acked = UINT64_MAX;
	assert_int_equal(run(argv), 0);
	p->acked = clock_of(c);
}

/* What the log has gained since: a durable write of the tree's meta page is a checkpoint. */
struct settling {
	struct crash *c;
	uint64_t from;		/* only commits behind this count */
	uint64_t at;
	int commits, wanted;
};

static bool has_settled(void *arg)
{
	struct settling *s = arg;
	struct powerlog_record r;
	struct stat st;
	char path[700];
	int fd;

	snprintf(path, sizeof(path), "%s/tree", s->c->store);
	if (stat(path, &st) < 0)
		return false;
	fd = open(s->c->log, O_RDONLY | O_CLOEXEC);
	while (pread(fd, &r, sizeof(r), (off_t)s->at) == sizeof(r)) {
		assert(r.magic == POWERLOG_MAGIC);
		s->at += powerlog_span(&r);
		s->commits +=
		    s->at > s->from && r.type == POWERLOG_WRITE && r.a && r.file == st.st_ino;
	}
	close(fd);
	return s->commits >= s->wanted;
}

void crash_settle(struct crash *c)
{
	struct settling s = { .c = c, .from = clock_of(c) };

	/* The first commit may have begun before; and each needs something to commit. */
	crash_create(c, ".settle", 0600);
	s.wanted = 1;
	assert_true(wait_for(has_settled, &s));
	crash_unlink(c, ".settle");
	s.wanted = 2;
	assert_true(wait_for(has_settled, &s));
}

static void control(struct crash *c, char path[700])
{
	snprintf(path, 700, "%s.fail", c->log);
}

void crash_fail_sync(struct crash *c, const char *prefix)
{
	char path[700], made[720];
	FILE *f;

	/* Whole at once: the recorder may be reading. */
	control(c, path);
	snprintf(made, sizeof(made), "%s.made", path);
	f = fopen(made, "w");
	assert_non_null(f);
	fprintf(f, "%s\n", prefix);
	fclose(f);
	assert_int_equal(rename(made, path), 0);
}

bool crash_sync_failed(struct crash *c)
{
	char path[700];

	control(c, path);
	return access(path, F_OK) < 0;
}
