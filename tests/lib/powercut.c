#include "tests/lib/powercut.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR	  512u
#define FILES_MAX 4096u
#define NAMES_MAX 4096u

struct event {
	const struct powerlog_record *r;
	const uint8_t *payload;
	uint32_t file;		/* index in files; FILES_MAX: none */
	size_t ended;		/* of a sync: the record of its end, SIZE_MAX: none */
	bool ok;		/* of a sync: it ended well */
	bool doubtful;		/* of a change: a sync that should have taken it failed */
};

struct powercut {
	const uint8_t *log;
	size_t log_len;
	struct event *events;
	size_t count;
	struct {
		size_t made;	/* the event */
		const char *name;
		bool dir;
	} files[FILES_MAX];
	uint32_t file_count;
};

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static bool chance(uint64_t *state, unsigned int percent)
{
	return next_random(state) % 100 < percent;
}

/* The newest file with this number: numbers are used again. */
static uint32_t find_file(const struct powercut *p, uint64_t number)
{
	for (uint32_t i = p->file_count; i > 0; i--)
		if (p->events[p->files[i - 1].made].r->file == number)
			return i - 1;
	return FILES_MAX;
}

static bool changes_file(uint32_t type)
{
	return type == POWERLOG_WRITE || type == POWERLOG_SIZE || type == POWERLOG_GROW ||
	    type == POWERLOG_ZERO;
}

static void take_sync_end(struct powercut *p, size_t end)
{
	const struct powerlog_record *r = p->events[end].r;
	size_t begin = end;

	while (begin-- > 0) {
		const struct powerlog_record *b = p->events[begin].r;

		if ((b->type == POWERLOG_SYNC || b->type == POWERLOG_SYNC_DIR) && b->a == r->a)
			break;
	}
	assert(begin != SIZE_MAX);
	p->events[begin].ended = end;
	p->events[begin].ok = r->b == 0;
	if (r->b == 0 || r->type != POWERLOG_SYNCED)
		return;
	/* Back to the last sync that had ended well before this one began. */
	for (size_t i = begin; i-- > 0;) {
		struct event *e = &p->events[i];

		if (e->file != p->events[begin].file)
			continue;
		if (e->r->type == POWERLOG_SYNC && e->ok && e->ended < begin)
			break;
		if (changes_file(e->r->type))
			e->doubtful = true;
	}
}

static int take_event(struct powercut *p, size_t at)
{
	struct event *e = &p->events[p->count];
	const struct powerlog_record *r = (const void *)(p->log + at);

	if (p->log_len - at < sizeof(*r) || r->magic != POWERLOG_MAGIC ||
	    r->len > p->log_len || powerlog_span(r) > p->log_len - at)
		return -EBADMSG;
	*e = (struct event){
		.r = r, .payload = p->log + at + sizeof(*r), .file = FILES_MAX, .ended = SIZE_MAX
	};
	p->count++;
	if (r->type == POWERLOG_CREATE || r->type == POWERLOG_MKDIR) {
		if (p->file_count == FILES_MAX)
			return -EFBIG;
		p->files[p->file_count].made = p->count - 1;
		p->files[p->file_count].dir = r->type == POWERLOG_MKDIR;
		p->files[p->file_count].name = strndup((const char *)e->payload, r->len);
		p->file_count++;
	}
	if (r->type <= POWERLOG_SYNCED)
		e->file = find_file(p, r->file);
	if (r->type == POWERLOG_SYNCED || r->type == POWERLOG_SYNCED_DIR)
		take_sync_end(p, p->count - 1);
	return 0;
}

int powercut_load(const char *path, struct powercut **out)
{
	struct powercut *p = calloc(1, sizeof(*p));
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t room = 0, at = 0;
	struct stat st;
	int rc = 0;

	*out = NULL;
	assert(p);
	if (fd < 0 || fstat(fd, &st) < 0) {
		rc = -errno;
		goto out;
	}
	p->log_len = (size_t)st.st_size;
	p->log = mmap(NULL, p->log_len + 1, PROT_READ, MAP_PRIVATE, fd, 0);
	assert(p->log != MAP_FAILED);
	while (rc == 0 && at < p->log_len) {
		if (p->count == room) {
			room = room ? 2 * room : 4096;
			p->events = realloc(p->events, room * sizeof(struct event));
			assert(p->events);
		}
		rc = take_event(p, at);
		if (rc == 0)
			at += powerlog_span(p->events[p->count - 1].r);
	}
out:
	if (fd >= 0)
		close(fd);
	if (rc == 0)
		*out = p;
	else
		powercut_free(p);
	return rc;
}

