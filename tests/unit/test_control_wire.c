/* control/wire and channel: the dialogue with dhtctl, its limits, and others that keep no rule of it. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "chunker/bytes.h"
#include "dht/control/channel.h"
#include "dht/control/wire.h"
#include "tests/lib/suite.h"

#define SOON_MS 20000	/* a bound for what must come; nothing waits so long */

static void frames_have_golden_bytes(void **state)
{
	static const uint8_t wanted[] = { 5, 0x04, 0x03, 0x02, 0x00 };
	uint8_t header[FRAME_HEADER_LEN];
	enum frame_type type;
	uint32_t len;

	(void)state;
	frame_header_encode(FRAME_HOLE, 0x20304, header);
	assert_memory_equal(header, wanted, sizeof(wanted));
	frame_header_encode(FRAME_HOLE, 8, header);
	assert_int_equal(frame_header_decode(header, &type, &len), 0);
	assert_int_equal(type, FRAME_HOLE);
	assert_int_equal(len, 8);
}

static void lengths_are_bounded_by_type_and_unknown_types_refused(void **state)
{
	static const uint32_t max[] = {
		[FRAME_COMMAND] = RECORD_MAX, [FRAME_RECORD] = RECORD_MAX,
		[FRAME_PROGRESS] = RECORD_MAX, [FRAME_DATA] = FRAME_MAX, [FRAME_HOLE] = 8,
		[FRAME_END] = 0, [FRAME_ERROR] = RECORD_MAX,
	};
	uint8_t header[FRAME_HEADER_LEN];
	enum frame_type type;
	uint32_t len;

	(void)state;
	for (unsigned int t = 0; t < 256; t++) {
		bool known = t >= FRAME_COMMAND && t <= FRAME_ERROR;

		frame_header_encode((enum frame_type)t, known ? max[t] : 0, header);
		assert_int_equal(frame_header_decode(header, &type, &len), known ? 0 : -EBADMSG);
		if (!known)
			continue;
		assert_int_equal(len, max[t]);
		frame_header_encode((enum frame_type)t, max[t] + 1, header);
		assert_int_equal(frame_header_decode(header, &type, &len), -EBADMSG);
		frame_header_encode((enum frame_type)t, UINT32_MAX, header);
		assert_int_equal(frame_header_decode(header, &type, &len), -EBADMSG);
	}
}

static void a_record_is_read_as_it_was_written(void **state)
{
	static const char golden[] = "scommand\0get\0nrate\0" "18446744073709551615\0bdone\0true";
	struct record *r = calloc(1, sizeof(*r));
	const uint8_t *p = r->b;
	struct field f;

	(void)state;
	record_text(r, "command", "get");
	record_number(r, "rate", UINT64_MAX);
	record_truth(r, "done", true);
	assert_int_equal(r->len, sizeof(golden));
	assert_memory_equal(r->b, golden, sizeof(golden));

	assert_int_equal(record_next(&p, r->b + r->len, &f), 1);
	assert_int_equal(f.type, FIELD_TEXT);
	assert_string_equal(f.name, "command");
	assert_string_equal(f.value, "get");
	assert_int_equal(record_next(&p, r->b + r->len, &f), 1);
	assert_int_equal(f.type, FIELD_NUMBER);
	assert_true(f.number == UINT64_MAX);
	assert_int_equal(record_next(&p, r->b + r->len, &f), 1);
	assert_int_equal(f.type, FIELD_TRUTH);
	assert_int_equal(f.number, 1);
	assert_int_equal(record_next(&p, r->b + r->len, &f), 0);

	assert_true(record_find(r->b, r->len, "rate", &f));
	assert_string_equal(f.value, "18446744073709551615");
	assert_false(record_find(r->b, r->len, "rat", &f));
	free(r);
}

static void what_does_not_fit_a_record_is_left_out_and_noted(void **state)
{
	struct record *r = calloc(1, sizeof(*r));
	char text[RECORD_MAX];
	struct field f;

	(void)state;
	memset(text, 'x', sizeof(text));
	text[RECORD_MAX - 3] = '\0';
	record_text(r, "a", text);	/* with its type, "a" and two NULs one byte over */
	assert_true(r->over);
	assert_int_equal(r->len, 0);
	r->over = false;
	text[RECORD_MAX - 4] = '\0';
	record_text(r, "a", text);
	assert_false(r->over);
	record_truth(r, "b", false);
	assert_true(r->over);
	assert_true(record_find(r->b, r->len, "a", &f));
	assert_int_equal(strlen(f.value), RECORD_MAX - 4);
	free(r);
}

