/* crash_check: is what the disk holds one moment of what was done, with all that was
 * acknowledged? */
#include "tests/lib/crash.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "chunker/index.h"
#include "chunker/snapshot.h"
#include "dht/program/log.h"
#include "fs/fetch.h"
#include "fs/fs.h"
#include "tests/lib/dhttest.h"

#define PAGE	  4096u
#define AFTER	  ".after"	/* what is written once it has recovered */
#define BATCH	  64u

/* The volume's log, which is here and not in dht/program/log.c, so that a check can read it. */
static struct {
	pthread_mutex_t lock;
	char text[8192];
	size_t len;
} the_log = { .lock = PTHREAD_MUTEX_INITIALIZER };

void log_open(const char *name, bool debug)
{
	(void)name;
	(void)debug;
}

void log_background(void)
{
}

const char *log_name(void)
{
	return "test";
}

void log_line(int priority, const char *format, ...)
{
	va_list args;
	int n;

	(void)priority;
	va_start(args, format);
	pthread_mutex_lock(&the_log.lock);
	if (the_log.len < sizeof(the_log.text) - 2) {
		n = vsnprintf(the_log.text + the_log.len, sizeof(the_log.text) - the_log.len - 1,
		    format, args);
		the_log.len += (size_t)n;
		if (the_log.len > sizeof(the_log.text) - 2)
			the_log.len = sizeof(the_log.text) - 2;
		the_log.text[the_log.len++] = '\n';
		the_log.text[the_log.len] = '\0';
	}
	pthread_mutex_unlock(&the_log.lock);
	va_end(args);
}

void log_text(void *arg, int priority, const char *text)
{
	(void)arg;
	log_line(priority, "%s", text);
}

/* No image outlives its check, so nothing of this process needs to be on any disk. */
int fdatasync(int fd)
{
	(void)fd;
	return 0;
}

int fsync(int fd)
{
	(void)fd;
	return 0;
}

struct check {
	struct crash *c;
	struct fs *fs;
	struct waiting_source source;
	size_t moment;		/* of the cut */
	uint64_t cut;		/* the same in the log's bytes */
	size_t first, last;	/* states that it may be in */
	uint64_t hash;
	size_t found;		/* the state that it is in */
	bool after;		/* AFTER is there, and no part of the hash */
};

__attribute__((format(printf, 2, 3))) static int bad(struct check *k, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(k->c->problem, sizeof(k->c->problem), format, args);
	va_end(args);
	return -1;
}

static bool was_acked(const struct check *k, const struct crash_when *when)
{
	return when->acked <= k->cut;
}

/* The versions of a file that may be there, given the state that its tree is in. */
static void bounds(const struct check *k, const struct crash_object *o, size_t *low, size_t *high)
{
	*low = *high = 0;
	for (size_t i = 0; i < o->count; i++) {
		if (was_acked(k, &o->versions[i].when))
			*low = i;
		if (o->versions[i].when.begun < k->cut)
			*high = i;
	}
	for (size_t s = 0; s <= k->found; s++) {
		const struct crash_need *n = k->c->states[s].needs;

		for (size_t i = 0; i < 2; i++)
			if (n[i].ino == o->ino && n[i].version > *low)
				*low = n[i].version;
	}
}

/* All of a file's bytes, each chunk verified on its way. */
static int read_all(struct check *k, const struct ref *ref, uint8_t **out)
{
	struct index_cursor *cursor;
	struct extent e;
	int r;

	*out = calloc(1, ref->size + 1);
	cursor = index_cursor_new(&k->source.source, ref);
	assert(*out && cursor);
	while ((r = index_cursor_next(cursor, &e)) == 1) {
		struct chunk *chunk = NULL;

		if (e.hole)
			continue;
		r = k->source.source.get(&k->source.source, KIND_DATA, &e.address, &chunk);
		if (r == 0 && (chunk->len != e.len || e.off + e.len > ref->size))
			r = -EBADMSG;
		if (r == 0)
			memcpy(*out + e.off, chunk->data, e.len);
		chunk_drop(chunk);
		if (r < 0)
			break;
	}
	index_cursor_free(cursor);
	if (r < 0) {
		free(*out);
		*out = NULL;
	}
	return r;
}

static bool page_is(const uint8_t *data, size_t size, const struct crash_version *v, size_t off)
{
	size_t n = size - off < PAGE ? size - off : PAGE, there = v->size > off ? v->size - off : 0;

	there = there < n ? there : n;
	return memcmp(data + off, v->data + off, there) == 0 &&
	    (there == n || (data[off + there] == 0 &&
	    memcmp(data + off + there, data + off + there + 1, n - there - 1) == 0));
}

