/*
 * signals: whether a signal is to cut short what its process waits for.
 *
 * The kernel tells a filesystem of any signal, also of one that the program handles, and the
 * answer to that would be an EINTR that no local disk gives: stat(2) has none, and a database that gets
 * one from fsync(2) gives up.  So a signal that ends the process counts at once, any other
 * when the wait has gone on for a while.
 */
#ifndef FS_SIGNALS_H
#define FS_SIGNALS_H

#include <stdbool.h>
#include <stdint.h>

#define SIGNALS_LOOK_MS	50u	/* how often a wait that was interrupted should be looked at again */
#define SIGNALS_GRACE_MS 5000u	/* after which every signal counts */

struct interruption {
	uint32_t pid;		/* a thread's, as the kernel says it; 0: not known here */
	uint64_t since_ms;	/* signals_now_ms(), when it came */
};

/** signals_count(i): is the wait to end? */
bool signals_count(const struct interruption *i);

/** signals_fatal(pid): has that thread a signal that ends it?  Where that can't be told: true. */
bool signals_fatal(uint32_t pid);

/** signals_deaf(pid): is it a thread that no signal reaches any more, one that exits, or one of the kernel's that
 * writes back?  Where that can't be told: false. */
bool signals_deaf(uint32_t pid);

uint64_t signals_now_ms(void);

#endif
