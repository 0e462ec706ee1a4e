/* Keeping a chunk: once, and never beside a copy that can't be read. */
#include "dht/store_impl.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* 1: it is there and can be read; 0: it must be stored; -EAGAIN: it would have to be read, and is to be ${quick}.  *${in_ledger}: has the ledger
 * *${old} of it?  (Unchanged where the ledger's entry can't be read.) */
static int known(struct store *s, enum kind kind, const struct address *a, bool quick, struct record *old,
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
	/* One astray whose bytes are lost is waiting for them. */
	if (f.record.bad || f.record.kind != kind || (f.astray && !f.held))
		return 0;
	if (f.recent || verified_has(s, a))
		return 1;
	if (quick)
		return -EAGAIN;
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
 * Under the lock: wait while too much is not yet durable, or not yet in the ledger.  0, -EAGAIN after
 * a wait (what was found before it may have changed), or what keeps the disk from taking it.
 */
static int await_room(struct store *s)
{
	uint64_t ticket = 0;

	while (s->recents.count >= s->recents_max || s->recents.held_bytes >= HELD_MAX) {
		if (ticket <= s->sync_done) {
			if (ticket > 0 && s->sync_result < 0)
				return s->sync_result;
			if (s->recents.count >= s->recents_max && s->commit_result < 0)
				return s->commit_result;
			/* For the ledger alone it only waits: a sync of nothing is over at once. */
			if (ticket == 0 || s->recents.count > s->durable_count) {
				ticket = ++s->sync_asked;
				pthread_cond_signal(&s->sync_wanted);
			}
		}
		pthread_cond_wait(&s->moved, &s->lock);
	}
	return ticket > 0 ? -EAGAIN : 0;
}

/* Under the lock: an entry, with a place; or 1: it has one, or the chunk does not lie at ${from} (where
 * not NULL) any more. */
static int begin(struct store *s, struct record *r, const struct record *in_ledger,
    const struct record *from, struct chunk *c, struct place *p)
{
	struct record now;
	struct recent *e;
	int rc;

	for (;;) {
		e = recents_find(&s->recents, &r->address);
		if (e && !e->record.bad) {
			if (e->state == RECENT_ASTRAY && !e->chunk)
				recents_hold(&s->recents, e, c);
			return 1;
		}
		if (removal_await(s, &r->address)) {
			in_ledger = store_look(s, &r->address, &now) == 0 ? &now : NULL;
			continue;
		}
		if (from && !store_leads(s, from))
			return 1;
		rc = await_room(s);
		if (rc == 0)
			rc = tail_await(s, record_span(r->stored_len));
		if (rc == 0)
			break;
		if (rc != -EAGAIN)
			return rc;
	}
	rc = append_reserve(s, r, from != NULL, p);
	if (rc < 0)
		return rc;
	e = entry_for(s, r, in_ledger);
	rc = e ? unsynced_add(s, p->tail[0]->segment, &e->place) : -ENOMEM;
	if (rc < 0) {
		append_undo(s, p, r);
		if (e) {
			entry_count(s, e, -1);
			recents_remove(&s->recents, e);
		}
		return rc;
	}
	if (!from)
		gc_keep(s, &r->address);
	e->state = RECENT_APPENDED;
	recents_hold(&s->recents, e, c);
	if (s->recents.held_bytes >= HELD_MAX / 2 && s->sync_result == 0)
		sync_kick(s);
	return 0;
}

static int put(struct store *s, struct record *r, const struct record *in_ledger,
    const struct record *from, struct chunk *c, const void *stored)
{
	struct place p;
	int rc;

	pthread_mutex_lock(&s->lock);
	rc = begin(s, r, in_ledger, from, c, &p);
	pthread_mutex_unlock(&s->lock);
	if (rc != 0)
		return rc;
	append_write(s, &p, r, stored);
	/* What becomes of the entry from now on, also where its segment fails, is the sync's business. */
	pthread_mutex_lock(&s->lock);
	tail_done(s, &p);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

int put_moved(struct store *s, const struct record *from, struct record *r, struct chunk *c,
    const void *stored)
{
	return put(s, r, from, from, c, stored);
}

/* What is to be kept: raw, or as it lay elsewhere. */
struct offered {
	enum kind kind;
	const struct address *address;
	struct chunk *raw;
	bool deflate, quick;
	const struct store_packed *packed;	/* NULL: raw */
	struct store_packed *share;	/* NULL, or what is stored is to be handed out, too ... */
	size_t room;			/* ... behind so many bytes */
};

static void share(const struct offered *o, const struct record *r, const void *stored)
{
	uint8_t *b;

	chunk_drop(o->share->bytes);	/* stored, removed, and stored anew */
	*o->share = (struct store_packed){ (enum codec_id)r->codec, r->raw_len, chunk_new(o->room + r->stored_len, &b), true };
	if (o->share->bytes)
		memcpy(b + o->room, stored, r->stored_len);
}

/* 1: it was there. */
static int put_raw(struct store *s, const struct offered *o)
{
	struct chunk *c = o->raw;
	struct record r = { .address = *o->address, .raw_len = c->len, .stored_len = c->len,
		.hash = HASH_BLAKE2B_256, .kind = (uint8_t)o->kind, .codec = CODEC_RAW };
	struct scratch *x = NULL;
	struct record old = r;
	bool in_ledger;
	size_t len = 0;
	int rc;

	rc = known(s, o->kind, o->address, o->quick, &old, &in_ledger);
	if (rc == 0) {
		/* Without the memory to compress it is stored as it is. */
		x = o->deflate ? scratch_borrow(s) : NULL;
		len = x ? codec_deflate(x->codec, c->data, c->len, x->bytes) : 0;
		if (len > 0) {
			r.stored_len = (uint32_t)len;
			r.codec = CODEC_ZLIB;
		}
		rc = put(s, &r, in_ledger ? &old : NULL, NULL, c, len > 0 ? x->bytes : c->data);
		if (rc == 0 && o->share)
			share(o, &r, len > 0 ? x->bytes : c->data);
		if (x)
			scratch_return(s, x);
	}
	return rc;
}

/* Its raw bytes, held: those that must be there until it is durable. */
static int unpack(struct store *s, const struct record *r, const struct store_packed *p, struct chunk **out)
{
	struct scratch *x = NULL;
	struct chunk *c;
	uint8_t *raw = NULL;
	int rc = -ENOMEM;

	c = p->codec == CODEC_RAW ? chunk_hold(p->bytes) : chunk_new(p->raw_len, &raw);
	if (raw)
		x = scratch_borrow(s);
	if (c && (!raw || x)) {
		if (!p->verified)
			rc = record_verify(r, r->kind, p->bytes->data, x ? x->codec : NULL, raw);
		else
			rc = raw ? codec_inflate(x->codec, p->bytes->data, p->bytes->len, raw, p->raw_len) : 0;
	}
	if (x)
		scratch_return(s, x);
	if (rc < 0)
		chunk_drop(c);
	else
		*out = c;
	return rc;
}

static int put_packed(struct store *s, const struct offered *o)
{
	const struct store_packed *p = o->packed;
	struct record r = { .address = *o->address, .raw_len = p->raw_len, .stored_len = p->bytes->len,
		.hash = HASH_BLAKE2B_256, .kind = (uint8_t)o->kind, .codec = (uint8_t)p->codec };
	struct record old = r;
	struct chunk *raw;
	bool in_ledger;
	int rc;

	if (!record_valid(&r))
		return -EBADMSG;
	rc = known(s, o->kind, o->address, o->quick, &old, &in_ledger);
	if (rc != 0)
		return rc;
	rc = unpack(s, &r, p, &raw);
	if (rc < 0)
		return rc;
	rc = put(s, &r, in_ledger ? &old : NULL, NULL, raw, p->bytes->data);
	chunk_drop(raw);
	return rc;
}

/* 1: it was there. */
static int put_offered(struct store *s, const struct offered *o)
{
	bool condemned, stored = false;
	uint64_t before;
	int rc;

	if (s->read_only)
		return -EROFS;
	do {
		before = __atomic_load_n(&s->condemnations, __ATOMIC_RELAXED);
		rc = o->packed ? put_packed(s, o) : put_raw(s, o);
		stored |= rc == 0;
		pthread_mutex_lock(&s->lock);
		/* It may have been condemned since it was found to be known, and all of that be over: then
		 * once more. */
		condemned = rc >= 0 && s->condemnations != before;
		if (rc >= 0 && !condemned)
			gc_keep(s, o->address);
		s->counts.inserts += !condemned && rc != -EAGAIN;
		s->counts.inserts_known += rc > 0 && !condemned;
		pthread_mutex_unlock(&s->lock);
	} while (condemned);
	return rc > 0 && stored ? 0 : rc;
}

int store_put(struct store *s, enum kind kind, const struct address *a, struct chunk *c,
    bool deflate)
{
	struct offered o = { .kind = kind, .address = a, .raw = c, .deflate = deflate };
	int rc;

	assert(kind_valid(kind) && c->len <= CHUNK_MAX);
	rc = put_offered(s, &o);
	return rc < 0 ? rc : 0;
}

int store_put_share(struct store *s, enum kind kind, const struct address *a, struct chunk *c, unsigned int how, size_t room,
    struct store_packed *out)
{
	struct offered o = { .kind = kind, .address = a, .raw = c, .deflate = how & STORE_DEFLATE, .quick = how & STORE_QUICK,
		.share = out, .room = room };
	int rc;

	assert(kind_valid(kind) && c->len <= CHUNK_MAX && room <= STORE_ROOM);
	if (out)
		out->bytes = NULL;
	rc = put_offered(s, &o);
	if (rc < 0 && out) {
		chunk_drop(out->bytes);
		out->bytes = NULL;
	}
	return rc < 0 ? rc : 0;
}

int store_put_packed(struct store *s, enum kind kind, const struct address *a, const struct store_packed *p, bool *is_known)
{
	struct offered o = { .kind = kind, .address = a, .packed = p };
	int rc;

	if (!kind_valid(kind))
		return -EBADMSG;
	rc = put_offered(s, &o);
	*is_known = rc > 0;
	return rc < 0 ? rc : 0;
}
