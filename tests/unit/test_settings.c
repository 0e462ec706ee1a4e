/* settings and config: what makes a program a node, wherever it is said, and what a mistake is answered with. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dht/net/ringfile.h"
#include "dht/peer/settings.h"
#include "dht/program/config.h"
#include "tests/lib/suite.h"

static struct settings s;
static char why[512];
static char dir[] = "/tmp/test_settings.XXXXXX";

static int begin(void **state)
{
	(void)state;
	settings_init(&s);
	why[0] = '\0';
	strcpy(dir + strlen(dir) - 6, "XXXXXX");
	return mkdtemp(dir) && chdir(dir) == 0 ? 0 : -1;
}

static int end(void **state)
{
	static const char *const files[] = { "config", "lab.ring" };

	(void)state;
	settings_free(&s);
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		unlink(files[i]);
	return chdir("/") == 0 ? rmdir(dir) : -1;
}

static int set(const char *name, const char *value)
{
	return settings_set(&s, name, value, why, sizeof(why));
}

static void each_setting_is_taken_and_either_dash_will_do(void **state)
{
	(void)state;
	assert_int_equal(s.timeout_s, 30);
	assert_int_equal(set("listen", "10.0.0.1"), 0);
	assert_int_equal(set("listen", "[fd00::1]:99"), 0);
	assert_int_equal(set("listen", "::1"), 0);
	assert_int_equal(set("join", "node.example:4377"), 0);
	assert_int_equal(set("advertise", "h"), 0);
	assert_int_equal(set("ring", "lab.ring"), 0);
	assert_int_equal(set("ring-old", "/old.ring"), 0);
	assert_int_equal(set("ring_old", "/older.ring"), 0);
	assert_int_equal(set("zone", "cellar 2"), 0);
	assert_int_equal(set("weight", "64"), 0);
	assert_int_equal(set("no_store", ""), 0);
	assert_int_equal(set("sync", "local"), 0);
	assert_int_equal(set("timeout", "5"), 0);
	assert_int_equal(set("volume-max", "1.5G"), 0);
	assert_int_equal(set("metrics", "127.0.0.1:9477"), 0);
	assert_int_equal(set("metrics", "unix:/run/m"), 0);
	assert_int_equal(set("volume", "v.key"), 0);
	assert_int_equal(set("wait", "yes"), 0);
	assert_int_equal(settings_finish(&s, why, sizeof(why)), 0);

	assert_int_equal(s.listen.count, 3);
	assert_string_equal(s.listen.item[0], "10.0.0.1");
	assert_string_equal(s.listen.item[1], "[fd00::1]:99");
	assert_string_equal(s.listen.item[2], "[::1]");
	assert_null(s.listen.item[3]);
	assert_string_equal(s.join.item[0], "node.example:4377");
	assert_int_equal(s.ring[0], '/');
	assert_string_equal(s.ring_old, "/older.ring");
	assert_string_equal(s.zone, "cellar 2");
	assert_int_equal(s.weight, 64);
	assert_true(s.no_store && s.wait);
	assert_int_equal(s.sync, SYNC_LOCAL);
	assert_int_equal(s.timeout_s, 5);
	assert_int_equal(s.volume_max, 3ull << 29);
	assert_string_equal(s.metrics, "unix:/run/m");
	assert_true(settings_networked(&s));
	assert_int_equal(set("wait", "no"), 0);
	assert_false(s.wait);
}

static void a_value_that_will_not_do_is_named_with_what_to_give(void **state)
{
	static const struct {
		const char *name, *value, *text;
	} bad[] = {
		{ "listen", "", "HOST:PORT" }, { "listen", ":4377", "HOST:PORT" }, { "listen", "a:0", "'a:0'" },
		{ "listen", "a:65536", "65536" }, { "listen", "a:b", "HOST" }, { "listen", "[::1", "HOST" },
		{ "listen", "[::1]x", "HOST" }, { "listen", "a b", "HOST" }, { "listen", "[h]:1", "HOST" },
		{ "join", "1:2:3", "HOST" }, { "weight", "0", "1 to 64" }, { "weight", "65", "1 to 64" },
		{ "weight", "-1", "1 to 64" }, { "weight", "two", "'two'" }, { "timeout", "0", "1 to 3600" },
		{ "timeout", "5s", "'5s'" }, { "sync", "remote", "local or ring" }, { "volume-max", "much", "10G" },
		{ "metrics", "9477", "HOST:PORT" }, { "metrics", "unix:run", "unix:/PATH" }, { "metrics", ":1", "HOST" },
		{ "zone", "a\nb", "zone" }, { "zone", "a name that is longer than 31 bytes", "31" },
		{ "follow", "abc", "dhtctl volume" }, { "no-store", "perhaps", "yes" }, { "ring", "", "nothing" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		why[0] = '\0';
		assert_int_equal(set(bad[i].name, bad[i].value), -EINVAL);
		if (!strstr(why, bad[i].text))
			fail_msg("%s = %s: '%s' does not say '%s'", bad[i].name, bad[i].value, why, bad[i].text);
	}
	assert_int_equal(set("lisen", "a"), -ENOENT);
	assert_int_equal(set("a-name-that-is-longer-than-any-that-we-have", "a"), -ENOENT);
	assert_int_equal(s.listen.count, 0);
}

static void what_needs_a_ring_says_how_to_make_one(void **state)
{
	static const char *const names[] = { "listen", "join" };

	(void)state;
	assert_int_equal(settings_finish(&s, why, sizeof(why)), 0);
	assert_false(settings_networked(&s));
	for (size_t i = 0; i < 2; i++) {
		settings_free(&s);
		assert_int_equal(set(names[i], "10.0.0.1"), 0);
		assert_int_equal(settings_finish(&s, why, sizeof(why)), -EINVAL);
		assert_non_null(strstr(why, names[i]));
		assert_non_null(strstr(why, "dhtctl ring create"));
	}
	settings_free(&s);
	assert_int_equal(set("ring", "r"), 0);
	assert_int_equal(set("advertise", "h"), 0);
	assert_int_equal(settings_finish(&s, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "--listen"));
	assert_int_equal(set("listen", "h"), 0);
	assert_int_equal(settings_finish(&s, why, sizeof(why)), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(set("listen", "h"), 0);
	assert_int_equal(settings_finish(&s, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "at most 4"));
}

static void a_later_layer_replaces_a_list_and_not_the_rest(void **state)
{
	(void)state;
	assert_int_equal(set("join", "a"), 0);
	assert_int_equal(set("join", "b"), 0);
	assert_int_equal(set("zone", "z"), 0);
	settings_next_layer(&s);
	assert_int_equal(s.join.count, 2);
	assert_int_equal(set("join", "c"), 0);
	assert_int_equal(set("join", "d"), 0);
	assert_int_equal(s.join.count, 2);
	assert_string_equal(s.join.item[0], "c");
	assert_string_equal(s.join.item[1], "d");
	assert_string_equal(s.zone, "z");
}

static void the_weight_follows_from_the_store(void **state)
{
	(void)state;
	assert_int_equal(settings_weight(&s, 0), 1);
	assert_int_equal(settings_weight(&s, 95ull << 30), 1);
	assert_int_equal(settings_weight(&s, 96ull << 30), 2);
	assert_int_equal(settings_weight(&s, 1ull << 40), 16);
	assert_int_equal(settings_weight(&s, 100ull << 40), 64);
	s.weight = 7;
	assert_int_equal(settings_weight(&s, 1ull << 40), 7);
}

static void write_file(const char *name, mode_t mode, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void write_ring(bool open, mode_t mode)
{
	static const struct ring_file_random random = { .id = { 1 }, .secret = { 2 }, .admin = { 3 } };
	uint8_t admin[MEMBER_SECRET];
	char text[RING_FILE_MAX];
	struct ring_file file;

	assert_int_equal(ring_file_create(&random, open, 3, 2, &file, admin), 0);
	ring_file_format(&file, text);
	write_file("lab.ring", mode, text);
}

static void a_ring_file_that_others_can_read_is_refused_unless_its_secret_is_none(void **state)
{
	static const mode_t bad[] = { 0640, 0604, 0620, 0602 };
	struct ring_file file;

	(void)state;
	write_ring(false, 0600);
	assert_int_equal(settings_ring("lab.ring", &file, why, sizeof(why)), 0);
	assert_int_equal(file.replicas, 3);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		write_ring(false, bad[i]);
		assert_int_equal(settings_ring("lab.ring", &file, why, sizeof(why)), -EACCES);
		assert_non_null(strstr(why, "chmod 600 lab.ring"));
	}
	write_ring(true, 0644);
	assert_int_equal(settings_ring("lab.ring", &file, why, sizeof(why)), 0);
	write_file("lab.ring", 0600, "hello\n");
	assert_int_equal(settings_ring("lab.ring", &file, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "line 1"));
	assert_int_equal(settings_ring("nowhere", &file, why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, "dhtctl ring create"));
}

/* ---- files ---- */

