/*
 * call: one command of dhtctl's while it runs, in a thread of its own.
 *
 * Whatever it waits for, it stops waiting when the other side has gone or the program ends.
 */
#ifndef DHT_CONTROL_CALL_H
#define DHT_CONTROL_CALL_H

#include <stdatomic.h>
#include <stdbool.h>

#include "chunker/address.h"
#include "dht/control/channel.h"

struct call;

/* Each as its entry in dhtctl(1): 0 (END is then sent), or -errno. */
struct call_command {
	const char *name;	/* NULL ends a table */
	int (*run)(struct call *c);
};

struct call_table {
	const struct call_command *commands;	/* NULL ends the tables */
	void *arg;				/* theirs: call.arg */
};

/* What one program can be asked.  Of two commands of one name the first counts. */
struct call_program {
	const char *name;			/* "dhtfs" */
	const char *ends;			/* said to who waits when the program ends: "the mount ends" */
	const struct call_table *tables;
};

struct call {
	void *arg;			/* of the command's table */
	const struct call_program *program;
	struct channel channel;
	uint32_t args_len;
	uint8_t args[RECORD_MAX];	/* the command's record */
	struct record record;		/* the next answer */
	char why[512];			/* what went wrong, for a person; "": what the errno says */
	/* private */
	int event_fd;			/* counts completions */
	unsigned int pending;		/* completions that have not been counted yet */
};

/** call_run(program, channel): receive a command, run it, answer. */
void call_run(const struct call_program *program, struct channel channel);

/** call_text(c, name): an argument, NULL where there is none.  call_number(), call_truth(): 0, false. */
const char *call_text(struct call *c, const char *name);
uint64_t call_number(struct call *c, const char *name);
bool call_truth(struct call *c, const char *name);

/** call_fail(c, error, format, ...): sets why; returns ${error}. */
int call_fail(struct call *c, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** call_address(c, name, out): the argument ${name}.  -EINVAL with why. */
int call_address(struct call *c, const char *name, struct address *out);

/** call_answer(c, type): send the record, and start another. */
int call_answer(struct call *c, enum frame_type type);

void call_record_address(struct call *c, const char *name, const struct address *a);

/** call_pause(c, ms): 0 when so much time has passed; -EPIPE, -ECANCELED: nobody waits for it any more. */
int call_pause(struct call *c, unsigned int ms);

/*
 * Something asynchronous that a call has started.  Embedded beside what is waited for, whose
 * completion calls waited_done(), from any thread, and touches none of it afterwards.
 */
struct waited {
	struct call *call;
	atomic_bool done;
	int result;
};

/** waited_start(w, c): before it is started.  waited_left(w): it will not be done after all. */
void waited_start(struct waited *w, struct call *c);
void waited_left(struct waited *w);
void waited_done(struct waited *w, int result);

/** waited_wait(w, timeout_ms): 0 when it is done; -EPIPE, -ECANCELED: it still runs, and nobody cares for it any
 * more; -ETIMEDOUT: it still runs. */
int waited_wait(struct waited *w, int timeout_ms);

/** waited_finish(w): until it is done, whatever happens. */
void waited_finish(struct waited *w);

#endif
