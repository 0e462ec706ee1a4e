#include "dht/segment.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPEN_MAX_IDLE 100	/* segments kept open that nobody works with; two descriptors each */

struct segments {
	const struct io *io;
	int dirfd;
	pthread_mutex_t lock;
	struct segment **all;	/* by number; under lock */
	size_t count, room;	/* under lock */
	struct segment *removed_first;	/* linked by next_removed; under lock */
	struct list idle;	/* open, not in use, the longest unused first; under lock */
	unsigned int idle_count;	/* under lock */
	bool no_direct;		/* the file system refuses O_DIRECT; under lock */
};

void segment_name(uint32_t number, char name[SEGMENT_NAME_LEN + 1])
{
	snprintf(name, SEGMENT_NAME_LEN + 1, "segment-%08x", number);
}

uint32_t segment_parse(const char *name)
{
	char again[SEGMENT_NAME_LEN + 1];
	unsigned int number;

	if (strlen(name) != SEGMENT_NAME_LEN || sscanf(name, "segment-%8x", &number) != 1)
		return 0;
	segment_name(number, again);
	return strcmp(name, again) == 0 ? number : 0;
}

struct segments *segments_new(const struct io *io, int dirfd)
{
	struct segments *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->io = io;
	s->dirfd = dirfd;
	pthread_mutex_init(&s->lock, NULL);
	list_init(&s->idle);
	return s;
}

/* Under the lock. */
static void close_now(struct segments *s, struct segment *g)
{
	if (g->fd >= 0)
		s->io->close(s->io->ctx, g->fd);
	if (g->direct_fd >= 0)
		s->io->close(s->io->ctx, g->direct_fd);
	g->fd = g->direct_fd = -1;
}

void segments_free(struct segments *s)
{
	struct segment *g;

	if (!s)
		return;
	for (size_t i = 0; i < s->count; i++) {
		g = s->all[i];
		assert(g->users == 0 && list_empty(&g->unsynced));
		close_now(s, g);
		free(g);
	}
	while ((g = s->removed_first)) {
		s->removed_first = g->next_removed;
		assert(g->users == 0);
		free(g);
	}
	pthread_mutex_destroy(&s->lock);
	free(s->all);
	free(s);
}

