/*
 * filekit: open files over a fake dht and a table of rows instead of a tree, for tests: calls
 * that wait for what file.h answers later.
 */
#ifndef TESTS_LIB_FILEKIT_H
#define TESTS_LIB_FILEKIT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "fs/file.h"
#include "tests/lib/fakedht.h"

#define KIT_FILES 16u	/* inode numbers 1 .. KIT_FILES - 1 */

struct filekit {
	struct dht *dht;
	struct cache *cache;
	struct files *files;
	pthread_mutex_t lock;	/* protects row */
	struct inode row[KIT_FILES];
	atomic_uint changed;	/* calls of changed() */
	atomic_uint loaded;
	atomic_ullong now_ms;
};

/** kit_open(k, dirty_max, flushers): all rows are empty files.  kit_close(k): all files must
 * have been put. */
void kit_open(struct filekit *k, uint64_t dirty_max, unsigned int flushers);
void kit_close(struct filekit *k);

struct file *kit_get(struct filekit *k, uint64_t ino);

/** kit_write(k, f, off, data, len): waits at the bound. */
int kit_write(struct filekit *k, struct file *f, uint64_t off, const void *data, size_t len);

/** kit_read(f, off, out, len): how many bytes, or -errno. */
int64_t kit_read(struct file *f, uint64_t off, void *out, size_t len);
int64_t kit_seek(struct file *f, uint64_t off, bool hole);
int kit_flush(struct file *f);

/** kit_publish(k): collect, sync, commit to the rows unless files_ready() says no: then false. */
bool kit_publish(struct filekit *k);
void kit_row(struct filekit *k, uint64_t ino, struct inode *out);

/** kit_ref(bytes, len, out, data): the ref of a file of these bytes cut from scratch; how many
 * of them are not in holes. */
void kit_ref(const void *bytes, size_t len, struct ref *out, uint64_t *data);

/* splitmix64: Steele, Lea & Flood (2014). */
uint64_t kit_random(uint64_t *state);
uint64_t kit_below(uint64_t *state, uint64_t n);

#endif
