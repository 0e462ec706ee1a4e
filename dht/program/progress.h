/* progress: how far long work is, for whoever waits for it. */
#ifndef DHT_PROGRAM_PROGRESS_H
#define DHT_PROGRAM_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

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

/** put_duration(out, seconds): "3 min 2 s". */
void put_duration(FILE *out, uint64_t seconds);

#endif
