/* The ring file and the admin's key as text: golden, there and back, and what is wrong is named. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dht/net/ringfile.h"
#include "tests/lib/golden.h"
#include "tests/lib/suite.h"

static struct ring_file file;
static uint8_t admin[MEMBER_SECRET];
static char text[RING_FILE_MAX];
static size_t text_len;

static struct ring_file_random randomness(void)
{
	struct ring_file_random r;

	memset(r.id, 0xaa, sizeof(r.id));
	memset(r.secret, 0xbb, sizeof(r.secret));
	memset(r.admin, 2, sizeof(r.admin));
	return r;
}

static int setup(void **state)
{
	struct ring_file_random r = randomness();

	(void)state;
	assert_int_equal(ring_file_create(&r, false, RING_REPLICAS_DEFAULT, RING_ACKS_DEFAULT, &file, admin), 0);
	text_len = ring_file_format(&file, text);
	return 0;
}

static void it_comes_back_as_it_was(void **state)
{
	char why[RING_FILE_WHY] = "", key[RING_FILE_MAX];
	struct ring_file back;
	uint8_t secret[MEMBER_SECRET];
	size_t n;

	(void)state;
	assert_int_equal(strlen(text), text_len);
	assert_int_equal(ring_file_parse(text, text_len, &back, why), 0);
	assert_memory_equal(&back, &file, sizeof(file));
	n = admin_key_format(&file, admin, key);
	assert_int_equal(admin_key_parse(key, n, &file, secret, why), 0);
	assert_memory_equal(secret, admin, sizeof(admin));
	golden_text(text);
	golden_text(key);
}

static void its_hash_has_all_but_the_secret(void **state)
{
	struct ring_file other = file;
	struct address hash, changed;

	(void)state;
	ring_file_hash(&file, &hash);
	golden_is("the hash of the ring file", hash.b, ADDRESS_LEN, "cef42a97186813be7582bc069ed4103e254f2127c5431fecb7c17261ce962e43");
#define DIFFERS(change, how) do { other = file; change; ring_file_hash(&other, &changed); \
	assert_int_equal(address_equal(&hash, &changed), !(how)); } while (0)
	DIFFERS(other.id.b[31]++, true);
	DIFFERS(other.admin[0]++, true);
	DIFFERS(other.replicas++, true);
	DIFFERS(other.acks++, true);
	DIFFERS(other.placement_version++, true);
	DIFFERS(other.secret[7]++, false);
#undef DIFFERS
}

static void a_ring_is_open_where_its_secret_is_zeros(void **state)
{
	struct ring_file_random r = randomness();
	struct ring_file open;
	uint8_t key[MEMBER_SECRET];

	(void)state;
	assert_int_equal(ring_file_create(&r, true, 3, 2, &open, key), 0);
	assert_true(ring_file_open(&open));
	assert_false(ring_file_open(&file));
}

static void copies_and_confirmations_have_bounds(void **state)
{
	struct ring_file_random r = randomness();
	struct ring_file out;
	uint8_t key[MEMBER_SECRET];

	(void)state;
	for (unsigned int replicas = 0; replicas < 12; replicas++)
		for (unsigned int acks = 0; acks < 12; acks++)
			assert_int_equal(ring_file_create(&r, false, replicas, acks, &out, key),
			    replicas >= 1 && replicas <= 8 && acks >= 1 && acks <= replicas ? 0 : -EINVAL);
}

/* The text with its first ${from} replaced: what does the parser say? */
static void says(const char *from, const char *to, int rc, const char *expected)
{
	char changed[2 * RING_FILE_MAX], why[RING_FILE_WHY];
	const char *at = strstr(text, from);
	struct ring_file out;

	assert_non_null(at);
	snprintf(changed, sizeof(changed), "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
	memset(why, 'x', sizeof(why));
	assert_int_equal(ring_file_parse(changed, strlen(changed), &out, why), rc);
	if (rc < 0)
		assert_string_equal(why, expected);
}

static void what_is_wrong_is_named_with_its_line(void **state)
{
	(void)state;
	says("dhtfs-ring 1", "dhtfs-ring 2", -ENOTSUP, "line 1: format 2 is of a later version of dhtfs; this one knows 1");
	says("dhtfs-ring 1", "dhtfs-ring x", -EINVAL, "line 1: this is no format: x");
	says("dhtfs-ring 1", "dhtfs-ring", -EINVAL, "line 1: a name and a value are needed, one space between");
	says("dhtfs-ring 1\n", "", -EINVAL, "line 2: the file must begin with dhtfs-ring");
	says("dhtfs-ring 1", "dhtfs-ring-admin 1", -EINVAL, "line 1: the file must begin with dhtfs-ring");
	says("id aa", "id ax", -EINVAL, "line 3: bad value of id");
	says("id aa", "id a", -EINVAL, "line 3: bad value of id");
	says("secret bb", "secret bbb", -EINVAL, "line 4: bad value of secret");
	says("secret bb", "id bb", -EINVAL, "line 4: this name stands there twice: id");
	says("admin ", "boss ", -EINVAL, "line 5: unknown name: boss");
	says("replicas 3", "replicas 0", -EINVAL, "line 6: bad value of replicas");
	says("replicas 3", "replicas 9", -EINVAL, "line 6: bad value of replicas");
	says("replicas 3", "replicas +3", -EINVAL, "line 6: bad value of replicas");
	says("replicas 3", "replicas  3", -EINVAL, "line 6: bad value of replicas");
	says("replicas 3", "replicas 4294967299", -EINVAL, "line 6: bad value of replicas");
	says("acks 2", "acks 4", -EINVAL, "acks 4: there are only 3 replicas");
	says("acks 2\n", "", -EINVAL, "line 7: the file ends without acks");
	says("placement 1", "placement 2", -ENOTSUP, "placement 2 is of a later version of dhtfs; this one knows 1");
	says("placement 1", "placement 255", -ENOTSUP, "placement 255 is of a later version of dhtfs; this one knows 1");
	says("placement 1", "placement 256", -EINVAL, "line 8: bad value of placement");
	says("placement 1", "placement 109", -ENOTSUP, "placement 109 is of a later version of dhtfs; this one knows 1");
	says("placement 1", "placement 1000", -EINVAL, "line 8: bad value of placement");
	says("placement 1\n", "placement 1\nmore 1\n", -EINVAL, "line 9: unknown name: more");
}

static void a_person_may_edit_it(void **state)
{
	(void)state;
	says("acks 2", "\n# two is enough\nacks 2\n", 0, "");
	says("acks 2", "acks 3", 0, "");
	says("replicas 3\nacks 2\n", "acks 2\nreplicas 3\r\n", 0, "");
	says("placement 1\n", "placement 1", 0, "");
	says("acks 2\n", "acks 2\n\r\n", 0, "");
}

static void a_line_has_a_longest_length(void **state)
{
	char line[256];

	(void)state;
	for (int len = 199; len <= 200; len++) {
		snprintf(line, sizeof(line), "#%0*d\nacks 2", len - 1, 0);
		says("acks 2", line, len > 199 ? -EINVAL : 0, "line 7: too long, or no text");
	}
}

static void a_torn_file_is_refused(void **state)
{
	char why[RING_FILE_WHY];
	struct ring_file out;

	(void)state;
	/* Its last line may lack its end only. */
	for (size_t n = 0; n < text_len - 1; n++) {
		char *alone = malloc(n + 1);

		assert_non_null(alone);
		memcpy(alone, text, n);
		assert_int_equal(ring_file_parse(alone, n, &out, why), -EINVAL);
		free(alone);
	}
	assert_int_equal(ring_file_parse("dhtfs-ring 1\nid a\0b\n", 20, &out, why), -EINVAL);
	assert_string_equal(why, "line 2: too long, or no text");
}

static void the_key_of_another_ring_or_admin_is_refused(void **state)
{
	char why[RING_FILE_WHY], key[RING_FILE_MAX];
	struct ring_file other = file;
	uint8_t out[MEMBER_SECRET], wrong[MEMBER_SECRET];
	size_t n = admin_key_format(&file, admin, key);

	(void)state;
	other.id.b[0]++;
	assert_int_equal(admin_key_parse(key, n, &other, out, why), -EINVAL);
	assert_string_equal(why, "this is not the admin's key of this ring");
	memcpy(wrong, admin, sizeof(wrong));
	wrong[0] ^= 1;			/* a seed that does not fit the public half */
	n = admin_key_format(&file, wrong, key);
	assert_int_equal(admin_key_parse(key, n, &file, out, why), -EINVAL);
	memcpy(wrong, admin, sizeof(wrong));
	wrong[MEMBER_SECRET - 1] ^= 1;	/* and the other way round */
	n = admin_key_format(&file, wrong, key);
	assert_int_equal(admin_key_parse(key, n, &file, out, why), -EINVAL);
	assert_int_equal(admin_key_parse(text, text_len, &file, out, why), -EINVAL);
	assert_string_equal(why, "line 1: the file must begin with dhtfs-ring-admin");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_comes_back_as_it_was),
		cmocka_unit_test(its_hash_has_all_but_the_secret),
		cmocka_unit_test(a_ring_is_open_where_its_secret_is_zeros),
		cmocka_unit_test(copies_and_confirmations_have_bounds),
		cmocka_unit_test(what_is_wrong_is_named_with_its_line),
		cmocka_unit_test(a_person_may_edit_it),
		cmocka_unit_test(a_line_has_a_longest_length),
		cmocka_unit_test(a_torn_file_is_refused),
		cmocka_unit_test(the_key_of_another_ring_or_admin_is_refused),
	};

	return suite_run_with(tests, setup, NULL);
}