static char said[1024];		/* on stderr by the last read_config() */

static int set_from_file(void *arg, const char *name, const char *value, char *reason, size_t size)
{
	return settings_set(arg, name, value, reason, size);
}

static int read_config(const char *program, const char *text)
{
	const struct config_reader reader = { .program = program, .set = set_from_file, .arg = &s };
	int err = dup(2), r;
	FILE *file = tmpfile();

	write_file("config", 0644, text);
	dup2(fileno(file), 2);
	r = config_read(&reader, "config");
	dup2(err, 2);
	close(err);
	rewind(file);
	said[fread(said, 1, sizeof(said) - 1, file)] = '\0';
	fclose(file);
	return r;
}

static void a_file_has_settings_for_both_programs_and_for_each(void **state)
{
	static const char text[] = "# of all\nzone = cellar\nlisten=10.0.0.1\nlisten = ::1\n\n"
				   "[dhtd]\nweight = 3 ; not the mount\n[dhtfs]\nweight = 5\nwait = yes\n";

	(void)state;
	assert_int_equal(read_config("dhtd", text), 0);
	assert_string_equal(said, "");
	assert_string_equal(s.zone, "cellar");
	assert_int_equal(s.listen.count, 2);
	assert_int_equal(s.weight, 3);
	assert_false(s.wait);
	assert_int_equal(read_config("dhtfs", text), 0);
	assert_int_equal(s.weight, 5);
	assert_true(s.wait);
	assert_int_equal(read_config("dhtfs", ""), 0);
}

