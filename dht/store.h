/*
 * store: the chunks on this node's disk.
 *
 * Thread-safe.  Calls block for as long as the disk takes; nothing here knows of operations,
 * peers or queues: that is dht.c.
 */
#ifndef DHT_STORE_H
#define DHT_STORE_H

#include "chunker/codec.h"
#include "dht/dht.h"

struct store;
struct store_gc;

/**
 * store_open(options, rebuild, tell, arg, progress, out, why, why_size): as dht_open() in dht.h.
 * With ${rebuild} the ledger is made anew, and ${tell} hears of the progress (either may be NULL).
 */
int store_open(const struct dht_options *options, bool rebuild, dht_tell *tell, void *arg,
    struct dht_progress *progress, struct store **out, char *why, size_t why_size);

/** store_close(s): sync, bring the ledger up to date, close.  What the sync said. */
int store_close(struct store *s);

/**
 * store_put(s, kind, a, c, deflate): keep ${c}, whose address under ${kind} is ${a}.  ${deflate}:
 * there is time to compress it.  0, -ENOSPC, -EIO, -EROFS, -ENOMEM.
 */
int store_put(struct store *s, enum kind kind, const struct address *a, struct chunk *c,
    bool deflate);

/**
 * store_get(s, kind, a, out): the verified chunk ${a} of *${kind} (KIND_ANY: *${kind} is set); NULL where it fails.
 * 0, -ENOENT, -EBADMSG, -EIO, -ENOMEM; -EINPROGRESS: the ledger is being mended, ask again
 * when the listener's mended() is called.
 */
int store_get(struct store *s, enum kind *kind, const struct address *a, struct chunk **out);

/**
 * store_here(s, a, kind, len): is it here?  0, *${kind} and *${len} (or NULL) are set; -ENOENT: no; another error: the ledger can't be
 * read, and nobody knows: -EIO, -ENOMEM, -EAGAIN.  store_has(): the same for who need not tell these apart.
 */
int store_here(struct store *s, const struct address *a, enum kind *kind, uint32_t *len);
bool store_has(struct store *s, const struct address *a, enum kind *kind, uint32_t *len);

/** store_here_durable(s, a): as store_here(); -ENOENT: it would not survive a crash. */
int store_here_durable(struct store *s, const struct address *a);

/** store_filter(s, addresses, n): those that are here, in the same order, to the front; returns how many, or -errno as store_here().  In the
 * order of addresses faster than one by one. */
ssize_t store_filter(struct store *s, struct address *addresses, size_t n);

/*
 * A chunk as it lies in a record, which others may have as it is: the bytes that the codec made of it, fewer than the raw ones;
 * or those.
 */
struct store_packed {
	enum codec_id codec;
	uint32_t raw_len;
	struct chunk *bytes;
	bool verified;			/* to be put: its caller has hashed it already; got: it was hashed, now or some seconds ago */
};

/* What is hashed before it is handed out. */
enum store_hashing {
	STORE_HASH,			/* all: it is what has this address */
	STORE_HASH_OLD,			/* but for what was stored some seconds ago, and hashed then */
	STORE_HASH_NONE,		/* nothing: for who does it himself, many at a time; what turns out to be other bytes he asks for with
					 * STORE_HASH, which finds out why, and mends */
};

#define STORE_ROOM 64u

/**
 * store_get_packed(s, how, kind, a, room, out): as store_get(), but handed out as it lies.  Of out->bytes, held for the caller alone, the first
 * ${room} bytes (STORE_ROOM at most) are his to write: what he sends goes out in one piece.  What is not durable yet is raw.
 */
int store_get_packed(struct store *s, enum store_hashing how, enum kind *kind, const struct address *a, size_t room, struct store_packed *out);

enum store_put_how {
	STORE_DEFLATE = 1,		/* there is time to compress it */
	STORE_QUICK = 2,		/* -EAGAIN where what is there already would have to be read first */
};

/**
 * store_put_share(s, kind, a, c, how, room, out): as store_put(), and hands out what was stored as store_get_packed() does: nobody compresses it
 * once more.  Where it was there already, or there is no memory for that, out->bytes is NULL.  With ${out} NULL nothing is.
 */
int store_put_share(struct store *s, enum kind kind, const struct address *a, struct chunk *c, unsigned int how, size_t room,
    struct store_packed *out);

/**
 * store_put_packed(s, kind, a, p, known): as store_put(), stored as it is; -EBADMSG where its address is another one.  *${known}: it was there
 * already, and can be read: no byte of ${p} was looked at where that had been verified before.
 */
int store_put_packed(struct store *s, enum kind kind, const struct address *a, const struct store_packed *p, bool *known);

/**
 * store_remove(s, addresses, n, bytes): they are not here any more, durably; as if all at one moment: a put meanwhile comes before it, whole,
 * and goes, or after it, and stays.  *${bytes} (or NULL): what those took that were here.  Their space is store_clean()'s to give back.  -EROFS, -EIO, -ENOSPC, -ENOMEM: none was removed.
 */
int store_remove(struct store *s, const struct address *addresses, size_t n, uint64_t *bytes);

/* What has changed since when?  Two marks of one store are equal where nothing was put or removed between. */
struct store_mark {
	uint64_t id;			/* of the store; never changes */
	uint64_t chunks, stored_bytes;
	uint64_t end;			/* where the next record goes; rises */
};
void store_mark(struct store *s, struct store_mark *out);

/** store_list(s, after, n, out): as dht_list(). */
ssize_t store_list(struct store *s, const struct address *after, size_t n, struct address *out);

/**
 * store_sync_start(s): ask for all that has been put to be made durable; returns a ticket.
 * store_sync_wait(s, ticket): until it is: 0 or -errno.
 */
uint64_t store_sync_start(struct store *s);
int store_sync_wait(struct store *s, uint64_t ticket);

/* What a store tells, from threads of its own; neither may block. */
struct store_listener {
	void (*synced)(void *arg, uint64_t ticket, int result);	/* all tickets up to this one */
	void (*mended)(void *arg);
	void *arg;
};

/** store_listen(s, listener): copies ${listener}.  Before the first store_sync_start(). */
void store_listen(struct store *s, const struct store_listener *listener);

/** store_mending(s): is the ledger being mended?  store_mend_wait(s): until it is not. */
bool store_mending(struct store *s);
void store_mend_wait(struct store *s);

/* As the dht_gc_...() calls and dht_clean(). */
int store_gc_begin(struct store *s, struct store_gc **out);
void store_gc_mark(struct store_gc *gc, const struct address *a);
int store_gc_unmarked(struct store_gc *gc, struct dht_gc_count *out);
void store_gc_condemn(struct store_gc *gc);
int store_gc_sweep(struct store_gc *gc, dht_tell *tell, void *arg, struct dht_gc_count *out);
void store_gc_end(struct store_gc *gc);
int store_clean(struct store *s, bool urgent, dht_tell *tell, void *arg, struct dht_gc_count *out);

int store_reserve(struct store *s, uint64_t bytes);
void store_release(struct store *s, uint64_t bytes);
void store_space(struct store *s, struct dht_space *out);
void store_status(struct store *s, struct dht_status *out);
int store_check(struct store *s, uint64_t bytes_per_s, dht_tell *tell, void *arg,
    struct dht_progress *out);

#endif
