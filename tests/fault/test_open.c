/* Opening what is no store, not ours, in use or damaged: said in words, and nothing readable is lost. */
#include "tests/lib/dhttest.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chunker/bytes.h"

#define N 40

static size_t len_of(uint64_t seed)
{
	return 10 + seed * 211 % 3000;
}

/* A closed store that holds seeds 0 to N. */
static void fill(struct dhttest *t)
{
	dhttest_must_open(t);
	for (uint64_t i = 0; i < N; i++)
		assert_int_equal(dhttest_put(t, i, len_of(i)), 0);
	dhttest_close(t);
}

static void has_all(struct dhttest *t)
{
	struct dht_status status;

	for (uint64_t i = 0; i < N; i++) {
		int rc = dhttest_get(t, i, len_of(i));

		if (rc < 0)
			fail_msg("chunk %d: %s\n%s", (int)i, strerror(-rc), t->log);
	}
	dht_status(t->dht, &status);
	assert_int_equal(status.chunks, N);
}

static void write_file(struct dhttest *t, const char *name, const void *data, size_t len)
{
	int fd = open(dhttest_path(t, name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

static void refused(struct dhttest *t, int rc, const char *word, const char *another)
{
	assert_int_equal(dhttest_open(t), rc);
	assert_null(t->dht);
	if (!strstr(t->why, word) || !strstr(t->why, another) || !strstr(t->why, t->options.dir))
		fail_msg("said: %s", t->why);
}

static void a_store_in_use_names_the_process(void **state)
{
	struct dhttest *t = *state;
	char word[64], c;
	int up[2], down[2], status;
	pid_t child;

	assert_int_equal(pipe(up) | pipe(down), 0);
	child = fork();
	if (child == 0) {
		int rc = dhttest_open(t);

		c = rc == 0 ? 'y' : 'n';
		if (write(up[1], &c, 1) != 1 || read(down[0], &c, 1) != 1)
			_exit(1);
		_exit(rc < 0 || dht_close(t->dht) < 0);
	}
	assert_int_equal(read(up[0], &c, 1), 1);
	assert_int_equal(c, 'y');
	snprintf(word, sizeof(word), "process %ld", (long)child);
	refused(t, -EBUSY, word, "stop it");
	t->options.lock_wait_ms = 60;
	refused(t, -EBUSY, word, "stop it");
	assert_null(strstr(t->log, word));
	/* Who waits for long is told for whom. */
	t->options.lock_wait_ms = 1100;
	refused(t, -EBUSY, word, "stop it");
	assert_non_null(strstr(t->log, word));
	assert_int_equal(write(down[1], "x", 1), 1);
	/* Whoever waits gets it as soon as the other is gone. */
	t->options.lock_wait_ms = 30000;
	dhttest_must_open(t);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	for (int i = 0; i < 2; i++) {
		close(up[i]);
		close(down[i]);
	}
}

static void a_killed_process_leaves_no_lock_and_loses_nothing(void **state)
{
	struct dhttest *t = *state;
	int up[2], status;
	pid_t child;
	char c;

	assert_int_equal(pipe(up), 0);
	child = fork();
	if (child == 0) {
		if (dhttest_open(t) < 0)
			_exit(1);
		for (uint64_t i = 0; i < N; i++)
			if (dhttest_put(t, i, len_of(i)) < 0)
				_exit(1);
		if (dht_sync_now(t->dht) == 0 && write(up[1], "y", 1) == 1)
			pause();
		_exit(1);
	}
	close(up[1]);
	assert_int_equal(read(up[0], &c, 1), 1);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	close(up[0]);
	dhttest_must_open(t);
	has_all(t);
}

static void another_format_is_refused_with_its_number(void **state)
{
	struct dhttest *t = *state;
	static const char later[] = "dhtfs store\nformat 7\nshards many\n";

	fill(t);
	write_file(t, "format", later, sizeof(later) - 1);
	refused(t, -EPROTO, "format 7", "reads format 1");
}

static void a_folder_with_other_files_is_no_store(void **state)
{
	struct dhttest *t = *state;

	write_file(t, "thesis.txt", "text", 4);
	refused(t, -ENOTEMPTY, "thesis.txt", "empty folder");
	assert_int_equal(access(dhttest_path(t, "format"), F_OK), -1);
}

static void a_lost_format_file_is_made_again_by_a_rebuild(void **state)
{
	static const char *const damage[] = { NULL, "", "dhtfs store\nform", "what?\n" };
	struct dhttest *t = *state;
	struct dht_progress p;

	fill(t);
	for (size_t i = 0; i < sizeof(damage) / sizeof(damage[0]); i++) {
		if (damage[i])
			write_file(t, "format", damage[i], strlen(damage[i]));
		else
			unlink(dhttest_path(t, "format"));
		refused(t, -EBADMSG, "format", "dhtctl rebuild");
		assert_int_equal(dht_rebuild(&t->options, NULL, NULL, &p, t->why, sizeof(t->why)), 0);
		assert_int_equal(p.chunks, N);
		dhttest_must_open(t);
		has_all(t);
		dhttest_close(t);
	}
}

static void a_format_file_cut_short_while_the_store_was_made_is_written_again(void **state)
{
	struct dhttest *t = *state;

	write_file(t, "format", "dhtfs st", 8);
	fill(t);
	dhttest_must_open(t);
	has_all(t);
}

static void what_is_no_folder_or_has_no_parent_is_said(void **state)
{
	struct dhttest *t = *state;
	char path[300];

	write_file(t, "file", "x", 1);
	snprintf(path, sizeof(path), "%s/file", t->dir);
	t->options.dir = path;
	refused(t, -ENOTDIR, "folder", "Not a directory");
	snprintf(path, sizeof(path), "%s/none/store", t->dir);
	refused(t, -ENOENT, "folder", "parent");
	t->options.dir = t->dir;
	unlink(dhttest_path(t, "file"));
}

static void a_folder_of_somebody_else_is_said(void **state)
{
	struct dhttest *t = *state;
	int status;
	pid_t child;

	fill(t);
	assert_int_equal(chmod(t->dir, 0), 0);
	child = fork();
	if (child == 0) {
		/* Root may read everything: become nobody. */
		if (getuid() == 0 && setuid(65534) < 0)
			_exit(2);
		_exit(dhttest_open(t) == -EACCES && strstr(t->why, "owner") ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(chmod(t->dir, 0700), 0);
	assert_int_equal(status, 0);
}

static void a_deleted_ledger_is_made_again(void **state)
{
	struct dhttest *t = *state;

	fill(t);
	unlink(dhttest_path(t, "ledger"));
	dhttest_must_open(t);
	has_all(t);
	dhttest_reopen(t);
	has_all(t);
}

static void a_damaged_ledger_is_made_again(void **state)
{
	static const size_t lens[] = { 1, 100, 4095, 4096, 8191, 8192, 12288, 40000 };
	struct dhttest *t = *state;
	uint8_t junk[40000];

	memset(junk, 0xa5, sizeof(junk));
	fill(t);
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		write_file(t, "ledger", junk, lens[i]);
		dhttest_must_open(t);
		has_all(t);
		dhttest_close(t);
		/* Its head is as it was, and the rest is cut off. */
		assert_int_equal(truncate(dhttest_path(t, "ledger"), (off_t)lens[i]), 0);
		dhttest_must_open(t);
		has_all(t);
		dhttest_close(t);
	}
}

static void a_ledger_of_another_store_is_made_again(void **state)
{
	struct dhttest *t = *state, other;
	char from[300];

	fill(t);
	dhttest_begin(&other);
	dhttest_must_open(&other);
	assert_int_equal(dhttest_put(&other, 99, 99), 0);
	dhttest_close(&other);
	snprintf(from, sizeof(from), "%s/ledger", other.dir);
	assert_int_equal(rename(from, dhttest_path(t, "ledger")), 0);
	dhttest_end(&other);
	dhttest_must_open(t);
	has_all(t);
	assert_int_equal(dhttest_get(t, 99, 99), -ENOENT);
}

/* Change the ledger's entry of each chunk behind the store's back. */
static void tamper(struct dhttest *t, void (*change)(uint8_t *entry, size_t n))
{
	MDB_val key, value;
	MDB_cursor *cursor;
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	size_t n = 0;

	assert_int_equal(mdb_env_create(&env), 0);
	mdb_env_set_maxdbs(env, 8);
	assert_int_equal(mdb_env_open(env, dhttest_path(t, "ledger"), MDB_NOSUBDIR, 0600), 0);
	assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, "chunks", 0, &dbi), 0);
	assert_int_equal(mdb_cursor_open(txn, dbi, &cursor), 0);
	while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
		uint8_t entry[64];

		memcpy(entry, value.mv_data, value.mv_size);
		change(entry, n++);
		value.mv_data = entry;
		assert_int_equal(mdb_cursor_put(cursor, &key, &value, MDB_CURRENT), 0);
	}
	mdb_cursor_close(cursor);
	assert_int_equal(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
	assert_int_equal(n, N);
}

static void past_the_end(uint8_t *entry, size_t n)
{
	put_le32(entry + 4, (uint32_t)(64 << 20) + 64 * (uint32_t)n);
}

static void to_no_segment(uint8_t *entry, size_t n)
{
	put_le32(entry, 77 + (uint32_t)n);
}

static void to_another_place(uint8_t *entry, size_t n)
{
	put_le32(entry + 4, get_le32(entry + 4) + (n % 3 ? 64 : 0));
}

static void nonsense(uint8_t *entry, size_t n)
{
	static const uint8_t at[] = { 8, 11, 12, 15, 16, 17, 18, 19 };

	entry[at[n % sizeof(at)]] ^= 0x55;
}

static void a_ledger_that_leads_astray_is_mended(void **state)
{
	static void (*const changes[])(uint8_t *entry, size_t n) = { past_the_end, to_no_segment,
		to_another_place, nonsense };
	struct dhttest *t = *state;

	fill(t);
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		tamper(t, changes[i]);
		dhttest_must_open(t);
		has_all(t);
		dhttest_close(t);
		dhttest_must_open(t);
		has_all(t);
		dhttest_close(t);
	}
}

static void lookups_that_wait_for_the_mending_are_answered(void **state)
{
	struct dhttest *t = *state;
	struct dhttest_burst b;

	fill(t);
	tamper(t, to_no_segment);
	dhttest_must_open(t);
	dhttest_lookups(t, &b, 0, BURST_MAX, len_of);
	dhttest_burst_end(&b);
	for (size_t i = 0; i < BURST_MAX; i++)
		assert_int_equal(b.ops[i].result, 0);
	has_all(t);
}

/* A scan's reads, longer than any chunk here, wait for this. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool shut;
	unsigned int waiting, answered;
} gate = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0, 0 };

static ssize_t gated_pread(void *ctx, int fd, void *buf, size_t len, uint64_t off)
{
	pthread_mutex_lock(&gate.lock);
	if (len > 10000) {
		gate.waiting++;
		pthread_cond_broadcast(&gate.changed);
		while (gate.shut)
			pthread_cond_wait(&gate.changed, &gate.lock);
	}
	pthread_mutex_unlock(&gate.lock);
	return io_system.pread(ctx, fd, buf, len, off);
}

static void answered(struct dht_op *op)
{
	(void)op;
	pthread_mutex_lock(&gate.lock);
	gate.answered++;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.lock);
}

static void gate_await(const unsigned int *count, unsigned int n)
{
	while (*count < n)
		pthread_cond_wait(&gate.changed, &gate.lock);
}

static void a_chunk_that_is_searched_for_is_not_called_lost_meanwhile(void **state)
{
	struct dhttest *t = *state;
	struct dht_op op[3];
	static struct io io;

	fill(t);
	tamper(t, to_no_segment);
	io = io_system;
	io.pread = gated_pread;
	t->options.io = &io;
	/* So that operations are carried out in order. */
	t->options.workers = 1;
	dhttest_must_open(t);
	gate.shut = true;
	for (size_t i = 0; i < 3; i++) {
		op[i] = (struct dht_op){ .done = answered, .kind = KIND_DATA };
		dhttest_address(i < 2 ? 5 : N + 1, len_of(5), &op[i].address);
		dht_lookup(t->dht, &op[i]);
	}
	pthread_mutex_lock(&gate.lock);
	gate_await(&gate.waiting, 1);
	/* The third has been answered, so the second has been tried. */
	gate_await(&gate.answered, 1);
	gate.shut = false;
	pthread_cond_broadcast(&gate.changed);
	gate_await(&gate.answered, 3);
	pthread_mutex_unlock(&gate.lock);
	assert_int_equal(op[2].result, -ENOENT);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(op[i].result, 0);
		chunk_drop(op[i].chunk);
	}
	dhttest_close(t);
}

