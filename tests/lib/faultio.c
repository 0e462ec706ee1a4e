#include "tests/lib/faultio.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/dhttest.h"

#define FILES_MAX 128
#define SECTOR	  512
#define BLOCK	  4096	/* of writes past the page cache, and of holes */

struct bytes {
	uint8_t *data;
	size_t len, room;
};

/* A change that no sync has made durable. */
struct change {
	struct change *next;
	bool truncate;
	uint64_t off;
	size_t len;
	uint8_t data[];
};

struct file {
	char name[64];
	bool exists, named;	/* named: its entry is durable */
	struct bytes now, disk;
	uint64_t allocated;	/* bytes set aside, from the start on */
	struct change *first, **last;
	bool lost;		/* a sync failed: what was pending will never be on the disk */
};

struct faultio {
	struct io io;
	pthread_mutex_t lock;
	struct file files[FILES_MAX];
	unsigned int calls[FAULT_OPS], changes;
	struct { unsigned int after, times; int error; } fail[FAULT_OPS];
	unsigned int off_at;
	bool off;
	void (*gone)(void *arg);
	void *gone_arg;
	uint64_t disk_bytes;
	enum fault_direct direct;
};

static _Thread_local unsigned int jitter = 1;

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

static void put(struct bytes *b, uint64_t off, const void *data, size_t len)
{
	if (len == 0)
		return;
	if (off + len > b->len)
		resize(b, off + len);
	memcpy(b->data + off, data, len);
}

static void same(struct bytes *to, const struct bytes *from)
{
	resize(to, 0);
	put(to, 0, from->data, from->len);
}

static void clear_changes(struct file *file)
{
	struct change *c;

	while ((c = file->first)) {
		file->first = c->next;
		free(c);
	}
	file->last = &file->first;
}

static void remember(struct file *file, bool truncate, uint64_t off, const void *data, size_t len)
{
	struct change *c = malloc(sizeof(*c) + len);

	assert(c);
	*c = (struct change){ .truncate = truncate, .off = off, .len = len };
	if (len > 0)
		memcpy(c->data, data, len);
	*file->last = c;
	file->last = &c->next;
}

static struct file *find(struct faultio *f, const char *name)
{
	for (int i = 0; i < FILES_MAX; i++)
		if (f->files[i].exists && strcmp(f->files[i].name, name) == 0)
			return &f->files[i];
	return NULL;
}

/* Under the lock: 0, or the fault that is due. */
static int fault(struct faultio *f, enum fault_op op, bool change)
{
	f->calls[op]++;
	if (change && ++f->changes == f->off_at) {
		f->off = true;
		if (f->gone)
			f->gone(f->gone_arg);
	}
	if (f->off)
		return -EIO;
	if (f->fail[op].times == 0)
		return 0;
	if (f->fail[op].after > 0) {
		f->fail[op].after--;
		return 0;
	}
	f->fail[op].times--;
	return f->fail[op].error;
}

/* Descriptors are indices, of O_DIRECT as much behind; a file is never replaced in its slot. */
static struct file *file_of(struct faultio *f, int fd)
{
	assert(fd >= 0 && fd < 2 * FILES_MAX);
	return &f->files[fd % FILES_MAX];
}

static int fault_open(void *ctx, int dirfd, const char *name, int flags, mode_t mode)
{
	struct faultio *f = ctx;
	struct file *file;
	int rc;

	(void)dirfd;
	(void)mode;
	pthread_mutex_lock(&f->lock);
	file = find(f, name);
	rc = fault(f, FAULT_OPEN, !file && (flags & O_CREAT));
	if (rc == 0 && (flags & O_DIRECT) && f->direct == DIRECT_NO_OPEN)
		rc = -EINVAL;
	if (rc == 0 && !file && !(flags & O_CREAT))
		rc = -ENOENT;
	if (rc == 0 && file && (flags & O_EXCL))
		rc = -EEXIST;
	for (int i = 0; rc == 0 && !file; i++) {
		assert(i < FILES_MAX);
		if (f->files[i].exists || f->files[i].name[0])
			continue;
		file = &f->files[i];
		*file = (struct file){ .exists = true };
		file->last = &file->first;
		assert(strlen(name) < sizeof(file->name));
		strcpy(file->name, name);
	}
	if (rc == 0 && (flags & O_TRUNC) && file->now.len > 0) {
		resize(&file->now, 0);
		remember(file, true, 0, NULL, 0);
	}
	pthread_mutex_unlock(&f->lock);
	return rc < 0 ? rc : (int)(file - f->files) + (flags & O_DIRECT ? FILES_MAX : 0);
}

