/*
 * tree: one thread commits, others change and look, readers see whole checkpoints.  For
 * ThreadSanitizer above all.
 */
#include "tree_test.h"

#include <pthread.h>
#include <stdatomic.h>

#define DIRS	8
#define EPOCHS	30	/* different checkpoints that the reader is to see */

static uint64_t dirs[DIRS];
static atomic_bool stop;
static atomic_uint commits, epochs;

static void *commit_thread(void *arg)
{
	struct tree *tree;
	char why[256];

	(void)arg;
	assert_int_equal(tree_open(tree_dir, false, &tree, why, sizeof why), 0);
	assert_int_equal(tree_begin(tree), 0);
	t = tree;
	for (int i = 0; i < DIRS; i++) {
		char name[] = { 'd', (char)('0' + i), '\0' };

		dirs[i] = make(TREE_ROOT, name, DIR_MODE);
	}
	tree_test_commit();
	*(atomic_bool *)arg = true;
	while (!atomic_load(&stop)) {
		assert_int_equal(tree_commit(t, NULL, NULL, NULL), 0);
		commits++;
	}
	tree_end(t);
	return NULL;
}

/* Each writer moves a file of its own around the directories, and back. */
static void *write_thread(void *arg)
{
	char name[] = { *(char *)arg, '\0' }, other[] = { *(char *)arg, '2', '\0' };
	struct inode i, gone;

	make(dirs[0], name, FILE_MODE);
	for (unsigned int r = 0; atomic_load(&epochs) < EPOCHS; r++) {
		uint64_t from = dirs[r % DIRS], to = dirs[(r + 1) % DIRS];

		assert_int_equal(tree_link(t, find(from, name), to, other, at(r), &i), 0);
		assert_int_equal(tree_rename(t, from, name, to, name, 0, at(r), &i, &gone), 0);
		assert_int_equal(tree_set_attr(t, i.ino, &(struct inode){ .mode = r & 0777 },
		    SET_MODE, &i), 0);
		assert_int_equal(tree_unlink(t, to, other, at(r), &gone), 0);
		assert_int_equal(tree_lookup(t, to, name, &gone), 0);
		assert_int_equal(gone.nlink, 1);
	}
	return NULL;
}

/*
 * In every checkpoint each file has the names that its link count says, and the directories as
 * many names as they say, whatever moved meanwhile.
 */
static void check_checkpoint(struct tree_reader *r)
{
	static const char *const names[] = { "a", "a2", "b", "b2" };
	unsigned int found = 0, size = 0, links = 0;
	struct inode i;

	for (int k = 0; k < DIRS; k++) {
		assert_int_equal(tree_reader_get(r, dirs[k], &i), 0);
		size += (unsigned int)i.size;
		for (int n = 0; n < 4; n++) {
			struct tree_name name;

			if (tree_reader_lookup(r, dirs[k], names[n], strlen(names[n]), &i) != 0)
				continue;
			found++;
			if (strlen(names[n]) == 1)
				links += i.nlink;
			assert_int_equal(tree_reader_name(r, i.parent, i.cookie, &name), 0);
			assert_int_equal(name.ino, i.ino);
		}
	}
	assert_int_equal(found, size);
	assert_int_equal(found, links);
}

static void *read_thread(void *arg)
{
	uint64_t last = 0;

	(void)arg;
	while (!atomic_load(&stop)) {
		struct tree_reader *r;

		assert_int_equal(tree_reader_open(t, &r), 0);
		assert_true(tree_reader_epoch(r) >= last);
		epochs += tree_reader_epoch(r) > last;
		last = tree_reader_epoch(r);
		for (int i = 0; i < 20; i++)
			check_checkpoint(r);
		tree_reader_close(r);
	}
	return NULL;
}

static void readers_see_whole_checkpoints_while_others_write(void **state)
{
	pthread_t committer, writers[2], reader;
	char names[] = "ab";
	atomic_bool ready = false;

	(void)state;
	tree_close(t);
	assert_int_equal(pthread_create(&committer, NULL, commit_thread, &ready), 0);
	while (!atomic_load(&ready))
		sched_yield();
	assert_int_equal(pthread_create(&reader, NULL, read_thread, NULL), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&writers[i], NULL, write_thread, &names[i]), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(writers[i], NULL);
	atomic_store(&stop, true);
	pthread_join(committer, NULL);
	pthread_join(reader, NULL);
	print_message("%u commits\n", atomic_load(&commits));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(readers_see_whole_checkpoints_while_others_write,
		    tree_test_setup, tree_test_teardown),
	};

	return suite_run(tests);
}
