#include "tools/ask.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chunker/bytes.h"
#include "dht/control/channel.h"
#include "tools/show.h"

static int say(const char *what, int error)
{
	fprintf(stderr, "dhtctl: %s: %s\n", what, strerror(-error));
	return EXIT_FAILURE;
}

static int connect_store(const char *store)
{
	int fd = channel_connect(store);

	if (fd == -ENOENT)
		fprintf(stderr, "dhtctl: there is no store %s: make one with: dhtfs --store %s MOUNTPOINT\n",
		    store, store);
	else if (fd == -ECONNREFUSED)
		fprintf(stderr, "dhtctl: nothing runs on store %s: mount it with: "
		    "dhtfs --store %s MOUNTPOINT\n", store, store);
	else if (fd < 0)
		say(store, fd);
	return fd;
}

/* What is between us and the mount while one command runs. */
struct dialogue {
	const struct request *request;
	const struct command *command;
	struct channel channel;
	struct progress progress;
	bool in_progress;
	unsigned int records;
	bool bad;		/* check has found damage */
	off_t hole_end;		/* stdout is to be made so long; 0: no need */
	uint8_t *buf;		/* FRAME_MAX bytes */
};

static int send_command(struct dialogue *d)
{
	struct record *r = calloc(1, sizeof(*r));
	int result;

	if (!r)
		return -ENOMEM;
	record_text(r, "command", d->command->name);
	for (int i = 0; i < 2; i++) {
		if (d->command->argument[i] && d->request->argument[i])
			record_text(r, d->command->argument[i], d->request->argument[i]);
	}
	if (d->request->dry_run)
		record_truth(r, "dry_run", true);
	if (d->request->seconds > 0)
		record_number(r, "seconds", d->request->seconds);
	if (d->request->statement)
		record_text(r, "statement", d->request->statement);
	if (d->request->rate > 0)
		record_number(r, "rate", d->request->rate);
	result = r->over ? -E2BIG : channel_send(&d->channel, FRAME_COMMAND, r->b, r->len);
	free(r);
	return result;
}

/* The hole at the file's offset, where there is one, as a frame. */
static int send_hole(struct dialogue *d, int fd)
{
	off_t at = lseek(fd, 0, SEEK_CUR), data = at < 0 ? -1 : lseek(fd, at, SEEK_DATA);
	uint8_t payload[8];

	/* No data behind here: a hole up to the end. */
	if (data < 0 && at >= 0 && errno == ENXIO)
		data = lseek(fd, 0, SEEK_END);
	if (data <= at) {
		if (at >= 0)
			lseek(fd, at, SEEK_SET);
		return 0;
	}
	put_le64(payload, (uint64_t)(data - at));
	return channel_send(&d->channel, FRAME_HOLE, payload, sizeof(payload));
}

/* 0, -errno of the dialogue, or an exit status where the file can't be read. */
static int send_file(struct dialogue *d)
{
	const char *name = d->request->argument[0];
	bool is_stdin = strcmp(name, "-") == 0;
	int fd = is_stdin ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;
	int r = 0;

	if (fd < 0)
		return say(name, -errno);
	while (r == 0) {
		r = send_hole(d, fd);
		if (r == 0)
			n = read(fd, d->buf, FRAME_MAX);
		if (n < 0 && errno == EINTR)
			continue;
		if (r < 0 || n <= 0)
			break;
		r = channel_send(&d->channel, FRAME_DATA, d->buf, (size_t)n);
	}
	if (n < 0)
		say(name, -errno);
	if (!is_stdin)
		close(fd);
	if (n < 0)
		return EXIT_FAILURE;
	if (r == 0)
		r = channel_send(&d->channel, FRAME_END, NULL, 0);
	return r;
}

