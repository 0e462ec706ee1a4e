#include "dht/store_impl.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <time.h>

/* Left to others on the disk, and, there and below the limit, to the ledger, which can't be told of
 * chunks without room. */
#define RESERVE_MAX  ((uint64_t)64 << 20)
#define RESERVE_PART 32			/* of a small disk or limit: this part of it */
#define LEDGER_MIN   ((uint64_t)256 << 10)	/* what its first commits take */

/* How stale the word of the file system may get. */
#define LOOK_AGAIN_MS 500

/* Of what is free, this part is set aside at once for a segment, so that its file is in few pieces. */
#define ALLOCATE_PART 16

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static uint64_t reserve_of(uint64_t total)
{
	uint64_t part = total / RESERVE_PART;

	return part < RESERVE_MAX ? part : RESERVE_MAX;
}

/* Under the lock: ask the file system how much is left, where the answer is old. */
static void look(struct store *s, bool now)
{
	int64_t at_ms = now_ms();
	uint64_t available, reserve;

	if (!now && s->disk_total > 0 && at_ms - s->disk_looked_ms < LOOK_AGAIN_MS)
		return;
	if (s->io->disk_space(s->io->ctx, s->dirfd, &available, &s->disk_total) < 0)
		return;
	/* What an active segment has set aside is ours already. */
	if (s->active && s->active->allocated > s->active->end)
		available += s->active->allocated - s->active->end;
	reserve = reserve_of(s->disk_total);
	s->disk_left = available > reserve ? available - reserve : 0;
	s->disk_looked_ms = at_ms;
}

/* Under the lock: bytes that can still be written, what is promised among them. */
static uint64_t left(struct store *s)
{
	uint64_t ledger = ledger_size(s->ledger), used, most;

	if (s->size_max == 0)
		return s->disk_left;
	if (ledger < LEDGER_MIN)
		ledger = LEDGER_MIN;
	used = s->segment_bytes + ledger + reserve_of(s->size_max);
	most = used < s->size_max ? s->size_max - used : 0;
	return most < s->disk_left ? most : s->disk_left;
}

/* Of what is promised: the chunks' bytes and, with headers and padding, a little more. */
static uint64_t promised_span(uint64_t bytes)
{
	return bytes + bytes / 64;
}

int store_reserve(struct store *s, uint64_t bytes)
{
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	look(s, false);
	if (bytes > UINT64_MAX / 4 || promised_span(s->promised + bytes) > left(s))
		look(s, true);
	if (bytes > UINT64_MAX / 4 || promised_span(s->promised + bytes) > left(s))
		rc = -ENOSPC;
	else
		s->promised += bytes;
	pthread_mutex_unlock(&s->lock);
	return rc;
}

void store_release(struct store *s, uint64_t bytes)
{
	pthread_mutex_lock(&s->lock);
	assert(bytes <= s->promised);
	s->promised -= bytes;
	pthread_mutex_unlock(&s->lock);
}

void store_space(struct store *s, struct dht_space *out)
{
	uint64_t free_bytes, promised;

	pthread_mutex_lock(&s->lock);
	look(s, false);
	free_bytes = left(s);
	promised = promised_span(s->promised);
	out->used = s->segment_bytes + ledger_size(s->ledger);
	out->limit = s->size_max && s->size_max < out->used + s->disk_left ? s->size_max
									    : out->used + s->disk_left;
	out->available = free_bytes > promised ? free_bytes - promised : 0;
	pthread_mutex_unlock(&s->lock);
}

void segment_trim(struct store *s, struct segment *g)
{
	int fd;

	if (g->allocated <= g->end)
		return;
	fd = segment_hold(s->segments, g);
	if (fd < 0)
		return;
	/* To its own length: the blocks behind it go.  Where that fails they are wasted, no more. */
	s->io->truncate(s->io->ctx, fd, g->end);
	segment_drop(s->segments, g);
	g->allocated = 0;
}

void segment_wipe(struct store *s, struct segment *g, const struct record *r)
{
	_Alignas(SEGMENT_BLOCK) uint8_t block[SEGMENT_BLOCK] = { 0 };
	uint32_t in_block = r->offset % SEGMENT_BLOCK;
	int fd = segment_hold(s->segments, g);
	ssize_t n;

	if (fd < 0)
		return;
	/* A whole block: through the page cache it would cover what is written past it. */
	n = s->io->pread(s->io->ctx, fd, block, sizeof(block), r->offset - in_block);
	if (n > (ssize_t)in_block) {
		memset(block + in_block, 0, RECORD_HEADER);
		segment_write(s->segments, g, block, sizeof(block), r->offset - in_block);
	}
	segment_drop(s->segments, g);
}

/* Under the lock: ${g} ends at ${end} now, and takes ${bytes} on the disk. */
static void set_taken(struct store *s, struct segment *g, uint32_t end, uint64_t bytes)
{
	s->segment_bytes -= g->end - g->holes;
	g->end = end;
	g->holes = bytes < end ? end - (uint32_t)bytes : 0;
	s->segment_bytes += g->end - g->holes;
	s->disk_looked_ms = 0;
}

int segment_measure(struct store *s, struct segment *g)
{
	uint64_t bytes;
	int rc, fd = segment_hold(s->segments, g);

	if (fd < 0)
		return fd;
	rc = s->io->taken(s->io->ctx, fd, &bytes);
	segment_drop(s->segments, g);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&s->lock);
	set_taken(s, g, g->end, bytes);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