static int fault_close(void *ctx, int fd)
{
	file_of(ctx, fd);
	return 0;
}

/* Past the page cache whole blocks only, from memory that is aligned to one. */
static bool direct_takes(const struct faultio *f, const struct iovec *iov, int count, uint64_t off)
{
	bool takes = f->direct == DIRECT_TAKEN && off % BLOCK == 0;

	for (int i = 0; i < count; i++)
		takes &= (uintptr_t)iov[i].iov_base % BLOCK == 0 && iov[i].iov_len % BLOCK == 0;
	return takes;
}

static ssize_t fault_pread(void *ctx, int fd, void *buf, size_t len, uint64_t off)
{
	struct faultio *f = ctx;
	struct bytes *b = &file_of(f, fd)->now;
	ssize_t rc;

	if (fd >= FILES_MAX &&
	    !direct_takes(f, &(struct iovec){ .iov_base = buf, .iov_len = len }, 1, off))
		return -EINVAL;
	pthread_mutex_lock(&f->lock);
	rc = fault(f, FAULT_READ, false);
	if (rc == 0) {
		if (off >= b->len)
			len = 0;
		else if (len > b->len - off)
			len = b->len - off;
		if (len > 0)
			memcpy(buf, b->data + off, len);
		rc = (ssize_t)len;
	}
	pthread_mutex_unlock(&f->lock);
	return rc;
}

static uint64_t taken(const struct file *file)
{
	return file->now.len > file->allocated ? file->now.len : file->allocated;
}

static uint64_t used(const struct faultio *f)
{
	uint64_t n = 0;

	for (int i = 0; i < FILES_MAX; i++)
		n += f->files[i].exists ? taken(&f->files[i]) : 0;
	return n;
}

/* Under the lock: is there room for ${file} to reach ${end}? */
static bool has_room(const struct faultio *f, const struct file *file, uint64_t end)
{
	return end <= taken(file) || used(f) + (end - taken(file)) <= f->disk_bytes;
}

static ssize_t fault_pwritev(void *ctx, int fd, const struct iovec *iov, int count, uint64_t off)
{
	struct faultio *f = ctx;
	struct file *file = file_of(f, fd);
	struct bytes all = { .data = NULL };
	ssize_t rc;
	size_t len;

	for (int i = 0; i < count; i++)
		put(&all, all.len, iov[i].iov_base, iov[i].iov_len);
	/* Others overtake: memory is so fast that no two writes would meet. */
	for (int i = rand_r(&jitter) % 4; i > 0; i--)
		sched_yield();
	pthread_mutex_lock(&f->lock);
	if (fd >= FILES_MAX && !direct_takes(f, iov, count, off)) {
		pthread_mutex_unlock(&f->lock);
		free(all.data);
		return -EINVAL;
	}
	rc = fault(f, FAULT_WRITE, true);
	if (rc == 0 && !has_room(f, file, off + all.len))
		rc = -ENOSPC;
	len = rc == 0 ? all.len : f->off ? 0 : all.len / 2;
	if (len > 0) {
		put(&file->now, off, all.data, len);
		remember(file, false, off, all.data, len);
	}
	pthread_mutex_unlock(&f->lock);
	free(all.data);
	return rc < 0 ? rc : (ssize_t)len;
}

static int fault_fdatasync(void *ctx, int fd)
{
	struct faultio *f = ctx;
	struct file *file = file_of(f, fd);
	int rc;

	pthread_mutex_lock(&f->lock);
	rc = fault(f, FAULT_SYNC, true);
	if (rc == 0 && !file->lost)
		same(&file->disk, &file->now);
	/* As the kernel does: the error is told once, and then the pages count as clean. */
	if (rc < 0 && !f->off)
		file->lost = true;
	if (!f->off)
		clear_changes(file);
	pthread_mutex_unlock(&f->lock);
	return rc;
}

