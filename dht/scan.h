/*
 * scan: find the records of a segment, whatever state its file is in.
 *
 * A header is believed when its checksum covers it, its place and this store's id, which no
 * chunk can know; then its lengths are right, and the next record starts behind it.  Where no
 * header is, the next is searched for in steps of RECORD_ALIGN.
 */
#ifndef DHT_SCAN_H
#define DHT_SCAN_H

#include "dht/io.h"
#include "dht/record.h"

struct scan {
	const struct io *io;
	int fd;
	uint32_t segment;
	uint64_t store_id;
	uint64_t from, end;	/* bytes of the file */
	bool headers;		/* only those are read: all stored bytes are NULL */

	/*
	 * Each header in order of offsets, with its stored bytes, or NULL where the file ends
	 * before they do or they could not be read.  Not 0: stop.
	 */
	int (*found)(void *arg, const struct record *r, const uint8_t *stored);
	/* Each gap, in between; may be NULL. */
	int (*gap)(void *arg, uint32_t offset, uint32_t span);
	void *arg;

	/* Out: */
	uint64_t last;		/* where the last record that was found ends; from: none was */
	uint64_t skipped;	/* bytes that are no record, no gap and not zero */
	int error;		/* the first error of reading; what was readable was scanned all the same */
};

/** scan_run(s): 0, -ENOMEM, or what found() said. */
int scan_run(struct scan *s);

#endif
