/* threads: many who do the same at once, in one directory and in one file. */
#include "posix.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/xattr.h>

#define THREADS 8

static void at_once(void *(*work)(void *))
{
	pthread_t threads[THREADS];

	for (long i = 0; i < THREADS; i++)
		SAME(pthread_create(&threads[i], NULL, work, (void *)i), 0);
	for (int i = 0; i < THREADS; i++)
		SAME(pthread_join(threads[i], NULL), 0);
}

static void *make_and_remove(void *arg)
{
	long me = (long)arg;
	char name[32], other[32];

	for (int i = 0; i < 150; i++) {
		snprintf(name, sizeof name, "%ld-%d", me, i);
		snprintf(other, sizeof other, "%ld-%d renamed", me, i);
		make(name, name);
		OK(rename(name, other));
		content(other, name);
		OK(link(other, name));
		SAME(look(name).st_nlink, 2);
		OK(unlink(other));
		OK(unlink(name));
		if (mkdir("shared", 0755) < 0)
			SAME(errno, EEXIST);
		if (rmdir("shared") < 0)
			SAME(errno, ENOENT);
	}
	return NULL;
}

static void threads_make_rename_link_and_remove_names_in_one_directory(void)
{
	OK(mkdir("dir", 0755));
	OK(chdir("dir"));
	at_once(make_and_remove);
	OK(chdir(".."));
	OK(rmdir("dir"));
}

static void *exchange_names(void *arg)
{
	char mine[32];

	snprintf(mine, sizeof mine, "name%ld", (long)arg);
	for (int i = 0; i < 100; i++) {
		OK(renameat2(AT_FDCWD, mine, AT_FDCWD, "middle", RENAME_EXCHANGE));
		YES(there("middle") && there(mine));
	}
	return NULL;
}

static void names_that_are_exchanged_by_many_are_all_there_in_the_end(void)
{
	bool seen[THREADS + 1] = { false };
	char name[32], text[8] = "";

	for (int i = 0; i <= THREADS; i++) {
		snprintf(name, sizeof name, i < THREADS ? "name%d" : "middle", i);
		snprintf(text, sizeof text, "%d", i);
		make(name, text);
	}
	at_once(exchange_names);
	for (int i = 0; i <= THREADS; i++) {
		int fd;

		snprintf(name, sizeof name, i < THREADS ? "name%d" : "middle", i);
		fd = (int)OK(open(name, O_RDONLY));
		SAME(read(fd, text, 1), 1);
		YES(!seen[atoi(text)]);
		seen[atoi(text)] = true;
		OK(close(fd));
	}
}

static void *move_across(void *arg)
{
	long me = (long)arg;
	char from[32], to[32];

	/* Each moves a directory between two others, in both directions. */
	for (int i = 0; i < 60; i++) {
		snprintf(from, sizeof from, "%s/d%ld", i % 2 ? "b" : "a", me);
		snprintf(to, sizeof to, "%s/d%ld", i % 2 ? "a" : "b", me);
		OK(rename(from, to));
		SAME(access(from, F_OK), -1);
	}
	return NULL;
}

static void directories_that_many_move_to_and_fro_count_right(void)
{
	char name[32];

	OK(mkdir("a", 0755));
	OK(mkdir("b", 0755));
	for (int i = 0; i < THREADS; i++) {
		snprintf(name, sizeof name, "a/d%d", i);
		OK(mkdir(name, 0755));
	}
	at_once(move_across);
	SAME(look("a").st_nlink, 2 + THREADS);
	SAME(look("b").st_nlink, 2);
	OK(rmdir("b"));
}

static const size_t piece = 300000;

static void *write_piece(void *arg)
{
	long me = (long)arg;
	unsigned char *data = noise(piece, (unsigned int)me + 1);
	int fd = (int)OK(open("f", O_CREAT | O_RDWR, 0644));

	for (size_t at = 0; at < piece; at += 5000) {
		SAME(pwrite(fd, data + at, 5000, (off_t)((size_t)me * piece + at)), 5000);
		if (at % 50000 == 0)
			OK(fsync(fd));
	}
	OK(close(fd));
	free(data);
	return NULL;
}

