/* control: what dhtctl can ask of a mount, and what its commands share. */
#ifndef FS_CONTROL_H
#define FS_CONTROL_H

#include "chunker/chunk.h"
#include "dht/control/call.h"
#include "dht/dht.h"

struct fs;

/** Their argument is the struct fs. */
extern const struct call_command fs_commands[];

static inline struct fs *call_fs(const struct call *c)
{
	return c->arg;
}

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

/** call_shown(c, out): a snapshot of what the mount shows now: one is taken; where it follows another's volume, the one that is shown. */
int call_shown(struct call *c, struct ref *out);

/** call_checkpoint(c): make the tree's changes until now durable. */
int call_checkpoint(struct call *c);

/** call_published(c): as dht_published(). */
int call_published(struct call *c);

/* The commands. */
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
int command_paths(struct call *c);
int command_volume(struct call *c);
int command_wait(struct call *c);

/** record_volume(c): what status says of the volume, if there is one. */
void record_volume(struct call *c);

#endif
