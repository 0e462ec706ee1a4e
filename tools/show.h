/* show: records of dht/control/wire.h, and progress, for a person or as JSON. */
#ifndef TOOLS_SHOW_H
#define TOOLS_SHOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "dht/control/wire.h"

/** show_json(b, len): the record as a JSON object on stdout, without a newline.  -EBADMSG where it
 * is malformed.  Bytes that are no UTF-8, as a path may have, become \udc80 to \udcff (as Python's
 * surrogateescape has them). */
int show_json(const uint8_t *b, size_t len);

/* For a person, each ended by a newline. */
void show_status(const uint8_t *b, size_t len);
void show_snapshot(const uint8_t *b, size_t len);
void show_pin(const uint8_t *b, size_t len);
void show_address(const uint8_t *b, size_t len);

/** show_checked(b, len): the result of reading the whole store. */
void show_checked(const uint8_t *b, size_t len);

/** show_collected(b, len): what a collection did, or would.  show_change(b, len): one line of a diff. */
void show_collected(const uint8_t *b, size_t len);
void show_change(const uint8_t *b, size_t len);

/** show_text(text): on stdout, without what would move a terminal's cursor.  show_duration(out, seconds): "3 min 2 s". */
void show_text(const char *text);
void show_duration(FILE *out, uint64_t seconds);

/** show_number(b, len, name): a number of the record, 0 where it has none. */
uint64_t show_number(const uint8_t *b, size_t len, const char *name);

/* Progress on stderr: on a terminal a bar that is drawn again in its line, else a line at times. */
struct progress {
	char verb[16];		/* "checked" */
	bool counts;		/* else bytes */
	bool terminal, shown;
	struct timespec start, last;
};

/** progress_start(p, verb), progress_update(p, done, total): bytes.  progress_phase(p, verb, counts): from now on
 * something else is done, of which there are so many, or bytes.  progress_end(p): leaves the
 * bar's line. */
void progress_start(struct progress *p, const char *verb);
void progress_phase(struct progress *p, const char *verb, bool counts);
void progress_update(struct progress *p, uint64_t done, uint64_t total);
void progress_end(struct progress *p);

#endif