static int fault_fsync_dir(void *ctx, int dirfd)
{
	struct faultio *f = ctx;
	int rc;

	(void)dirfd;
	pthread_mutex_lock(&f->lock);
	rc = fault(f, FAULT_SYNC_DIR, true);
	for (int i = 0; rc == 0 && i < FILES_MAX; i++)
		f->files[i].named = f->files[i].exists;
	pthread_mutex_unlock(&f->lock);
	return rc;
}

static int fault_truncate(void *ctx, int fd, uint64_t len)
{
	struct faultio *f = ctx;
	struct file *file = file_of(f, fd);
	int rc;

	pthread_mutex_lock(&f->lock);
	rc = fault(f, FAULT_TRUNCATE, true);
	if (rc == 0)
		file->allocated = 0;
	if (rc == 0 && file->now.len != len) {
		resize(&file->now, len);
		remember(file, true, len, NULL, 0);
		/* With the pages that could not be written: what comes in their place is new. */
		file->lost &= len > file->disk.len;
	}
	pthread_mutex_unlock(&f->lock);
	return rc;
}

static int fault_allocate(void *ctx, int fd, uint64_t off, uint64_t len)
{
	struct faultio *f = ctx;
	struct file *file = file_of(f, fd);
	int rc;

	pthread_mutex_lock(&f->lock);
	rc = fault(f, FAULT_ALLOCATE, true);
	if (rc == 0 && !has_room(f, file, off + len))
		rc = -ENOSPC;
	if (rc == 0 && off + len > file->allocated)
		file->allocated = off + len;
	pthread_mutex_unlock(&f->lock);
	return rc;
}

/* A hole reads as zeros, and is on the disk when it is synced, or before. */
static int fault_punch(void *ctx, int fd, uint64_t off, uint64_t len)
{
	struct faultio *f = ctx;
	struct file *file = file_of(f, fd);
	uint8_t *zeros = calloc(1, len);
	int rc;

	assert(zeros && off % BLOCK == 0 && len % BLOCK == 0 && off + len <= file->now.len);
	pthread_mutex_lock(&f->lock);
	rc = fault(f, FAULT_PUNCH, true);
	if (rc == 0) {
		put(&file->now, off, zeros, len);
		remember(file, false, off, zeros, len);
	}
	pthread_mutex_unlock(&f->lock);
	free(zeros);
	return rc;
}

/* Under the lock: whole blocks of zeros are holes. */
static uint64_t blocks_of(const struct bytes *b)
{
	static const uint8_t zeros[BLOCK];
	uint64_t n = 0;

	for (size_t at = 0; at < b->len; at += BLOCK) {
		size_t len = b->len - at < BLOCK ? b->len - at : BLOCK;

		n += memcmp(b->data + at, zeros, len) != 0 ? BLOCK : 0;
	}
	return n;
}

static int fault_taken(void *ctx, int fd, uint64_t *bytes)
{
	struct faultio *f = ctx;

	pthread_mutex_lock(&f->lock);
	*bytes = blocks_of(&file_of(f, fd)->now);
	pthread_mutex_unlock(&f->lock);
	return 0;
}

uint64_t faultio_taken(struct faultio *f)
{
	uint64_t n = 0;

	pthread_mutex_lock(&f->lock);
	for (int i = 0; i < FILES_MAX; i++)
		if (f->files[i].exists && strncmp(f->files[i].name, "segment-", 8) == 0)
			n += blocks_of(&f->files[i].now);
	pthread_mutex_unlock(&f->lock);
	return n;
}

static int fault_unlink(void *ctx, int dirfd, const char *name)
{
	struct faultio *f = ctx;
	struct file *file;
	int rc;

	(void)dirfd;
	pthread_mutex_lock(&f->lock);
	file = find(f, name);
	rc = fault(f, FAULT_UNLINK, file != NULL);
	if (rc == 0 && !file)
		rc = -ENOENT;
	if (rc == 0)
		file->exists = false;
	pthread_mutex_unlock(&f->lock);
	return rc;
}

