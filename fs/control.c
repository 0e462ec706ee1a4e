#include "fs/control.h"

#include <errno.h>
#include <string.h>

#include "fs/follow.h"
#include "fs/fs.h"

const struct call_command fs_commands[] = {
	{ "status", command_status },
	{ "put", command_put },
	{ "unpin", command_unpin },
	{ "pins", command_pins },
	{ "get", command_get },
	{ "sync", command_sync },
	{ "snapshot", command_snapshot },
	{ "snapshots", command_snapshots },
	{ "check", command_check },
	{ "gc", command_gc },
	{ "diff", command_diff },
	{ "paths", command_paths },
	{ "volume", command_volume },
	{ "wait", command_wait },
	{ 0 },
};

static void lookup_done(struct dht_op *op)
{
	struct waited_lookup *w = op->user;

	waited_done(&w->waited, op->result);
}

void waited_lookup_start(struct waited_lookup *w, struct call *c, enum kind kind,
    const struct address *a)
{
	w->op = (struct dht_op){ .done = lookup_done, .user = w, .kind = kind, .address = *a };
	waited_start(&w->waited, c);
	dht_lookup(call_fs(c)->dht, &w->op);
}

int waited_lookup_end(struct waited_lookup *w)
{
	int r = waited_wait(&w->waited, CHANNEL_FOREVER);

	if (r == 0)
		return w->waited.result;
	waited_lookup_cancel(w);
	return r;
}

void waited_lookup_cancel(struct waited_lookup *w)
{
	if (!atomic_load(&w->waited.done))
		dht_cancel(&w->op);
	waited_finish(&w->waited);
	if (w->waited.result == 0)
		chunk_drop(w->op.chunk);
}

static int source_get(struct source *s, enum kind kind, const struct address *a,
    struct chunk **out)
{
	struct waited_lookup w;
	int r;

	waited_lookup_start(&w, ((struct call_source *)s)->call, kind, a);
	r = waited_lookup_end(&w);
	if (r == 0)
		*out = w.op.chunk;
	return r;
}

void call_source_init(struct call_source *s, struct call *c)
{
	*s = (struct call_source){ .source.get = source_get, .call = c };
}

int call_lookup_failed(struct call *c, int error, const struct address *a)
{
	char text[ADDRESS_TEXT_LEN + 1];

	address_format(a, text);
	if (error == -ENOENT)
		return call_fail(c, error, "nobody has %s", text);
	if (error == -EBADMSG)
		return call_fail(c, error, "what there is of %s is damaged", text);
	return error;
}

struct snapshot_wait {
	struct snapshot_waiter waiter;
	struct waited waited;
};

static void snapshot_done(struct snapshot_waiter *waiter, int result)
{
	struct snapshot_wait *w = (struct snapshot_wait *)waiter;

	waited_done(&w->waited, result);
}

int call_snapshot(struct call *c, const char *note, struct ref *out)
{
	struct snapshot_wait w = { .waiter = { .done = snapshot_done, .note = note } };
	int r;

	waited_start(&w.waited, c);
	snapshots_wait(call_fs(c)->snapshots, &w.waiter);
	r = waited_wait(&w.waited, CHANNEL_FOREVER);
	if (r < 0) {
		if (snapshots_leave(call_fs(c)->snapshots, &w.waiter))
			waited_left(&w.waited);
		else
			waited_finish(&w.waited);
		return r;
	}
	*out = w.waiter.ref;
	return w.waited.result;
}

int call_shown(struct call *c, struct ref *out)
{
	struct follow_status followed;

	if (!call_fs(c)->follow)
		return call_snapshot(c, NULL, out);
	follow_status(call_fs(c)->follow, &followed);
	*out = followed.snapshot;
	return 0;
}

int call_published(struct call *c)
{
	struct waited_lookup w = { .op = { .done = lookup_done, .user = &w } };

	waited_start(&w.waited, c);
	dht_published(call_fs(c)->dht, &w.op);
	return waited_lookup_end(&w);
}

struct checkpoint_wait {
	struct checkpoint_waiter waiter;
	struct waited waited;
};

static void checkpoint_done(struct checkpoint_waiter *waiter, int result)
{
	struct checkpoint_wait *w = (struct checkpoint_wait *)waiter;

	waited_done(&w->waited, result);
}

int call_checkpoint(struct call *c)
{
	struct checkpoint_wait w = { .waiter.done = checkpoint_done };
	int r;

	waited_start(&w.waited, c);
	checkpoint_due(call_fs(c)->checkpoint);
	checkpoint_wait(call_fs(c)->checkpoint, &w.waiter);
	r = waited_wait(&w.waited, CHANNEL_FOREVER);
	if (r == 0)
		return w.waited.result;
	if (checkpoint_leave(call_fs(c)->checkpoint, &w.waiter))
		waited_left(&w.waited);
	else
		waited_finish(&w.waited);
	return r;
}

