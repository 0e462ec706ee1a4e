#include "dht/store_impl.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"

#define ATTEMPTS 4	/* places at which a chunk is looked for */

void store_say(struct store *s, int priority, const char *format, ...)
{
	char text[512];
	va_list args;

	if (!s->log)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	s->log(s->log_arg, priority, text);
}

struct scratch *scratch_borrow(struct store *s)
{
	struct scratch *x;

	pthread_mutex_lock(&s->scratch_lock);
	x = s->scratch;
	if (x)
		s->scratch = x->next;
	pthread_mutex_unlock(&s->scratch_lock);
	if (x)
		return x;
	x = malloc(sizeof(*x));
	if (!x)
		return NULL;
	x->codec = codec_new();
	if (!x->codec) {
		free(x);
		return NULL;
	}
	return x;
}

void scratch_return(struct store *s, struct scratch *x)
{
	pthread_mutex_lock(&s->scratch_lock);
	x->next = s->scratch;
	s->scratch = x;
	pthread_mutex_unlock(&s->scratch_lock);
}

static uint64_t *verified_word(struct store *s, const struct address *a, uint64_t *value)
{
	*value = get_le64(a->b + 8) | 1;
	return &s->verified[get_le32(a->b) % VERIFIED_WORDS];
}

static bool verified_has(struct store *s, const struct address *a)
{
	uint64_t value, *word = verified_word(s, a, &value);

	return __atomic_load_n(word, __ATOMIC_RELAXED) == value;
}

static void verified_set(struct store *s, const struct address *a, bool good)
{
	uint64_t value, *word = verified_word(s, a, &value);

	if (good)
		__atomic_store_n(word, value, __ATOMIC_RELAXED);
	else
		__atomic_compare_exchange_n(word, &value, 0, false, __ATOMIC_RELAXED,
		    __ATOMIC_RELAXED);
}

void entry_count(struct store *s, const struct recent *e, int sign)
{
	int good = e->record.bad ? 0 : sign, old = e->counted ? sign : 0;

	s->more_chunks += good - old;
	s->more_raw += (int64_t)good * e->record.raw_len - (int64_t)old * e->counted_raw;
	s->more_stored += (int64_t)good * e->record.stored_len - (int64_t)old * e->counted_stored;
}

struct recent *entry_for(struct store *s, const struct record *r, const struct record *in_ledger)
{
	struct recent *e = recents_find(&s->recents, &r->address);

	if (e) {
		entry_replace(s, e, r);
		return e;
	}
	e = recents_add(&s->recents, r);
	if (!e)
		return NULL;
	if (in_ledger && !in_ledger->bad) {
		e->counted = true;
		e->counted_raw = in_ledger->raw_len;
		e->counted_stored = in_ledger->stored_len;
	}
	entry_count(s, e, 1);
	return e;
}

void entry_replace(struct store *s, struct recent *e, const struct record *r)
{
	if (e->state == RECENT_DURABLE) {
		s->durable_count--;
		s->durable_bytes -= e->record.stored_len;
	}
	list_remove(&e->place);
	entry_count(s, e, -1);
	e->record = *r;
	entry_count(s, e, 1);
}

void entry_durable(struct store *s, struct recent *e)
{
	e->state = RECENT_DURABLE;
	recents_hold(&s->recents, e, NULL);
	list_append(&s->durable, &e->place);
	s->durable_count++;
	s->durable_bytes += e->record.stored_len;
	if (s->durable_count >= s->commit_records || s->durable_bytes >= COMMIT_BYTES)
		pthread_cond_signal(&s->commit_wanted);
}

void entry_astray(struct store *s, struct recent *e)
{
	e->state = RECENT_ASTRAY;
	list_append(&s->astray, &e->place);
	s->astray_count++;
}

