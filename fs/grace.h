/*
 * grace: wait until all that was under way at a moment is over.
 *
 * Work that must not be half done when something changes enters and leaves; who changes it waits
 * for those who entered before.  Who enters later is not waited for, so it ends.
 */
#ifndef FS_GRACE_H
#define FS_GRACE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct grace {
	/* How many are inside, by the parity with which they entered. */
	atomic_uint parity, inside[2];
	atomic_bool waiting;
	pthread_mutex_t lock;	/* of waits; one at a time */
	pthread_cond_t left;
};

void grace_init(struct grace *g);
void grace_destroy(struct grace *g);

/** grace_enter(g): returns what grace_leave() wants.  Never waits; any thread, and another may leave.
 * With ${g} NULL both do nothing. */
unsigned int grace_enter(struct grace *g);
void grace_leave(struct grace *g, unsigned int parity);

/** grace_wait(g, go_on, arg): until all who had entered before this call have left: 0.  go_on(arg) is
 * asked some times a second: false: -ECANCELED. */
int grace_wait(struct grace *g, bool (*go_on)(void *arg), void *arg);

#endif
