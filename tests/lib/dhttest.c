#include "tests/lib/dhttest.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chunker/bytes.h"

static void keep_line(void *arg, int priority, const char *text)
{
	struct dhttest *t = arg;
	/* Lines of several threads: each reserves its own stretch. */
	size_t len = strlen(text) + 1;
	size_t at = __atomic_fetch_add(&t->log_len, len, __ATOMIC_RELAXED);

	(void)priority;
	if (at + len < sizeof(t->log)) {
		memcpy(t->log + at, text, len - 1);
		t->log[at + len - 1] = '\n';
	}
}

void dhttest_begin(struct dhttest *t)
{
	const char *tmp = getenv("TMPDIR");

	memset(t, 0, sizeof(*t));
	snprintf(t->dir, sizeof(t->dir), "%s/dhttest.XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(t->dir));
	t->options = (struct dht_options){ .dir = t->dir, .workers = 2, .log = keep_line, .log_arg = t };
}

void dhttest_end(struct dhttest *t)
{
	struct dirent *e;
	DIR *d;

	dht_close(t->dht);
	t->dht = NULL;
	d = opendir(t->dir);
	assert_non_null(d);
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			unlink(dhttest_path(t, e->d_name));
	closedir(d);
	assert_int_equal(rmdir(t->dir), 0);
}

int dhttest_open(struct dhttest *t)
{
	t->why[0] = '\0';
	return dht_open(&t->options, &t->dht, t->why, sizeof(t->why));
}

void dhttest_must_open(struct dhttest *t)
{
	if (dhttest_open(t) < 0)
		fail_msg("%s\n%s", t->why, t->log);
}

void dhttest_close(struct dhttest *t)
{
	int rc = dht_close(t->dht);

	t->dht = NULL;
	assert_int_equal(rc, 0);
}

void dhttest_reopen(struct dhttest *t)
{
	dhttest_close(t);
	dhttest_must_open(t);
}

int dhttest_setup(void **state)
{
	struct dhttest *t = malloc(sizeof(*t));

	assert_non_null(t);
	dhttest_begin(t);
	*state = t;
	return 0;
}

int dhttest_setup_open(void **state)
{
	dhttest_setup(state);
	dhttest_must_open(*state);
	return 0;
}

int dhttest_teardown(void **state)
{
	dhttest_end(*state);
	free(*state);
	return 0;
}

const char *dhttest_path(struct dhttest *t, const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", t->dir, name);
	return path;
}

void dhttest_copy(const char *from, const char *to)
{
	char buf[65536];
	FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
	size_t n;

	assert_non_null(in);
	assert_non_null(out);
	while ((n = fread(buf, 1, sizeof(buf), in)) > 0)
		assert_int_equal(fwrite(buf, 1, n, out), n);
	fclose(in);
	assert_int_equal(fclose(out), 0);
}

static void read_head(const char *path, char *head, size_t len)
{
	FILE *in = fopen(path, "rb");

	assert_non_null(in);
	assert_int_equal(fread(head, 1, len, in), len);
	fclose(in);
}

/*
 * LMDB writes pages first that no commit refers to, then one of the two at the head of its
 * file: while those do not change, a copy is whole.
 */
void dhttest_copy_ledger(const char *from, const char *to)
{
	char before[8192], after[8192];

	do {
		read_head(from, before, sizeof(before));
		dhttest_copy(from, to);
		read_head(from, after, sizeof(after));
	} while (memcmp(before, after, sizeof(before)) != 0);
}

uint64_t dhttest_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

struct chunk *dhttest_chunk(uint64_t seed, size_t len)
{
	uint64_t state = seed * 0xd1342543de82ef95u + len;
	uint8_t last[8], *data;
	struct chunk *c = chunk_new(len, &data);
	size_t i;

	assert_non_null(c);
	for (i = 0; i + 8 <= len; i += 8)
		put_le64(data + i, dhttest_random(&state));
	put_le64(last, dhttest_random(&state));
	memcpy(data + i, last, len - i);
	return c;
}

int dhttest_put(struct dhttest *t, uint64_t seed, size_t len)
{
	struct dht_op op = { .kind = KIND_DATA, .chunk = dhttest_chunk(seed, len) };
	int rc = dht_insert_now(t->dht, &op, false);

	chunk_drop(op.chunk);
	return rc;
}

static void one_done(struct dht_op *op)
{
	struct dhttest_burst *b = op->user;

	pthread_mutex_lock(&b->lock);
	b->done[op - b->ops] = true;
	b->left--;
	pthread_cond_signal(&b->changed);
	pthread_mutex_unlock(&b->lock);
}

static void burst_init(struct dhttest_burst *b, size_t n)
{
	assert_true(n <= BURST_MAX);
	memset(b, 0, sizeof(*b));
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->changed, NULL);
	b->n = b->left = n;
}

void dhttest_lookups(struct dhttest *t, struct dhttest_burst *b, uint64_t first, size_t n,
    size_t (*len_of)(uint64_t seed))
{
	burst_init(b, n);
	for (size_t i = 0; i < n; i++) {
		b->ops[i] = (struct dht_op){ .kind = KIND_DATA, .done = one_done, .user = b };
		dhttest_address(first + i, len_of(first + i), &b->ops[i].address);
		dht_lookup(t->dht, &b->ops[i]);
	}
}

void dhttest_burst(struct dhttest *t, struct dhttest_burst *b, uint64_t first, size_t n,
    const size_t *len)
{
	burst_init(b, n);
	for (size_t i = 0; i < n; i++) {
		b->ops[i] = (struct dht_op){ .kind = KIND_DATA, .done = one_done, .user = b,
			.chunk = dhttest_chunk(first + i, len[i]) };
		dht_insert(t->dht, &b->ops[i]);
	}
}

void dhttest_burst_done(struct dhttest_burst *b, bool *done)
{
	pthread_mutex_lock(&b->lock);
	for (size_t i = 0; i < b->n; i++)
		done[i] = b->done[i] && b->ops[i].result == 0;
	pthread_mutex_unlock(&b->lock);
}

void dhttest_burst_end(struct dhttest_burst *b)
{
	pthread_mutex_lock(&b->lock);
	while (b->left > 0)
		pthread_cond_wait(&b->changed, &b->lock);
	pthread_mutex_unlock(&b->lock);
	for (size_t i = 0; i < b->n; i++)
		chunk_drop(b->ops[i].chunk);
}

void dhttest_address(uint64_t seed, size_t len, struct address *out)
{
	struct chunk *c = dhttest_chunk(seed, len);

	address_of(KIND_DATA, c->data, c->len, out);
	chunk_drop(c);
}

int dhttest_get(struct dhttest *t, uint64_t seed, size_t len)
{
	struct chunk *want = dhttest_chunk(seed, len);
	struct dht_op op = { .kind = KIND_DATA };
	int rc;

	address_of(KIND_DATA, want->data, want->len, &op.address);
	rc = dht_lookup_now(t->dht, &op);
	if (rc == 0) {
		assert_int_equal(op.chunk->len, want->len);
		assert_memory_equal(op.chunk->data, want->data, want->len);
		chunk_drop(op.chunk);
	}
	chunk_drop(want);
	return rc;
}