static bool page_is_zero(const uint8_t *data, size_t size, size_t off)
{
	static const struct crash_version empty;

	return page_is(data, size, &empty, off);
}

/* Writes that nobody has synced yet reach a file page by page, in any order. */
static bool in_part(
    const struct crash_object *o, size_t low, size_t high, const uint8_t *data, size_t size)
{
	size_t most = 0, least = SIZE_MAX;

	for (size_t v = low; v <= high; v++) {
		if (v > low && !o->versions[v].loose)
			return false;
		most = o->versions[v].size > most ? o->versions[v].size : most;
		least = o->versions[v].size < least ? o->versions[v].size : least;
	}
	if (size > most || size < least)
		return false;
	for (size_t off = 0; off < size; off += PAGE) {
		bool is = off >= o->versions[low].size && page_is_zero(data, size, off);

		for (size_t v = low; v <= high && !is; v++)
			is = page_is(data, size, &o->versions[v], off);
		if (!is)
			return false;
	}
	return true;
}

static bool time_fits(const struct crash_version *v, const struct inode *i)
{
	int64_t ns = i->mtime.sec * 1000000000 + i->mtime.nsec;

	return !v->direct || (ns >= v->from_ns && ns <= v->to_ns);
}

static int check_content(struct check *k, const struct inode *i, const char *path)
{
	struct crash_object *o = crash_object(k->c, i->ino);
	size_t low, high;
	struct ref ref = i->ref;
	uint8_t *data;
	int r;

	if (ref.hash == 0)
		ref_empty(&ref);
	if (ref.size != i->size)
		return bad(k, "%s: its size is %" PRIu64 ", its content's %" PRIu64, path,
		    i->size, ref.size);
	r = read_all(k, &ref, &data);
	if (r < 0)
		return bad(k, "%s: can't be read: %s", path, strerror(-r));
	bounds(k, o, &low, &high);
	r = -1;
	for (size_t v = high + 1; v-- > low && r < 0;) {
		const struct crash_version *x = &o->versions[v];

		if (x->size != i->size || memcmp(x->data, data, x->size) != 0)
			continue;
		if (!time_fits(x, i)) {
			free(data);
			return bad(k, "%s: its version %zu was written from %" PRId64 " to %" PRId64
			    " ns, and its time is %" PRId64, path, v, x->from_ns, x->to_ns,
			    i->mtime.sec * 1000000000 + i->mtime.nsec);
		}
		r = 0;
	}
	if (r < 0 && in_part(o, low, high, data, i->size))
		r = 0;
	free(data);
	return r == 0
	    ? 0
	    : bad(k,
		  "%s: %" PRIu64
		  " bytes that are none of its versions %zu to %zu (of %zu to %zu bytes)",
		  path, i->size, low, high, o->versions[low].size, o->versions[high].size);
}

/* Each name of the tree: either into the hash, or, in a second round, its content. */
static int walk(struct check *k, uint64_t dir, const char *path, bool contents)
{
	struct tree_name *names = malloc(BATCH * sizeof(*names));
	struct inode *inodes = malloc(BATCH * sizeof(*inodes));
	uint64_t after = 2;
	int n, r = 0;

	assert(names && inodes);
	while (r == 0 && (n = tree_readdir(k->fs->tree, dir, after, BATCH, names, inodes)) > 0) {
		for (int i = 0; i < n && r == 0; i++) {
			const struct inode *in = &inodes[i];
			struct crash_node node = { .ino = in->ino, .mode = in->mode };
			char target[SYMLINK_LEN_MAX + 1] = "";

			after = names[i].cookie;
			if (dir == TREE_ROOT && strcmp(names[i].name, AFTER) == 0) {
				k->after = true;
				continue;
			}
			snprintf(node.path, sizeof(node.path), "%.128s%s%.120s", path,
			    *path ? "/" : "", names[i].name);
			if (S_ISLNK(in->mode))
				tree_readlink(k->fs->tree, in->ino, target);
			snprintf(node.target, sizeof(node.target), "%.63s", target);
			tree_get_xattr(k->fs->tree, in->ino, "user.text", node.xattr,
			    sizeof(node.xattr) - 1);
			k->hash += contents ? 0 : crash_hash(&node, in->nlink, true);
			if (S_ISDIR(in->mode))
				r = walk(k, in->ino, node.path, contents);
			else if (S_ISREG(in->mode) && contents)
				r = check_content(k, in, node.path);
		}
	}
	free(names);
	free(inodes);
	return r < 0 ? r : n < 0 ? bad(k, "%s/: can't be listed: %s", path, strerror(-n)) : 0;
}

