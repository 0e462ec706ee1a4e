#include "tests/lib/peerkit.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <ftw.h>
#include <sodium.h>

#include "chunker/bytes.h"
#include "dht/net/limits.h"
#include "dht/net/ringfile.h"
#include "dht/peer/packed.h"

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void peerkit_until(bool (*over)(void *arg), void *arg, const char *what)
{
	uint64_t until = now_ms() + PEERKIT_WAIT_MS;

	while (!over(arg)) {
		if (now_ms() > until) {
			printf("# waited for in vain: %s\n", what);
			assert(!"it came");
		}
		poll(NULL, 0, 2);
	}
}

/* ---- the log ---- */

static void keep_line(void *arg, int priority, const char *text)
{
	struct peerkit *k = arg;
	size_t len = strlen(text);

	if (getenv("PEERKIT_LOG"))
		printf("# %llu <%d> %s\n", (unsigned long long)now_ms(), priority, text);
	pthread_mutex_lock(&k->lock);
	if (k->log_len + len + 2 < sizeof(k->log)) {
		memcpy(k->log + k->log_len, text, len);
		k->log_len += len;
		k->log[k->log_len++] = '\n';
		k->log[k->log_len] = '\0';
	}
	pthread_mutex_unlock(&k->lock);
}

bool peerkit_said(struct peerkit *k, const char *text)
{
	bool said;

	pthread_mutex_lock(&k->lock);
	said = strstr(k->log, text) != NULL;
	pthread_mutex_unlock(&k->lock);
	return said;
}

struct saying {
	struct peerkit *kit;
	const char *text;
};

static bool was_said(void *arg)
{
	struct saying *s = arg;

	return peerkit_said(s->kit, s->text);
}

void peerkit_until_said(struct peerkit *k, const char *text)
{
	struct saying s = { k, text };

	peerkit_until(was_said, &s, text);
}

/* ---- peers ---- */

void peerkit_begin(struct peerkit *k)
{
	const char *tmp = getenv("TMPDIR");
	struct ring_file_random random;
	uint8_t admin[MEMBER_SECRET];

	assert(sodium_init() >= 0);
	memset(k, 0, sizeof(*k));
	pthread_mutex_init(&k->lock, NULL);
	snprintf(k->dir, sizeof(k->dir), "%s/peerkit.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(k->dir))
		assert(!"a folder");
	randombytes_buf(&random, sizeof(random));
	if (ring_file_create(&random, false, RING_REPLICAS_DEFAULT, RING_ACKS_DEFAULT, &k->file, admin) < 0)
		assert(!"a ring file");
	for (unsigned int i = 0; i < PEERKIT_MAX; i++) {
		snprintf(k->peer[i].dir, sizeof(k->peer[i].dir), "%s/%u", k->dir, i);
		snprintf(k->peer[i].listen, sizeof(k->peer[i].listen), "127.0.0.%u:0", i + 1);
	}
}

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *ftw)
{
	(void)st;
	(void)what;
	(void)ftw;
	return remove(path);
}