static int fault_list(void *ctx, int dirfd, int (*each)(void *arg, const char *name), void *arg)
{
	struct faultio *f = ctx;
	int rc = 0;

	(void)dirfd;
	for (int i = 0; i < FILES_MAX && rc == 0; i++)
		if (f->files[i].exists)
			rc = each(arg, f->files[i].name);
	return rc;
}

static int fault_size(void *ctx, int fd, uint64_t *len)
{
	struct faultio *f = ctx;

	pthread_mutex_lock(&f->lock);
	*len = file_of(f, fd)->now.len;
	pthread_mutex_unlock(&f->lock);
	return 0;
}

static int fault_disk_space(void *ctx, int dirfd, uint64_t *available, uint64_t *total)
{
	struct faultio *f = ctx;
	uint64_t n;

	(void)dirfd;
	pthread_mutex_lock(&f->lock);
	n = used(f);
	*total = f->disk_bytes;
	*available = n < f->disk_bytes ? f->disk_bytes - n : 0;
	pthread_mutex_unlock(&f->lock);
	return 0;
}

struct faultio *faultio_new(void)
{
	struct faultio *f = calloc(1, sizeof(*f));

	assert(f);
	f->io = (struct io){ .ctx = f, .open = fault_open, .close = fault_close,
		.pread = fault_pread, .pwritev = fault_pwritev, .fdatasync = fault_fdatasync,
		.fsync_dir = fault_fsync_dir, .truncate = fault_truncate,
		.allocate = fault_allocate, .punch = fault_punch, .taken = fault_taken, .unlink = fault_unlink, .list = fault_list,
		.size = fault_size, .disk_space = fault_disk_space };
	f->disk_bytes = (uint64_t)1 << 40;
	pthread_mutex_init(&f->lock, NULL);
	return f;
}

void faultio_free(struct faultio *f)
{
	for (int i = 0; i < FILES_MAX; i++) {
		if (!f->files[i].name[0])
			continue;
		clear_changes(&f->files[i]);
		free(f->files[i].now.data);
		free(f->files[i].disk.data);
	}
	pthread_mutex_destroy(&f->lock);
	free(f);
}

const struct io *faultio_io(struct faultio *f)
{
	return &f->io;
}

void faultio_fail(struct faultio *f, enum fault_op op, unsigned int after, unsigned int times,
    int error)
{
	pthread_mutex_lock(&f->lock);
	f->fail[op].after = after;
	f->fail[op].times = times;
	f->fail[op].error = error;
	pthread_mutex_unlock(&f->lock);
}

unsigned int faultio_calls(struct faultio *f, enum fault_op op)
{
	unsigned int n;

	pthread_mutex_lock(&f->lock);
	n = f->calls[op];
	pthread_mutex_unlock(&f->lock);
	return n;
}

unsigned int faultio_changes(struct faultio *f)
{
	unsigned int n;

	pthread_mutex_lock(&f->lock);
	n = f->changes;
	pthread_mutex_unlock(&f->lock);
	return n;
}

void faultio_disk(struct faultio *f, uint64_t bytes)
{
	pthread_mutex_lock(&f->lock);
	f->disk_bytes = bytes;
	pthread_mutex_unlock(&f->lock);
}

void faultio_direct(struct faultio *f, enum fault_direct how)
{
	pthread_mutex_lock(&f->lock);
	f->direct = how;
	pthread_mutex_unlock(&f->lock);
}

void faultio_off_at(struct faultio *f, unsigned int changes, void (*gone)(void *arg), void *arg)
{
	pthread_mutex_lock(&f->lock);
	f->off_at = changes;
	f->gone = gone;
	f->gone_arg = arg;
	pthread_mutex_unlock(&f->lock);
}

void faultio_forget(struct faultio *f)
{
	pthread_mutex_lock(&f->lock);
	for (int i = 0; i < FILES_MAX; i++) {
		struct file *file = &f->files[i];
		size_t len = file->now.len;

		if (!file->lost)
			continue;
		same(&file->now, &file->disk);
		resize(&file->now, len);
		for (struct change *c = file->first; c; c = c->next)
			if (!c->truncate)
				put(&file->now, c->off, c->data, c->len);
	}
	pthread_mutex_unlock(&f->lock);
}

