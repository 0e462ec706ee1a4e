/*
 * One thread makes durable what has been appended; all who wait share its fdatasync.
 *
 * After a failed fdatasync a second one would lie (the kernel calls pages clean that it could not
 * write, and a disk may have dropped what it had taken): the segment is sealed, none of its
 * records that are not durable is trusted, and each is written again elsewhere, from memory; or, where
 * a crash had left it, from what is read there, if that has its address.
 */
#include "dht/store_impl.h"

#include <assert.h>
#include <errno.h>

#define ATTEMPTS 2	/* segments tried in one round */

/* Under the lock: what ${g} has before ${end} is durable. */
static void synced(struct store *s, struct segment *g, uint32_t end)
{
	struct list *next;

	if (end > g->keep_end)
		g->keep_end = end;
	for (struct list *l = g->unsynced.next; l != &g->unsynced; l = next) {
		struct recent *e = list_item(l, struct recent, place);

		next = l->next;
		if (e->record.offset >= end)
			continue;
		unsynced_remove(s, g, l);
		entry_durable(s, e);
	}
}

/*
 * With the lock, which is given up meanwhile: nothing that ${g} has not made durable yet is trusted.
 * It must not be found either, by a process that opens the store after a crash of this one:
 * it is cut off.  What a crash had left in the segment, and no sync has made durable, lies before
 * the cut: there headers are wiped, for the bytes may be needed.
 */
static void fail(struct store *s, struct segment *g, int error)
{
	struct list *l;

	segment_seal(s, g);
	if (!g->failed)
		g->failed = error;
	tail_settle(s, g);
	if (g->end > g->keep_end)
		segment_cut(s, g, g->keep_end);
	while ((l = g->unsynced.next) != &g->unsynced) {
		struct recent *e = list_item(l, struct recent, place);

		if (e->record.offset < g->end)
			segment_wipe(s, g, &e->record);
		unsynced_remove(s, g, l);
		entry_astray(s, e);
	}
}

/* Under the lock: what could not be cut off when it failed is tried again, or a disk that fails for
 * long would be filled by what each round writes elsewhere. */
static void cut_failed(struct store *s)
{
	for (size_t i = 0; i < segments_count(s->segments); i++) {
		struct segment *g = segments_at(s->segments, i);

		if (g->failed && g->end > g->keep_end)
			segment_cut(s, g, g->keep_end);
	}
}

/* With the lock, which is given up meanwhile: fdatasync of all before *${end}.  0 or -errno. */
static int make_durable(struct store *s, struct segment *g, uint32_t *end)
{
	bool named = g->named;
	int rc, fd;

	rc = tail_flush(s, g, end);
	if (rc < 0)
		return rc;
	fd = segment_hold(s->segments, g);
	pthread_mutex_unlock(&s->lock);
	rc = fd < 0 ? fd : s->io->fdatasync(s->io->ctx, fd);
	if (rc == 0 && !named)
		rc = s->io->fsync_dir(s->io->ctx, s->dirfd);
	if (fd >= 0)
		segment_drop(s->segments, g);
	pthread_mutex_lock(&s->lock);
	return rc;
}

/* With the lock, which is given up meanwhile.  0 or -errno. */
static int sync_segment(struct store *s, struct segment *g)
{
	uint32_t end;
	int rc;

	if (list_empty(&g->unsynced))
		return 0;
	rc = make_durable(s, g, &end);
	if (rc == 0) {
		g->named = true;
		synced(s, g, end);
		if (g->sealed && list_empty(&g->unsynced))
			segment_trim(s, g);
		return 0;
	}
	store_say(s, LOG_ERR, "segment %08x: could not be made durable (errno %d); what it took since "
	    "the last sync is written again elsewhere", g->number, -rc);
	fail(s, g, rc);
	return rc;
}

/* With the lock, which is given up meanwhile: a place for ${r}. */
static int reserve(struct store *s, struct record *r, struct place *p)
{
	while (tail_await(s, record_span(r->stored_len)) == -EAGAIN)
		continue;
	return append_reserve(s, r, false, p);
}

/*
 * With the lock, which is given up meanwhile: the first astray entry to a new place.  Only this
 * thread changes an astray entry, but for the chunk that an insert may lend it.
 */
