/* Finding chunks and reading them: nothing leaves here that was not verified. */
#include "dht/store_impl.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "chunker/bytes.h"

#define ATTEMPTS    4	/* places at which a chunk is looked for, at least ... */
#define PATIENCE_MS 10000	/* ... and for so long: one that moves on whenever it is read is there all the same */
#define LONG_RECORD (32u * 1024)	/* stored bytes; nearly all of a large file is in such */

static uint64_t *verified_word(struct store *s, const struct address *a, uint64_t *value)
{
	*value = get_le64(a->b + 8) | 1;
	return &s->verified[get_le32(a->b) % VERIFIED_WORDS];
}

bool verified_has(struct store *s, const struct address *a)
{
	uint64_t value, *word = verified_word(s, a, &value);

	return __atomic_load_n(word, __ATOMIC_RELAXED) == value;
}

void verified_set(struct store *s, const struct address *a, bool good)
{
	uint64_t value, *word = verified_word(s, a, &value);

	if (good)
		__atomic_store_n(word, value, __ATOMIC_RELAXED);
	else
		__atomic_compare_exchange_n(word, &value, 0, false, __ATOMIC_RELAXED,
		    __ATOMIC_RELAXED);
}

int store_blind(struct store *s, int rc)
{
	if (rc != -EUCLEAN)
		return rc;
	if (!__atomic_exchange_n(&s->told_damage, true, __ATOMIC_RELAXED))
		store_say(s, LOG_CRIT, "the ledger is damaged; no chunk is lost, but what it leads to is found again only when the "
		    "store is opened next");
	return -EIO;
}

int store_look(struct store *s, const struct address *a, struct record *out)
{
	return gc_condemns(s, a) ? -ENOENT : ledger_get(s->ledger, a, out);
}

bool store_leads(struct store *s, const struct record *r)
{
	const struct recent *e = recents_find(&s->recents, &r->address);
	struct record now;

	if (e)
		return record_same_place(&e->record, r);
	return store_look(s, &r->address, &now) == 0 && record_same_place(&now, r);
}

int store_find(struct store *s, const struct address *a, struct found *out)
{
	struct recent *e;
	bool condemned;

	*out = (struct found){ .recent = false };
	pthread_mutex_lock(&s->lock);
	e = recents_find(&s->recents, a);
	if (e) {
		out->record = e->record;
		out->recent = true;
		out->astray = e->state == RECENT_ASTRAY;
		if (e->chunk)
			out->held = chunk_hold(e->chunk);
	}
	condemned = gc_condemns(s, a);
	pthread_mutex_unlock(&s->lock);
	/* An entry leaves only after the commit that the ledger is asked behind. */
	return e ? 0 : condemned ? -ENOENT : ledger_get(s->ledger, a, &out->record);
}

/* Of a long record: the blocks that it lies in, past the page cache, which would cost more than its hash
 * and hold what the reader's file is going to hold as well.  Its header is where the room goes. */
static ssize_t read_blocks(struct store *s, struct segment *g, const struct record *r, size_t room,
    struct chunk **out)
{
	uint32_t off = r->offset + RECORD_HEADER, from = r->offset / SEGMENT_BLOCK * SEGMENT_BLOCK;
	size_t len = segment_block_up(off + r->stored_len) - from;
	void *bytes = aligned_alloc(SEGMENT_BLOCK, len);
	struct chunk *blocks = bytes ? chunk_adopt(bytes, len, free) : NULL;
	ssize_t n;

	if (!blocks) {
		free(bytes);
		return -ENOMEM;
	}
	*out = chunk_slice(blocks, off - room - from, room + r->stored_len);
	chunk_drop(blocks);
	if (!*out)
		return -ENOMEM;
	n = segment_read(s->segments, g, bytes, len, from);
	return n < (ssize_t)(off - from) ? (n < 0 ? n : 0) : n - (ssize_t)(off - from);
}

static ssize_t read_bytes(struct store *s, int fd, const struct record *r, size_t room, struct chunk **out)
{
	uint8_t *data;

	*out = chunk_new(room + r->stored_len, &data);
	if (!*out)
		return -ENOMEM;
	return s->io->pread(s->io->ctx, fd, data + room, r->stored_len, (uint64_t)r->offset + RECORD_HEADER);
}

/* The stored bytes of ${r} behind ${room} others, as a chunk; unverified. */
static int read_stored(struct store *s, const struct record *r, size_t room, struct chunk **out)
{
	struct segment *g = segments_find(s->segments, r->segment);
	struct chunk *c = NULL;
	ssize_t n;
	int fd;

	if (!g)
		return -ENXIO;
	fd = segment_hold(s->segments, g);
	if (fd < 0)
		return fd == -ENOENT ? -ENXIO : fd;
	n = r->stored_len >= LONG_RECORD ? read_blocks(s, g, r, room, &c) : read_bytes(s, fd, r, room, &c);
	segment_drop(s->segments, g);
	if (n < (ssize_t)r->stored_len) {
		chunk_drop(c);
		return n < 0 ? (int)n : -ENXIO;
	}
	*out = c;
	return 0;
}

