#include "dht/store_impl.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint32_t room(const struct tail *t)
{
	return t->start + TAIL_BYTES - t->end;
}

static struct tail *find_free(struct store *s)
{
	for (size_t i = 0; i < TAILS; i++)
		if (s->tails[i].state == TAIL_FREE)
			return &s->tails[i];
	return NULL;
}

/* The one whose turn is first, of ${g}, or with NULL of all that could be written out now. */
static struct tail *find_next(struct store *s, const struct segment *g)
{
	struct tail *next = NULL;

	for (size_t i = 0; i < TAILS; i++) {
		struct tail *t = &s->tails[i];

		if (g ? t->state == TAIL_FREE || t->segment != g : t->state != TAIL_CLOSED || t->copying > 0)
			continue;
		if (!next || t->turn < next->turn)
			next = t;
	}
	return next;
}

/* ${g} has not taken what it was to take.  The next sync finds it so, and deals with it. */
static void failed(struct store *s, struct segment *g, int error)
{
	segment_seal(s, g);
	if (!g->failed)
		g->failed = error;
	/* The disk may be full. */
	s->disk_looked_ms = 0;
}

/* One that is closed and copied; the lock is given up meanwhile. */
static void write_out(struct store *s, struct tail *t)
{
	struct segment *g = t->segment;
	int rc = 0;

	t->state = TAIL_LEAVING;
	if (!g->failed) {
		pthread_mutex_unlock(&s->lock);
		rc = segment_write(s->segments, g, t->bytes, t->end - t->start, t->start);
		pthread_mutex_lock(&s->lock);
	}
	if (rc < 0)
		failed(s, g, rc);
	t->state = TAIL_FREE;
	segment_drop(s->segments, g);
	pthread_cond_broadcast(&s->tail_moved);
}

int tail_await(struct store *s, uint32_t span)
{
	struct tail *t = s->tail;

	if ((t && room(t) >= span && append_fits(s, t->end, span)) || find_free(s))
		return 0;
	/* While a store is opened or closed nobody else may do it. */
	t = s->tail_runs ? NULL : find_next(s, NULL);
	if (t)
		write_out(s, t);
	else
		pthread_cond_wait(&s->tail_moved, &s->lock);
	return -EAGAIN;
}

static int open_next(struct store *s, struct segment *g, uint32_t start, struct tail **out)
{
	struct tail *t = find_free(s);
	void *bytes;
	int fd;

	assert(t);
	if (!t->bytes) {
		if (posix_memalign(&bytes, SEGMENT_BLOCK, TAIL_BYTES) != 0)
			return -ENOMEM;
		t->bytes = bytes;
	}
	fd = segment_hold(s->segments, g);
	if (fd < 0)
		return fd;
	t->state = TAIL_OPEN;
	t->segment = g;
	t->start = t->end = start;
	t->copying = 0;
	t->turn = ++s->tail_turn;
	*out = t;
	return 0;
}

int tail_reserve(struct store *s, struct segment *g, uint32_t span, struct place *p, uint32_t *off)
{
	struct tail *t = s->tail, *next = NULL;
	uint32_t first;
	int rc;

	assert(span <= TAIL_BYTES && (!t || t->segment == g));
	if (!t || room(t) < span) {
		rc = open_next(s, g, t ? t->start + TAIL_BYTES : segment_block_up(g->end), &next);
		if (rc < 0)
			return rc;
	}
	if (!t) {
		t = s->tail = next;
		next = NULL;
	}
	first = span < room(t) ? span : room(t);
	*off = t->end;
	t->end += first;
	t->copying++;
	if (next) {
		tail_close(s);
		s->tail = next;
		next->end += span - first;
		next->copying++;
	}
	g->end = *off + span;
	*p = (struct place){ .tail = { t, next } };
	return 0;
}

void tail_copy(const struct place *p, uint32_t off, const void *bytes, uint32_t len)
{
	const struct tail *t = p->tail[0], *next = p->tail[1];
	uint32_t end = t->start + TAIL_BYTES, n = 0;

	if (off < end) {
		n = len < end - off ? len : end - off;
		memcpy(t->bytes + (off - t->start), bytes, n);
	}
	if (n < len)
		memcpy(next->bytes + (off + n - next->start), (const uint8_t *)bytes + n, len - n);
}

void tail_done(struct store *s, const struct place *p)
{
	for (size_t i = 0; i < 2 && p->tail[i]; i++) {
		assert(p->tail[i]->copying > 0);
		if (--p->tail[i]->copying == 0 && p->tail[i]->state == TAIL_CLOSED)
			pthread_cond_broadcast(&s->tail_moved);
	}
}

void tail_close(struct store *s)
{
	struct tail *t = s->tail;
	uint32_t pad;

	if (!t)
		return;
	pad = segment_block_up(t->end) - t->end;
	memset(t->bytes + (t->end - t->start), 0, pad);
	t->end += pad;
	t->state = TAIL_CLOSED;
	s->tail = NULL;
	/* A full one needs none, and the segment goes on in the next. */
	if (pad > 0) {
		t->segment->end += pad;
		append_count(s, pad);
	}
	if (t->copying == 0)
		pthread_cond_broadcast(&s->tail_moved);
}

int tail_flush(struct store *s, struct segment *g, uint32_t *end)
{
	uint64_t last = s->tail_turn;
	struct tail *t;

	if (s->tail && s->tail->segment == g)
		tail_close(s);
	*end = g->end;
	while ((t = find_next(s, g)) && t->turn <= last) {
		if (t->state == TAIL_CLOSED && t->copying == 0)
			write_out(s, t);
		else
			pthread_cond_wait(&s->tail_moved, &s->lock);
	}
	return g->failed;
}

void tail_settle(struct store *s, struct segment *g)
{
	assert(g->failed && s->active != g);
	for (size_t i = 0; i < TAILS; i++)
		while (s->tails[i].segment == g && s->tails[i].state == TAIL_LEAVING)
			pthread_cond_wait(&s->tail_moved, &s->lock);
}

void *tail_main(void *store)
{
	struct store *s = store;
	struct tail *t;

	pthread_mutex_lock(&s->lock);
	s->tail_runs = true;
	for (;;) {
		t = find_next(s, NULL);
		if (t)
			write_out(s, t);
		else if (s->stopping)
			break;
		else
			pthread_cond_wait(&s->tail_moved, &s->lock);
	}
	s->tail_runs = false;
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

void tail_free_all(struct store *s)
{
	for (size_t i = 0; i < TAILS; i++) {
		if (s->tails[i].state != TAIL_FREE)
			segment_drop(s->segments, s->tails[i].segment);
		free(s->tails[i].bytes);
	}
}
