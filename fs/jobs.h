/* jobs: a few threads of the mount that may wait; for what a FUSE thread must not do itself. */
#ifndef FS_JOBS_H
#define FS_JOBS_H

struct jobs;

/* Embedded by the caller; run() may free it. */
struct job {
	void (*run)(struct job *j);
	struct job *next;
};

/** jobs_new(threads): NULL: no memory or no thread.  jobs_free(): runs what is queued, then ends. */
struct jobs *jobs_new(unsigned int threads);
void jobs_free(struct jobs *js);
void jobs_post(struct jobs *js, struct job *j);

#endif