void peerkit_end(struct peerkit *k)
{
	for (unsigned int i = 0; i < PEERKIT_MAX; i++)
		peerkit_close(k, i);
	nftw(k->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	pthread_mutex_destroy(&k->lock);
}

static void stopped(void *arg, int result, const char *why)
{
	struct peerkit *k = arg;

	pthread_mutex_lock(&k->lock);
	k->stop_result = result;
	pthread_mutex_unlock(&k->lock);
	keep_line(arg, 0, why);
	keep_line(arg, 0, "(stopped)");
}

int peerkit_stop_result(struct peerkit *k)
{
	int result;

	pthread_mutex_lock(&k->lock);
	result = k->stop_result;
	pthread_mutex_unlock(&k->lock);
	return result;
}

int peerkit_open(struct peerkit *k, unsigned int i)
{
	struct peerkit_peer *p = &k->peer[i];
	const struct dht_options store = { .dir = p->dir, .workers = 1, .log = keep_line, .log_arg = k };
	char first[64];
	const char *listen[] = { p->listen[0] == '-' ? NULL : p->listen, NULL }, *join[] = { p->join, NULL };
	struct peer_options o = {
		.dir = p->dir, .ring = p->file ? p->file : &k->file, .older = p->older, .listen = listen, .weight = 1,
		.keeps_nothing = p->keeps_nothing, .log = keep_line, .stopped = stopped, .arg = k,
	};
	int rc;

	assert(!p->peer);
	k->why[0] = '\0';
	rc = store_open(&store, false, NULL, NULL, NULL, &p->store, k->why, sizeof(k->why));
	if (rc < 0)
		return rc;
	if (!p->join[0] && i > 0 && k->peer[0].peer) {
		peerkit_address(k, 0, first);
		join[0] = first;
	}
	o.store = p->store;
	o.join = join[0][0] && join[0][0] != '-' ? join : NULL;
	rc = peer_open(&o, &p->peer, k->why, sizeof(k->why));
	if (rc < 0) {
		store_close(p->store);
		p->store = NULL;
	}
	return rc;
}

void peerkit_must_open(struct peerkit *k, unsigned int i)
{
	int rc = peerkit_open(k, i);

	if (rc < 0)
		printf("# peer %u: %s\n", i, k->why);
	assert(rc == 0);
}

void peerkit_close(struct peerkit *k, unsigned int i)
{
	struct peerkit_peer *p = &k->peer[i];

	if (p->peer)
		peer_close(p->peer);
	if (p->store)
		store_close(p->store);
	p->peer = NULL;
	p->store = NULL;
}

void peerkit_address(struct peerkit *k, unsigned int i, char out[64])
{
	snprintf(out, 64, "%s", peer_address(k->peer[i].peer, 0));
}

void peerkit_stay(struct peerkit *k, unsigned int i)
{
	peerkit_address(k, i, k->peer[i].listen);
}

struct peer_status peerkit_status(struct peerkit *k, unsigned int i)
{
	struct peer_status s;

	peer_status(k->peer[i].peer, &s);
	return s;
}

/* ---- a ring ---- */

struct settling {
	struct peerkit *kit;
	unsigned int members;
	bool complete;
};

static bool settled(void *arg)
{
	struct settling *s = arg;
	struct address placement;
	bool first = true;

	for (unsigned int i = 0; i < PEERKIT_MAX; i++) {
		struct peer_status status;

		if (!s->kit->peer[i].peer)
			continue;
		status = peerkit_status(s->kit, i);
		if (status.node.members != s->members || (s->complete && !status.node.complete))
			return false;
		/* One that has just come back may not have heard from anybody. */
		if (status.node.down > 0 || (s->members > 1 && status.node.links == 0))
			return false;
		if (!first && !address_equal(&placement, &status.node.placement))
			return false;
		placement = status.node.placement;
		first = false;
	}
	return true;
}

void peerkit_settle(struct peerkit *k, unsigned int members)
{
	struct settling s = { k, members, false };

	peerkit_until(settled, &s, "one view of all peers");
}

void peerkit_complete(struct peerkit *k, unsigned int members)
{
	struct settling s = { k, members, true };

	peerkit_until(settled, &s, "peers that have all that they should have");
}

void peerkit_ring(struct peerkit *k, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		peerkit_must_open(k, i);
	peerkit_settle(k, n);
}

/* ---- chunks ---- */

struct chunk *peerkit_chunk(uint64_t seed, size_t len)
{
	uint8_t bytes[randombytes_SEEDBYTES] = { 0 }, *data;
	struct chunk *c = chunk_new(len, &data);

	assert(c);
	put_le64(bytes, seed);
	randombytes_buf_deterministic(data, len, bytes);
	return c;
}

int peerkit_insert(struct peerkit *k, unsigned int i, struct chunk *c, unsigned int acks, struct address *out)
{
	struct peer_ask a = { .command = { .kind = COMMAND_INSERT, .chunk = packed_make(NULL, c), .chunk_kind = KIND_DATA,
		.acks = (uint8_t)acks, .timeout = PEERKIT_WAIT_MS * MS } };
	int rc;

	assert(a.command.chunk);
	address_of(KIND_DATA, c->data, c->len, &a.command.address);
	*out = a.command.address;
	rc = peer_ask_now(k->peer[i].peer, &a);
	chunk_drop(a.command.chunk);
	return rc;
}

int peerkit_fetch(struct peerkit *k, unsigned int i, const struct address *a, struct chunk **out)
{
	struct peer_ask ask = { .command = { .kind = COMMAND_FETCH, .address = *a, .timeout = PEERKIT_WAIT_MS * MS } };
	int rc = peer_ask_now(k->peer[i].peer, &ask);

	*out = NULL;
	if (rc == 0)
		rc = packed_raw(NULL, ask.chunk_kind, a, ask.chunk, out);
	chunk_drop(ask.chunk);
	return rc;
}
