#include "fs/control_call.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fs/fs.h"
#include "fs/log.h"

#define COMMAND_TIMEOUT_MS 10000	/* for a command to come, once connected */

static const struct {
	const char *name;
	int (*run)(struct call *c);
} commands[] = {
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
};

const char *call_text(struct call *c, const char *name)
{
	struct field f;

	if (!record_find(c->args, c->args_len, name, &f) || f.type != FIELD_TEXT)
		return NULL;
	return f.value;
}

int call_fail(struct call *c, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(c->why, sizeof(c->why), format, args);
	va_end(args);
	return error;
}

int call_address(struct call *c, struct address *out)
{
	const char *text = call_text(c, "address");

	if (!text || address_parse(text, out) < 0)
		return call_fail(c, -EINVAL, "'%s' is no address: one has 64 hex digits",
		    text ? text : "");
	return 0;
}

int call_answer(struct call *c, enum frame_type type)
{
	int r;

	if (c->record.over)
		return -EMSGSIZE;
	r = channel_send(&c->channel, type, c->record.b, c->record.len);
	c->record.len = 0;
	return r;
}

void call_record_address(struct call *c, const char *name, const struct address *a)
{
	char text[ADDRESS_TEXT_LEN + 1];

	address_format(a, text);
	record_text(&c->record, name, text);
}

void waited_start(struct waited *w, struct call *c)
{
	w->call = c;
	atomic_init(&w->done, false);
	c->pending++;
}

void waited_left(struct waited *w)
{
	w->call->pending--;
}

/* Writing the event comes last: the call, and its descriptor, stay until it is counted. */
void waited_done(struct waited *w, int result)
{
	struct call *c = w->call;

	w->result = result;
	atomic_store(&w->done, true);
	eventfd_write(c->event_fd, 1);
}

static void count_completions(struct call *c)
{
	eventfd_t n;

	if (eventfd_read(c->event_fd, &n) == 0)
		c->pending -= (unsigned int)n;
}

int waited_wait(struct waited *w)
{
	while (!atomic_load(&w->done)) {
		int r = channel_wait(&w->call->channel, w->call->event_fd);

		if (r < 0)
			return r;
		count_completions(w->call);
	}
	return 0;
}

/* For any completion. */
static void wait_event(struct call *c)
{
	struct pollfd fd = { .fd = c->event_fd, .events = POLLIN };

	if (poll(&fd, 1, -1) > 0)
		count_completions(c);
}

void waited_finish(struct waited *w)
{
	while (!atomic_load(&w->done))
		wait_event(w->call);
}

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
	dht_lookup(c->fs->dht, &w->op);
}

int waited_lookup_end(struct waited_lookup *w)
{
	int r = waited_wait(&w->waited);

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
	snapshots_wait(c->fs->snapshots, &w.waiter);
	r = waited_wait(&w.waited);
	if (r < 0) {
		if (snapshots_leave(c->fs->snapshots, &w.waiter))
			waited_left(&w.waited);
		else
			waited_finish(&w.waited);
		return r;
	}
	*out = w.waiter.ref;
	return w.waited.result;
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
	checkpoint_due(c->fs->checkpoint);
	checkpoint_wait(c->fs->checkpoint, &w.waiter);
	r = waited_wait(&w.waited);
	if (r == 0)
		return w.waited.result;
	if (checkpoint_leave(c->fs->checkpoint, &w.waiter))
		waited_left(&w.waited);
	else
		waited_finish(&w.waited);
	return r;
}

static int receive_command(struct call *c)
{
	enum frame_type type;
	int r = channel_header(&c->channel, COMMAND_TIMEOUT_MS, &type, &c->args_len);

	if (r == -EBADMSG || (r == 0 && type != FRAME_COMMAND)) {
		c->args_len = 0;
		return call_fail(c, -EPROTO, "this is not what dhtctl %s says", DHTFS_VERSION);
	}
	if (r < 0)
		return r;
	return channel_payload(&c->channel, COMMAND_TIMEOUT_MS, c->args, c->args_len);
}

static int run_command(struct call *c)
{
	const char *name = call_text(c, "command");

	for (size_t i = 0; name && i < sizeof(commands) / sizeof(*commands); i++) {
		if (strcmp(commands[i].name, name) == 0)
			return commands[i].run(c);
	}
	return call_fail(c, -EOPNOTSUPP, "dhtfs %s does not know this command", DHTFS_VERSION);
}

static void answer_end(struct call *c, int r)
{
	if (r == 0)
		r = channel_send(&c->channel, FRAME_END, NULL, 0);
	else if (r == -EBADMSG && !c->why[0])
		call_fail(c, r, "a chunk in the store is not what its address says: see the log");
	else if (r == -ECANCELED && !c->why[0])
		call_fail(c, r, "the mount ends");
	/* One that has gone is not told. */
	if (r < 0 && r != -EPIPE)
		channel_send_error(&c->channel, -r, c->why[0] ? c->why : strerror(-r));
}

void call_run(struct fs *fs, struct channel channel)
{
	struct call *c = calloc(1, sizeof(*c));
	int r;

	if (!c) {
		channel_send_error(&channel, ENOMEM, strerror(ENOMEM));
		return;
	}
	c->fs = fs;
	c->channel = channel;
	c->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = c->event_fd < 0 ? -errno : receive_command(c);
	if (r == 0)
		r = run_command(c);
	answer_end(c, r);
	while (c->pending > 0)
		wait_event(c);
	if (c->event_fd >= 0)
		close(c->event_fd);
	free(c);
}