/* What is to be handed out as it lies, and with what before it; NULL: raw. */
struct packing {
	size_t room;
	struct store_packed *out;
	enum store_hashing how;
};

/* Unhashed.  ${recent}: it was hashed when it came, and lay here meanwhile: so these are its bytes, unless the disk itself has changed them. */
static int read_as_is(struct store *s, const struct record *r, bool recent, const struct packing *p, struct chunk **out)
{
	int rc = read_stored(s, r, p->room, out);
	bool there;

	if (rc < 0)
		return rc;
	pthread_mutex_lock(&s->lock);
	there = store_leads(s, r);
	pthread_mutex_unlock(&s->lock);
	if (!there) {
		chunk_drop(*out);
		*out = NULL;
		return -ENXIO;
	}
	*p->out = (struct store_packed){ .codec = r->codec, .raw_len = r->raw_len, .verified = recent };
	return 0;
}

static int read_packed(struct store *s, const struct record *r, enum kind kind, const struct packing *p, struct chunk **out)
{
	struct scratch *x = NULL;
	int rc = read_stored(s, r, p->room, out);

	if (rc < 0)
		return rc;
	if (r->codec != CODEC_RAW)
		x = scratch_borrow(s);
	rc = x || r->codec == CODEC_RAW ? record_verify(r, kind, (*out)->data + p->room, x ? x->codec : NULL, x ? x->bytes : NULL) : -ENOMEM;
	if (x)
		scratch_return(s, x);
	if (rc < 0) {
		chunk_drop(*out);
		*out = NULL;
	}
	*p->out = (struct store_packed){ .codec = r->codec, .raw_len = r->raw_len, .verified = true };
	return rc;
}

static int read_any(struct store *s, const struct record *r, enum kind kind, const struct packing *p, struct chunk **out)
{
	return p ? read_packed(s, r, kind, p, out) : store_read(s, r, kind, out);
}

int store_read(struct store *s, const struct record *r, enum kind kind, struct chunk **out)
{
	struct chunk *stored = NULL, *c;
	struct scratch *x;
	uint8_t *raw;
	int rc = read_stored(s, r, 0, &stored);

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

/* Under the lock: is ${r} still where its address leads, and was it set aside now? */
static bool set_aside(struct store *s, const struct record *r)
{
	struct recent *e = recents_find(&s->recents, &r->address);
	struct record bad = *r, now;

	bad.bad = true;
	if (!e)
		return store_look(s, &r->address, &now) == 0 && !now.bad &&
		    record_same_place(&now, r) && store_enter(s, &bad) == 0;
	if (e->record.bad || !record_same_place(&e->record, r))
		return false;
	switch (e->state) {
	case RECENT_DURABLE:
		return store_enter(s, &bad) == 0;
	case RECENT_APPENDED:	/* left by a crash, and rotten before a sync could say that it is durable */
		unsynced_remove(s, segments_find(s->segments, r->segment), &e->place);
		entry_replace(s, e, &bad);
		entry_durable(s, e);
		return true;
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

/* Has ${r} been written again elsewhere, or will it be?  Or has it been swept? */
static bool moved(struct store *s, const struct record *r)
{
	struct found now;
	int rc = store_find(s, &r->address, &now);

	if (rc < 0)
		return rc == -ENOENT;
	chunk_drop(now.held);
	return !now.record.bad && (now.astray || !record_same_place(&now.record, r));
}

/* A chunk of another kind than was asked for is not the one that was asked for. */
static int keep_back(struct chunk **out)
{
	chunk_drop(*out);
	*out = NULL;
	return -ENOENT;
}

/*
 * ${r}, as the ledger says, did not verify.  The header on the disk is the better witness:
 * where it names the chunk, either the bytes are rotten or the ledger was wrong about them;
 * where it does not, the chunk may lie elsewhere, and the segments are searched.
 */
static int doubt(struct store *s, const struct record *r, enum kind *kind, const struct packing *p, struct chunk **out)
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
		return !moved(s, r) && mend_start(s) ? -EINPROGRESS : -EBADMSG;
	}
	rc = read_any(s, &really, really.kind, p, out);
	if (rc == -EBADMSG || rc == -ENXIO) {
		store_set_aside(s, r, "its bytes are not those of its address");
		return -EBADMSG;
	}
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&s->lock);
	if (!recents_find(&s->recents, &r->address) && store_leads(s, r))
		store_enter(s, &really);
	pthread_mutex_unlock(&s->lock);
	if (*kind != KIND_ANY && *kind != really.kind)
		return keep_back(out);
	*kind = really.kind;
	return 0;
}

static bool leads(struct store *s, const struct record *r)
{
	bool yes;

	pthread_mutex_lock(&s->lock);
	yes = store_leads(s, r);
	pthread_mutex_unlock(&s->lock);
	return yes;
}

