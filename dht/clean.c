/*
 * Giving back to the disk what no chunk takes.
 *
 * How much of a segment is dead, the ledger's live bytes say.  But nothing is given back on their
 * word: each record that goes was looked up by its address just before.
 */
#include "dht/store_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dht/dead.h"
#include "dht/pace.h"
#include "dht/scan.h"

/* In the background what is moved keeps to this rate: a quarter of what a SATA disk does at once. */
#define MOVE_BYTES_PER_S ((uint64_t)64 << 20)
/* Dead bytes that pay: so many, or this part of what the segment takes. */
#define PAYS_BYTES ((uint32_t)16 << 20)
#define PAYS_PART  4
#define PAYS_BYTES_URGENT ((uint32_t)1 << 20)
#define PAYS_PART_URGENT  16

struct clean {
	struct store *s;
	bool urgent;
	struct pace pace;
	struct dht_gc_count *out;
	bool begun;		/* a ledger from before is known to be older */
	struct ledger_segment *gone;	/* rows of deleted segments, to be removed */
	size_t gone_count;
	/* The segment that is worked on: */
	struct segment *g;
	struct scratch *scratch;
	uint64_t moved;		/* bytes written elsewhere */
	bool full;		/* no room to move one more */
};

struct candidate {
	uint32_t number, live, dead;
};

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

uint32_t segment_dead(struct store *s, const struct segment *g)
{
	uint32_t kept = ledger_live(s->ledger, g->number) + g->holes;

	return g->ledger_end > kept ? g->ledger_end - kept : 0;
}

/* Under the lock: dead bytes of ${g} that are worth the work, or 0. */
static uint32_t pays(struct clean *c, const struct segment *g)
{
	uint32_t live = ledger_live(c->s->ledger, g->number), dead = segment_dead(c->s, g);
	uint32_t most = c->urgent ? PAYS_BYTES_URGENT : PAYS_BYTES;
	uint32_t part = (live + dead) / (c->urgent ? PAYS_PART_URGENT : PAYS_PART);

	/* What could not be given back the last time is no reason to try again. */
	if (g->clean_live > 0)
		dead = smaller(dead, g->clean_live - smaller(live, g->clean_live));
	return dead >= smaller(part, most) ? dead : 0;
}

/* Under the lock: is everything in ${g} settled, so that it can be cleaned? */
static bool rests(const struct store *s, const struct segment *g)
{
	return g->sealed && g->scanned && list_empty(&g->unsynced) && g->ledger_end > 0 &&
	    g->ledger_end == g->keep_end && !(g->failed && s->astray_count > 0);
}

/* The active segment too, where much of it is dead: it takes no more. */
static void seal_active(struct clean *c)
{
	struct store *s = c->s;
	struct segment *g;

	pthread_mutex_lock(&s->lock);
	g = s->active;
	if (g && pays(c, g))
		segment_seal(s, g);
	else
		g = NULL;
	pthread_mutex_unlock(&s->lock);
	if (!g || store_sync_wait(s, store_sync_start(s)) < 0)
		return;
	pthread_mutex_lock(&s->lock);
	segment_trim(s, g);
	pthread_mutex_unlock(&s->lock);
}

static int by_live(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	return (x->live > y->live) - (x->live < y->live);
}

/* Segments to clean, those with the least to move first. */
static int choose(struct clean *c, struct candidate **out, size_t *n)
{
	struct store *s = c->s;
	struct candidate *all;

	pthread_mutex_lock(&s->lock);
	all = malloc((segments_count(s->segments) + 1) * sizeof(*all));
	*n = 0;
	for (size_t i = 0; all && i < segments_count(s->segments); i++) {
		struct segment *g = segments_at(s->segments, i);
		uint32_t dead = rests(s, g) ? pays(c, g) : 0;

		if (dead == 0)
			continue;
		c->pace.progress.total += dead;
		all[(*n)++] = (struct candidate){ g->number, ledger_live(s->ledger, g->number), dead };
	}
	pthread_mutex_unlock(&s->lock);
	if (!all)
		return -ENOMEM;
	qsort(all, *n, sizeof(*all), by_live);
	*out = all;
	return 0;
}

/*
 * Numbers rise for ever, also where the ledger is lost, since the highest is never deleted: a
 * segment goes only when one with a higher number is durably there.
 */
static int succeed(struct store *s, struct segment *g)
{
	struct segment *next;
	bool durable = false;
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	for (next = segments_next(s->segments, g->number); next && !durable;
	     next = segments_next(s->segments, next->number))
		durable = next->named;
	if (!durable && !segments_next(s->segments, g->number)) {
		rc = segments_create(s->segments, &next);
		if (rc == 0)
			s->active = next;
	}
	next = rc == 0 ? segments_next(s->segments, g->number) : NULL;
	pthread_mutex_unlock(&s->lock);
	if (rc < 0 || durable)
		return rc;
	rc = s->io->fsync_dir(s->io->ctx, s->dirfd);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&s->lock);
	next->named = true;
	pthread_mutex_unlock(&s->lock);
	return 0;
}