static void a_check_mends_too(void **state)
{
	struct dhttest *t = *state;
	struct dht_progress p;

	fill(t);
	tamper(t, to_another_place);
	dhttest_must_open(t);
	assert_int_equal(dht_check(t->dht, 0, NULL, NULL, &p), 0);
	assert_int_equal(p.chunks, N);
	has_all(t);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, dhttest_setup, dhttest_teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_store_in_use_names_the_process),
		TEST(a_killed_process_leaves_no_lock_and_loses_nothing),
		TEST(another_format_is_refused_with_its_number),
		TEST(a_folder_with_other_files_is_no_store),
		TEST(a_lost_format_file_is_made_again_by_a_rebuild),
		TEST(a_format_file_cut_short_while_the_store_was_made_is_written_again),
		TEST(what_is_no_folder_or_has_no_parent_is_said),
		TEST(a_folder_of_somebody_else_is_said),
		TEST(a_deleted_ledger_is_made_again),
		TEST(a_damaged_ledger_is_made_again),
		TEST(a_ledger_of_another_store_is_made_again),
		TEST(a_ledger_that_leads_astray_is_mended),
		TEST(lookups_that_wait_for_the_mending_are_answered),
		TEST(a_chunk_that_is_searched_for_is_not_called_lost_meanwhile),
		TEST(a_check_mends_too),
	};

	return suite_run(tests);
}
