/* A volume's key: made once, kept for nobody else, exported and imported whole, or refused. */
#include "tests/lib/dhttest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "dht/net/signed.h"
#include "dht/peer/volume.h"

struct kit {
	struct dhttest a, b;		/* two stores' folders */
	char path[512];			/* of a file beside */
	char why[512];
};

static int setup(void **state)
{
	struct kit *k = calloc(1, sizeof(*k));

	assert_true(sodium_init() >= 0);
	dhttest_begin(&k->a);
	dhttest_begin(&k->b);
	mkdir(k->a.dir, 0700);
	mkdir(k->b.dir, 0700);
	snprintf(k->path, sizeof(k->path), "%s/exported", k->a.dir);
	*state = k;
	return 0;
}

static int teardown(void **state)
{
	struct kit *k = *state;

	dhttest_end(&k->a);
	dhttest_end(&k->b);
	free(k);
	return 0;
}

static void write_file(const char *path, const char *text, size_t len, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void export_key(struct kit *k, const struct volume_key *key)
{
	char text[VOLUME_TEXT_MAX];

	write_file(k->path, text, volume_key_format(key, text), 0600);
}

static bool same(const struct volume_key *a, const struct volume_key *b)
{
	return memcmp(a->secret, b->secret, sizeof(a->secret)) == 0 && memcmp(a->key, b->key, sizeof(a->key)) == 0 &&
	    address_equal(&a->id, &b->id);
}

static void a_key_is_made_once_and_for_nobody_else(void **state)
{
	struct kit *k = *state;
	struct volume_key first, again;
	struct address id;
	struct stat st;

	assert_int_equal(volume_key_open(k->a.dir, &first, k->why, sizeof(k->why)), 0);
	assert_int_equal(volume_key_open(k->a.dir, &again, k->why, sizeof(k->why)), 0);
	assert_true(same(&first, &again));
	assert_int_equal(again.since, 0);
	volume_id(first.key, &id);
	assert_true(address_equal(&id, &first.id));
	assert_int_equal(stat(dhttest_path(&k->a, VOLUME_KEY_FILE), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void a_key_that_others_can_read_is_refused(void **state)
{
	struct kit *k = *state;
	struct volume_key key;

	assert_int_equal(volume_key_open(k->a.dir, &key, k->why, sizeof(k->why)), 0);
	assert_int_equal(chmod(dhttest_path(&k->a, VOLUME_KEY_FILE), 0644), 0);
	assert_int_equal(volume_key_open(k->a.dir, &key, k->why, sizeof(k->why)), -EACCES);
}

/* Not one byte may be missing or another, but for the number of the head and what is a comment; and none is made in its place. */
static void half_a_key_is_refused(void **state)
{
	struct kit *k = *state;
	struct volume_key key, got;
	char text[VOLUME_TEXT_MAX];
	size_t len, hex;

	assert_int_equal(volume_key_open(k->a.dir, &key, k->why, sizeof(k->why)), 0);
	len = volume_key_format(&key, text);
	hex = (size_t)(strstr(text, "\nkey ") + 5 - text);
	for (size_t cut = 0; cut < len - 1; cut += 7) {
		write_file(dhttest_path(&k->a, VOLUME_KEY_FILE), text, cut, 0600);
		assert_int_equal(volume_key_open(k->a.dir, &got, k->why, sizeof(k->why)), -EINVAL);
	}
	for (size_t at = hex; at < len - 1; at++) {
		char old = text[at];

		text[at] = old == '0' ? '1' : '0';
		write_file(k->path, text, len, 0600);
		assert_int_equal(volume_key_read(k->path, &got, k->why, sizeof(k->why)), -EINVAL);
		text[at] = old;
	}
	assert_non_null(strstr(k->why, "exported"));
}

static void an_export_is_imported_once_as_of_its_head(void **state)
{
	struct kit *k = *state;
	struct volume_key key, got;

	assert_int_equal(volume_key_open(k->a.dir, &key, k->why, sizeof(k->why)), 0);
	export_key(k, &key);
	assert_int_equal(volume_key_import(k->b.dir, k->path, 41, &got, k->why, sizeof(k->why)), 0);
	assert_true(same(&key, &got));
	assert_int_equal(got.since, 41);
	/* The same again changes nothing: its leases would begin anew. */
	assert_int_equal(volume_key_import(k->b.dir, k->path, 99, &got, k->why, sizeof(k->why)), 0);
	assert_int_equal(got.since, 41);
	assert_int_equal(volume_key_open(k->b.dir, &got, k->why, sizeof(k->why)), 0);
	assert_true(same(&key, &got));
	assert_int_equal(got.since, 41);
}

static void a_store_with_a_volume_of_its_own_takes_no_other(void **state)
{
	struct kit *k = *state;
	struct volume_key key, own, got;

	assert_int_equal(volume_key_open(k->a.dir, &key, k->why, sizeof(k->why)), 0);
	assert_int_equal(volume_key_open(k->b.dir, &own, k->why, sizeof(k->why)), 0);
	export_key(k, &key);
	assert_int_equal(volume_key_import(k->b.dir, k->path, 1, &got, k->why, sizeof(k->why)), -EEXIST);
	assert_int_equal(volume_key_open(k->b.dir, &got, k->why, sizeof(k->why)), 0);
	assert_true(same(&own, &got));
	assert_int_equal(volume_key_import(k->b.dir, "/nowhere", 1, &got, k->why, sizeof(k->why)), -ENOENT);
}

static void the_public_half_is_64_digits(void **state)
{
	uint8_t key[MEMBER_KEY], back[MEMBER_KEY];
	char text[2 * MEMBER_KEY + 1], longer[2 * MEMBER_KEY + 2];

	(void)state;
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(i * 7);
	volume_public_format(key, text);
	assert_int_equal(strlen(text), 64);
	assert_true(volume_public_parse(text, back));
	assert_memory_equal(key, back, sizeof(key));
	snprintf(longer, sizeof(longer), "%s0", text);
	assert_false(volume_public_parse(longer, back));
	text[63] = '\0';
	assert_false(volume_public_parse(text, back));
	memset(text, 'x', 64);
	assert_false(volume_public_parse(text, back));
	assert_false(volume_public_parse("", back));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_key_is_made_once_and_for_nobody_else),
		TEST(a_key_that_others_can_read_is_refused),
		TEST(half_a_key_is_refused),
		TEST(an_export_is_imported_once_as_of_its_head),
		TEST(a_store_with_a_volume_of_its_own_takes_no_other),
		TEST(the_public_half_is_64_digits),
	};

	return suite_run(tests);
}