int segment_delete(struct store *s, struct segment *g)
{
	char name[SEGMENT_NAME_LEN + 1];
	int rc;

	segment_name(g->number, name);
	pthread_mutex_lock(&s->lock);
	segments_remove(s->segments, g);
	s->segment_bytes -= g->end - g->holes;
	s->disk_looked_ms = 0;
	pthread_mutex_unlock(&s->lock);
	rc = s->io->unlink(s->io->ctx, s->dirfd, name);
	return rc < 0 && rc != -ENOENT ? rc : s->io->fsync_dir(s->io->ctx, s->dirfd);
}

/* Under the lock: does an entry lead to ${g}, for something that can be read? */
static bool entered(struct store *s, const struct segment *g)
{
	for (size_t i = 0; i < s->recents.size; i++)
		for (struct recent *e = s->recents.table[i]; e; e = e->next)
			if (e->record.segment == g->number && !e->record.bad)
				return true;
	return false;
}

/* Nothing in c->g is live: the ledger says first that it goes, so that nobody misses it.  1: not now. */
static int delete(struct clean *c)
{
	struct store *s = c->s;
	struct ledger_segment row = { .number = c->g->number, .end = LEDGER_DELETED }, *gone;
	bool stays;
	int rc = succeed(s, c->g);

	if (rc < 0)
		return rc;
	gone = realloc(c->gone, (c->gone_count + 1) * sizeof(*gone));
	if (!gone)
		return -ENOMEM;
	c->gone = gone;
	pthread_mutex_lock(&s->ledger_lock);
	pthread_mutex_lock(&s->lock);
	stays = ledger_live(s->ledger, c->g->number) > 0 || entered(s, c->g);
	pthread_mutex_unlock(&s->lock);
	rc = stays ? 1 : ledger_commit(s->ledger, NULL, 0, &row, 1);
	if (rc == 0)
		rc = segment_delete(s, c->g);
	pthread_mutex_unlock(&s->ledger_lock);
	if (rc == 0)
		c->gone[c->gone_count++] = (struct ledger_segment){ .number = c->g->number };
	return rc;
}

static int moved(struct clean *c, const struct record *r, const uint8_t *stored, struct chunk *chunk)
{
	struct record to = *r;
	size_t len = 0;
	int rc;

	if (r->codec == CODEC_RAW) {
		len = codec_deflate(c->scratch->codec, stored, r->raw_len, c->scratch->bytes);
		to.codec = len > 0 ? CODEC_ZLIB : CODEC_RAW;
		to.stored_len = len > 0 ? (uint32_t)len : r->raw_len;
	}
	rc = put_moved(c->s, r, &to, chunk, len > 0 ? c->scratch->bytes : stored);
	if (rc == 0)
		c->moved += record_span(to.stored_len);
	return rc;
}

/* One record of a segment that goes: what is live is written elsewhere. */
static int move(void *arg, const struct record *r, const uint8_t *stored)
{
	struct clean *c = arg;
	struct chunk *chunk;
	uint8_t *raw;
	int rc;

	if (dead_is(c->s, r))
		return pace_step(&c->pace, 0, 0);
	/* What can't be read now stays where it is, and the segment with it. */
	if (!stored)
		return 0;
	chunk = chunk_new(r->raw_len, &raw);
	if (!chunk)
		return -ENOMEM;
	if (r->codec == CODEC_RAW)
		memcpy(raw, stored, r->raw_len);
	rc = record_verify(r, r->kind, stored, c->scratch->codec, raw);
	if (rc < 0)
		store_set_aside(c->s, r, "its bytes are not those of its address");
	else
		rc = moved(c, r, stored, chunk);
	chunk_drop(chunk);
	if (rc == 0)
		c->pace.progress.chunks++;
	if (rc == -ENOSPC)
		c->full = true;
	if (rc < 0 && rc != -EBADMSG)
		return rc;
	return pace_step(&c->pace, 0, record_span(r->stored_len));
}

/* All that is live in c->g to other places, durably, and the ledger knows. */
static int move_all(struct clean *c)
{
	struct store *s = c->s;
	struct scan scan = { .io = s->io, .segment = c->g->number, .store_id = s->id,
		.end = c->g->keep_end, .found = move, .arg = c };
	int rc, synced;

	c->scratch = scratch_borrow(s);
	if (!c->scratch)
		return -ENOMEM;
	scan.fd = segment_hold(s->segments, c->g);
	rc = scan.fd;
	if (rc >= 0) {
		rc = scan_run(&scan);
		segment_drop(s->segments, c->g);
	}
	scratch_return(s, c->scratch);
	synced = store_sync_wait(s, store_sync_start(s));
	if (synced == 0)
		synced = commit_round(s);
	return rc < 0 ? rc : synced;
}