void powercut_free(struct powercut *p)
{
	union {
		const uint8_t *in;
		void *out;
	} u;

	if (!p)
		return;
	u.in = p->log;
	if (p->log)
		munmap(u.out, p->log_len + 1);
	for (uint32_t i = 0; i < p->file_count; i++) {
		union {
			const char *in;
			void *out;
		} name = { .in = p->files[i].name };

		free(name.out);
	}
	free(p->events);
	free(p);
}

size_t powercut_count(const struct powercut *p)
{
	return p->count;
}

const struct powerlog_record *powercut_at(const struct powercut *p, size_t i, const void **payload)
{
	assert(i < p->count);
	if (payload)
		*payload = p->events[i].payload;
	return p->events[i].r;
}

uint64_t powercut_offset(const struct powercut *p, size_t moment)
{
	assert(moment <= p->count);
	if (moment == p->count)
		return p->log_len;
	return (uint64_t)((const uint8_t *)p->events[moment].r - p->log);
}

/*
 * A disk that is being put together.
 */
struct disk {
	const struct powercut *p;
	size_t moment, prefix_end;
	enum powercut_how how;
	enum powercut_lie lie;
	const char *prefix;	/* of names for the lie */
	uint64_t random;
};

static bool lied_about(const struct disk *d, uint32_t file)
{
	const char *name = d->p->files[file].name, *base = strrchr(name, '/');

	base = base ? base + 1 : name;
	return strncmp(base, d->prefix, strlen(d->prefix)) == 0;
}

/* Did what was not synced come to the disk all the same? */
static bool comes(struct disk *d, size_t event)
{
	switch (d->how) {
	case POWERCUT_LOST:
		return false;
	case POWERCUT_KEPT:
		return true;
	case POWERCUT_PREFIX:
		return event < d->prefix_end;
	default:
		return chance(&d->random, 50);
	}
}

struct bytes {
	uint8_t *data;
	size_t len, room;
};

static void resize(struct bytes *b, size_t len)
{
	if (len > b->room) {
		b->room = len + len / 2;
		b->data = realloc(b->data, b->room);
		assert(b->data);
	}
	if (len > b->len)
		memset(b->data + b->len, 0, len - b->len);
	b->len = len;
}

static void put_bytes(struct bytes *b, size_t off, const uint8_t *data, size_t len)
{
	if (off + len > b->len)
		resize(b, off + len);
	memcpy(b->data + off, data, len);
}

/* A write of which some sectors came. */
static void tear(struct disk *d, struct bytes *b, const struct event *e)
{
	size_t off = e->r->off, left = e->r->len, old = b->len;
	const uint8_t *data = e->payload;

	while (left > 0) {
		size_t n = SECTOR - off % SECTOR < left ? SECTOR - off % SECTOR : left;

		if (chance(&d->random, 50))
			put_bytes(b, off, data, n);
		off += n;
		data += n;
		left -= n;
	}
	/* Behind the old end some file systems show what lay there before. */
	for (off = old; off < b->len && chance(&d->random, 30); off += SECTOR) {
		size_t n = SECTOR - off % SECTOR;

		n = n < b->len - off ? n : b->len - off;
		if (chance(&d->random, 20))
			for (size_t i = 0; i < n; i++)
				b->data[off + i] = (uint8_t)next_random(&d->random);
	}
}

static void lose(struct disk *d, struct bytes *b, const struct event *e)
{
	if (e->r->type == POWERLOG_WRITE && d->how == POWERCUT_RANDOM && chance(&d->random, 50)) {
		tear(d, b, e);
		return;
	}
	if (e->r->type == POWERLOG_WRITE && e->r->off + e->r->len > b->len &&
	    d->how != POWERCUT_PREFIX && chance(&d->random, 50))
		resize(b, e->r->off + e->r->len);
}

static void apply(struct bytes *b, const struct event *e)
{
	size_t end;

	switch (e->r->type) {
	case POWERLOG_WRITE:
		put_bytes(b, e->r->off, e->payload, e->r->len);
		break;
	case POWERLOG_SIZE:
		resize(b, e->r->a);
		break;
	case POWERLOG_GROW:
		if (e->r->a > b->len)
			resize(b, e->r->a);
		break;
	case POWERLOG_ZERO:
		if (e->r->b > b->len)
			resize(b, e->r->b);
		end = e->r->off + e->r->a < b->len ? e->r->off + e->r->a : b->len;
		if (end > e->r->off)
			memset(b->data + e->r->off, 0, end - e->r->off);
		break;
	}
}