int store_enter(struct store *s, const struct record *r)
{
	struct record old;
	int rc = ledger_get(s->ledger, &r->address, &old);
	/* An entry that can't be read was counted as the same chunk. */
	struct recent *e = entry_for(s, r, rc == 0 ? &old : rc == -EBADMSG ? r : NULL);

	if (!e)
		return -ENOMEM;
	entry_durable(s, e);
	return 0;
}

int store_find(struct store *s, const struct address *a, struct found *out)
{
	struct recent *e;

	*out = (struct found){ .recent = false };
	pthread_mutex_lock(&s->lock);
	while ((e = recents_find(&s->recents, a)) && e->state == RECENT_WRITING)
		pthread_cond_wait(&s->written, &s->lock);
	if (e) {
		out->record = e->record;
		out->recent = true;
		if (e->state == RECENT_ASTRAY && e->chunk)
			out->held = chunk_hold(e->chunk);
	}
	pthread_mutex_unlock(&s->lock);
	/* An entry leaves only after the commit that the ledger is asked behind. */
	return e ? 0 : ledger_get(s->ledger, a, &out->record);
}

/* The stored bytes of ${r}, as a chunk; unverified. */
static int read_stored(struct store *s, const struct record *r, struct chunk **out)
{
	struct segment *g = segments_find(s->segments, r->segment);
	struct chunk *c;
	uint8_t *data;
	ssize_t n;
	int fd;

	if (!g)
		return -ENXIO;
	c = chunk_new(r->stored_len, &data);
	if (!c)
		return -ENOMEM;
	fd = segment_hold(s->segments, g);
	if (fd < 0) {
		chunk_drop(c);
		return fd == -ENOENT ? -ENXIO : fd;
	}
	n = s->io->pread(s->io->ctx, fd, data, r->stored_len, (uint64_t)r->offset + RECORD_HEADER);
	segment_drop(s->segments, g);
	if (n != (ssize_t)r->stored_len) {
		chunk_drop(c);
		return n < 0 ? (int)n : -ENXIO;
	}
	*out = c;
	return 0;
}

int store_read(struct store *s, const struct record *r, enum kind kind, struct chunk **out)
{
	struct chunk *stored = NULL, *c;
	struct scratch *x;
	uint8_t *raw;
	int rc = read_stored(s, r, &stored);

	if (rc < 0)
		return rc;
	if (r->codec == CODEC_RAW) {
		rc = record_verify(r, kind, stored->data, NULL, NULL);
		if (rc == 0)
			*out = chunk_hold(stored);
		chunk_drop(stored);
		return rc;
	}
	c = chunk_new(r->raw_len, &raw);
	x = c ? scratch_borrow(s) : NULL;
	rc = x ? record_verify(r, kind, stored->data, x->codec, raw) : -ENOMEM;
	if (x)
		scratch_return(s, x);
	chunk_drop(stored);
	if (rc == 0)
		*out = c;
	else
		chunk_drop(c);
	return rc;
}

/*
 * Under the lock: an entry that is not durable yet goes bad.  Its bytes are written again where
 * they are still in memory, else it must be inserted again.
 */
static void spoil(struct store *s, struct recent *e, const struct record *bad)
{
	unsynced_remove(s, segments_find(s->segments, e->record.segment), &e->place);
	if (e->chunk) {
		entry_astray(s, e);
		sync_kick(s);
		return;
	}
	entry_replace(s, e, bad);
	entry_durable(s, e);
}

/* Under the lock: is ${r} still where its address leads, and was it set aside now? */
static bool set_aside(struct store *s, const struct record *r)
{
	struct recent *e = recents_find(&s->recents, &r->address);
	struct record bad = *r, now;

	bad.bad = true;
	if (!e)
		return ledger_get(s->ledger, &r->address, &now) == 0 && !now.bad &&
		    record_same_place(&now, r) && store_enter(s, &bad) == 0;
	if (e->record.bad || !record_same_place(&e->record, r))
		return false;
	switch (e->state) {
	case RECENT_DURABLE:
		return store_enter(s, &bad) == 0;
	case RECENT_WRITTEN:
	case RECENT_SYNCING:
		spoil(s, e, &bad);
		return true;
	case RECENT_WRITING:
	case RECENT_ASTRAY:	/* no sync succeeds until it has been written again */
		return false;
	}
	return false;
}