/* Some of its sectors: a run from the start, or any. */
static void tear(struct bytes *disk, const struct change *c, uint64_t *random)
{
	bool run = dhttest_random(random) % 2;
	size_t n = run ? dhttest_random(random) % (c->len + 1) : 0;

	put(disk, c->off, c->data, n);
	for (size_t at = 0; !run && at < c->len;) {
		size_t len = SECTOR - (c->off + at) % SECTOR;

		len = len < c->len - at ? len : c->len - at;
		if (dhttest_random(random) % 2)
			put(disk, c->off + at, c->data + at, len);
		at += len;
	}
}

static void cut_file(struct file *file, uint64_t *random)
{
	/* In some cuts all is lost, in some nothing is. */
	uint64_t mood = dhttest_random(random) % 8;

	for (struct change *c = file->first; c; c = c->next) {
		uint64_t fate = mood == 0 ? 0 : mood == 1 ? 1 : dhttest_random(random) % 3;

		if (fate == 0)
			continue;
		if (c->truncate)
			resize(&file->disk, c->off);
		else if (fate == 1)
			put(&file->disk, c->off, c->data, c->len);
		else
			tear(&file->disk, c, random);
	}
	/* The length may be on the disk where the bytes are not. */
	if (file->disk.len < file->now.len && dhttest_random(random) % 2)
		resize(&file->disk, file->disk.len +
		    dhttest_random(random) % (file->now.len - file->disk.len + 1));
}

void faultio_power_cut(struct faultio *f, uint64_t seed)
{
	pthread_mutex_lock(&f->lock);
	for (int i = 0; i < FILES_MAX; i++) {
		struct file *file = &f->files[i];

		/* A name that was removed, and the folder not synced since, may be there again. */
		if (!file->exists && file->named)
			file->exists = file->named = dhttest_random(&seed) % 2;
		if (!file->exists)
			continue;
		if (!file->named && dhttest_random(&seed) % 2)
			file->exists = false;
		cut_file(file, &seed);
		same(&file->now, &file->disk);
		clear_changes(file);
		file->lost = false;
		file->named = file->exists;
		if (dhttest_random(&seed) % 2)
			file->allocated = 0;
	}
	memset(f->fail, 0, sizeof(f->fail));
	f->off_at = 0;
	f->off = false;
	pthread_mutex_unlock(&f->lock);
}

struct faultio *faultio_copy(struct faultio *f)
{
	struct faultio *copy = faultio_new();

	pthread_mutex_lock(&f->lock);
	for (int i = 0; i < FILES_MAX; i++) {
		struct file *from = &f->files[i], *to = &copy->files[i];

		if (!from->exists)
			continue;
		memcpy(to->name, from->name, sizeof(to->name));
		to->exists = true;
		to->named = from->named;
		to->lost = from->lost;
		to->allocated = from->allocated;
		to->last = &to->first;
		same(&to->now, &from->now);
		same(&to->disk, &from->disk);
		for (struct change *c = from->first; c; c = c->next)
			remember(to, c->truncate, c->off, c->data, c->len);
	}
	copy->disk_bytes = f->disk_bytes;
	copy->direct = f->direct;
	pthread_mutex_unlock(&f->lock);
	return copy;
}

int64_t faultio_size(struct faultio *f, const char *name)
{
	struct file *file = find(f, name);

	return file ? (int64_t)file->now.len : -1;
}

uint8_t *faultio_bytes(struct faultio *f, const char *name)
{
	struct file *file = find(f, name);

	return file ? file->now.data : NULL;
}

void faultio_resize(struct faultio *f, const char *name, size_t len)
{
	struct file *file = find(f, name);

	resize(&file->now, len);
	same(&file->disk, &file->now);
	clear_changes(file);
	file->allocated = 0;
}

void faultio_remove(struct faultio *f, const char *name)
{
	struct file *file = find(f, name);

	file->exists = file->named = false;
}