/* Everything before this event is on the disk for sure, but for what is doubtful. */
static size_t synced_until(const struct disk *d, uint32_t file)
{
	size_t until = 0;

	if (d->lie != POWERCUT_HONEST && d->lie != POWERCUT_NO_NAMES && lied_about(d, file))
		return 0;
	for (size_t i = d->p->files[file].made; i < d->moment; i++) {
		const struct event *e = &d->p->events[i];

		if (e->file == file && e->r->type == POWERLOG_SYNC && e->ended < d->moment && e->ok)
			until = i;
	}
	return until;
}

static void content(struct disk *d, uint32_t file, struct bytes *b)
{
	size_t until = synced_until(d, file);
	bool no_dsync = d->lie == POWERCUT_NO_DSYNC && lied_about(d, file);

	b->len = 0;
	for (size_t i = d->p->files[file].made; i < d->moment; i++) {
		const struct event *e = &d->p->events[i];
		bool sure;

		if (e->file != file || !changes_file(e->r->type))
			continue;
		sure = (i < until && !e->doubtful) ||
		    (e->r->type == POWERLOG_WRITE && e->r->a && !no_dsync);
		if (sure || comes(d, i))
			apply(b, e);
		else
			lose(d, b, e);
	}
}

static bool is_zero(const uint8_t *data, size_t len)
{
	return len == 0 || (data[0] == 0 && memcmp(data, data + 1, len - 1) == 0);
}