void store_set_aside(struct store *s, const struct record *r, const char *why)
{
	char text[ADDRESS_TEXT_LEN + 1];
	bool done;

	pthread_mutex_lock(&s->lock);
	done = set_aside(s, r);
	pthread_mutex_unlock(&s->lock);
	if (!done)
		return;
	verified_set(s, &r->address, false);
	address_format(&r->address, text);
	store_say(s, LOG_ERR, "chunk %s in segment %08x at %u: %s; set aside", text, r->segment,
	    r->offset, why);
}

/*
 * ${r}, as the ledger says, did not verify.  The header on the disk is the better witness:
 * where it names the chunk, either the bytes are rotten or the ledger was wrong about them;
 * where it does not, the chunk may lie elsewhere, and the segments are searched.
 */
static int doubt(struct store *s, const struct record *r, enum kind *kind, struct chunk **out)
{
	struct segment *g = segments_find(s->segments, r->segment);
	uint8_t header[RECORD_HEADER];
	struct record really;
	ssize_t n = 0;
	int rc, fd;

	if (g) {
		fd = segment_hold(s->segments, g);
		if (fd < 0 && fd != -ENOENT)
			return fd;
		if (fd >= 0) {
			n = s->io->pread(s->io->ctx, fd, header, sizeof(header), r->offset);
			segment_drop(s->segments, g);
		}
		if (n < 0)
			return (int)n;
	}
	if (n < (ssize_t)sizeof(header) ||
	    record_decode(header, r->segment, r->offset, s->id, &really) < 0 ||
	    !address_equal(&really.address, &r->address)) {
		store_set_aside(s, r, "it is not there");
		return mend_start(s) ? -EINPROGRESS : -EBADMSG;
	}
	rc = store_read(s, &really, really.kind, out);
	if (rc == -EBADMSG || rc == -ENXIO) {
		store_set_aside(s, r, "its bytes are not those of its address");
		return -EBADMSG;
	}
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&s->lock);
	if (!recents_find(&s->recents, &r->address))
		store_enter(s, &really);
	pthread_mutex_unlock(&s->lock);
	if (*kind != KIND_ANY && *kind != really.kind) {
		chunk_drop(*out);
		return -ENOENT;
	}
	*kind = really.kind;
	return 0;
}

/* A chunk of another kind than was asked for is not the one that was asked for. */
static int get_found(struct store *s, const struct found *f, enum kind *kind, struct chunk **out)
{
	enum kind asked = *kind;
	int rc;

	if (f->record.bad)
		return -EBADMSG;
	if (f->held && (asked == KIND_ANY || asked == f->record.kind)) {
		*kind = f->record.kind;
		*out = chunk_hold(f->held);
		return 0;
	}
	rc = store_read(s, &f->record, f->record.kind, out);
	if (rc < 0)
		return rc;
	if (asked != KIND_ANY && asked != f->record.kind) {
		chunk_drop(*out);
		return -ENOENT;
	}
	*kind = f->record.kind;
	verified_set(s, &f->record.address, true);
	return 0;
}

