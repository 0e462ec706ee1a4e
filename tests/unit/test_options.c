/* options, place and size: what a person may write, and what a mistake is answered with. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dht/program/home.h"
#include "dht/program/size.h"
#include "fs/options.h"
#include "fs/place.h"
#include "tests/lib/suite.h"

#define WORDS_MAX 32

static struct options o;
static char said[4096];		/* on stderr and stdout by the last call of parse() or check() */

/* What ${f} writes to descriptors 1 and 2 goes to said. */
static int capture(int (*f)(void *arg), void *arg)
{
	int out = dup(1), err = dup(2), r;
	FILE *file = tmpfile();
	size_t len;

	assert_non_null(file);
	fflush(stdout);
	dup2(fileno(file), 1);
	dup2(fileno(file), 2);
	r = f(arg);
	fflush(stdout);
	dup2(out, 1);
	dup2(err, 2);
	close(out);
	close(err);
	rewind(file);
	len = fread(said, 1, sizeof(said) - 1, file);
	said[len] = '\0';
	fclose(file);
	return r;
}

static int call_parse(void *arg)
{
	char **argv = arg;
	int argc = 0;

	while (argv[argc])
		argc++;
	return options_parse(argc, argv, &o);
}

/* Words divided by spaces, "dhtfs" before them. */
static int parse(const char *line)
{
	char *words = strdup(line), *rest = words, *argv[WORDS_MAX] = { (char[]){ "dhtfs" } };
	int r;

	options_free(&o);
	for (int n = 1; rest && *rest; n++) {
		assert_true(n < WORDS_MAX - 1);
		argv[n] = strsep(&rest, " ");
	}
	r = capture(call_parse, argv);
	free(words);
	return r;
}

static int call_check(void *arg)
{
	(void)arg;
	return place_check(&o);
}

static bool says(const char *text)
{
	if (strstr(said, text))
		return true;
	print_message("wanted '%s' in: %s\n", text, said);
	return false;
}

/* Has libfuse been given -o option? */
static bool has_fuse_option(const char *option)
{
	for (int i = 0; i + 1 < o.fuse_argc; i++) {
		if (strcmp(o.fuse_args[i], "-o") == 0 && strcmp(o.fuse_args[i + 1], option) == 0)
			return true;
	}
	return false;
}

static void sizes_are_bytes_in_powers_of_1024(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{ "0", 0 }, { "4096", 4096 }, { "1K", 1024 }, { "1k", 1024 }, { "10G", 10ull << 30 },
		{ "512M", 512ull << 20 }, { "1.5T", 3ull << 39 }, { "4KiB", 4096 }, { "4KB", 4096 },
		{ "0.5K", 512 }, { "1.0009765625K", 1025 }, { "7E", 7ull << 60 },
		{ "0.1", 0 }, { "9223372036854775807", INT64_MAX },
		{ "1.99999999999999999999999999K", 2047 },
	};
	static const char *const bad[] = {
		"", "G", "-1", "+1", " 1", "1 G", "1X", "1.", ".5", "1..5", "1GG", "1Gi ", "1B", "0x10",
		"1,5G", "1e3", "ten", "1iB",
	};
	static const char *const large[] = {
		"8E", "9223372036854775808", "99999999999999999999999",
		"8388608T", "8.0E",
	};
	uint64_t bytes;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		bytes = 1;
		assert_int_equal(size_parse(good[i].text, &bytes), 0);
		assert_int_equal(bytes, good[i].bytes);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(size_parse(bad[i], &bytes), -EINVAL);
	for (size_t i = 0; i < sizeof(large) / sizeof(*large); i++)
		assert_int_equal(size_parse(large[i], &bytes), -ERANGE);
}

static void sizes_are_shown_with_one_digit_behind_the_point(void **state)
{
	char text[SIZE_TEXT_LEN];

	(void)state;
	assert_string_equal(size_format(0, text), "0 B");
	assert_string_equal(size_format(1023, text), "1023 B");
	assert_string_equal(size_format(1024, text), "1.0 KiB");
	assert_string_equal(size_format(1536, text), "1.5 KiB");
	assert_string_equal(size_format((1 << 20) - 1, text), "1.0 MiB");
	assert_string_equal(size_format(10ull << 30, text), "10.0 GiB");
	assert_string_equal(size_format(UINT64_MAX, text), "16.0 EiB");
}