/* Is it better to move what is live in c->g than to make holes? */
static bool to_move(const struct clean *c, const struct dead_survey *survey)
{
	uint32_t end = c->g->keep_end, taken = end - c->g->holes;

	if (c->s->no_punch)
		return survey->live < end / 2 || (c->urgent && taken - survey->live >= taken / PAYS_PART);
	/* Files that are little but holes would become more and more; and small dead records make none. */
	return survey->live < end / 4 || taken - survey->punchable > 2 * survey->live;
}

/*
 * Before anything is given back: a ledger from an earlier time leads there, and must not be believed
 * again.  This one says that it is newer before the file says that an older one is too old.
 */
static int begin(struct clean *c)
{
	struct store *s = c->s;
	uint64_t cleans;
	int rc;

	if (c->begun)
		return 0;
	pthread_mutex_lock(&s->ledger_lock);
	rc = ledger_clean(s->ledger, &cleans);
	pthread_mutex_unlock(&s->ledger_lock);
	if (rc == 0)
		rc = cleans_write(s->io, s->dirfd, cleans);
	c->begun = rc == 0;
	return rc;
}

/* Once: -EAGAIN where it has to be decided anew. */
static int clean_once(struct clean *c)
{
	struct store *s = c->s;
	struct dead_survey survey;
	int rc = dead_survey(s, c->g, &survey);

	if (rc < 0)
		return rc;
	if (survey.live > 0 && !c->full && to_move(c, &survey)) {
		rc = move_all(c);
		if (rc < 0 && rc != -ENOSPC)
			return rc;
		rc = dead_survey(s, c->g, &survey);
		if (rc < 0)
			return rc;
	}
	rc = begin(c);
	if (rc < 0)
		return rc;
	if (survey.live == 0) {
		rc = delete(c);
		if (rc <= 0)
			return rc;
	}
	if (s->no_punch || survey.punchable == 0)
		return 0;
	rc = dead_punch(s, c->g);
	if (rc != -EOPNOTSUPP)
		return rc;
	s->no_punch = true;
	return -EAGAIN;
}

static int clean_segment(struct clean *c, const struct candidate *one)
{
	struct store *s = c->s;
	uint64_t before, after;
	int rc;

	pthread_mutex_lock(&s->lock);
	c->g = segments_find(s->segments, one->number);
	if (!c->g || !rests(s, c->g)) {
		pthread_mutex_unlock(&s->lock);
		return 0;
	}
	c->g->cleaning = true;
	c->moved = 0;
	before = c->g->end - c->g->holes;
	pthread_mutex_unlock(&s->lock);
	do
		rc = clean_once(c);
	while (rc == -EAGAIN);
	pthread_mutex_lock(&s->lock);
	c->g->cleaning = false;
	after = segments_find(s->segments, one->number) ? c->g->end - c->g->holes : 0;
	c->g->clean_live = ledger_live(s->ledger, one->number);
	pthread_mutex_unlock(&s->lock);
	after += c->moved;
	c->out->bytes += before > after ? before - after : 0;
	c->out->chunks = c->pace.progress.chunks;
	return rc < 0 ? rc : pace_step(&c->pace, one->dead, 0);
}

static int clean(struct clean *c)
{
	struct store *s = c->s;
	struct candidate *all = NULL;
	size_t n = 0;
	int rc;

	/* Where that fails, perhaps for want of space, what is durable can be cleaned all the same. */
	if (store_sync_wait(s, store_sync_start(s)) == 0)
		commit_round(s);
	seal_active(c);
	commit_round(s);
	rc = choose(c, &all, &n);
	pace_begin(&c->pace);
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = clean_segment(c, &all[i]);
	free(all);
	if (c->gone_count > 0) {
		pthread_mutex_lock(&s->ledger_lock);
		/* Where that fails, the next open does it. */
		ledger_commit(s->ledger, NULL, 0, c->gone, c->gone_count);
		pthread_mutex_unlock(&s->ledger_lock);
	}
	return rc == 0 && c->full && c->out->bytes == 0 ? -ENOSPC : rc;
}

int store_clean(struct store *s, bool urgent, dht_tell *tell, void *arg, struct dht_gc_count *out)
{
	struct clean c = { .s = s, .urgent = urgent, .out = out,
		.pace = { .tell = tell, .arg = arg, .bytes_per_s = urgent ? 0 : MOVE_BYTES_PER_S } };
	int rc;

	*out = (struct dht_gc_count){ .chunks = 0 };
	if (s->read_only)
		return -EROFS;
	pthread_mutex_lock(&s->clean_lock);
	rc = clean(&c);
	pthread_mutex_unlock(&s->clean_lock);
	free(c.gone);
	return rc;
}