static int check_tree(struct check *k)
{
	int r;

	k->hash = 0;
	k->after = false;
	r = walk(k, TREE_ROOT, "", false);
	if (r < 0)
		return r;
	for (k->found = k->first; k->found <= k->last; k->found++) {
		if (k->c->states[k->found].hash == k->hash)
			return walk(k, TREE_ROOT, "", true);
	}
	for (size_t i = 0; i < k->c->state_count; i++)
		if (k->c->states[i].hash == k->hash)
			return bad(k, "the tree is in state %zu, and may be in %zu to %zu", i,
			    k->first, k->last);
	return bad(k, "the tree is in no state that it ever was in");
}

/*
 * Snapshots.
 */
static int walk_snapshot(struct check *k, const struct ref *dir, const char *path, uint64_t *hash)
{
	struct directory_cursor *cursor = directory_cursor_new(&k->source.source, dir);
	struct entry e;
	int r;

	assert(cursor);
	while ((r = directory_cursor_next(cursor, &e)) == 1) {
		struct crash_node node = { .mode = e.mode };
		uint8_t *data;

		snprintf(node.path, sizeof(node.path), "%.128s%s%.*s", path, *path ? "/" : "",
		    e.name_len < 120 ? e.name_len : 120, e.name);
		if (S_ISLNK(e.mode))
			snprintf(node.target, sizeof(node.target), "%.*s",
			    (int)e.size < 63 ? (int)e.size : 63, e.target);
		if (strcmp(node.path, AFTER) != 0)
			*hash += crash_hash(&node, 0, false);
		if (S_ISDIR(e.mode)) {
			r = walk_snapshot(k, &e.ref, node.path, hash);
		} else if (S_ISREG(e.mode)) {
			r = read_all(k, &e.ref, &data);
			if (r < 0)
				r = bad(k, "snapshot: %s: can't be read: %s", node.path,
				    strerror(-r));
			else
				free(data);
		}
		if (r < 0)
			break;
	}
	directory_cursor_free(cursor);
	return r;
}

/* Its names are those of a state that there was. */
static int check_snapshot(struct check *k, const struct ref *ref, size_t first)
{
	struct chunk *chunk;
	struct snapshot s;
	uint64_t hash = 0;
	int r = k->source.source.get(&k->source.source, KIND_SNAPSHOT, &ref->address, &chunk);

	if (r < 0)
		return bad(k, "a snapshot can't be read: %s", strerror(-r));
	r = snapshot_decode(chunk, &s);
	if (r == 0)
		r = walk_snapshot(k, &s.root.ref, "", &hash);
	chunk_drop(chunk);
	if (r < 0)
		return k->c->problem[0]
		    ? r
		    : bad(k, "what is in a snapshot can't be read: %s", strerror(-r));
	for (size_t i = first; i <= k->last; i++)
		if (k->c->states[i].names_hash == hash)
			return 0;
	return bad(k, "a snapshot's names are of no state from %zu to %zu", first, k->last);
}

static int check_snapshots(struct check *k)
{
	struct ref head, list;
	uint64_t epoch;
	uint8_t *data;
	size_t first = 0, n;
	int r;

	for (size_t i = 0; i < k->c->state_count; i++)
		if (k->c->states[i].snapshot_acked <= k->cut)
			first = i;
	r = tree_get_head(k->fs->tree, &head, &epoch, &list);
	if (r < 0)
		return bad(k, "head: %s", strerror(-r));
	if (head.hash == 0)
		return first == 0 ? 0 : bad(k, "there is no snapshot, though one was acknowledged");
	r = check_snapshot(k, &head, first);
	if (r < 0)
		return r;
	if (list.hash == 0)
		return 0;
	r = read_all(k, &list, &data);
	if (r < 0)
		return bad(k, "the list of the kept snapshots: %s", strerror(-r));
	/* The newest few: there may be many. */
	n = list.size / KEPT_LEN;
	for (size_t i = n > 3 ? n - 3 : 0; i < n && r == 0; i++) {
		struct kept kept;

		r = kept_decode(data + i * KEPT_LEN, &kept);
		r = r < 0 ? bad(k, "the list of the kept snapshots is damaged")
			  : check_snapshot(k, &kept.ref, 0);
	}
	free(data);
	return r;
}