/* With holes, or a disk's worth of zeros would be written for each image. */
static int write_file(const char *path, const struct bytes *b)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	const size_t block = 4096;
	int rc = 0;

	if (fd < 0)
		return -errno;
	for (size_t off = 0, n; off < b->len && rc == 0; off += n) {
		size_t from = off;

		n = 0;
		while (off < b->len &&
		    is_zero(b->data + off, b->len - off < block ? b->len - off : block))
			off += b->len - off < block ? b->len - off : block;
		for (from = off; off < b->len; off += b->len - off < block ? b->len - off : block)
			if (is_zero(b->data + off, b->len - off < block ? b->len - off : block))
				break;
		if (off > from &&
		    pwrite(fd, b->data + from, off - from, (off_t)from) != (ssize_t)(off - from))
			rc = -EIO;
	}
	if (rc == 0 && ftruncate(fd, (off_t)b->len) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

/*
 * Names: the folder as a list of what was done to it.
 */
struct names {
	struct {
		const char *name;
		uint32_t file;
	} v[NAMES_MAX];
	size_t n;
};

static size_t find_name(const struct names *names, const char *name, size_t len)
{
	for (size_t i = 0; i < names->n; i++)
		if (strlen(names->v[i].name) == len && memcmp(names->v[i].name, name, len) == 0)
			return i;
	return SIZE_MAX;
}

static void set_name(struct names *names, const char *name, size_t len, uint32_t file)
{
	size_t i = find_name(names, name, len);

	if (i == SIZE_MAX) {
		assert(names->n < NAMES_MAX);
		i = names->n++;
		names->v[i].name = strndup(name, len);
	}
	names->v[i].file = file;
}

static void remove_name(struct names *names, size_t i)
{
	union {
		const char *in;
		void *out;
	} u = { .in = names->v[i].name };

	free(u.out);
	names->v[i] = names->v[--names->n];
}

static void apply_name(struct names *names, const struct event *e)
{
	const char *name = (const char *)e->payload;
	size_t old_len = strnlen(name, e->r->len), i;
	uint32_t file;

	switch (e->r->type) {
	case POWERLOG_CREATE:
	case POWERLOG_MKDIR:
	case POWERLOG_LINK:
		if (e->file != FILES_MAX)
			set_name(names, name, e->r->len, e->file);
		break;
	case POWERLOG_UNLINK:
		i = find_name(names, name, e->r->len);
		if (i != SIZE_MAX)
			remove_name(names, i);
		break;
	case POWERLOG_RENAME:
		i = find_name(names, name, old_len);
		if (i == SIZE_MAX)
			break;
		file = names->v[i].file;
		remove_name(names, i);
		set_name(names, name + old_len + 1, e->r->len - old_len - 1, file);
		break;
	}
}

static bool names_something(uint32_t type)
{
	return type == POWERLOG_CREATE || type == POWERLOG_MKDIR || type == POWERLOG_LINK ||
	    type == POWERLOG_UNLINK || type == POWERLOG_RENAME;
}

/* The length of the folder's name within a name. */
static size_t folder_len(const char *name, size_t len)
{
	while (len > 0 && name[len - 1] != '/')
		len--;
	return len > 0 ? len - 1 : 0;
}

/* Was the folder synced after this change of a name in it? */
static bool name_synced(const struct disk *d, size_t at)
{
	const struct event *e = &d->p->events[at];
	const char *name = (const char *)e->payload;
	size_t len = folder_len(name, strnlen(name, e->r->len));

	if (d->lie == POWERCUT_NO_NAMES)
		return false;
	for (size_t i = at + 1; i < d->moment; i++) {
		const struct event *s = &d->p->events[i];

		if (s->r->type == POWERLOG_SYNC_DIR && s->ok && s->ended < d->moment &&
		    s->r->len == len && memcmp(s->payload, name, len) == 0)
			return true;
	}
	return false;
}

static void make_names(struct disk *d, struct names *names)
{
	names->n = 0;
	for (size_t i = 0; i < d->moment; i++) {
		const struct event *e = &d->p->events[i];

		if (names_something(e->r->type) && (name_synced(d, i) || comes(d, i)))
			apply_name(names, e);
	}
}

static int name_order(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

static int make_entry(
    struct disk *d, const char *dir, const char *name, uint32_t file, struct bytes *b)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (d->p->files[file].dir)
		return mkdir(path, 0700) < 0 ? -errno : 0;
	content(d, file, b);
	return write_file(path, b);
}

int powercut_image(const struct powercut *p, size_t moment, enum powercut_how how,
    enum powercut_lie lie, const char *prefix, uint64_t seed, const char *dir)
{
	struct disk d = {
		.p = p, .moment = moment, .how = how, .lie = lie, .prefix = prefix, .random = seed
	};
	struct names *names = calloc(1, sizeof(*names));
	struct bytes b = { .len = 0 };
	int rc = 0;

	assert(names && moment <= p->count);
	/* Near the end, where most of what is not synced lies. */
	d.prefix_end =
	    moment - (moment ? next_random(&d.random) % (moment < 200 ? moment : 200) : 0);
	make_names(&d, names);
	if (mkdir(dir, 0700) < 0)
		rc = -errno;
	/* Folders before what is in them. */
	qsort(names->v, names->n, sizeof(names->v[0]), name_order);
	for (size_t i = 0; i < names->n && rc == 0; i++) {
		rc = make_entry(&d, dir, names->v[i].name, names->v[i].file, &b);
		/* The folder above it is one of the lost. */
		if (rc == -ENOENT)
			rc = 0;
	}
	while (names->n > 0)
		remove_name(names, names->n - 1);
	free(names);
	free(b.data);
	return rc;
}

static int compare_file(const char *path, const struct bytes *b)
{
	struct stat st;
	uint8_t *data;
	FILE *f;
	int rc = 0;

	if (stat(path, &st) < 0) {
		fprintf(stderr, "%s: recorded, but not there\n", path);
		return -EILSEQ;
	}
	data = malloc(b->len + 1);
	f = fopen(path, "rb");
	assert(f && data);
	if ((size_t)st.st_size != b->len || fread(data, 1, b->len, f) != b->len ||
	    memcmp(data, b->data ? b->data : data, b->len) != 0) {
		fprintf(stderr, "%s: not as recorded (%lld bytes, recorded %zu)\n", path,
		    (long long)st.st_size, b->len);
		rc = -EILSEQ;
	}
	fclose(f);
	free(data);
	return rc;
}

int powercut_now(const struct powercut *p, const char *dir)
{
	struct disk d = { .p = p, .moment = p->count, .how = POWERCUT_KEPT };
	struct names *names = calloc(1, sizeof(*names));
	struct bytes b = { .len = 0 };
	char path[4096];
	int rc = 0;

	assert(names);
	make_names(&d, names);
	for (size_t i = 0; i < names->n && rc == 0; i++) {
		const char *name = names->v[i].name, *end = name + strlen(name);

		snprintf(path, sizeof(path), "%s/%s", dir, name);
		/* LMDB keeps its locks in memory that it maps: they are worth nothing later. */
		if (p->files[names->v[i].file].dir ||
		    (end - name > 5 && strcmp(end - 5, "-lock") == 0))
			continue;
		content(&d, names->v[i].file, &b);
		rc = compare_file(path, &b);
	}
	while (names->n > 0)
		remove_name(names, names->n - 1);
	free(names);
	free(b.data);
	return rc;
}
