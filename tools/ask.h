/* ask: one command of dhtctl, from the connection to its exit status. */
#ifndef TOOLS_ASK_H
#define TOOLS_ASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dht/control/wire.h"

/* What the command line says. */
struct request {
	const char *store;
	bool json;
	uint64_t rate;		/* bytes a second, 0: any */
	bool dry_run;
	uint64_t seconds;	/* of maintenance; 0: not given */
	const char *statement;	/* signed, in hex digits; NULL: none */
	struct record *answer;	/* the record that comes goes here and is not shown; NULL: none */
	const char *argument[2];	/* NULL: none */
};

struct command {
	const char *name;
	int arguments_min, arguments_max;
	const char *argument[2];	/* the names of its arguments on the wire, NULL: not sent */
	void (*show)(const uint8_t *b, size_t len);	/* a record for a person; NULL: nothing */
	bool list;		/* any number of records */
	bool compares;		/* its exit status is that of diff(1) */
};

/** ask(o, command): have the dhtfs or dhtd that runs on o->store do it, show what it answers on stdout, and
 * say on stderr what went wrong.  The exit status. */
int ask(const struct request *o, const struct command *command);

#endif
