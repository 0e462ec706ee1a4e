/*
 * fetch: code that reads trees of chunks, run until every chunk that it needs is at hand.
 *
 * The readers in chunker/ are plain functions over a source.  No thread of the mount may
 * wait for the set, so a fetch gives them a source that answers -EAGAIN for what is not
 * in memory, looks that up, and runs the whole function again when it has come: trees
 * are a few levels deep, so that is a few runs, each over chunks held by the fetch.
 */
#ifndef FS_FETCH_H
#define FS_FETCH_H

#include <stdbool.h>
#include <pthread.h>

#include "chunker/chunk.h"
#include "dht/dht.h"
#include "fs/cache.h"

#define FETCH_WANTED_MAX 64	/* lookups of one fetch at a time */

struct fetch {
	/*
	 * run(f): the work, over &f->source.  Returns -EAGAIN as it got it from the source, else
	 * its result.  It may call fetch_want() for more chunks before it returns -EAGAIN, so
	 * that they come in parallel.  Runs again from its start after -EAGAIN.
	 */
	int (*run)(struct fetch *f);
	/* done(f, result): exactly once, from whatever thread; may free ${f}'s memory after
	 * fetch_clear(). */
	void (*done)(struct fetch *f, int result);
	struct source source;
	/* private */
	struct dht *dht;
	struct cache *cache;
	struct fetch_slot *slots;	/* chunks held, and wanted: run()'s while it runs */
	unsigned int count, room, wanted;
	pthread_mutex_t lock;		/* protects what follows, and slots on their way */
	unsigned int pending;
	bool cancelled;
	int error;
};

/** fetch_init(f, dht, cache): after the caller has set run and done.  fetch_clear(f): drop all
 * holds; fetch_cancel() does no harm even then. */
void fetch_init(struct fetch *f, struct dht *dht, struct cache *cache);
void fetch_clear(struct fetch *f);

/**
 * fetch_start(f): run; calls done() before it returns where all was at hand.
 * A chunk that could not be got makes the result that errno.
 */
void fetch_start(struct fetch *f);

/** fetch_want(f, kind, a, out): from run(): the chunk if it is at hand (0; valid until
 * fetch_clear(), not held for the caller), else note that it is wanted (-EAGAIN).  -ENOMEM.
 * What is wanted when run() returns something else than -EAGAIN is looked up ahead. */
int fetch_want(struct fetch *f, enum kind kind, const struct address *a, struct chunk **out);

/** fetch_forget(f): from run(): drop what is held.  For work that saves its progress and goes
 * through more chunks than it should hold.  Until then a run can rely on those of the last. */
void fetch_forget(struct fetch *f);

/** fetch_cancel(f): the caller lost interest: done(f, -EINTR) comes soon, from another thread,
 * unless it is being called already.  Callable from an interrupt callback of libfuse. */
void fetch_cancel(struct fetch *f);

/** waiting_source: a source that blocks, for threads that may: lookups through the cache.
 * ${result} of the embedding stays with the caller. */
struct waiting_source {
	struct source source;
	struct dht *dht;
	struct cache *cache;	/* NULL: without */
};
void waiting_source_init(struct waiting_source *w, struct dht *dht, struct cache *cache);

/** dht_sink: a sink that inserts in the calling thread. */
struct dht_sink {
	struct sink sink;
	struct dht *dht;
};
void dht_sink_init(struct dht_sink *s, struct dht *dht);

/** fetch_ahead(dht, cache, kind, a): look a chunk up into the cache; nobody waits for it. */
void fetch_ahead(struct dht *dht, struct cache *cache, enum kind kind, const struct address *a);

#endif