static void a_mistake_in_a_file_is_told_with_its_line(void **state)
{
	static const struct {
		const char *text, *said;
	} bad[] = {
		{ "zone = a\n\nlisen = b\n", "dhtd: config:3: there is no setting 'lisen'" },
		{ "zone = a\nweight = 99\nlisen = b\n", "dhtd: config:2: weight: '99'" },
		{ "zone = a\n\nwhat is this\n", "dhtd: config:3: no setting: write" },
		{ "[dhtctl]\nzone = a\n", "dhtd: config:2: unknown section [dhtctl]" },
		{ "[dhtd]\n# c\nsync = never", "dhtd: config:3: sync: 'never' is unknown: give local or ring" },
	};
	char *longest = malloc(5000);

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(read_config("dhtd", bad[i].text), -1);
		if (strncmp(said, bad[i].said, strlen(bad[i].said)) != 0)
			fail_msg("'%s' and not '%s'", said, bad[i].said);
		/* Only the first one. */
		assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
	}
	memset(longest, 'x', 4999);
	longest[4999] = '\0';
	memcpy(longest, "zone = ", 7);
	assert_int_equal(read_config("dhtd", longest), -1);
	assert_non_null(strstr(said, "too long"));
	free(longest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_setting_is_taken_and_either_dash_will_do, begin, end),
		cmocka_unit_test_setup_teardown(a_value_that_will_not_do_is_named_with_what_to_give, begin, end),
		cmocka_unit_test_setup_teardown(what_needs_a_ring_says_how_to_make_one, begin, end),
		cmocka_unit_test_setup_teardown(a_later_layer_replaces_a_list_and_not_the_rest, begin, end),
		cmocka_unit_test_setup_teardown(the_weight_follows_from_the_store, begin, end),
		cmocka_unit_test_setup_teardown(a_ring_file_that_others_can_read_is_refused_unless_its_secret_is_none,
		    begin, end),
		cmocka_unit_test_setup_teardown(a_file_has_settings_for_both_programs_and_for_each, begin, end),
		cmocka_unit_test_setup_teardown(a_mistake_in_a_file_is_told_with_its_line, begin, end),
	};

	return suite_run(tests);
}