static int check_pins(struct check *k)
{
	struct ref pins[CRASH_PINS];
	size_t n = tree_pins(k->fs->tree, NULL, CRASH_PINS, pins);
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		uint8_t *data;

		r = read_all(k, &pins[i], &data);
		if (r < 0)
			return bad(k, "a pin can't be read: %s", strerror(-r));
		free(data);
	}
	for (size_t i = 0; i < k->c->pin_count; i++) {
		bool there = k->c->pins[i].acked > k->cut;

		for (size_t j = 0; j < n && !there; j++)
			there = address_equal(&pins[j].address, &k->c->pins[i].address);
		if (!there)
			return bad(k, "a pin is lost");
	}
	return r;
}

/* Has the ledger ever heard of a segment?  Its first commit makes its tables. */
static bool ledger_knows(struct check *k)
{
	unsigned int commits = 0;
	uint64_t file = 0;

	for (size_t i = 0; i < k->moment; i++) {
		const void *payload;
		const struct powerlog_record *r = powercut_at(k->c->cut, i, &payload);

		if (r->type == POWERLOG_CREATE && r->len == 12 &&
		    memcmp(payload, "store/ledger", 12) == 0)
			file = r->file;
		commits += r->type == POWERLOG_WRITE && r->a && r->file == file;
	}
	return commits >= 2;
}

/* A store of which the ledger knows nothing can't tell a torn last write from a rotten one. */
static int check_set(struct check *k)
{
	struct dht_progress p;
	int r = dht_check(k->fs->dht, 0, NULL, NULL, &p);

	if (r < 0)
		return bad(k, "the set's check: %s", strerror(-r));
	if (p.bad > 0 && ledger_knows(k))
		return bad(k, "the set has %" PRIu64 " bad records", p.bad);
	if (strstr(the_log.text, "anew") && ledger_knows(k))
		return bad(k, "the ledger was damaged");
	return 0;
}

/* It goes on working: a file more. */
static int go_on(struct check *k)
{
	static const char text[] = "written after the power came back";
	const struct new_inode new = { .mode = S_IFREG | 0600, .now = { .sec = 1 } };
	struct chunk *chunk = chunk_copy(text, sizeof(text));
	struct inode i;
	struct file *f;
	int r, unflushed;

	assert(chunk);
	r = tree_create(k->fs->tree, TREE_ROOT, AFTER, &new, 0, &i);
	if (r == 0)
		r = file_get(k->fs->files, i.ino, &f);
	if (r == 0) {
		r = file_write(f, 0, chunk, &new.now);
		file_put(f);
	}
	chunk_drop(chunk);
	if (r == 0)
		r = checkpoint_now(k->fs->checkpoint, true, &unflushed);
	if (r == 0)
		r = unflushed;
	return r == 0 ? 0 : bad(k, "it can't be written to any more: %s", strerror(-r));
}

static int check_all(struct check *k)
{
	int r;

	waiting_source_init(&k->source, k->fs->dht, k->fs->cache);
	r = check_tree(k);
	if (r == 0)
		r = check_snapshots(k);
	if (r == 0)
		r = check_pins(k);
	return r == 0 ? check_set(k) : r;
}

static int check_store(struct check *k, char *store)
{
	struct options o = {
		.store = store, .mountpoint = store, .dirty_max = 32u << 20, .cache_max = 8u << 20,
		/* With less than this a segment's blocks would be set aside, for nothing. */
		.size_max = UINT64_C(2) << 30,
	};
	char why[512];
	int r;

	for (int round = 0; round < 2; round++) {
		r = fs_open(&o, &k->fs, why, sizeof(why));
		if (r < 0)
			return bad(k, "it does not open: %s", why);
		r = check_all(k);
		if (r == 0 && round == 1 && !k->after)
			r = bad(k, "what was written after the power came back is lost");
		if (r == 0 && round == 0)
			r = go_on(k);
		if (fs_close(k->fs) < 0 && r == 0)
			r = bad(k, "it does not close well");
		if (r < 0)
			return r;
		/* From now on it is the state that was found, whatever else it might have been. */
		k->first = k->last = k->found;
	}
	return 0;
}