static void a_mount_point_alone_is_enough(void **state)
{
	(void)state;
	assert_int_equal(parse("/mnt/dht"), 0);
	assert_string_equal(said, "");
	assert_string_equal(o.mountpoint, "/mnt/dht");
	assert_true(o.store_default);
	assert_true(o.store[0] == '/');
	assert_false(o.foreground || o.debug || o.read_only || o.nonempty || o.allow_other);
	assert_int_equal(o.by_hash, BY_HASH_LIST);
	assert_int_equal(o.by_hash_mode, 0500);
	assert_int_equal(o.size_max, 0);
	assert_int_equal(o.dirty_max, 256 << 20);
	assert_int_equal(o.cache_max, 32 << 20);
	assert_int_equal(o.keep.n, 3);
	assert_int_equal(o.keep.step[2].span_s, 30 * 86400);
	assert_string_equal(o.fuse_args[0], "dhtfs");
	assert_null(o.fuse_args[o.fuse_argc]);
	assert_true(has_fuse_option("fsname=dhtfs"));
	assert_true(has_fuse_option("subtype=dhtfs"));
	assert_true(has_fuse_option("default_permissions"));
	assert_false(has_fuse_option("ro"));
}

static void options_may_stand_anywhere_and_relative_paths_are_made_absolute(void **state)
{
	char *here = get_current_dir_name(), wanted[4200];

	(void)state;
	assert_int_equal(parse("-f mnt --store st --size-max 10G --dirty-max=64M --cache 8M -o ro"), 0);
	assert_true(o.foreground);
	assert_true(o.read_only);
	snprintf(wanted, sizeof(wanted), "%s/mnt", here);
	assert_string_equal(o.mountpoint, wanted);
	snprintf(wanted, sizeof(wanted), "%s/st", here);
	assert_string_equal(o.store, wanted);
	assert_false(o.store_default);
	assert_int_equal(o.size_max, 10ull << 30);
	assert_int_equal(o.dirty_max, 64 << 20);
	assert_int_equal(o.cache_max, 8 << 20);
	assert_true(has_fuse_option("ro"));
	free(here);
}

static void the_same_settings_go_into_mount_options(void **state)
{
	(void)state;
	assert_int_equal(parse("-o store=/s\\,t,size_max=1T,dirty_max=4M,cache=4M,keep=all:2h\\,day,nonempty,by_hash=nolist "
			       "-oby_hash_mode=555,debug,allow_other,nosuid,fsname=a\\,b m"), 0);
	assert_string_equal(o.store, "/s,t");
	assert_int_equal(o.size_max, 1ull << 40);
	assert_int_equal(o.dirty_max, 4 << 20);
	assert_int_equal(o.cache_max, 4 << 20);
	assert_int_equal(o.keep.n, 2);
	assert_int_equal(o.keep.step[0].span_s, 7200);
	assert_true(o.nonempty && o.allow_other && o.debug);
	assert_true(o.foreground);	/* -d and debug imply it */
	assert_int_equal(o.by_hash, BY_HASH_NOLIST);
	assert_int_equal(o.by_hash_mode, 0555);
	assert_true(has_fuse_option("allow_other"));
	assert_true(has_fuse_option("nosuid"));
	assert_true(has_fuse_option("fsname=a\\,b"));
	assert_string_equal(o.fuse_args[o.fuse_argc - 1], "-d");
}

static void the_last_of_two_counts(void **state)
{
	(void)state;
	assert_int_equal(parse("-o ro,rw,by_hash=hidden,by_hash=list --cache 8M --cache 9M m"), 0);
	assert_false(o.read_only);
	assert_false(has_fuse_option("ro"));
	assert_int_equal(o.by_hash, BY_HASH_LIST);
	assert_int_equal(o.cache_max, 9 << 20);
}

