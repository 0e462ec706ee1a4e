/*
 * One thread makes durable what has been appended; all who wait share its fdatasync.
 *
 * After a failed fdatasync the kernel calls the pages clean that it could not write, so a second
 * one would lie: the segment is sealed, none of its unsynced records is trusted, and each is
 * written again elsewhere, from memory where its chunk is still held, else from the page cache
 * if what is read there has its address.
 */
#include "dht/store_impl.h"

#include <assert.h>
#include <errno.h>

#define ATTEMPTS 2	/* segments tried in one round */

/* Under the lock: all written records of ${g} go with the next fdatasync.  How many? */
static size_t mark_syncing(struct segment *g)
{
	size_t n = 0;

	for (struct list *l = g->unsynced.next; l != &g->unsynced; l = l->next) {
		struct recent *e = list_item(l, struct recent, place);

		if (e->state == RECENT_WRITTEN) {
			e->state = RECENT_SYNCING;
			n++;
		}
	}
	return n;
}

/* Under the lock. */
static void synced(struct store *s, struct segment *g)
{
	struct list *next;
	uint32_t end;

	for (struct list *l = g->unsynced.next; l != &g->unsynced; l = next) {
		struct recent *e = list_item(l, struct recent, place);

		next = l->next;
		if (e->state != RECENT_SYNCING)
			continue;
		unsynced_remove(s, g, l);
		end = e->record.offset + record_span(e->record.stored_len);
		if (end > g->keep_end)
			g->keep_end = end;
		entry_durable(s, e);
	}
}

/*
 * Under the lock: nothing that ${g} has not made durable yet is trusted.  The headers on the
 * disk are wiped, or a process that opens the store after a crash of this one would find
 * whole records in the page cache that the disk never got.
 */
static void fail(struct store *s, struct segment *g)
{
	struct list *next;

	segment_seal(s, g);
	g->failed = true;
	for (struct list *l = g->unsynced.next; l != &g->unsynced; l = next) {
		struct recent *e = list_item(l, struct recent, place);

		next = l->next;
		if (e->state == RECENT_WRITING)
			continue;
		segment_wipe(s, g, &e->record);
		unsynced_remove(s, g, l);
		entry_astray(s, e);
	}
}

/* Under the lock: would an astray entry have to be read from ${g}? */
static bool rescue_reads(struct store *s, const struct segment *g)
{
	for (struct list *l = s->astray.next; l != &s->astray; l = l->next) {
		struct recent *e = list_item(l, struct recent, place);

		if (!e->chunk && e->record.segment == g->number)
			return true;
	}
	return false;
}

/*
 * Under the lock: what a failed segment holds behind its last durable record is of no use now.
 * At once, or a disk that fails for long would be filled by what each round writes again.
 */
static void cut_failed(struct store *s)
{
	for (size_t i = 0; i < segments_count(s->segments); i++) {
		struct segment *g = segments_at(s->segments, i);

		if (g->failed && list_empty(&g->unsynced) && g->end > g->keep_end &&
		    !rescue_reads(s, g))
			segment_cut(s, g, g->keep_end);
	}
}

/* With the lock, which is given up meanwhile: fdatasync of one segment.  0 or -errno. */
static int sync_segment(struct store *s, struct segment *g)
{
	bool named = g->named;
	int rc, fd;

	if (mark_syncing(g) == 0)
		return 0;
	fd = segment_hold(s->segments, g);
	pthread_mutex_unlock(&s->lock);
	rc = fd < 0 ? fd : s->io->fdatasync(s->io->ctx, fd);
	if (rc == 0 && !named)
		rc = s->io->fsync_dir(s->io->ctx, s->dirfd);
	if (fd >= 0)
		segment_drop(s->segments, g);
	pthread_mutex_lock(&s->lock);
	if (rc == 0) {
		g->named = true;
		synced(s, g);
		if (g->sealed)
			segment_trim(s, g);
		return 0;
	}
	store_say(s, LOG_ERR, "segment %08x: could not be made durable (errno %d); what it took since "
	    "the last sync is written again elsewhere", g->number, -rc);
	fail(s, g);
	return rc;
}

/*
 * With the lock, which is given up meanwhile: the first astray entry to a new place.  Only this
 * thread changes an astray entry, but for the chunk that an insert may lend it.
 */
static int rescue(struct store *s)
{
	struct recent *e = list_item(s->astray.next, struct recent, place), at = { .state = RECENT_WRITING };
	struct chunk *c = e->chunk ? chunk_hold(e->chunk) : NULL;
	struct segment *g;
	int rc = 0;

	at.record = e->record;
	if (!c) {
		pthread_mutex_unlock(&s->lock);
		rc = store_read(s, &at.record, at.record.kind, &c);
		pthread_mutex_lock(&s->lock);
	}
	if (rc < 0)
		return rc == -ENOMEM ? rc : -EIO;
	at.record.codec = CODEC_RAW;
	at.record.stored_len = c->len;
	rc = append_reserve(s, &at.record, &g);
	if (rc == 0) {
		/* In the segment's list meanwhile, so that the ledger's row stays before it. */
		rc = unsynced_add(s, g, &at.place);
		if (rc < 0)
			append_undo(s, g, &at.record);
	}
	if (rc < 0) {
		chunk_drop(c);
		return rc;
	}
	pthread_mutex_unlock(&s->lock);
	rc = append_write(s, g, &at.record, c->data);
	chunk_drop(c);
	pthread_mutex_lock(&s->lock);
	if (rc == 0) {
		s->astray_count--;
		entry_replace(s, e, &at.record);
		e->state = RECENT_WRITTEN;
		list_append(&g->unsynced, &e->place);
	}
	unsynced_remove(s, g, &at.place);
	if (rc < 0)
		append_undo(s, g, &at.record);
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
		for (size_t j = 0; j < segments_count(s->segments); j++) {
			int one = sync_segment(s, segments_at(s->segments, j));

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
