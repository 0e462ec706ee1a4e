/* ask: one command of dhtctl, from the connection to its exit status. */
#ifndef TOOLS_ASK_H
#define TOOLS_ASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the command line says. */
struct request {
	const char *store;
	bool json;
	uint64_t rate;		/* bytes a second, 0: any */
	bool dry_run;
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

/** ask(o, command): have the dhtfs that runs on o->store do it, show what it answers on stdout, and
 * say on stderr what went wrong.  The exit status. */
int ask(const struct request *o, const struct command *command);

#endif
