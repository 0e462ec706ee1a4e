#include "dht/control/call.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define COMMAND_TIMEOUT_MS 10000	/* for a command to come, once connected */

const char *call_text(struct call *c, const char *name)
{
	struct field f;

	if (!record_find(c->args, c->args_len, name, &f) || f.type != FIELD_TEXT)
		return NULL;
	return f.value;
}

uint64_t call_number(struct call *c, const char *name)
{
	struct field f;

	return record_find(c->args, c->args_len, name, &f) && f.type == FIELD_NUMBER ? f.number : 0;
}

bool call_truth(struct call *c, const char *name)
{
	struct field f;

	return record_find(c->args, c->args_len, name, &f) && f.type == FIELD_TRUTH && f.number;
}

int call_fail(struct call *c, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(c->why, sizeof(c->why), format, args);
	va_end(args);
	return error;
}

int call_address(struct call *c, const char *name, struct address *out)
{
	const char *text = call_text(c, name);

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

int call_pause(struct call *c, unsigned int ms)
{
	int r = channel_wait(&c->channel, -1, (int)ms);

	return r == -ETIMEDOUT ? 0 : r;
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

int waited_wait(struct waited *w, int timeout_ms)
{
	while (!atomic_load(&w->done)) {
		int r = channel_wait(&w->call->channel, w->call->event_fd, timeout_ms);

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

	for (const struct call_table *t = c->program->tables; name && t->commands; t++) {
		for (const struct call_command *k = t->commands; k->name; k++) {
			if (strcmp(k->name, name) != 0)
				continue;
			c->arg = t->arg;
			return k->run(c);
		}
	}
	return call_fail(c, -EOPNOTSUPP, "%s %s does not know this command", c->program->name, DHTFS_VERSION);
}

static void answer_end(struct call *c, int r)
{
	if (r == 0)
		r = channel_send(&c->channel, FRAME_END, NULL, 0);
	else if (r == -EBADMSG && !c->why[0])
		call_fail(c, r, "a chunk in the store is not what its address says: see the log");
	else if (r == -ECANCELED && !c->why[0])
		call_fail(c, r, "%s", c->program->ends);
	/* One that has gone is not told. */
	if (r < 0 && r != -EPIPE)
		channel_send_error(&c->channel, -r, c->why[0] ? c->why : strerror(-r));
}

void call_run(const struct call_program *program, struct channel channel)
{
	struct call *c = calloc(1, sizeof(*c));
	int r;

	if (!c) {
		channel_send_error(&channel, ENOMEM, strerror(ENOMEM));
		return;
	}
	c->program = program;
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