static int get_held(struct chunk *held, const struct packing *p, struct chunk **out)
{
	uint8_t *bytes;

	if (!p) {
		*out = chunk_hold(held);
		return 0;
	}
	*out = chunk_new(p->room + held->len, &bytes);
	if (!*out)
		return -ENOMEM;
	memcpy(bytes + p->room, held->data, held->len);
	*p->out = (struct store_packed){ .codec = CODEC_RAW, .raw_len = held->len, .verified = true };
	return 0;
}

static int get_found(struct store *s, const struct found *f, enum kind *kind, const struct packing *p, struct chunk **out)
{
	bool as_is = p && !f->astray && p->how != STORE_HASH && (f->recent || p->how == STORE_HASH_NONE);
	enum kind asked = *kind;
	int rc;

	/* That it is another one is said only after a look at its bytes: the ledger may be wrong. */
	if (asked != KIND_ANY && asked != f->record.kind)
		as_is = false;
	if (f->record.bad)
		return -EBADMSG;
	if (f->held) {
		if (asked != KIND_ANY && asked != f->record.kind)
			return -ENOENT;
		*kind = f->record.kind;
		return get_held(f->held, p, out);
	}
	rc = as_is ? read_as_is(s, &f->record, f->recent, p, out) : read_any(s, &f->record, f->record.kind, p, out);
	if (rc < 0)
		return rc;
	if (asked != KIND_ANY && asked != f->record.kind)
		return keep_back(out);
	*kind = f->record.kind;
	if (!as_is || f->recent)
		verified_set(s, &f->record.address, true);
	return 0;
}

/* One look at where it lies now.  -EAGAIN: it had moved on before it was read, or may have: *${doubted} is where it did not verify, and
 * *${last} what that came to. */
static int get_once(struct store *s, enum kind *kind, const struct address *a, const struct packing *p, struct chunk **out,
    struct record *doubted, int *last)
{
	struct found f;
	int rc = store_find(s, a, &f);

	if (rc == -EBADMSG)
		return mend_start(s) ? -EINPROGRESS : -EBADMSG;
	if (rc < 0)
		return rc == -EAGAIN ? -EIO : store_blind(s, rc);
	rc = get_found(s, &f, kind, p, out);
	chunk_drop(f.held);
	if (f.record.bad)
		return store_mending(s) ? -EINPROGRESS : *last;
	if (rc != -EBADMSG && rc != -ENXIO)
		return rc;
	/* A place may have been given back meanwhile: its chunk is gone, or elsewhere. */
	if (!leads(s, &f.record))
		return -EAGAIN;
	/* It may have been written again elsewhere meanwhile, or be so now: look once more. */
	if (record_same_place(doubted, &f.record))
		return *last;
	*doubted = f.record;
	*last = doubt(s, &f.record, kind, p, out);
	return *last == -EBADMSG || *last == -EINPROGRESS ? -EAGAIN : *last;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int get(struct store *s, enum kind *kind, const struct address *a, const struct packing *p, struct chunk **out)
{
	int64_t until_ms = now_ms() + PATIENCE_MS;
	struct record doubted = { .segment = 0 };
	int rc = -EAGAIN, last = -EBADMSG;

	*out = NULL;
	__atomic_fetch_add(&s->counts.lookups, 1, __ATOMIC_RELAXED);
	for (unsigned int i = 0; rc == -EAGAIN && (i < ATTEMPTS || now_ms() < until_ms); i++)
		rc = get_once(s, kind, a, p, out, &doubted, &last);
	return rc == -EAGAIN ? -EIO : rc;
}

int store_get(struct store *s, enum kind *kind, const struct address *a, struct chunk **out)
{
	return get(s, kind, a, NULL, out);
}

int store_get_packed(struct store *s, enum store_hashing how, enum kind *kind, const struct address *a, size_t room, struct store_packed *out)
{
	struct packing p = { .room = room, .out = out, .how = how };
	struct chunk *bytes;
	int rc;

	assert(room <= STORE_ROOM);
	rc = get(s, kind, a, &p, &bytes);
	out->bytes = rc == 0 ? bytes : NULL;
	return rc;
}

int store_here_durable(struct store *s, const struct address *a)
{
	const struct recent *e;
	bool durable;

	pthread_mutex_lock(&s->lock);
	e = recents_find(&s->recents, a);
	durable = e && e->state == RECENT_DURABLE && !e->record.bad;
	pthread_mutex_unlock(&s->lock);
	if (e)
		return durable ? 0 : -ENOENT;
	return store_here(s, a, NULL, NULL);
}

int store_here(struct store *s, const struct address *a, enum kind *kind, uint32_t *len)
{
	struct found f;
	int rc = store_find(s, a, &f);

	/* An entry that is nonsense leads nowhere. */
	if (rc < 0)
		return rc == -EBADMSG ? -ENOENT : store_blind(s, rc);
	chunk_drop(f.held);
	if (f.record.bad)
		return -ENOENT;
	if (kind)
		*kind = f.record.kind;
	if (len)
		*len = f.record.raw_len;
	return 0;
}

bool store_has(struct store *s, const struct address *a, enum kind *kind, uint32_t *len)
{
	return store_here(s, a, kind, len) == 0;
}
