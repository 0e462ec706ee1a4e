/*
 * faultio: files in memory behind struct io, that can be made to fail, and that know which of
 * their bytes would survive a power cut.
 *
 * Thread-safe.  Only names matter, not folders.  Out of memory ends the program.
 */
#ifndef TESTS_LIB_FAULTIO_H
#define TESTS_LIB_FAULTIO_H

#include <stdbool.h>

#include "dht/io.h"

enum fault_op {
	FAULT_OPEN,		/* also of a new file */
	FAULT_READ,
	FAULT_WRITE,
	FAULT_SYNC,
	FAULT_SYNC_DIR,
	FAULT_TRUNCATE,
	FAULT_ALLOCATE,
	FAULT_PUNCH,
	FAULT_UNLINK,
	FAULT_OPS,
};

struct faultio;

struct faultio *faultio_new(void);
void faultio_free(struct faultio *f);

/** faultio_io(f): what to give to a store. */
const struct io *faultio_io(struct faultio *f);

/** faultio_fail(f, op, after, times, error): after ${after} more calls of ${op}, ${times} of them fail with
 * ${error}; a write then writes half, a sync loses what it should have made durable, though it
 * can still be read. */
void faultio_fail(struct faultio *f, enum fault_op op, unsigned int after, unsigned int times,
    int error);

/** faultio_calls(f, op): calls so far.  faultio_changes(f): calls that changed or synced something. */
unsigned int faultio_calls(struct faultio *f, enum fault_op op);
unsigned int faultio_changes(struct faultio *f);

/** faultio_disk(f, bytes): what all files together may take, with what is set aside for them; at first
 * there is no limit. */
void faultio_disk(struct faultio *f, uint64_t bytes);

enum fault_direct {
	DIRECT_TAKEN,		/* at first: whole blocks from aligned memory, else -EINVAL */
	DIRECT_NO_OPEN,		/* -EINVAL from open, as older kernels' tmpfs */
	DIRECT_NO_WRITE,	/* -EINVAL from every write */
};

/** faultio_direct(f, how): what becomes of files that are opened with O_DIRECT. */
void faultio_direct(struct faultio *f, enum fault_direct how);

/** faultio_off_at(f, changes, gone, arg): with change number ${changes} (counted from the start) the power
 * fails: it and every later call say -EIO, and change nothing.  At that moment gone(arg) is called. */
void faultio_off_at(struct faultio *f, unsigned int changes, void (*gone)(void *arg), void *arg);

/** faultio_taken(f): bytes that all segments take, holes not counted. */
uint64_t faultio_taken(struct faultio *f);

/** faultio_forget(f): what a failed sync lost is now really gone, as if the kernel needed the memory. */
void faultio_forget(struct faultio *f);

/**
 * faultio_power_cut(f, seed): the machine comes up again.  Of what was not synced, each write is there, lost, or
 * torn, as ${seed} decides.  Faults are over.
 */
void faultio_power_cut(struct faultio *f, uint64_t seed);

/** faultio_copy(f): the same files, another time (no open descriptors, no faults). */
struct faultio *faultio_copy(struct faultio *f);

/** faultio_size(f, name): -1: no such file.  faultio_bytes(f, name): its bytes, to be read or changed, or NULL.
 * faultio_resize(f, name, len), faultio_remove(f, name): durably. */
int64_t faultio_size(struct faultio *f, const char *name);
uint8_t *faultio_bytes(struct faultio *f, const char *name);
void faultio_resize(struct faultio *f, const char *name, size_t len);
void faultio_remove(struct faultio *f, const char *name);

#endif
