/*
 * liar: hosts that lie: what their node sends is changed on its way to the link, their disk forgets, and they send
 * what no node would.  The rest of them is honest, so that they are believed.
 */
#ifndef TESTS_SIM_LIAR_H
#define TESTS_SIM_LIAR_H

#include "tests/sim/host.h"

enum lie {
	LIE_BYTES = 1,		/* wrong bytes */
	LIE_OTHER = 2,		/* right bytes of another address */
	LIE_SILENT = 4,		/* no answer to some requests; but alive */
	LIE_STORED = 8,		/* "stored", and it is not: the disk forgets */
	LIE_MISS = 16,		/* "not here, and I should know" */
	LIE_MEMBERS = 32,	/* forged and replayed records; "everybody is dead" */
	LIE_FLOOD = 64,		/* more than anybody can read */
	LIE_GARBAGE = 128,	/* messages with flipped bits */
	LIE_SYBIL = 256,	/* an id that was picked: it owns a chosen address, and has joined for that */
	LIE_ALL = 511,
};

/** liar_begin(h, lies): from now on.  liar_end(h): honest again, which he is not believed. */
void liar_begin(struct host *h, unsigned int lies);
void liar_end(struct host *h);

/** liar_send(h, e): sends what it makes of ${e}, or nothing.  liar_sees(h, m): what others said, to be replayed. */
void liar_send(struct host *h, const struct effect *e);
void liar_sees(struct host *h, const struct link_message *m);
void liar_free(struct host *h);

/** liar_key(h, a): before it starts: a key, of many that are tried, of which a token lies nearest behind the slot of ${a}. */
void liar_key(struct host *h, const struct address *a);

#endif