int crash_check(struct crash *c, size_t moment, enum powercut_how how, enum powercut_lie lie,
    const char *prefix, uint64_t seed)
{
	struct check k = { .c = c, .moment = moment, .cut = powercut_offset(c->cut, moment) };
	char image[700], store[720], command[800];
	int r;

	c->problem[0] = '\0';
	the_log.len = 0;
	the_log.text[0] = '\0';
	snprintf(image, sizeof(image), "%s/image", c->top);
	snprintf(store, sizeof(store), "%s/store", image);
	r = powercut_image(c->cut, moment, how, lie, prefix, seed, image);
	if (r < 0)
		return bad(&k, "no image: %s", strerror(-r));
	for (size_t i = 0; i < c->state_count; i++) {
		if (was_acked(&k, &c->states[i].when))
			k.first = i;
		if (c->states[i].when.begun < k.cut)
			k.last = i;
	}
	r = check_store(&k, store);
	c->images++;
	snprintf(command, sizeof(command), "rm -rf '%s'", image);
	if (system(command) != 0)
		return bad(&k, "the image can't be removed");
	return r;
}

/* Of the sanitizers (sanitizer/common_interface_defs.h); NULL without one. */
void __sanitizer_set_report_path(const char *path) __attribute__((weak));

/*
 * In a process of its own: LMDB ends the one in which it finds what can't be, and a file that
 * lacks its end kills who reads it.
 */
static int check_apart(struct crash *c, size_t moment, enum powercut_how how,
    enum powercut_lie lie, const char *prefix, uint64_t seed)
{
	static const int ends[] = { SIGABRT, SIGBUS, SIGSEGV, SIGFPE, SIGILL };
	char command[800];
	int pipe_of[2], status;
	ssize_t n;
	pid_t pid;

	fflush(stdout);
	assert_int_equal(pipe(pipe_of), 0);
	pid = fork();
	assert(pid >= 0);
	if (pid == 0) {
		/* Not cmocka's handlers, which would tell of a failed test. */
		for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
			signal(ends[i], SIG_DFL);
		/* Nor a sanitizer's report: with pages that can't be, LMDB writes anywhere. */
		if (__sanitizer_set_report_path)
			__sanitizer_set_report_path("stderr");
		if (!freopen("/dev/null", "w", stderr) ||
		    (crash_check(c, moment, how, lie, prefix, seed) < 0 &&
			write(pipe_of[1], c->problem, strlen(c->problem)) < 0))
			_exit(2);
		_exit(c->problem[0] ? 1 : 0);
	}
	close(pipe_of[1]);
	n = read(pipe_of[0], c->problem, sizeof(c->problem) - 1);
	c->problem[n > 0 ? n : 0] = '\0';
	close(pipe_of[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		snprintf(c->problem, sizeof(c->problem), "it ended by signal %d", WTERMSIG(status));
	snprintf(command, sizeof(command), "rm -rf '%s/image'", c->top);
	if (system(command) != 0)
		fail_msg("the image can't be removed");
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

/* Most cuts beside a sync or a change of names: that is where orders show. */
static size_t choose_moment(struct crash *c)
{
	size_t n = powercut_count(c->cut), at = 0;

	for (int tries = 0; tries < 50; tries++) {
		const struct powerlog_record *r;

		at = crash_random(c, n + 1);
		if (at == n || crash_random(c, 4) == 0)
			break;
		r = powercut_at(c->cut, at, NULL);
		if (r->type != POWERLOG_WRITE || r->a)
			return at + crash_random(c, 2);
	}
	return at;
}

size_t crash_check_many(struct crash *c, size_t n, enum powercut_lie lie, const char *prefix)
{
	char last[sizeof(c->problem)] = "";
	size_t failed = 0;

	for (size_t i = 0; i < n; i++) {
		size_t moment = choose_moment(c);
		enum powercut_how how = crash_random(c, 2)
		    ? POWERCUT_RANDOM
		    : (enum powercut_how)crash_random(c, POWERCUT_HOWS);
		uint64_t seed = dhttest_random(&c->random);

		if ((lie == POWERCUT_HONEST ? crash_check : check_apart)(c, moment, how, lie, prefix,
			seed) == 0)
			continue;
		failed++;
		memcpy(last, c->problem, sizeof(last));
		if (lie == POWERCUT_HONEST)
			fail_msg("SEED=%" PRIu64 ", cut %zu of %zu, how %d: %s; its log:\n%s",
			    c->seed, moment, powercut_count(c->cut), (int)how, c->problem,
			    the_log.text);
	}
	memcpy(c->problem, last, sizeof(last));
	return failed;
}
