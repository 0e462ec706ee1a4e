#include "dht/dead.h"

#include <errno.h>
#include <stdlib.h>

#include "dht/scan.h"

#define RUNS 1024	/* made durable at once */

struct run {
	uint32_t start, end;	/* both at records' ends or starts; start == end: none */
	uint32_t gaps;		/* bytes of whole blocks that gaps in it cover */
	uint64_t unknown;	/* of the scan, when it was extended last */
};

struct walk {
	struct store *s;
	struct segment *g;
	struct scan scan;
	struct run run;			/* that is being gathered */
	bool punch;
	struct run *runs;		/* to be punched */
	size_t count;
	struct dead_survey *survey;
};

/* Is the chunk readable where it was set aside?  A read may have gone wrong for a while. */
static bool bad_still(struct store *s, const struct record *r)
{
	struct chunk *c;
	struct recent *e;
	int rc = store_read(s, r, r->kind, &c);

	if (rc == -EBADMSG || rc == -ENXIO)
		return true;
	if (rc < 0)
		return false;
	chunk_drop(c);
	pthread_mutex_lock(&s->lock);
	e = recents_find(&s->recents, &r->address);
	if (store_leads(s, r) && (!e || (e->state == RECENT_DURABLE && e->record.bad)))
		store_enter(s, r);
	pthread_mutex_unlock(&s->lock);
	return false;
}

bool dead_is(struct store *s, const struct record *r)
{
	struct record at = { .bad = false };
	struct recent *e;
	bool here = false;
	int rc;

	pthread_mutex_lock(&s->lock);
	e = recents_find(&s->recents, &r->address);
	if (e) {
		at = e->record;
		here = record_same_place(&at, r);
	}
	pthread_mutex_unlock(&s->lock);
	if (here)
		return at.bad && bad_still(s, r);
	/* Where the entry leads elsewhere, a crash may still have only what the ledger leads to. */
	rc = ledger_get(s->ledger, &r->address, &at);
	if (rc == -ENOENT || (rc == 0 && !record_same_place(&at, r)))
		return true;
	return rc == 0 && at.bad && !e && bad_still(s, r);
}

/* Whole blocks in a range. */
static uint32_t inner(uint32_t start, uint32_t end, uint32_t *first)
{
	uint32_t from = segment_block_up(start), to = end / SEGMENT_BLOCK * SEGMENT_BLOCK;

	*first = from;
	return to > from ? to - from : 0;
}

/* What of a run can be a hole: the block with its header stays. */
static uint32_t hole_of(const struct run *r, uint32_t *first)
{
	return inner(r->start + RECORD_HEADER, r->end, first);
}

static int write_gap(struct walk *w, int fd, const struct run *r)
{
	_Alignas(SEGMENT_BLOCK) uint8_t block[SEGMENT_BLOCK];
	uint32_t in_block = r->start % SEGMENT_BLOCK;
	struct store *s = w->s;
	ssize_t n = s->io->pread(s->io->ctx, fd, block, sizeof(block), r->start - in_block);

	if (n < (ssize_t)sizeof(block))
		return n < 0 ? (int)n : -EIO;
	gap_encode(w->g->number, r->start, r->end - r->start, s->id, block + in_block);
	return segment_write(s->segments, w->g, block, sizeof(block), r->start - in_block);
}

/* First all gaps, durably; then the holes, also where a crash had come between the two. */
static int punch_runs(struct walk *w)
{
	struct store *s = w->s;
	bool wrote = false;
	uint32_t first, len;
	int rc = 0, fd;

	if (w->count == 0)
		return 0;
	fd = segment_hold(s->segments, w->g);
	if (fd < 0)
		return fd;
	for (size_t i = 0; rc == 0 && i < w->count; i++) {
		if (hole_of(&w->runs[i], &first) == w->runs[i].gaps)
			continue;
		rc = write_gap(w, fd, &w->runs[i]);
		wrote = true;
	}
	if (rc == 0 && wrote)
		rc = s->io->fdatasync(s->io->ctx, fd);
	for (size_t i = 0; rc == 0 && i < w->count; i++) {
		len = hole_of(&w->runs[i], &first);
		rc = s->io->punch(s->io->ctx, fd, first, len);
	}
	segment_drop(s->segments, w->g);
	w->count = 0;
	return rc;
}

static int end_run(struct walk *w)
{
	struct run run = w->run;
	uint32_t first, bytes;

	w->run = (struct run){ .start = 0 };
	if (run.start == run.end)
		return 0;
	bytes = hole_of(&run, &first);
	w->survey->punchable += bytes;
	if (!w->punch || bytes == 0)
		return 0;
	w->runs[w->count++] = run;
	return w->count == RUNS ? punch_runs(w) : 0;
}

static int extend(struct walk *w, uint32_t offset, uint32_t span)
{
	int rc = 0;

	if (w->run.start != w->run.end && w->run.unknown != w->scan.skipped)
		rc = end_run(w);
	if (w->run.start == w->run.end)
		w->run.start = offset;
	w->run.end = offset + span;
	w->run.unknown = w->scan.skipped;
	return rc;
}

static int found(void *arg, const struct record *r, const uint8_t *stored)
{
	struct walk *w = arg;
	uint32_t span = record_span(r->stored_len);

	(void)stored;
	if (dead_is(w->s, r))
		return extend(w, r->offset, span);
	w->survey->live += span;
	/* Zeros before it go too. */
	if (w->run.unknown == w->scan.skipped && w->run.start != w->run.end)
		w->run.end = r->offset;
	return end_run(w);
}

static int gap(void *arg, uint32_t offset, uint32_t span)
{
	struct walk *w = arg;
	uint32_t first;
	int rc = extend(w, offset, span);

	w->run.gaps += inner(offset + RECORD_HEADER, offset + span, &first);
	return rc;
}

static int walk(struct walk *w)
{
	struct store *s = w->s;
	int rc;

	pthread_mutex_lock(&s->lock);
	w->scan.end = w->g->keep_end;
	pthread_mutex_unlock(&s->lock);
	w->scan.fd = segment_hold(s->segments, w->g);
	if (w->scan.fd < 0)
		return w->scan.fd;
	rc = scan_run(&w->scan);
	segment_drop(s->segments, w->g);
	w->survey->unknown = (uint32_t)w->scan.skipped;
	if (rc == 0)
		rc = end_run(w);
	w->survey->punchable -= w->g->holes < w->survey->punchable ? w->g->holes : w->survey->punchable;
	return rc;
}

static struct walk walk_of(struct store *s, struct segment *g, struct dead_survey *survey)
{
	*survey = (struct dead_survey){ .live = 0 };
	return (struct walk){ .s = s, .g = g, .survey = survey,
		.scan = { .io = s->io, .segment = g->number, .store_id = s->id, .headers = true,
			.found = found, .gap = gap } };
}

int dead_survey(struct store *s, struct segment *g, struct dead_survey *out)
{
	struct walk w = walk_of(s, g, out);

	w.scan.arg = &w;
	return walk(&w);
}

int dead_punch(struct store *s, struct segment *g)
{
	struct dead_survey ignored;
	struct walk w = walk_of(s, g, &ignored);
	int rc, measured;

	w.scan.arg = &w;
	w.punch = true;
	w.runs = malloc(RUNS * sizeof(*w.runs));
	if (!w.runs)
		return -ENOMEM;
	rc = walk(&w);
	if (rc == 0)
		rc = punch_runs(&w);
	free(w.runs);
	measured = segment_measure(s, g);
	return rc < 0 ? rc : measured;
}
