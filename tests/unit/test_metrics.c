#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "dht/control/call.h"
#include "dht/control/metrics.h"
#include "dht/control/server.h"
#include "tests/lib/suite.h"

/* A program with one command, in a folder of its own. */
struct world {
	char store[64], socket[96], why[256];
	struct server *server;
	struct metrics *metrics;
	bool fails;
};

static int status(struct call *c)
{
	struct world *w = c->arg;

	if (w->fails)
		return call_fail(c, -EIO, "no");
	record_text(&c->record, "version", "1.2");
	record_text(&c->record, "store", "a secret place");
	record_number(&c->record, "members", 3);
	record_number(&c->record, "lookups", 7);
	record_truth(&c->record, "maintenance", true);
	return call_answer(c, FRAME_RECORD);
}

static const struct call_command commands[] = { { "status", status }, { 0 } };

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	static struct call_table tables[2];
	static struct call_program program = { .name = "test", .ends = "the test ends", .tables = tables };

	strcpy(w->store, "/tmp/test-metrics.XXXXXX");
	assert_non_null(mkdtemp(w->store));
	snprintf(w->socket, sizeof(w->socket), "unix:%s/http", w->store);
	tables[0] = (struct call_table){ commands, w };
	assert_int_equal(server_start(&program, w->store, &w->server), 0);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	char command[128];

	metrics_stop(w->metrics);
	server_stop(w->server);
	snprintf(command, sizeof(command), "rm -rf -- '%s'", w->store);
	assert_int_equal(system(command), 0);
	free(w);
	return 0;
}

static int connect_to(const struct world *w)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(a.sun_path, w->socket + strlen("unix:"));
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static void say_and_read(int fd, const char *request, char *out, size_t size)
{
	size_t at = 0;
	ssize_t n;

	assert_int_equal(write(fd, request, strlen(request)), (ssize_t)strlen(request));
	while ((n = read(fd, out + at, size - 1 - at)) > 0)
		at += (size_t)n;
	out[at] = '\0';
	close(fd);
}

static void get(struct world *w, const char *request, char *out, size_t size)
{
	say_and_read(connect_to(w), request, out, size);
}

#define GET "GET /metrics HTTP/1.0\r\n\r\n"

static void numbers_and_truths_are_told_and_texts_are_not(void **state)
{
	struct world *w = *state;
	char text[4096];

	assert_int_equal(metrics_start(w->socket, w->store, &w->metrics, w->why, sizeof(w->why)), 0);
	get(w, GET, text, sizeof(text));
	assert_non_null(strstr(text, " 200 "));
	assert_non_null(strstr(text, "text/plain; version=0.0.4"));
	assert_non_null(strstr(text, "\ndhtfs_members 3\n"));
	assert_non_null(strstr(text, "# TYPE dhtfs_lookups_total counter\ndhtfs_lookups_total 7\n"));
	assert_non_null(strstr(text, "\ndhtfs_maintenance 1\n"));
	assert_non_null(strstr(text, "dhtfs_build_info{version=\"1.2\"} 1\n"));
	assert_null(strstr(text, "secret"));
}

static void a_status_that_fails_is_503_and_the_next_is_asked_anew(void **state)
{
	struct world *w = *state;
	char text[4096];

	assert_int_equal(metrics_start(w->socket, w->store, &w->metrics, w->why, sizeof(w->why)), 0);
	w->fails = true;
	get(w, GET, text, sizeof(text));
	assert_non_null(strstr(text, " 503 "));
	w->fails = false;
	get(w, GET, text, sizeof(text));
	assert_non_null(strstr(text, " 200 "));
}

static void other_paths_and_methods_are_refused(void **state)
{
	struct world *w = *state;
	char text[4096];

	assert_int_equal(metrics_start(w->socket, w->store, &w->metrics, w->why, sizeof(w->why)), 0);
	get(w, "GET /../control HTTP/1.0\r\n\r\n", text, sizeof(text));
	assert_non_null(strstr(text, " 404 "));
	get(w, "POST /metrics HTTP/1.0\r\nContent-Length: 0\r\n\r\n", text, sizeof(text));
	assert_non_null(strstr(text, " 405 "));
}