int store_get(struct store *s, enum kind *kind, const struct address *a, struct chunk **out)
{
	struct record doubted = { .segment = 0 };
	struct found f;
	int rc, last = -EBADMSG;

	*out = NULL;
	__atomic_fetch_add(&s->counts.lookups, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < ATTEMPTS; i++) {
		rc = store_find(s, a, &f);
		if (rc == -EBADMSG)
			return mend_start(s) ? -EINPROGRESS : -EBADMSG;
		if (rc == -EUCLEAN) {
			if (!__atomic_exchange_n(&s->told_damage, true, __ATOMIC_RELAXED))
				store_say(s, LOG_CRIT, "the ledger is damaged; no chunk is lost, but what it "
				    "leads to is found again only when the store is opened next");
			return -EIO;
		}
		if (rc < 0)
			return rc;
		rc = get_found(s, &f, kind, out);
		chunk_drop(f.held);
		if ((rc != -EBADMSG && rc != -ENXIO) || f.record.bad)
			return rc == -EBADMSG ? last : rc;
		/* It may have been written again elsewhere meanwhile, or be so now: look once more. */
		if (record_same_place(&doubted, &f.record))
			return last;
		doubted = f.record;
		last = doubt(s, &f.record, kind, out);
		if (last != -EBADMSG && last != -EINPROGRESS)
			return last;
	}
	return -EIO;
}

bool store_has(struct store *s, const struct address *a, enum kind *kind, uint32_t *len)
{
	struct found f;

	if (store_find(s, a, &f) < 0)
		return false;
	chunk_drop(f.held);
	if (f.record.bad)
		return false;
	if (kind)
		*kind = f.record.kind;
	if (len)
		*len = f.record.raw_len;
	return true;
}

/* 1: it is there and can be read; 0: it must be stored.  *${in_ledger}: has the ledger
 * *${old} of it?  (Unchanged where the ledger's entry can't be read.) */
static int known(struct store *s, enum kind kind, const struct address *a, struct record *old,
    bool *in_ledger)
{
	struct chunk *c;
	struct found f;
	int rc = store_find(s, a, &f);

	*in_ledger = rc == -EBADMSG || (rc == 0 && !f.recent);
	if (rc < 0)
		return 0;
	*old = f.record;
	chunk_drop(f.held);
	if (f.record.bad || f.record.kind != kind)
		return 0;
	if (f.recent || verified_has(s, a))
		return 1;
	rc = store_read(s, &f.record, kind, &c);
	if (rc == 0) {
		chunk_drop(c);
		verified_set(s, a, true);
		return 1;
	}
	if (rc == -EBADMSG || rc == -ENXIO)
		store_set_aside(s, &f.record, "its bytes are not those of its address");
	return rc == -ENOMEM ? rc : 0;
}

/*
 * Under the lock: wait while too much is not yet in the ledger.  0, -EAGAIN after a wait (what
 * was found before it may have changed), or what stands in the way.
 */
static int await_room(struct store *s)
{
	uint64_t rounds = s->rounds;

	if (s->recents.count < RECENTS_MAX)
		return 0;
	sync_kick(s);
	pthread_cond_signal(&s->commit_wanted);
	while (s->rounds < rounds + 2)
		pthread_cond_wait(&s->moved, &s->lock);
	if (s->recents.count < RECENTS_MAX)
		return -EAGAIN;
	if (s->sync_result < 0)
		return s->sync_result;
	return s->commit_result < 0 ? s->commit_result : -EAGAIN;
}

/* Under the lock: an entry that is WRITING, with a place; or 1: somebody else was faster. */
static int begin(struct store *s, struct record *r, const struct record *in_ledger,
    struct chunk *c, struct segment **g, struct recent **out)
{
	struct recent *e;
	int rc;

	for (;;) {
		e = recents_find(&s->recents, &r->address);
		if (e && e->state == RECENT_WRITING) {
			pthread_cond_wait(&s->written, &s->lock);
			continue;
		}
		if (e && !e->record.bad) {
			if (e->state == RECENT_ASTRAY && !e->chunk)
				recents_hold(&s->recents, e, c);
			return 1;
		}
		rc = await_room(s);
		if (rc == 0)
			break;
		if (rc != -EAGAIN)
			return rc;
	}
	rc = append_reserve(s, r, g);
	if (rc < 0)
		return rc;
	e = entry_for(s, r, in_ledger);
	rc = e ? unsynced_add(s, *g, &e->place) : -ENOMEM;
	if (rc < 0) {
		append_undo(s, *g, r);
		if (e) {
			entry_count(s, e, -1);
			recents_remove(&s->recents, e);
		}
		return rc;
	}
	e->state = RECENT_WRITING;
	if (s->recents.held_bytes < HELD_MAX)
		recents_hold(&s->recents, e, c);
	if (s->recents.held_bytes >= HELD_MAX / 2 && s->sync_result == 0)
		sync_kick(s);
	*out = e;
	return 0;
}