static void threads_that_write_to_one_file_leave_what_each_has_written(void)
{
	unsigned char *model = malloc(THREADS * piece);
	int fd;

	for (size_t i = 0; i < THREADS; i++)
		memcpy(model + i * piece, noise(piece, (unsigned int)i + 1), piece);
	at_once(write_piece);
	filled("f", model, THREADS * piece);
	fd = (int)OK(open("f", O_RDONLY));
	forget(fd);
	filled("f", model, THREADS * piece);
}

static atomic_bool enough;

static void *list_again_and_again(void *arg)
{
	while (!atomic_load(&enough)) {
		DIR *d = opendir("listed");

		YES(d);
		while (readdir(d))
			;
		closedir(d);
	}
	return arg;
}

/* Not what the kernel remembers. */
static void *ask_again_and_again(void *arg)
{
	struct statx s;

	while (!atomic_load(&enough))
		OK(statx(AT_FDCWD, arg, AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &s));
	return arg;
}

/* Answers with attributes may come later than the answer to what changed them, or before it has been dealt with. */
static void beside_others(void (*change)(int round), int rounds)
{
	pthread_t lister, asker;

	SAME(pthread_create(&lister, NULL, list_again_and_again, NULL), 0);
	SAME(pthread_create(&asker, NULL, ask_again_and_again, "listed/it"), 0);
	for (int i = 0; i < rounds; i++)
		change(i);
	atomic_store(&enough, true);
	SAME(pthread_join(lister, NULL), 0);
	SAME(pthread_join(asker, NULL), 0);
}

/* Linux takes an answer's attributes one after the other: who looks just then may see some of before, but not twice. */
static struct stat settled(const char *path)
{
	look(path);
	return look(path);
}

static void make_in_it(int round)
{
	(void)round;
	OK(mkdir("listed/it/sub", 0755));
	SAME(settled("listed/it").st_nlink, 3);
	OK(rmdir("listed/it/sub"));
	SAME(settled("listed/it").st_nlink, 2);
}

static void a_directory_is_seen_as_it_is_while_others_look_at_it(void)
{
	OK(mkdir("listed", 0755));
	OK(mkdir("listed/it", 0755));
	beside_others(make_in_it, 3000);
}

static void link_it(int round)
{
	OK(link("listed/it", "other"));
	SAME(settled("other").st_nlink, 2);
	if (round % 2) {
		OK(unlink("other"));
	} else {
		make("third", "");
		OK(rename("third", "other"));
	}
	SAME(settled("listed/it").st_nlink, 1);
	if (round % 2 == 0)
		OK(unlink("other"));
}

static void the_links_of_a_file_are_counted_right_while_others_look_at_it(void)
{
	OK(mkdir("listed", 0755));
	make("listed/it", "");
	beside_others(link_it, 1500);
}

static void set_its_mask(int round)
{
	const uint16_t mask = round % 2 ? 7 : 0;
	const struct {
		uint32_t version;
		struct {
			uint16_t tag, perm;
			uint32_t id;
		} e[5];
	} acl = { 2, { { 1, 7, ~0u }, { 2, 7, ALICE_ID }, { 4, 7, ~0u }, { 16, mask, ~0u }, { 32, 0, ~0u } } };

	OK(setxattr("listed/it", "system.posix_acl_access", &acl, sizeof acl, 0));
	SAME(settled("listed/it").st_mode & 070, mask << 3);
}

static void the_mask_of_an_acl_is_in_the_mode_while_others_look_at_it(void)
{
	OK(mkdir("listed", 0755));
	make("listed/it", "");
	beside_others(set_its_mask, 6000);
}

static void the_mask_of_a_directory_s_acl_is_in_the_mode_while_others_look_at_it(void)
{
	OK(mkdir("listed", 0755));
	OK(mkdir("listed/it", 0755));
	beside_others(set_its_mask, 6000);
}

const struct test threads_tests[] = {
	T(threads_make_rename_link_and_remove_names_in_one_directory),
	T(names_that_are_exchanged_by_many_are_all_there_in_the_end),
	T(directories_that_many_move_to_and_fro_count_right),
	T(a_directory_is_seen_as_it_is_while_others_look_at_it),
	T(the_links_of_a_file_are_counted_right_while_others_look_at_it),
	T(the_mask_of_an_acl_is_in_the_mode_while_others_look_at_it),
	T(the_mask_of_a_directory_s_acl_is_in_the_mode_while_others_look_at_it),
	T(threads_that_write_to_one_file_leave_what_each_has_written),
	{ 0 }
};
