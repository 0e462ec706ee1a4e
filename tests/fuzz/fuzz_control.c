/* Any bytes at the control socket, from its first frame on; and any record as an answer, of which metrics are made. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dht/control/call.h"
#include "dht/control/metrics.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Says again what it was told. */
static int echo(struct call *c)
{
	const char *text = call_text(c, "text");
	struct address a;

	if (text)
		record_text(&c->record, "text", text);
	record_number(&c->record, "number", call_number(c, "number"));
	record_truth(&c->record, "truth", call_truth(c, "truth"));
	if (call_address(c, "address", &a) == 0)
		call_record_address(c, "address", &a);
	return call_answer(c, FRAME_RECORD);
}

static const struct call_command commands[] = { { "e", echo }, { 0 } };
static const struct call_table tables[] = { { commands, NULL }, { 0 } };
static const struct call_program program = { .name = "fuzz", .ends = "it ends", .tables = tables };

/* Whatever was said is answered by whole frames, the last of which is an end or an error; or by nothing where the command did not come. */
static void read_answer(int fd)
{
	struct channel c = { .fd = fd, .stop_fd = -1 };
	enum frame_type type = FRAME_END;
	static uint8_t payload[RECORD_MAX];
	uint32_t len;
	int rc;

	while ((rc = channel_header(&c, 0, &type, &len)) == 0) {
		assert(len <= sizeof(payload) && channel_payload(&c, 0, payload, len) == 0);
		if (type == FRAME_RECORD) {
			const uint8_t *p = payload;
			struct field f;

			while ((rc = record_next(&p, payload + len, &f)) > 0)
				;
			assert(rc == 0);
		}
	}
	assert(type == FRAME_END || type == FRAME_ERROR);
}

static void serve(const uint8_t *data, size_t size)
{
	int fd[2], stop = eventfd(0, EFD_CLOEXEC);

	/* More than a socket holds would be waited for; what comes behind the command is read by nobody here. */
	if (stop < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) < 0)
		abort();
	if (size < 64 << 10 && send(fd[0], data, size, MSG_NOSIGNAL) == (ssize_t)size) {
		shutdown(fd[0], SHUT_WR);
		call_run(&program, (struct channel){ .fd = fd[1], .stop_fd = stop });
		shutdown(fd[1], SHUT_WR);
		read_answer(fd[0]);
	}
	close(fd[0]);
	close(fd[1]);
	close(stop);
}

static void answer(const uint8_t *data, size_t size)
{
	size_t room = size % 7 ? 8 * RECORD_MAX : size;
	char *text = malloc(room + 1);
	struct field f;
	long len;

	if (!text || size > RECORD_MAX) {
		free(text);
		return;
	}
	record_find(data, size, "version", &f);
	len = metrics_text(data, size, text, room);
	assert(len <= (long)room);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] == 0)
		answer(data + 1, size - 1);
	else
		serve(data, size);
	return 0;
}