/* Under the lock: what became of the write. */
static void finish(struct store *s, struct recent *e, struct segment *g, int rc)
{
	if (rc < 0) {
		unsynced_remove(s, g, &e->place);
		append_undo(s, g, &e->record);
		entry_count(s, e, -1);
		recents_remove(&s->recents, e);
	} else if (g->failed) {
		unsynced_remove(s, g, &e->place);
		segment_wipe(s, g, &e->record);
		entry_astray(s, e);
	} else {
		e->state = RECENT_WRITTEN;
	}
	pthread_cond_broadcast(&s->written);
}

static int put(struct store *s, struct record *r, const struct record *in_ledger,
    struct chunk *c, const void *stored)
{
	struct segment *g;
	struct recent *e;
	int rc;

	pthread_mutex_lock(&s->lock);
	rc = begin(s, r, in_ledger, c, &g, &e);
	pthread_mutex_unlock(&s->lock);
	if (rc != 0)
		return rc;
	rc = append_write(s, g, r, stored);
	pthread_mutex_lock(&s->lock);
	finish(s, e, g, rc);
	pthread_mutex_unlock(&s->lock);
	return rc;
}

int store_put(struct store *s, enum kind kind, const struct address *a, struct chunk *c,
    bool deflate)
{
	struct record r = { .address = *a, .raw_len = c->len, .stored_len = c->len,
		.hash = HASH_BLAKE2B_256, .kind = (uint8_t)kind, .codec = CODEC_RAW };
	struct scratch *x = NULL;
	struct record old = r;
	bool in_ledger;
	size_t len = 0;
	int rc;

	assert(kind_valid(kind) && c->len <= CHUNK_MAX);
	if (s->read_only)
		return -EROFS;
	rc = known(s, kind, a, &old, &in_ledger);
	if (rc == 0) {
		/* Without the memory to compress it is stored as it is. */
		x = deflate ? scratch_borrow(s) : NULL;
		len = x ? codec_deflate(x->codec, c->data, c->len, x->bytes) : 0;
		if (len > 0) {
			r.stored_len = (uint32_t)len;
			r.codec = CODEC_ZLIB;
		}
		rc = put(s, &r, in_ledger ? &old : NULL, c, len > 0 ? x->bytes : c->data);
		if (x)
			scratch_return(s, x);
	}
	pthread_mutex_lock(&s->lock);
	s->counts.inserts++;
	s->counts.inserts_known += rc > 0;
	pthread_mutex_unlock(&s->lock);
	return rc < 0 ? rc : 0;
}

void store_status(struct store *s, struct dht_status *out)
{
	struct ledger_totals t;
	uint64_t lookups = __atomic_load_n(&s->counts.lookups, __ATOMIC_RELAXED);

	ledger_totals(s->ledger, &t);
	pthread_mutex_lock(&s->lock);
	*out = (struct dht_status){
		.chunks = t.chunks + (uint64_t)s->more_chunks,
		.raw_bytes = t.raw_bytes + (uint64_t)s->more_raw,
		.stored_bytes = t.stored_bytes + (uint64_t)s->more_stored,
		.set_aside = t.set_aside,
		.inserts = s->counts.inserts,
		.inserts_known = s->counts.inserts_known,
		.lookups = lookups,
	};
	for (struct list *l = s->durable.next; l != &s->durable; l = l->next)
		out->set_aside += list_item(l, struct recent, place)->record.bad;
	pthread_mutex_unlock(&s->lock);
	out->segments = segments_count(s->segments);
	store_space(s, &out->space);
}
