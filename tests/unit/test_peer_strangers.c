/* Who is no member, or says what no member says: sent away, with a reason in the log, and no effect on others. */
#include "tests/lib/suite.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "dht/net/door.h"
#include "dht/peer/endpoint.h"
#include "tests/lib/peerkit.h"

#define SILENT	1000u
#define SOURCES 250u

static struct peerkit kit;

static int setup(void **state)
{
	(void)state;
	peerkit_begin(&kit);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	peerkit_end(&kit);
	return 0;
}

/* A connection to peer 0, from 127.0.1.${source}. */
static int connection(unsigned int source)
{
	struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000100 + source) };
	struct sockaddr_storage to;
	struct endpoint e;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(endpoint_parse(peer_address(kit.peer[0].peer, 0), 0, &e), 0);
	assert_true(endpoint_numeric(&e, &to));
	assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(struct sockaddr_in)), 0);
	return fd;
}

/* Until the other side has closed it. */
static void read_to_the_end(int fd)
{
	char bytes[4096];
	struct pollfd p = { .fd = fd, .events = POLLIN };

	do
		assert_int_equal(poll(&p, 1, PEERKIT_WAIT_MS), 1);
	while (read(fd, bytes, sizeof(bytes)) > 0);
}

static bool no_handshakes(void *arg)
{
	(void)arg;
	return peerkit_status(&kit, 0).handshakes == 0;
}

static void random_bytes_are_sent_away(void **state)
{
	uint8_t bytes[5000];

	(void)state;
	peerkit_must_open(&kit, 0);
	for (unsigned int i = 0; i < 50; i++) {
		int fd = connection(1);

		randombytes_buf(bytes, sizeof(bytes));
		/* It may be closed before all is written. */
		(void)!send(fd, bytes, 1 + randombytes_uniform(sizeof(bytes)), MSG_NOSIGNAL);
		shutdown(fd, SHUT_WR);
		read_to_the_end(fd);
		close(fd);
	}
	peerkit_until(no_handshakes, NULL, "the end of all handshakes");
	assert_true(peerkit_status(&kit, 0).refused > 0);
	assert_true(peerkit_said(&kit, "127.0.1.1"));
}

static void who_begins_and_says_no_more_is_given_up(void **state)
{
	static const uint8_t begun[] = { 64, 0, 1, 2, 3 };
	int fd;

	(void)state;
	peerkit_must_open(&kit, 0);
	fd = connection(1);
	assert_int_equal(send(fd, begun, sizeof(begun), 0), sizeof(begun));
	read_to_the_end(fd);
	close(fd);
	peerkit_until_said(&kit, "did not say who it is in time");
}

static void a_thousand_who_say_nothing_hold_no_more_than_the_door_has(void **state)
{
	static int fd[SILENT];
	struct chunk *c = peerkit_chunk(1, 1000), *got;
	struct peer_status s;
	struct address a;

	(void)state;
	peerkit_ring(&kit, 2);
	for (unsigned int i = 0; i < SILENT; i++) {
		fd[i] = connection(1 + i % SOURCES);
		s = peerkit_status(&kit, 0);
		assert_true(s.handshakes <= DOOR_MAX);
		assert_true(s.sockets <= DOOR_MAX + 10);
	}
	/* Members are served meanwhile; one source has its share. */
	assert_int_equal(peerkit_insert(&kit, 0, c, 1, &a), 0);
	assert_int_equal(peerkit_fetch(&kit, 1, &a, &got), 0);
	for (unsigned int i = 0; i < SILENT; i++)
		close(fd[i]);
	peerkit_until(no_handshakes, NULL, "the end of all handshakes");
	for (unsigned int i = 0; i < 3 * DOOR_SOURCE_MAX; i++) {
		fd[i] = connection(1);
		assert_true(peerkit_status(&kit, 0).handshakes <= DOOR_SOURCE_MAX);
	}
	for (unsigned int i = 0; i < 3 * DOOR_SOURCE_MAX; i++)
		close(fd[i]);
	peerkit_until_said(&kit, "too many say nothing");
	chunk_drop(c);
	chunk_drop(got);
}

static bool refused_some(void *arg)
{
	return peerkit_status(&kit, *(unsigned int *)arg).refused > 0;
}

static void another_secret_lets_nobody_in(void **state)
{
	struct ring_file other;
	unsigned int zero = 0;

	(void)state;
	peerkit_must_open(&kit, 0);
	other = kit.file;
	other.secret[0] ^= 1;
	kit.peer[1].file = &other;
	peerkit_must_open(&kit, 1);
	peerkit_until(refused_some, &zero, "a refusal");
	assert_int_equal(peerkit_status(&kit, 0).node.links, 0);
	peerkit_close(&kit, 1);
}