static void a_line_of_fstab_works(void **state)
{
	(void)state;
	assert_int_equal(parse("/store/dir /mnt/dht -o rw,noauto,user,nofail,_netdev,x-systemd.automount,"
			       "defaults,users,X-mount.mkdir,user=joe,noatime,relatime,dev,suid"), 0);
	assert_string_equal(o.store, "/store/dir");
	assert_false(o.store_default);
	assert_string_equal(o.mountpoint, "/mnt/dht");
	assert_true(has_fuse_option("fsname=/store/dir"));
	assert_true(has_fuse_option("suid"));
	assert_false(has_fuse_option("noauto"));
	assert_false(has_fuse_option("user"));

	assert_int_equal(parse("none /mnt/dht -o rw"), 0);
	assert_true(o.store_default);
	assert_true(has_fuse_option("fsname=none"));
	assert_int_equal(parse("dhtfs /mnt/dht -o store=/s"), 0);
	assert_string_equal(o.store, "/s");
}

static void a_node_of_a_ring_is_described_in_either_form(void **state)
{
	(void)state;
	assert_int_equal(parse("--ring r --listen 10.0.0.1 --listen ::1 --join a:1 --sync local --no-store --wait m"), 0);
	assert_true(settings_networked(&o.settings));
	assert_int_equal(o.settings.listen.count, 2);
	assert_int_equal(o.settings.sync, SYNC_LOCAL);
	assert_true(o.settings.no_store && o.settings.wait);
	assert_int_equal(parse("none m -o sync,ring=/r,listen=h,join=a,join=b,sync=ring,volume_max=1G,no_store,timeout=7"), 0);
	assert_true(has_fuse_option("sync"));
	assert_false(has_fuse_option("sync=ring"));
	assert_int_equal(o.settings.join.count, 2);
	assert_int_equal(o.settings.sync, SYNC_RING);
	assert_int_equal(o.settings.timeout_s, 7);
	assert_int_equal(o.settings.volume_max, 1u << 30);
	assert_int_equal(parse("m"), 0);
	assert_false(settings_networked(&o.settings));
}

static void every_mistake_is_named(void **state)
{
	static const struct {
		const char *line, *text;
	} bad[] = {
		{ "", "mount point" },
		{ "-f", "mount point" },
		{ "a b c", "'c'" },
		{ "m --frobnicate", "frobnicate" },
		{ "m -x", "'x'" },
		{ "m -o ro,frobnicate", "'frobnicate'" },
		{ "m -o frob=1,ro", "'frob=1'" },
		{ "m -o rox", "'rox'" },
		{ "m -o ro=1", "'ro=1'" },
		{ "m -o store", "'store'" },
		{ "m -o allow_others", "'allow_others'" },
		{ "m -o store=", "store" },
		{ "m --size-max many", "'many'" },
		{ "m --dirty-max 1M", "4M" },
		{ "m -o cache=0", "cache" }, { "m --keep", "keep" }, { "m --keep=hourly", "'hourly'" },
		{ "m --keep all:2h,hour:1h", "further back" }, { "m -o keep=", "no period" },
		{ "m -o by_hash=perhaps", "'perhaps'" },
		{ "m -o by_hash_mode=0900", "'0900'" },
		{ "m -o by_hash_mode=7777", "'7777'" },
		{ "m -o by_hash_mode=", "by_hash_mode" },
		{ "/a m --store /b", "/b" },
		{ "m --listen h", "dhtctl ring create" },
		{ "m -o join=h", "--ring" },
		{ "m -o weight=100", "weight" },
		{ "m -o sync=never", "'never'" },
		{ "m --config /nowhere/at/all", "/nowhere/at/all" },
		{ "m --size-max", "size-max" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(parse(bad[i].line), -1);
		assert_true(says(bad[i].text));
		assert_true(says("dhtfs"));
	}
}

static void help_and_version_are_answers_and_no_mistakes(void **state)
{
	(void)state;
	assert_int_equal(parse("-h"), 1);
	assert_true(says("usage: dhtfs"));
	assert_true(says("--size-max"));
	assert_int_equal(parse("--help /mnt"), 1);
	assert_int_equal(parse("-V"), 1);
	assert_string_equal(said, "dhtfs " DHTFS_VERSION "\n");
	assert_int_equal(parse("--version"), 1);
}

static void the_default_store_is_in_the_data_folder_of_the_user(void **state)
{
	char *store;

	(void)state;
	setenv("XDG_DATA_HOME", "/data", 1);
	store = home_default_store();
	assert_string_equal(store, "/data/dhtfs");
	free(store);
	setenv("XDG_DATA_HOME", "relative", 1);
	setenv("HOME", "/home/joe", 1);
	store = home_default_store();
	assert_string_equal(store, "/home/joe/.local/share/dhtfs");
	free(store);
	unsetenv("XDG_DATA_HOME");
	unsetenv("HOME");
	store = home_default_store();
	assert_non_null(store);
	assert_true(*store == '/');
	assert_non_null(strstr(store, "/.local/share/dhtfs"));
	free(store);
}

/* A folder of its own for each test of places: DIR/mnt, DIR/store, and we are in DIR. */
static char dir[] = "/tmp/test_options.XXXXXX";

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir + strlen(dir) - 6, "XXXXXX");
	if (!mkdtemp(dir) || chdir(dir) < 0 || mkdir("mnt", 0755) < 0 || mkdir("store", 0755) < 0)
		return -1;
	return 0;
}

