/* threads: many who do the same at once, in one directory and in one file. */
#include "posix.h"

#include <pthread.h>

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

const struct test threads_tests[] = {
	T(threads_make_rename_link_and_remove_names_in_one_directory),
	T(names_that_are_exchanged_by_many_are_all_there_in_the_end),
	T(directories_that_many_move_to_and_fro_count_right),
	T(threads_that_write_to_one_file_leave_what_each_has_written),
	{ 0 }
};
