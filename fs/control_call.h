/*
 * control_call: one command of dhtctl's while it runs, in a thread of its own.
 *
 * Whatever it waits for, it stops waiting when the other side has gone or the mount ends.
 */
#ifndef FS_CONTROL_CALL_H
#define FS_CONTROL_CALL_H

#include <stdatomic.h>
#include <stdbool.h>

#include "chunker/address.h"
#include "chunker/chunk.h"
#include "dht/dht.h"
#include "fs/channel.h"

struct fs;

struct call {
	struct fs *fs;
	struct channel channel;
	uint32_t args_len;
	uint8_t args[RECORD_MAX];	/* the command's record */
	struct record record;		/* the next answer */
	char why[512];			/* what went wrong, for a person; "": what the errno says */
	/* private */
	int event_fd;			/* counts completions */
	unsigned int pending;		/* completions that have not been counted yet */
};

/** call_run(fs, channel): receive a command, run it, answer. */
void call_run(struct fs *fs, struct channel channel);

/** call_text(c, name): an argument, NULL where there is none. */
const char *call_text(struct call *c, const char *name);

/** call_fail(c, error, format, ...): sets why; returns ${error}. */
int call_fail(struct call *c, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** call_address(c, out): the argument "address".  -EINVAL with why. */
int call_address(struct call *c, struct address *out);

/** call_answer(c, type): send the record, and start another. */
int call_answer(struct call *c, enum frame_type type);

void call_record_address(struct call *c, const char *name, const struct address *a);

/*
 * Something asynchronous that a call has started.  Embedded beside what is waited for, whose
 * completion calls waited_done(), from any thread, and touches none of it afterwards.
 */
struct waited {
	struct call *call;
	atomic_bool done;
	int result;
};

/** waited_start(w, c): before it is started.  waited_left(w): it will not be done after all. */
void waited_start(struct waited *w, struct call *c);
void waited_left(struct waited *w);
void waited_done(struct waited *w, int result);

/** waited_wait(w): 0 when it is done; -EPIPE, -ECANCELED: it still runs, and nobody cares for it
 * any more. */
int waited_wait(struct waited *w);

/** waited_finish(w): until it is done, whatever happens. */
void waited_finish(struct waited *w);

struct waited_lookup {
	struct waited waited;
	struct dht_op op;
};

/** waited_lookup_start(w, c, kind, a); waited_lookup_end(w): waits for it; its result, with
 * op.chunk held for the caller if that is 0.  waited_lookup_cancel(w): the caller does not want
 * it: ends with nothing held. */
void waited_lookup_start(struct waited_lookup *w, struct call *c, enum kind kind,
    const struct address *a);
int waited_lookup_end(struct waited_lookup *w);
void waited_lookup_cancel(struct waited_lookup *w);

/* A source whose lookups end with their call. */
struct call_source {
	struct source source;
	struct call *call;
};
void call_source_init(struct call_source *s, struct call *c);

/** call_lookup_failed(c, error, a): why a chunk could not be had, for a person; returns ${error}. */
int call_lookup_failed(struct call *c, int error, const struct address *a);

/** call_snapshot(c, note, out): take a snapshot as snapshots_wait() does. */
int call_snapshot(struct call *c, const char *note, struct ref *out);

/** call_checkpoint(c): make the tree's changes until now durable. */
int call_checkpoint(struct call *c);

/* The commands, each as its entry in dhtctl(1): 0 (END is then sent), or -errno. */
int command_status(struct call *c);
int command_put(struct call *c);
int command_unpin(struct call *c);
int command_pins(struct call *c);
int command_get(struct call *c);
int command_sync(struct call *c);
int command_snapshot(struct call *c);
int command_snapshots(struct call *c);
int command_check(struct call *c);
int command_gc(struct call *c);
int command_diff(struct call *c);

#endif
