/* Names of hosts: some have several addresses, some are never answered.  Who answers here is the test itself. */
#include "tests/lib/suite.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "dht/peer/endpoint.h"
#include "tests/lib/peerkit.h"

#define PROMPT_MS 3000u		/* what is not waited for is over by then, on a busy machine */

static struct peerkit kit;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned int hanging;	/* under the lock */
static bool released;		/* under the lock */

/* In the place of the system's: "never.test" is answered when the test lets it be, "two.test" has an address where nobody is, and another. */
int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **out)
{
	typedef int look(const char *, const char *, const struct addrinfo *, struct addrinfo **);
	look *const system = (look *)dlsym(RTLD_NEXT, "getaddrinfo");
	bool numeric = hints->ai_flags & AI_NUMERICHOST;
	int rc;

	if (!numeric && strcmp(host, "never.test") == 0) {
		pthread_mutex_lock(&lock);
		hanging++;
		pthread_cond_broadcast(&changed);
		while (!released)
			pthread_cond_wait(&changed, &lock);
		hanging--;
		pthread_cond_broadcast(&changed);
		pthread_mutex_unlock(&lock);
		return EAI_AGAIN;
	}
	if (!numeric && strcmp(host, "two.test") == 0) {
		rc = system("127.0.0.99", port, hints, out);
		return rc ? rc : system("127.0.0.1", port, hints, &(*out)->ai_next);
	}
	return system(host, port, hints, out);
}

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

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void join_by(const char *name)
{
	snprintf(kit.peer[1].join, sizeof(kit.peer[1].join), "%s%s", name, strrchr(peer_address(kit.peer[0].peer, 0), ':'));
}

static void the_next_address_of_a_name_is_tried(void **state)
{
	(void)state;
	peerkit_must_open(&kit, 0);
	join_by("two.test");
	peerkit_must_open(&kit, 1);
	peerkit_settle(&kit, 2);
}

static void a_name_that_is_never_answered_holds_up_nothing(void **state)
{
	uint64_t began;

	(void)state;
	peerkit_must_open(&kit, 0);
	join_by("never.test");
	peerkit_must_open(&kit, 1);
	pthread_mutex_lock(&lock);
	while (hanging == 0)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
	/* Neither a look inside, nor the end. */
	assert_int_equal(peerkit_status(&kit, 1).node.links, 0);
	began = now_ms();
	peerkit_close(&kit, 1);
	assert_true(now_ms() - began < PROMPT_MS);
	pthread_mutex_lock(&lock);
	released = true;
	pthread_cond_broadcast(&changed);
	while (hanging > 0)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}

static void both_families_are_served_on_one_port(void **state)
{
	(void)state;
	strcpy(kit.peer[0].listen, "[::1]:0");
	if (peerkit_open(&kit, 0) < 0)
		skip();
	assert_non_null(strstr(peer_address(kit.peer[0].peer, 0), "[::1]:"));
	peerkit_must_open(&kit, 1);
	peerkit_settle(&kit, 2);
}

/* ---- file descriptors ---- */

/* In a process of its own: connections to where peer 0 listens, that say nothing. */
static void crowd(const struct sockaddr *to, socklen_t len)
{
	/* Nobody is left behind by a test that fails. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close_range(3, ~0u, 0);
	for (unsigned int i = 0; i < 60; i++) {
		struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000200 + i) };
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		if (fd < 0 || bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0 || connect(fd, to, len) < 0)
			break;
	}
	pause();
}

/* The last: what it takes away, a user without rights does not get back. */
static void where_descriptors_are_short_connections_go_first(void **state)
{
	struct rlimit few = { 70, 70 };
	struct chunk *c = peerkit_chunk(1, 1000);
	struct sockaddr_storage to;
	struct address a;
	struct endpoint e;
	pid_t child;

	(void)state;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	peerkit_ring(&kit, 2);
	assert_true(peerkit_said(&kit, "LimitNOFILE="));
	assert_int_equal(endpoint_parse(peer_address(kit.peer[0].peer, 0), 0, &e), 0);
	assert_true(endpoint_numeric(&e, &to));
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		crowd((const struct sockaddr *)&to, sizeof(struct sockaddr_in));
		_exit(0);
	}
	peerkit_until_said(&kit, "no file descriptors left");
	/* The disk has its own. */
	assert_int_equal(peerkit_insert(&kit, 0, c, 1, &a), 0);
	chunk_drop(c);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_next_address_of_a_name_is_tried, setup, teardown),
		cmocka_unit_test_setup_teardown(a_name_that_is_never_answered_holds_up_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(both_families_are_served_on_one_port, setup, teardown),
		cmocka_unit_test_setup_teardown(where_descriptors_are_short_connections_go_first, setup, teardown),
	};

	return suite_run(tests);
}