static int read_all(const void *bytes, size_t len)
{
	/* On the heap at its exact length, so that a read over the end is seen. */
	uint8_t *b = malloc(len ? len : 1);
	const uint8_t *p = b;
	struct field f;
	int r;

	memcpy(b, bytes, len);
	while ((r = record_next(&p, b + len, &f)) > 0)
		;
	free(b);
	return r;
}

#define READ_ALL(literal) read_all(literal, sizeof(literal) - 1)

static void malformed_records_are_refused(void **state)
{
	(void)state;
	assert_int_equal(READ_ALL(""), 0);
	assert_int_equal(READ_ALL("sa\0b\0"), 0);
	assert_int_equal(READ_ALL("s"), -EBADMSG);
	assert_int_equal(READ_ALL("sa"), -EBADMSG);
	assert_int_equal(READ_ALL("sa\0"), -EBADMSG);
	assert_int_equal(READ_ALL("sa\0b"), -EBADMSG);
	assert_int_equal(READ_ALL("sa\0b\0s"), -EBADMSG);
	assert_int_equal(READ_ALL("s\0b\0"), -EBADMSG);
	assert_int_equal(READ_ALL("sA\0b\0"), -EBADMSG);
	assert_int_equal(READ_ALL("s\"\0b\0"), -EBADMSG);
	assert_int_equal(READ_ALL("xa\0b\0"), -EBADMSG);
	assert_int_equal(READ_ALL("sabcdefghijklmnopqrstuvwxyz0123456\0b\0"), -EBADMSG);
	assert_int_equal(READ_ALL("na\0" "0\0"), 0);
	assert_int_equal(READ_ALL("na\0\0"), -EBADMSG);
	assert_int_equal(READ_ALL("na\0" "01\0"), -EBADMSG);
	assert_int_equal(READ_ALL("na\0-1\0"), -EBADMSG);
	assert_int_equal(READ_ALL("na\0" "1 \0"), -EBADMSG);
	assert_int_equal(READ_ALL("na\0" "18446744073709551616\0"), -EBADMSG);
	assert_int_equal(READ_ALL("na\0" "99999999999999999999\0"), -EBADMSG);
	assert_int_equal(READ_ALL("ba\0yes\0"), -EBADMSG);
}

static void random_bytes_never_lead_a_reader_past_the_end(void **state)
{
	unsigned int seed = (unsigned int)suite_seed(1);
	static const char alphabet[] = "snb\0a0_1truefals";
	uint8_t b[64];

	(void)state;
	for (int i = 0; i < 200000; i++) {
		size_t len = (size_t)rand_r(&seed) % sizeof(b);

		for (size_t j = 0; j < len; j++)
			b[j] = (uint8_t)alphabet[(size_t)rand_r(&seed) % sizeof(alphabet)];
		assert_true(read_all(b, len) <= 0);
	}
}

/* Two ends of a socket, both non-blocking, and what stops the first. */
static struct channel here, there;

static int connect_both(void **state)
{
	int fds[2];

	(void)state;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
		return -1;
	here = (struct channel){ .fd = fds[0], .stop_fd = eventfd(0, EFD_CLOEXEC) };
	there = (struct channel){ .fd = fds[1], .stop_fd = -1 };
	return 0;
}

static int close_both(void **state)
{
	(void)state;
	close(here.fd);
	close(here.stop_fd);
	if (there.fd >= 0)
		close(there.fd);
	return 0;
}

static void *send_much(void *arg)
{
	uint8_t *bytes = arg;

	for (int i = 0; i < 8; i++) {
		if (channel_send(&there, FRAME_DATA, bytes, FRAME_MAX) < 0)
			return arg;
	}
	return channel_send(&there, FRAME_END, NULL, 0) < 0 ? arg : NULL;
}

