/* show: records of dht/control/wire.h, for a person or as JSON. */
#ifndef TOOLS_SHOW_H
#define TOOLS_SHOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dht/control/wire.h"
#include "dht/program/progress.h"

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

/** show_text(text): on stdout, without what would move a terminal's cursor. */
void show_text(const char *text);

/** show_number(b, len, name): a number of the record, 0 where it has none. */
uint64_t show_number(const uint8_t *b, size_t len, const char *name);

#endif