static void those_who_say_nothing_or_dawdle_keep_nobody_out(void **state)
{
	struct world *w = *state;
	char text[4096], c;
	int silent[300], dawdles;

	assert_int_equal(metrics_start(w->socket, w->store, &w->metrics, w->why, sizeof(w->why)), 0);
	dawdles = connect_to(w);
	assert_int_equal(write(dawdles, "GET /met", 8), 8);
	for (size_t i = 0; i < sizeof(silent) / sizeof(*silent); i++)
		silent[i] = connect_to(w);
	for (unsigned int i = 0; i < 3 * METRICS_AT_ONCE; i++) {
		const time_t began = time(NULL);

		get(w, GET, text, sizeof(text));
		assert_non_null(strstr(text, " 200 "));
		assert_true(time(NULL) - began < (time_t)METRICS_TIMEOUT_S / 2);
	}
	/* They were sent away, and not only passed by. */
	assert_int_equal(read(dawdles, &c, 1), 0);
	close(dawdles);
	for (size_t i = 0; i < sizeof(silent) / sizeof(*silent); i++) {
		if (i < sizeof(silent) / sizeof(*silent) - METRICS_AT_ONCE)
			assert_int_equal(read(silent[i], &c, 1), 0);
		close(silent[i]);
	}
}

static void only_this_machine_may_ask(void **state)
{
	struct world *w = *state;

	assert_int_equal(metrics_start("0.0.0.0:19877", w->store, &w->metrics, w->why, sizeof(w->why)), -EINVAL);
	assert_non_null(strstr(w->why, "loopback"));
	assert_null(w->metrics);
	assert_int_equal(metrics_start("nonsense", w->store, &w->metrics, w->why, sizeof(w->why)), -EINVAL);
}

static void a_port_answers_too(void **state)
{
	struct world *w = *state;
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	char where[32], text[4096];
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	/* A port that is free now. */
	assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
	getsockname(fd, (struct sockaddr *)&a, &len);
	close(fd);
	snprintf(where, sizeof(where), "127.0.0.1:%u", ntohs(a.sin_port));
	assert_int_equal(metrics_start(where, w->store, &w->metrics, w->why, sizeof(w->why)), 0);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	say_and_read(fd, GET, text, sizeof(text));
	assert_non_null(strstr(text, "dhtfs_members 3\n"));
}

static void a_socket_that_a_killed_program_left_is_taken_over_and_a_file_is_not(void **state)
{
	struct world *w = *state;
	const char *path = w->socket + strlen("unix:");
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char text[4096];
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	FILE *f;

	strcpy(a.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	close(fd);
	assert_int_equal(metrics_start(w->socket, w->store, &w->metrics, w->why, sizeof(w->why)), 0);
	get(w, GET, text, sizeof(text));
	assert_non_null(strstr(text, " 200 "));
	metrics_stop(w->metrics);
	w->metrics = NULL;
	assert_int_equal(access(path, F_OK), -1);

	f = fopen(path, "w");
	fclose(f);
	assert_int_equal(metrics_start(w->socket, w->store, &w->metrics, w->why, sizeof(w->why)), -EADDRINUSE);
	assert_int_equal(access(path, F_OK), 0);
}

static void what_does_not_fit_is_an_error_not_half_an_answer(void **state)
{
	struct record r = { .len = 0 };
	char small[16];

	(void)state;
	record_number(&r, "members", 3);
	assert_int_equal(metrics_text(r.b, r.len, small, sizeof(small)), -ENOSPC);
	assert_int_equal(metrics_text((const uint8_t *)"nonsense", 8, small, sizeof(small)), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(numbers_and_truths_are_told_and_texts_are_not, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_status_that_fails_is_503_and_the_next_is_asked_anew, set_up, tear_down),
		cmocka_unit_test_setup_teardown(other_paths_and_methods_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(those_who_say_nothing_or_dawdle_keep_nobody_out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(only_this_machine_may_ask, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_port_answers_too, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_socket_that_a_killed_program_left_is_taken_over_and_a_file_is_not, set_up, tear_down),
		cmocka_unit_test(what_does_not_fit_is_an_error_not_half_an_answer),
	};

	return suite_run(tests);
}
