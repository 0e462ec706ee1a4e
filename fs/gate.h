/*
 * gate: requests that need the tree wait outside, as they came, while it is being committed.
 *
 * A commit waits for the disk with the tree locked.  A thread that ran into that lock would
 * wait as long as the disk likes, with all requests behind it, and nobody could kill who made
 * them.  So who commits closes the gate; what comes then is kept as the bytes that it is, holds
 * no thread, and can be taken back.
 *
 *	serving threads			who keeps		who commits
 *	gate_enter() == 1		gate_next()		gate_close()
 *	  serve, gate_leave()		  serve, gate_leave()	  commit
 *	gate_enter() == 0: kept		  or refuse		gate_open()
 *
 * How much can be kept has the kernel's bounds: one request a thread that waits, some dozens in the
 * background, and what it has to forget, with 64 bytes for each inode that it remembered.
 */
#ifndef FS_GATE_H
#define FS_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunker/list.h"
#include "fs/signals.h"

struct gate;

struct gate_kept {
	struct list link;
	uint64_t unique;		/* the kernel's number of the request */
	struct interruption signal;
	bool interrupted, promised;
	size_t len;
	uint64_t bytes[];		/* ${len} bytes */
};

/** gate_new(): open; NULL: no memory.  gate_free(g): nobody uses it any more; NULL: nothing. */
struct gate *gate_new(void);
void gate_free(struct gate *g);

/** gate_enter(g, unique, pid, mem, len): 1: go in, and gate_leave() soon; 0: the gate is closed, and a copy of the
 * request is kept; -ENOMEM: it is closed, and there is no room to keep it. */
int gate_enter(struct gate *g, uint64_t unique, uint32_t pid, const void *mem, size_t len);
void gate_leave(struct gate *g);

/** gate_interrupt(g, unique): a signal for who waits for that request.  False: it is not here. */
bool gate_interrupt(struct gate *g, uint64_t unique);

/**
 * gate_next(g, refuse): wait for a request that was kept and may go in now: *${refuse} is false, and the
 * caller does gate_leave() when it is served; or for one whose process is to wait no longer:
 * *${refuse} is true.  The caller free()s it.  NULL: gate_end() was called.
 */
struct gate_kept *gate_next(struct gate *g, bool *refuse);

/** gate_promise(g, unique): that request is about to be answered, and will be served whatever comes: no signal
 * and no end takes it back, and what comes later waits behind it.  False: it is not here (any more).
 * gate_promised(g): is there such a one, not served yet? */
bool gate_promise(struct gate *g, uint64_t unique);
bool gate_promised(struct gate *g);

/** gate_end(g): gate_next() returns NULL, after what was promised; what else is kept is dropped by gate_free(). */
void gate_end(struct gate *g);

/** gate_close(g): nobody goes in any more, once all that were kept by the last time have; waits until who is inside
 * has left: true.  gate_open(g): the contrary.  By one thread at a time; NULL: nothing.
 * gate_stir(g): by anyone: who is inside may be waiting for who closes: gate_close(), this one or else the next,
 * leaves the gate open: false. */
bool gate_close(struct gate *g);
void gate_open(struct gate *g);
void gate_stir(struct gate *g);

/** gate_hold(g): by anyone, also who is inside: nobody goes in any more until the next gate_open(). */
void gate_hold(struct gate *g);

#endif