static int remove_dir(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return chdir("/") < 0 || system(command) != 0 ? -1 : 0;
}

static int place(const char *line)
{
	assert_int_equal(parse(line), 0);
	return capture(call_check, NULL);
}

/* Everything before /dev/fuse is asked about was in order. */
static bool placed(const char *line)
{
	return place(line) == 0 || says("/dev/fuse") || says("fusermount3");
}

static void an_empty_directory_will_do(void **state)
{
	char wanted[64];

	(void)state;
	assert_int_equal(symlink("mnt", "link"), 0);
	assert_true(placed("link --store store"));
	snprintf(wanted, sizeof(wanted), "%s/mnt", dir);
	assert_string_equal(o.mountpoint, wanted);
	assert_true(placed("mnt --store not/yet/made"));
}

static void what_will_not_do_is_told_with_the_way_out(void **state)
{
	int fd = open("file", O_CREAT | O_WRONLY, 0644);

	(void)state;
	close(fd);
	assert_int_equal(place("missing --store store"), -1);
	assert_true(says("mkdir -p"));
	assert_int_equal(place("file --store store"), -1);
	assert_true(says("not a directory"));
	assert_int_equal(place("file/below --store store"), -1);
	assert_true(says("not a directory"));
	assert_int_equal(symlink("loop", "loop"), 0);
	assert_int_equal(place("loop --store store"), -1);
	assert_true(says("symbolic links"));
	assert_int_equal(mkdir("mnt/full", 0755), 0);
	assert_int_equal(place("mnt --store store"), -1);
	assert_true(says("nonempty"));
	assert_true(placed("mnt --store store -o nonempty"));
}

static void a_mount_in_the_store_or_the_reverse_is_refused_through_symlinks_too(void **state)
{
	(void)state;
	assert_int_equal(mkdir("store/within", 0755), 0);
	assert_int_equal(mkdir("mnt/sub", 0755), 0);
	assert_int_equal(symlink("store", "link"), 0);
	assert_int_equal(symlink("mnt/sub", "sub"), 0);
	assert_int_equal(place("store --store store -o nonempty"), -1);
	assert_true(says("the store itself"));
	assert_int_equal(place("link --store store -o nonempty"), -1);
	assert_true(says("the store itself"));
	assert_int_equal(place("store/within --store link"), -1);
	assert_true(says("within the store"));
	assert_int_equal(place("link/within --store store"), -1);
	assert_true(says("within the store"));
	assert_int_equal(place("mnt --store mnt/sub -o nonempty"), -1);
	assert_true(says("would hide it"));
	assert_int_equal(place("mnt --store sub/not/yet -o nonempty"), -1);
	assert_true(says("would hide it"));
	assert_int_equal(place("mnt --store mnt/../mnt/new -o nonempty"), -1);
	assert_true(says("would hide it"));
	/* One name is the beginning of the other, and that is all. */
	assert_true(placed("mnt --store mnt2 -o nonempty"));
	assert_int_equal(mkdir("store2", 0755), 0);
	assert_true(placed("store2 --store store"));
}

