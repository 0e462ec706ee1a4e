/* check: whether a world keeps its promises: seven checkers; those not named here stand where they are told (below). */
#ifndef TESTS_SIM_CHECK_H
#define TESTS_SIM_CHECK_H

#include "tests/sim/world.h"

/*
 * 1 loss		books_acked(), confirm_reply(), fetch_reply() as it happens; check_loss() at the end
 * 2 bytes		fetch_reply()
 * 3 deletion		books_lost(), books_stored() as it happens; check_deleted() at the end
 * 4 convergence	check_settled() until it is true, within its bound; check_traffic()
 * 5 heads		writers.c
 * 6 waiting, memory	load_reply(), load.c's look at those that wait; check_memory(), all the time
 * 7 determinism	run_twice()
 *
 * What each excuses, and why no more:
 *
 * 1	As many copies as were promised (W, or R once all owners kept it) were lost to disks, or are with liars who were asked to
 *	keep it (books.h: hits, books_false()): section 9 promises no more.  A loss counts only where fewer owners keep it than
 *	were promised.  Where there are fewer than W others, it is all of them: all that a node knows that is new, or has a new
 *	disk, and has not known all yet (several such may meet one another first), or whom a change of a minute ago has not reached.
 *	An insert may count who lost it, or had it rotten, while it was under way: he believed what he said.  A
 *	proof is of bytes: no liar is excused in it, and who was evicted has it yet where that is not known.
 * 2	None.  "Nowhere" may be said to who does not know today's owners, when too many copies were lost.
 * 3	A leased copy may go while R others are there.  A lease is lost when more than half of the owners lost it before the
 *	others had it from them: it counted when a majority had it.  What no lease holds is copied at most in the first 24 h,
 *	and nothing at all is deleted by a process that is younger than that.
 * 4	Chunks that are lost by 1 need not be at their owners.  Cached copies may be anywhere.  Of traffic, a few chunks.
 * 5	Whose disk was lost has seen nothing.  Evidence that is left with no majority may be forgotten; nor had it a majority when its finder's
 *	process ended: he tells the owners who were out of reach when they come, and no other life of his does.
 * 6	A process that stands still answers when it goes on; one each of whose events takes long has a minute.
 * 7	None.
 */

/** check_settled(w, why, size): all views are one, every slot has exactly its owners, complete, nothing is on its way to its
 * owners, and each leased chunk that can be had lies with all R of them.  False: ${why} says what is missing. */
bool check_settled(struct world *w, char *why, size_t size);

/** check_loss(w): what was promised is there. */
void check_loss(struct world *w);

/** check_deleted(w, why, size): what no lease holds is gone from every member. */
bool check_deleted(struct world *w, char *why, size_t size);

/** check_traffic_start(w): from now on; it notes what must be moved.  check_traffic(w): bytes of chunks moved since then are
 * at most 1.7 times that, and a few chunks. */
void check_traffic_start(struct world *w);
void check_traffic(struct world *w);

/** check_memory(w): each node is within its bounds now.  check_memory_always(w): again and again. */
void check_memory(struct world *w);
void check_memory_always(struct world *w);

#endif
