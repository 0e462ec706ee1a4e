/* jobs: each runs once, and those that are queued still run when it ends. */
#include <stdatomic.h>
#include <stdlib.h>

#include "fs/jobs.h"
#include "tests/lib/suite.h"

static atomic_uint ran;

static void count(struct job *j)
{
	atomic_fetch_add(&ran, 1);
	free(j);
}

static void all_that_were_posted_run_before_it_ends(void **state)
{
	struct jobs *js = jobs_new(3);

	(void)state;
	assert_non_null(js);
	for (int i = 0; i < 1000; i++) {
		struct job *j = malloc(sizeof(*j));

		assert_non_null(j);
		j->run = count;
		jobs_post(js, j);
	}
	jobs_free(js);
	assert_int_equal(atomic_load(&ran), 1000);
}

static void freeing_none_does_nothing(void **state)
{
	(void)state;
	jobs_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_that_were_posted_run_before_it_ends),
		cmocka_unit_test(freeing_none_does_nothing),
	};

	return suite_run(tests);
}
