/*
 * memory_disk: what is behind shelf.h and disk.h, in memory: for tests of a peer that are about its loop, not about its disk.  A
 * shelf is known by its folder, and stays when it is closed.  Answers come from a thread of their own.
 */
#ifndef TESTS_MEMORY_DISK_H
#define TESTS_MEMORY_DISK_H

#include "tests/lib/memory_catalogue.h"

/** memory_disk(dir): what a shelf of ${dir} has; while no peer has it open. */
struct memory_catalogue *memory_disk(const char *dir);

/** memory_disk_hold(hold): no disk answers anything until it is let go. */
void memory_disk_hold(bool hold);

/** memory_disk_forget(): all of them; none is open. */
void memory_disk_forget(void);

#endif