void segment_cut(struct store *s, struct segment *g, uint32_t end)
{
	uint64_t bytes;
	int fd = segment_hold(s->segments, g);

	if (fd < 0)
		return;
	if (s->io->truncate(s->io->ctx, fd, end) == 0) {
		if (s->io->taken(s->io->ctx, fd, &bytes) < 0)
			bytes = end;
		set_taken(s, g, end, bytes);
		g->allocated = 0;
	}
	segment_drop(s->segments, g);
}

void segment_seal(struct store *s, struct segment *g)
{
	g->sealed = true;
	if (s->active != g)
		return;
	tail_close(s);
	s->active = NULL;
}

bool append_fits(const struct store *s, uint32_t end, uint32_t span)
{
	return end <= s->segment_max && s->segment_max - end >= span;
}

/* Under the lock: a segment with room for ${span} bytes is active. */
static int next_segment(struct store *s, uint32_t span)
{
	struct segment *g = s->active;
	int rc;

	if (g && append_fits(s, s->tail ? g->end : segment_block_up(g->end), span))
		return 0;
	if (g)
		segment_seal(s, g);
	rc = segments_create(s->segments, &g);
	if (rc == 0)
		s->active = g;
	return rc;
}

/*
 * Under the lock: the blocks of ${g} up to ${end} are set aside.  What is appended is acknowledged
 * before it is written out, and a full disk must be found before that.
 */
static int allocate(struct store *s, struct segment *g, uint32_t end)
{
	uint64_t from = g->allocated ? g->allocated : g->end - g->end % SEGMENT_BLOCK;
	uint64_t most = left(s) / ALLOCATE_PART / SEGMENT_BLOCK * SEGMENT_BLOCK, len;
	int rc, fd;

	end = segment_block_up(end);
	if (end <= from || s->no_allocate)
		return 0;
	len = most > s->segment_max - from ? s->segment_max - from : most;
	if (len < end - from)
		len = end - from;
	fd = segment_hold(s->segments, g);
	if (fd < 0)
		return fd;
	rc = s->io->allocate(s->io->ctx, fd, from, len);
	if (rc == -ENOSPC && len > end - from) {
		len = end - from;
		rc = s->io->allocate(s->io->ctx, fd, from, len);
	}
	segment_drop(s->segments, g);
	if (rc == 0)
		g->allocated = from + len;
	/* Then a full disk is found by who writes out, and the next sync says so. */
	if (rc == -EOPNOTSUPP || rc == -ENOSYS || rc == -EINVAL)
		s->no_allocate = true;
	return s->no_allocate ? 0 : rc;
}

void append_count(struct store *s, uint32_t bytes)
{
	s->segment_bytes += bytes;
	s->disk_left -= bytes < s->disk_left ? bytes : s->disk_left;
}

/* Under the lock: what is moved so that its segment can go may take half of the reserve. */
static bool has_room(struct store *s, uint32_t span, bool moves)
{
	uint64_t more = moves ? reserve_of(s->size_max ? s->size_max : s->disk_total) / 2 : 0;

	look(s, false);
	if (span > left(s) + more)
		look(s, true);
	return span <= left(s) + more;
}

int append_reserve(struct store *s, struct record *r, bool moves, struct place *p)
{
	uint32_t span = record_span(r->stored_len), before;
	struct segment *g;
	int rc;

	if (!has_room(s, span + SEGMENT_BLOCK, moves))
		return -ENOSPC;
	rc = next_segment(s, span);
	if (rc < 0)
		return rc;
	g = s->active;
	before = g->end;
	rc = allocate(s, g, (s->tail ? g->end : segment_block_up(g->end)) + span);
	if (rc == 0)
		rc = tail_reserve(s, g, span, p, &r->offset);
	if (rc < 0)
		return rc;
	r->segment = g->number;
	append_count(s, g->end - before);
	return 0;
}

void append_write(struct store *s, const struct place *p, const struct record *r,
    const void *stored)
{
	static const uint8_t zeros[RECORD_ALIGN];
	uint32_t pad = record_span(r->stored_len) - RECORD_HEADER - r->stored_len;
	uint8_t header[RECORD_HEADER];

	record_encode(r, s->id, header);
	tail_copy(p, r->offset, header, RECORD_HEADER);
	tail_copy(p, r->offset + RECORD_HEADER, stored, r->stored_len);
	tail_copy(p, r->offset + RECORD_HEADER + r->stored_len, zeros, pad);
}

void append_undo(struct store *s, const struct place *p, const struct record *r)
{
	static const uint8_t zeros[RECORD_HEADER];

	/* A hole, over which every scan steps. */
	tail_copy(p, r->offset, zeros, RECORD_HEADER);
	tail_done(s, p);
}

int unsynced_add(struct store *s, struct segment *g, struct list *link)
{
	/* A descriptor opened later might not be told of a write-back that failed before. */
	int fd = list_empty(&g->unsynced) ? segment_hold(s->segments, g) : 0;

	if (fd < 0)
		return fd;
	list_append(&g->unsynced, link);
	return 0;
}

void unsynced_remove(struct store *s, struct segment *g, struct list *link)
{
	list_remove(link);
	if (list_empty(&g->unsynced))
		segment_drop(s->segments, g);
}
