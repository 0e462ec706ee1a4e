/*
 * uploads: files on their way into the set that come from outside the mount, for as long as that takes.
 *
 * Nothing refers to what has come so far but nodes that are not finished yet: so of each level of the index the last
 * chunks are known here, more than one node can list.  From them all that was inserted is reached, and
 * a collection need not wait for the end of a pipe.
 */
#ifndef FS_UPLOADS_H
#define FS_UPLOADS_H

#include <pthread.h>

#include "chunker/chunk.h"
#include "chunker/list.h"
#include "chunker/node.h"

struct roots;

struct uploads {
	pthread_mutex_t lock;	/* protects the list, and what is in it; the roots' comes after it */
	struct list list;
};

/* A sink in front of another. */
struct upload {
	struct sink sink;
	/* private */
	struct sink *set;
	struct uploads *uploads;
	struct list link;
	struct {
		struct address *last;	/* a ring */
		uint64_t count;		/* that there have been */
	} level[1 + NODE_LEVELS];	/* data, then nodes by their level */
};

void uploads_init(struct uploads *u);
void uploads_destroy(struct uploads *u);

/** upload_begin(up, u, set): what is put into up->sink goes to ${set}.  upload_end(up): when something
 * else refers to it, or nothing ever will. */
void upload_begin(struct upload *up, struct uploads *u, struct sink *set);
void upload_end(struct upload *up);

/** uploads_roots(u, roots): add what all of them have so far. */
void uploads_roots(struct uploads *u, struct roots *roots);

#endif
