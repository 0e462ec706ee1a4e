/*
 * fakepeer: a peer whose ring is the test: peer.h with a real store and a real shelf, and no core.  What is asked waits until the test
 * answers it, or is answered by a function; done() is called from a thread of its own, as from a peer's loop.
 *
 * As the core does, it notes what is inserted, and stores leases, on the shelf before it answers.
 */
#ifndef TESTS_FAKEPEER_H
#define TESTS_FAKEPEER_H

#include "dht/peer/peer.h"
#include "tests/lib/dhttest.h"

struct fakepeer {
	struct dhttest files;
	struct store *store;
	struct peer *peer;
};

/** fakepeer_begin(f), fakepeer_end(f): opened, in a folder of its own; closed, and that removed.
 * fakepeer_reopen(f): closed and opened again. */
void fakepeer_begin(struct fakepeer *f);
void fakepeer_end(struct fakepeer *f);
void fakepeer_reopen(struct fakepeer *f);

/** fakepeer_open(dir, store), fakepeer_close(p): the peer alone. */
struct peer *fakepeer_open(const char *dir, struct store *store);
int fakepeer_close(struct peer *p);

/** fakepeer_next(p, kind): waits until a command of ${kind} is asked that was not returned yet.  fakepeer_answer(p, a, result, blob): returns when done() has.
 * fakepeer_asked(p, kind): how many of these have been asked, ever. */
struct peer_ask *fakepeer_next(struct peer *p, enum command_kind kind);
void fakepeer_answer(struct peer *p, struct peer_ask *a, int result, struct chunk *blob);
unsigned int fakepeer_asked(struct peer *p, enum command_kind kind);

/** fakepeer_auto(p, reply): from now on, and what waits: reply(a) is the result; it may set a->chunk, a->chunk_kind, a->blob and a->count.  FAKEPEER_LEAVE: it waits for
 * the test.  NULL: the test answers. */
#define FAKEPEER_LEAVE 1
void fakepeer_auto(struct peer *p, int (*reply)(struct peer_ask *a));

/** fakepeer_cancelled(p): how many were cancelled. */
unsigned int fakepeer_cancelled(struct peer *p);

/** fakepeer_confirm(p, yes): what is answered with 0 is CACHED then, not FOREIGN (no: the usual). */
void fakepeer_confirm(struct peer *p, bool yes);

/** fakepeer_forgets(p, yes): nothing of what is inserted reaches the shelf. */
void fakepeer_forgets(struct peer *p, bool yes);

#endif