static void another_ring_file_is_told_so(void **state)
{
	struct ring_file other;
	unsigned int one = 1;

	(void)state;
	peerkit_must_open(&kit, 0);
	other = kit.file;
	other.replicas = 5;
	kit.peer[1].file = &other;
	peerkit_must_open(&kit, 1);
	/* The last word reaches him: he, too, knows why. */
	peerkit_until(refused_some, &one, "the other's refusal");
	peerkit_until_said(&kit, "another ring file");
	peerkit_close(&kit, 1);
}

static void an_older_secret_is_taken_while_it_is_named(void **state)
{
	struct ring_file new;

	(void)state;
	new = kit.file;
	randombytes_buf(new.secret, sizeof(new.secret));
	kit.peer[0].file = &new;
	kit.peer[0].older = &kit.file;
	peerkit_must_open(&kit, 0);
	peerkit_must_open(&kit, 1);
	peerkit_settle(&kit, 2);
}

/* One after another, as it is printed by "dhtctl ring rotate"; one of them only dials, and reaches the others at any time. */
static void a_secret_is_replaced_while_all_reach_each_other(void **state)
{
	struct ring_file new;

	(void)state;
	new = kit.file;
	randombytes_buf(new.secret, sizeof(new.secret));
	strcpy(kit.peer[2].listen, "-");
	peerkit_ring(&kit, 3);
	for (unsigned int i = 0; i < 2; i++)
		peerkit_stay(&kit, i);
	strcpy(kit.peer[0].join, "-");
	for (unsigned int i = 3; i-- > 0;) {
		kit.peer[i].file = &new;
		kit.peer[i].older = &kit.file;
		peerkit_close(&kit, i);
		peerkit_must_open(&kit, i);
		peerkit_settle(&kit, 3);
	}
	for (unsigned int i = 0; i < 3; i++) {
		kit.peer[i].older = NULL;
		peerkit_close(&kit, i);
		peerkit_must_open(&kit, i);
		peerkit_settle(&kit, 3);
	}
}

static void copy_key(unsigned int from, unsigned int to)
{
	char text[512], path[300];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/node.key", kit.peer[from].dir);
	fd = open(path, O_RDONLY);
	n = read(fd, text, sizeof(text));
	assert_true(n > 0);
	close(fd);
	snprintf(path, sizeof(path), "%s/node.key", kit.peer[to].dir);
	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, text, (size_t)n), n);
	close(fd);
}

static void a_clone_stops(void **state)
{
	(void)state;
	peerkit_ring(&kit, 2);
	peerkit_must_open(&kit, 2);
	peerkit_close(&kit, 2);
	copy_key(1, 2);
	/* One of them dials the other; where neither does, the ring tells them within half a minute. */
	peerkit_address(&kit, 1, kit.peer[2].join);
	peerkit_must_open(&kit, 2);
	peerkit_until_said(&kit, "(stopped)");
	assert_true(peer_over(peerkit_stop_result(&kit)));
	assert_int_equal(peer_ask_now(kit.peer[0].peer, &(struct peer_ask){ .command = { .kind = COMMAND_SET, .weight = 2,
		.timeout = 5000000 } }), 0);
}

static void a_key_that_others_can_read_is_refused(void **state)
{
	char path[300];

	(void)state;
	peerkit_must_open(&kit, 0);
	peerkit_close(&kit, 0);
	snprintf(path, sizeof(path), "%s/node.key", kit.peer[0].dir);
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(peerkit_open(&kit, 0), -EACCES);
	assert_non_null(strstr(kit.why, "chmod 600"));
	assert_int_equal(chmod(path, 0600), 0);
	/* A damaged one is not somebody else's. */
	assert_int_equal(truncate(path, 200), 0);
	assert_int_equal(peerkit_open(&kit, 0), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(random_bytes_are_sent_away, setup, teardown),
		cmocka_unit_test_setup_teardown(who_begins_and_says_no_more_is_given_up, setup, teardown),
		cmocka_unit_test_setup_teardown(a_thousand_who_say_nothing_hold_no_more_than_the_door_has, setup, teardown),
		cmocka_unit_test_setup_teardown(another_secret_lets_nobody_in, setup, teardown),
		cmocka_unit_test_setup_teardown(another_ring_file_is_told_so, setup, teardown),
		cmocka_unit_test_setup_teardown(an_older_secret_is_taken_while_it_is_named, setup, teardown),
		cmocka_unit_test_setup_teardown(a_secret_is_replaced_while_all_reach_each_other, setup, teardown),
		cmocka_unit_test_setup_teardown(a_clone_stops, setup, teardown),
		cmocka_unit_test_setup_teardown(a_key_that_others_can_read_is_refused, setup, teardown),
	};

	return suite_run(tests);
}