static void frames_larger_than_the_socket_arrive_whole(void **state)
{
	uint8_t *bytes = malloc(FRAME_MAX), *got = malloc(FRAME_MAX);
	enum frame_type type;
	pthread_t sender;
	uint32_t len;
	void *failed;

	(void)state;
	for (size_t i = 0; i < FRAME_MAX; i++)
		bytes[i] = (uint8_t)(i * 2654435761u >> 24);
	assert_int_equal(pthread_create(&sender, NULL, send_much, bytes), 0);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(channel_header(&here, SOON_MS, &type, &len), 0);
		assert_int_equal(type, FRAME_DATA);
		assert_int_equal(len, FRAME_MAX);
		assert_int_equal(channel_payload(&here, SOON_MS, got, len), 0);
		assert_memory_equal(got, bytes, FRAME_MAX);
	}
	assert_int_equal(channel_header(&here, SOON_MS, &type, &len), 0);
	assert_int_equal(type, FRAME_END);
	pthread_join(sender, &failed);
	assert_null(failed);
	free(bytes);
	free(got);
}

static void a_wait_ends_when_the_other_side_goes(void **state)
{
	uint8_t *bytes = calloc(1, FRAME_MAX);
	enum frame_type type;
	uint32_t len;
	int event = eventfd(0, EFD_CLOEXEC);

	(void)state;
	assert_int_equal(channel_gone(&here), 0);
	assert_int_equal(channel_header(&here, 1, &type, &len), -ETIMEDOUT);
	close(there.fd);
	there.fd = -1;
	assert_int_equal(channel_gone(&here), -EPIPE);
	assert_int_equal(channel_wait(&here, event, CHANNEL_FOREVER), -EPIPE);
	assert_int_equal(channel_header(&here, SOON_MS, &type, &len), -EPIPE);
	assert_int_equal(channel_send(&here, FRAME_DATA, bytes, FRAME_MAX), -EPIPE);
	free(bytes);
	close(event);
}

static void a_wait_ends_when_it_is_stopped(void **state)
{
	uint8_t *bytes = calloc(1, FRAME_MAX);
	enum frame_type type;
	uint32_t len;
	int event = eventfd(0, EFD_CLOEXEC);

	(void)state;
	eventfd_write(here.stop_fd, 1);
	assert_int_equal(channel_gone(&here), -ECANCELED);
	assert_int_equal(channel_wait(&here, event, CHANNEL_FOREVER), -ECANCELED);
	assert_int_equal(channel_header(&here, SOON_MS, &type, &len), -ECANCELED);
	assert_int_equal(channel_send(&here, FRAME_DATA, bytes, FRAME_MAX), -ECANCELED);
	/* What has happened counts more. */
	eventfd_write(event, 1);
	assert_int_equal(channel_wait(&here, event, CHANNEL_FOREVER), 0);
	free(bytes);
	close(event);
}

static void garbage_is_told_from_a_frame(void **state)
{
	enum frame_type type;
	uint32_t len;

	(void)state;
	assert_int_equal(write(there.fd, "GET / HTTP/1.1\r\n", 16), 16);
	assert_int_equal(channel_header(&here, SOON_MS, &type, &len), -EBADMSG);
}

static void an_error_carries_its_number_and_text(void **state)
{
	uint8_t payload[64];
	enum frame_type type;
	uint32_t len;

	(void)state;
	assert_int_equal(channel_send_error(&here, ENOSPC, "it is full"), 0);
	assert_int_equal(channel_header(&there, SOON_MS, &type, &len), 0);
	assert_int_equal(type, FRAME_ERROR);
	assert_int_equal(len, 4 + strlen("it is full"));
	assert_int_equal(channel_payload(&there, SOON_MS, payload, len), 0);
	assert_int_equal(get_le32(payload), ENOSPC);
	assert_memory_equal(payload + 4, "it is full", len - 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_have_golden_bytes),
		cmocka_unit_test(lengths_are_bounded_by_type_and_unknown_types_refused),
		cmocka_unit_test(a_record_is_read_as_it_was_written),
		cmocka_unit_test(what_does_not_fit_a_record_is_left_out_and_noted),
		cmocka_unit_test(malformed_records_are_refused),
		cmocka_unit_test(random_bytes_never_lead_a_reader_past_the_end),
		cmocka_unit_test_setup_teardown(frames_larger_than_the_socket_arrive_whole,
		    connect_both, close_both),
		cmocka_unit_test_setup_teardown(a_wait_ends_when_the_other_side_goes, connect_both,
		    close_both),
		cmocka_unit_test_setup_teardown(a_wait_ends_when_it_is_stopped, connect_both,
		    close_both),
		cmocka_unit_test_setup_teardown(garbage_is_told_from_a_frame, connect_both,
		    close_both),
		cmocka_unit_test_setup_teardown(an_error_carries_its_number_and_text, connect_both,
		    close_both),
	};

	return suite_run(tests);
}
