/* change_list: changes of a directory out of an array, for tests. */
#ifndef TESTS_LIB_CHANGE_LIST_H
#define TESTS_LIB_CHANGE_LIST_H

#include "chunker/directory.h"

struct change_list {
	struct changes changes;
	const struct change *v;
	size_t n;
	size_t at;
};

/** change_list_init(l, v, n): ${n} changes, in the order of ${v}, which it keeps. */
void change_list_init(struct change_list *l, const struct change *v, size_t n);

/** change_list_file(name, len, size): that a regular file of that size is there now. */
struct change change_list_file(const char *name, size_t len, uint64_t size);

#endif