/* The first that is not below ${number}. */
static size_t place_of(const struct segments *s, uint32_t number)
{
	size_t low = 0, high = s->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->all[mid]->number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct segment *segments_find(struct segments *s, uint32_t number)
{
	struct segment *g = NULL;
	size_t i;

	pthread_mutex_lock(&s->lock);
	i = place_of(s, number);
	if (i < s->count && s->all[i]->number == number)
		g = s->all[i];
	pthread_mutex_unlock(&s->lock);
	return g;
}

/* Under the lock. */
static struct segment *insert(struct segments *s, uint32_t number)
{
	size_t i = place_of(s, number);
	struct segment *g;

	assert(i == s->count || s->all[i]->number != number);
	if (s->count == s->room) {
		size_t room = s->room ? 2 * s->room : 64;
		struct segment **all = realloc(s->all, room * sizeof(struct segment *));

		if (!all)
			return NULL;
		s->all = all;
		s->room = room;
	}
	g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	g->number = number;
	g->fd = g->direct_fd = -1;
	list_init(&g->unsynced);
	list_init(&g->idle);
	memmove(&s->all[i + 1], &s->all[i], (s->count - i) * sizeof(struct segment *));
	s->all[i] = g;
	s->count++;
	return g;
}

struct segment *segments_add(struct segments *s, uint32_t number)
{
	struct segment *g;

	pthread_mutex_lock(&s->lock);
	g = insert(s, number);
	pthread_mutex_unlock(&s->lock);
	return g;
}

int segments_create(struct segments *s, struct segment **out)
{
	char name[SEGMENT_NAME_LEN + 1];
	struct segment *g;
	uint32_t number;
	int fd;

	*out = NULL;
	pthread_mutex_lock(&s->lock);
	number = s->count > 0 ? s->all[s->count - 1]->number + 1 : 1;
	segment_name(number, name);
	fd = s->io->open(s->io->ctx, s->dirfd, name, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0) {
		pthread_mutex_unlock(&s->lock);
		return fd;
	}
	g = insert(s, number);
	if (g) {
		g->scanned = true;
		g->fd = fd;
		list_append(&s->idle, &g->idle);
		s->idle_count++;
	}
	pthread_mutex_unlock(&s->lock);
	if (!g) {
		s->io->close(s->io->ctx, fd);
		s->io->unlink(s->io->ctx, s->dirfd, name);
		return -ENOMEM;
	}
	*out = g;
	return 0;
}

/* Kept until the end, since others may hold pointers: a hundred bytes for a whole segment. */
void segments_remove(struct segments *s, struct segment *g)
{
	size_t i;

	pthread_mutex_lock(&s->lock);
	i = place_of(s, g->number);
	assert(i < s->count && s->all[i] == g);
	memmove(&s->all[i], &s->all[i + 1], (--s->count - i) * sizeof(struct segment *));
	g->removed = true;
	g->next_removed = s->removed_first;
	s->removed_first = g;
	if (g->users == 0) {
		if (g->fd >= 0) {
			list_remove(&g->idle);
			s->idle_count--;
		}
		close_now(s, g);
	}
	pthread_mutex_unlock(&s->lock);
}

struct segment *segments_next(struct segments *s, uint32_t number)
{
	struct segment *g;
	size_t i;

	pthread_mutex_lock(&s->lock);
	i = place_of(s, number + 1);
	g = i < s->count ? s->all[i] : NULL;
	pthread_mutex_unlock(&s->lock);
	return g;
}

size_t segments_count(struct segments *s)
{
	size_t count;

	pthread_mutex_lock(&s->lock);
	count = s->count;
	pthread_mutex_unlock(&s->lock);
	return count;
}

struct segment *segments_at(struct segments *s, size_t i)
{
	struct segment *g;

	pthread_mutex_lock(&s->lock);
	assert(i < s->count);
	g = s->all[i];
	pthread_mutex_unlock(&s->lock);
	return g;
}

/* Under the lock. */
static void close_longest_unused(struct segments *s)
{
	struct segment *g = list_item(s->idle.next, struct segment, idle);

	list_remove(&g->idle);
	s->idle_count--;
	close_now(s, g);
}

int segment_hold(struct segments *s, struct segment *g)
{
	char name[SEGMENT_NAME_LEN + 1];
	int fd;

	pthread_mutex_lock(&s->lock);
	if (g->fd < 0) {
		segment_name(g->number, name);
		fd = s->io->open(s->io->ctx, s->dirfd, name, O_RDWR, 0);
		if (fd < 0) {
			pthread_mutex_unlock(&s->lock);
			return fd;
		}
		g->fd = fd;
	} else if (g->users == 0) {
		list_remove(&g->idle);
		s->idle_count--;
	}
	g->users++;
	fd = g->fd;
	pthread_mutex_unlock(&s->lock);
	return fd;
}

void segment_drop(struct segments *s, struct segment *g)
{
	pthread_mutex_lock(&s->lock);
	assert(g->users > 0);
	g->users--;
	if (g->users == 0 && g->removed) {
		close_now(s, g);
	} else if (g->users == 0) {
		list_append(&s->idle, &g->idle);
		if (++s->idle_count > OPEN_MAX_IDLE)
			close_longest_unused(s);
	}
	pthread_mutex_unlock(&s->lock);
}

/* The descriptor that goes past the page cache; where there is none, the other one. */
static int direct_of(struct segments *s, struct segment *g)
{
	char name[SEGMENT_NAME_LEN + 1];
	int fd;

	pthread_mutex_lock(&s->lock);
	assert(g->users > 0);
	if (g->direct_fd < 0 && !s->no_direct) {
		segment_name(g->number, name);
		fd = s->io->open(s->io->ctx, s->dirfd, name, O_RDWR | O_DIRECT, 0);
		s->no_direct = fd == -EINVAL;
		g->direct_fd = fd < 0 ? -1 : fd;
	}
	fd = g->direct_fd >= 0 && !s->no_direct ? g->direct_fd : g->fd;
	pthread_mutex_unlock(&s->lock);
	return fd;
}

/* Some file systems accept the flag, and then no write; or larger blocks only. */
static void give_up_direct(struct segments *s)
{
	pthread_mutex_lock(&s->lock);
	s->no_direct = true;
	pthread_mutex_unlock(&s->lock);
}

int segment_write(struct segments *s, struct segment *g, const void *bytes, size_t len,
    uint32_t off)
{
	union {
		const void *in;
		void *out;	/* pwritev only reads, but an iovec can't say so */
	} u = { .in = bytes };
	struct iovec iov = { .iov_base = u.out, .iov_len = len };
	int fd = direct_of(s, g);
	ssize_t n;

	assert(len % SEGMENT_BLOCK == 0 && off % SEGMENT_BLOCK == 0);
	n = s->io->pwritev(s->io->ctx, fd, &iov, 1, off);
	if (n == -EINVAL && fd != g->fd) {
		give_up_direct(s);
		n = s->io->pwritev(s->io->ctx, g->fd, &iov, 1, off);
	}
	return n < 0 ? (int)n : 0;
}

ssize_t segment_read(struct segments *s, struct segment *g, void *bytes, size_t len, uint32_t off)
{
	int fd = direct_of(s, g);
	ssize_t n;

	assert(len % SEGMENT_BLOCK == 0 && off % SEGMENT_BLOCK == 0);
	n = s->io->pread(s->io->ctx, fd, bytes, len, off);
	if (n == -EINVAL && fd != g->fd) {
		give_up_direct(s);
		n = s->io->pread(s->io->ctx, g->fd, bytes, len, off);
	}
	return n;
}
