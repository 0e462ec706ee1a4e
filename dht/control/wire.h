/*
 * wire: what dhtctl and the program that runs on a store say to each other.  Pure: no I/O.
 *
 * A Unix stream socket STORE/control, one command a connection:
 *
 *	dhtctl				dhtfs, dhtd
 *	COMMAND
 *	(put: DATA and HOLE..., END)
 *					RECORD, PROGRESS, DATA, HOLE ... as the command has them
 *					END, or ERROR; then it closes
 *
 * Who closes early has lost interest, and the command stops.  The other side may send ERROR
 * and close at any time, while DATA still comes too.
 *
 * A frame: type (1 byte), le32 length of the payload (at most FRAME_MAX), payload.
 * COMMAND, RECORD and PROGRESS carry a record: fields, each a type (1 byte), a name and a
 * value, both ended by a NUL.  ERROR carries a le32 errno and a text for a person, HOLE a le64
 * number of zero bytes.
 */
#ifndef DHT_CONTROL_WIRE_H
#define DHT_CONTROL_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONTROL_SOCKET	"control"	/* in the store */
#define FRAME_HEADER_LEN 5
#define FRAME_MAX	(1u << 20)	/* bytes of payload */
#define RECORD_MAX	(16u << 10)	/* bytes: two paths, a note and numbers fit */

enum frame_type {
	FRAME_COMMAND = 1,	/* fields "command" and its arguments */
	FRAME_RECORD,		/* a result; of a list, one entry */
	FRAME_PROGRESS,		/* a record too; another will follow */
	FRAME_DATA,
	FRAME_HOLE,		/* so many zeros, or a hole of a sparse file */
	FRAME_END,		/* no payload */
	FRAME_ERROR,
};

void frame_header_encode(enum frame_type type, uint32_t len, uint8_t out[FRAME_HEADER_LEN]);

/** frame_header_decode(in, type, len): -EBADMSG: no type that is known, or a length over what that
 * type may have. */
int frame_header_decode(const uint8_t in[FRAME_HEADER_LEN], enum frame_type *type, uint32_t *len);

enum field_type {
	FIELD_TEXT = 's',
	FIELD_NUMBER = 'n',	/* decimal digits, at most 2^64 - 1 */
	FIELD_TRUTH = 'b',	/* "true" or "false" */
};

struct field {
	enum field_type type;
	const char *name;	/* 1 to 32 of a-z, 0-9 and _ */
	const char *value;
	uint64_t number;	/* FIELD_NUMBER; FIELD_TRUTH: 0 or 1 */
};

/* A record that is being written.  Start with len and over as 0. */
struct record {
	size_t len;
	bool over;		/* something did not fit and is missing */
	uint8_t b[RECORD_MAX];
};

void record_text(struct record *r, const char *name, const char *value);
void record_number(struct record *r, const char *name, uint64_t value);
void record_truth(struct record *r, const char *name, bool value);

/** record_next(p, end, out): the field at *${p}, which then moves behind it; ${out} points into the
 * record.  1 with a field, 0 at the end, -EBADMSG. */
int record_next(const uint8_t **p, const uint8_t *end, struct field *out);

/** record_find(b, len, name, out): the first field of that name.  false: there is none, or a
 * malformed one before it. */
bool record_find(const uint8_t *b, size_t len, const char *name, struct field *out);

#endif