static void the_folders_above_a_default_store_are_made_private(void **state)
{
	struct stat st;
	char home[64];

	(void)state;
	unsetenv("XDG_DATA_HOME");
	snprintf(home, sizeof(home), "%s/home", dir);
	assert_int_equal(mkdir("home", 0755), 0);
	setenv("HOME", home, 1);
	assert_int_equal(parse("mnt"), 0);
	assert_int_equal(home_make_parents(o.store), 0);
	assert_int_equal(stat("home/.local/share", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(stat("home/.local/share/dhtfs", &st), -1);
	assert_int_equal(home_make_parents(o.store), 0);
	setenv("HOME", "/dev/null", 1);
	assert_int_equal(parse("mnt"), 0);
	assert_int_equal(home_make_parents(o.store), -ENOTDIR);
}

static void the_command_line_wins_over_the_file(void **state)
{
	FILE *file = fopen("config", "w");

	(void)state;
	assert_non_null(file);
	fputs("store = /a\ncache = 5M\nkeep = none\nring = /r\nlisten = h1\nlisten = h2\njoin = j\n", file);
	fclose(file);
	assert_int_equal(parse("m --config config"), 0);
	assert_string_equal(o.store, "/a");
	assert_false(o.store_default);
	assert_int_equal(o.cache_max, 5 << 20);
	assert_int_equal(o.settings.listen.count, 2);

	assert_int_equal(parse("/b m --cache 6M --listen h3 -o config=config"), 0);
	assert_string_equal(o.store, "/b");
	assert_int_equal(o.cache_max, 6 << 20);
	assert_int_equal(o.settings.listen.count, 1);
	assert_string_equal(o.settings.listen.item[0], "h3");
	assert_string_equal(o.settings.join.item[0], "j");
	assert_string_equal(o.settings.ring, "/r");
}

static void the_users_own_file_is_read_where_none_is_named(void **state)
{
	FILE *file;

	(void)state;
	assert_int_equal(mkdir("dhtfs", 0755), 0);
	file = fopen("dhtfs/config", "w");
	assert_non_null(file);
	fputs("cache = 7M\n\nfrobnicate = yes\n", file);
	fclose(file);
	setenv("XDG_CONFIG_HOME", dir, 1);
	assert_int_equal(parse("m"), -1);
	assert_true(says("dhtfs/config:3: there is no setting 'frobnicate'"));
	assert_int_equal(parse("m --config none"), 0);
	assert_int_equal(o.cache_max, 32 << 20);
	unsetenv("XDG_CONFIG_HOME");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_bytes_in_powers_of_1024),
		cmocka_unit_test(sizes_are_shown_with_one_digit_behind_the_point),
		cmocka_unit_test(a_mount_point_alone_is_enough),
		cmocka_unit_test(options_may_stand_anywhere_and_relative_paths_are_made_absolute),
		cmocka_unit_test(the_same_settings_go_into_mount_options),
		cmocka_unit_test(the_last_of_two_counts),
		cmocka_unit_test(a_line_of_fstab_works),
		cmocka_unit_test(a_node_of_a_ring_is_described_in_either_form),
		cmocka_unit_test(every_mistake_is_named),
		cmocka_unit_test_setup_teardown(the_command_line_wins_over_the_file, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(the_users_own_file_is_read_where_none_is_named, make_dir, remove_dir),
		cmocka_unit_test(help_and_version_are_answers_and_no_mistakes),
		cmocka_unit_test(the_default_store_is_in_the_data_folder_of_the_user),
		cmocka_unit_test_setup_teardown(an_empty_directory_will_do, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(what_will_not_do_is_told_with_the_way_out, make_dir,
		    remove_dir),
		cmocka_unit_test_setup_teardown(
		    a_mount_in_the_store_or_the_reverse_is_refused_through_symlinks_too, make_dir,
		    remove_dir),
		cmocka_unit_test_setup_teardown(the_folders_above_a_default_store_are_made_private,
		    make_dir, remove_dir),
	};
	int failed;

	failed = suite_run(tests);
	options_free(&o);
	return failed;
}