static int rescue(struct store *s)
{
	struct recent *e = list_item(s->astray.next, struct recent, place);
	struct chunk *c = e->chunk ? chunk_hold(e->chunk) : NULL;
	struct record r = e->record;
	struct segment *g;
	struct place p;
	int rc = 0;

	if (!c) {
		pthread_mutex_unlock(&s->lock);
		rc = store_read(s, &r, r.kind, &c);
		pthread_mutex_lock(&s->lock);
	}
	if (rc < 0)
		return rc == -ENOMEM ? rc : -EIO;
	r.codec = CODEC_RAW;
	r.stored_len = c->len;
	rc = reserve(s, &r, &p);
	if (rc < 0) {
		chunk_drop(c);
		return rc;
	}
	pthread_mutex_unlock(&s->lock);
	append_write(s, &p, &r, c->data);
	pthread_mutex_lock(&s->lock);
	g = p.tail[0]->segment;
	rc = g->failed;
	if (rc == 0) {
		s->astray_count--;
		entry_replace(s, e, &r);
		e->state = RECENT_APPENDED;
		rc = unsynced_add(s, g, &e->place);
		assert(rc == 0);	/* until the place is done with, the segment is held */
	}
	tail_done(s, &p);
	chunk_drop(c);
	return rc;
}

/* With the lock.  One that can't be rescued stays first in line; others behind it are tried. */
static int rescue_all(struct store *s)
{
	int rc, worst = 0;

	for (size_t left = s->astray_count; left > 0 && !list_empty(&s->astray); left--) {
		struct list *first = s->astray.next;

		rc = rescue(s);
		if (rc == 0)
			continue;
		worst = rc;
		list_remove(first);
		list_append(&s->astray, first);
		/* A full disk or no memory stops all of them. */
		if (rc != -EIO)
			break;
	}
	return worst;
}

int sync_round(struct store *s)
{
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	for (int i = 0; i < ATTEMPTS; i++) {
		int failed = 0;

		rc = rescue_all(s);
		for (struct segment *g = segments_next(s->segments, 0); g;
		     g = segments_next(s->segments, g->number)) {
			int one = sync_segment(s, g);

			if (one < 0)
				failed = one;
		}
		if (failed == 0)
			break;
		rc = failed;
	}
	cut_failed(s);
	if (s->astray_count > 0 && rc == 0)
		rc = -EIO;
	pthread_mutex_unlock(&s->lock);
	return rc;
}

void sync_kick(struct store *s)
{
	if (s->sync_asked == s->sync_begun)
		s->sync_asked++;
	pthread_cond_signal(&s->sync_wanted);
}

uint64_t store_sync_start(struct store *s)
{
	uint64_t ticket;

	pthread_mutex_lock(&s->lock);
	ticket = ++s->sync_asked;
	pthread_cond_signal(&s->sync_wanted);
	pthread_mutex_unlock(&s->lock);
	return ticket;
}

int store_sync_wait(struct store *s, uint64_t ticket)
{
	int rc;

	pthread_mutex_lock(&s->lock);
	while (s->sync_done < ticket)
		pthread_cond_wait(&s->moved, &s->lock);
	rc = s->sync_result;
	pthread_mutex_unlock(&s->lock);
	return rc;
}

void *sync_main(void *store)
{
	struct store *s = store;
	struct store_listener listener;
	uint64_t ticket;
	int rc;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		while (s->sync_asked == s->sync_done && !s->stopping)
			pthread_cond_wait(&s->sync_wanted, &s->lock);
		if (s->sync_asked == s->sync_done)
			break;
		ticket = s->sync_begun = s->sync_asked;
		pthread_mutex_unlock(&s->lock);
		rc = sync_round(s);
		pthread_mutex_lock(&s->lock);
		s->sync_done = ticket;
		s->sync_result = rc;
		pthread_cond_broadcast(&s->moved);
		pthread_cond_signal(&s->commit_wanted);
		listener = s->listener;
		pthread_mutex_unlock(&s->lock);
		if (listener.synced)
			listener.synced(listener.arg, ticket, rc);
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}