static int write_all(const uint8_t *p, size_t len)
{
	while (len > 0) {
		ssize_t n = write(STDOUT_FILENO, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return say("stdout", -errno);
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Zeros: left out where stdout is a file that does not reach here yet. */
static int write_hole(struct dialogue *d, uint64_t len)
{
	off_t at = lseek(STDOUT_FILENO, 0, SEEK_CUR);
	int flags = fcntl(STDOUT_FILENO, F_GETFL);
	struct stat st;
	int r = 0;

	if (fstat(STDOUT_FILENO, &st) == 0 && S_ISREG(st.st_mode) && at >= st.st_size &&
	    !(flags & O_APPEND) && len <= (uint64_t)(INT64_MAX - at)) {
		d->hole_end = lseek(STDOUT_FILENO, (off_t)len, SEEK_CUR);
		return d->hole_end < 0 ? say("stdout", -errno) : 0;
	}
	memset(d->buf, 0, FRAME_MAX);
	while (r == 0 && len > 0) {
		size_t n = len < FRAME_MAX ? (size_t)len : FRAME_MAX;

		r = write_all(d->buf, n);
		len -= n;
	}
	return r;
}

static int end_of_answer(struct dialogue *d)
{
	struct stat st;

	if (d->hole_end > 0 && fstat(STDOUT_FILENO, &st) == 0 && st.st_size < d->hole_end &&
	    ftruncate(STDOUT_FILENO, d->hole_end) < 0)
		return say("stdout", -errno);
	if (d->request->answer)
		return 0;
	if (d->request->json && d->command->list)
		puts(d->records > 0 ? "\n]" : "[]");
	else if (d->request->json && d->records == 0 && strcmp(d->command->name, "get") != 0)
		puts("{}");
	return 0;
}

static int take_record(struct dialogue *d, uint32_t len)
{
	if (d->request->answer) {
		memcpy(d->request->answer->b, d->buf, len);
		d->request->answer->len = len;
		return 0;
	}
	d->records++;
	d->bad |= show_number(d->buf, len, "bad") > 0;
	if (d->request->json && d->command->list)
		fputs(d->records > 1 ? ",\n  " : "[\n  ", stdout);
	if (d->request->json) {
		int r = show_json(d->buf, len);

		if (!d->command->list)
			putchar('\n');
		return r;
	}
	if (d->command->show)
		d->command->show(d->buf, len);
	return 0;
}

static void take_progress(struct dialogue *d, uint32_t len)
{
	struct field phase, done;
	bool counts = record_find(d->buf, len, "done", &done);

	d->in_progress = true;
	if (record_find(d->buf, len, "phase", &phase) && phase.type == FIELD_TEXT)
		progress_phase(&d->progress, phase.value, counts);
	progress_update(&d->progress, show_number(d->buf, len, counts ? "done" : "done_bytes"),
	    show_number(d->buf, len, counts ? "total" : "total_bytes"));
}

static int take_error(struct dialogue *d, uint32_t len)
{
	if (len < 4)
		return -EBADMSG;
	fprintf(stderr, "dhtctl: %.*s\n", (int)(len - 4), (const char *)d->buf + 4);
	return EXIT_FAILURE;
}

/* 0: another frame follows; 1: the end of the answer. */
static int take_frame(struct dialogue *d, int *status)
{
	enum frame_type type;
	uint32_t len;
	int r = channel_header(&d->channel, CHANNEL_FOREVER, &type, &len);

	if (r == 0)
		r = channel_payload(&d->channel, CHANNEL_FOREVER, d->buf, len);
	if (r < 0)
		return r;
	if (d->in_progress && type != FRAME_PROGRESS) {
		d->in_progress = false;
		progress_end(&d->progress);
	}
	switch (type) {
	case FRAME_RECORD:
		return take_record(d, len);
	case FRAME_PROGRESS:
		take_progress(d, len);
		return 0;
	case FRAME_DATA:
		*status = write_all(d->buf, len);
		return *status;
	case FRAME_HOLE:
		if (len != 8)
			return -EBADMSG;
		*status = write_hole(d, get_le64(d->buf));
		return *status;
	case FRAME_END:
		*status = end_of_answer(d);
		return 1;
	case FRAME_ERROR:
		*status = take_error(d, len);
		return *status;
	default:
		return -EBADMSG;
	}
}

/* As diff(1): 0 same, 1 different, 2 trouble. */
static int exit_status(const struct dialogue *d, int status)
{
	if (!d->command->compares)
		return status ? status : d->bad ? EXIT_FAILURE : EXIT_SUCCESS;
	return status ? 2 : d->records > 0;
}

int ask(const struct request *o, const struct command *command)
{
	struct dialogue d = { .request = o, .command = command, .channel.stop_fd = -1 };
	int r, status = 0;

	d.buf = malloc(FRAME_MAX);
	d.channel.fd = d.buf ? connect_store(o->store) : -1;
	if (d.channel.fd < 0) {
		free(d.buf);
		return exit_status(&d, EXIT_FAILURE);
	}
	progress_start(&d.progress, "checked");
	r = send_command(&d);
	if (r == 0 && strcmp(command->name, "put") == 0)
		r = send_file(&d);
	/* Who closed before it had heard all has said why. */
	if (r == -EPIPE)
		r = 0;
	if (r > 0)
		status = r;
	while (r == 0)
		r = take_frame(&d, &status);
	close(d.channel.fd);
	free(d.buf);
	if (r == -EPIPE)
		fprintf(stderr, "dhtctl: it ended before it answered\n");
	else if (r < 0)
		say(o->store, r);
	if (r < 0 || fflush(stdout) != 0 || ferror(stdout))
		status = EXIT_FAILURE;
	return exit_status(&d, status);
}
