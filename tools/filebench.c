/*
 * filebench: what open files cost without FUSE: writes, flushes and reads over a real store.
 *
 *	filebench DIR [MIB]
 *
 * DIR is made, and its store is left there; use a new one each time.
 */
#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/file.h"

#define MIB	(1024u * 1024)
#define SMALL	8000u
#define RANDOM	50000u

static struct dht *dht;
static struct cache *cache;
static struct files *files;
static uint64_t state = 1;

static uint64_t random_next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* By the clock, and of all threads: a busy machine changes the first much more. */
struct moment {
	double clock, cpu;
};

static double seconds(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct moment now(void)
{
	return (struct moment){ seconds(CLOCK_MONOTONIC), seconds(CLOCK_PROCESS_CPUTIME_ID) };
}

static void must(int rc, const char *what)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "filebench: %s: %s\n", what, strerror(-rc));
	exit(1);
}

static int load(void *arg, uint64_t ino, struct inode *out)
{
	(void)arg;
	memset(out, 0, sizeof(*out));
	out->ino = ino;
	return 0;
}

struct wait {
	union {
		struct room_waiter room;
		struct file_flush flush;
		struct file_read read;
	};
	int result;
	sem_t done;
};

static void room_ready(struct room_waiter *r)
{
	sem_post(&((struct wait *)r)->done);
}

static void flush_done(struct file_flush *f, int result)
{
	((struct wait *)f)->result = result;
	sem_post(&((struct wait *)f)->done);
}

static void read_done(struct file_read *r, int result)
{
	((struct wait *)r)->result = result;
	sem_post(&((struct wait *)r)->done);
}

static void write_at(struct file *f, uint64_t off, size_t len, bool copy)
{
	static uint8_t noise[2 * MIB];
	struct wait w = { .room = { .ready = room_ready } };
	struct chunk *c;
	uint8_t *p;
	int rc;

	if (noise[0] == 0) {
		for (size_t i = 0; i < sizeof(noise); i += 8) {
			uint64_t r = random_next();

			memcpy(noise + i, &r, 8);
		}
		noise[0] = 1;
	}
	sem_init(&w.done, 0, 0);
	c = chunk_new(len, &p);
	must(c ? 0 : -ENOMEM, "memory");
	if (copy)
		memcpy(p, noise + random_next() % MIB, len);
	/* Each block is new to the set. */
	for (size_t i = 0; i < len; i += 4096) {
		uint64_t r = random_next();

		memcpy(p + i, &r, len - i < 8 ? len - i : 8);
	}
	while ((rc = file_write(f, off, c, NULL)) == -EAGAIN) {
		files_wait_room(files, &w.room);
		sem_wait(&w.done);
	}
	must(rc, "write");
	chunk_drop(c);
}

static void flush(struct file *f)
{
	struct wait w = { .flush = { .file = f, .done = flush_done } };

	sem_init(&w.done, 0, 0);
	file_flush(&w.flush);
	sem_wait(&w.done);
	must(w.result, "flush");
}

static void read_at(struct file *f, uint64_t off, uint32_t len)
{
	struct wait w = { .result = 0 };

	w.read = (struct file_read){ .file = f, .off = off, .len = len, .done = read_done };
	sem_init(&w.done, 0, 0);
	file_read(&w.read);
	sem_wait(&w.done);
	must(w.result, "read");
	file_read_clear(&w.read);
}

static void publish(void)
{
	struct publication *p;
	size_t n;

	must(files_collect(files, &p, &n), "collect");
	must(dht_sync_now(dht), "sync");
	files_published(files, true);
}

static struct file *get(uint64_t ino)
{
	struct file *f;

	must(file_get(files, ino, &f), "get");
	return f;
}

static void tell_rate(const char *what, struct moment start, double mib)
{
	struct moment end = now();
	double mb = mib * MIB / 1e6;

	printf("%-40s %8.1f MB/s, of one core %8.1f\n", what, mb / (end.clock - start.clock),
	    mb / (end.cpu - start.cpu));
}

static void tell_each(const char *what, struct moment start, double n)
{
	struct moment end = now();

	printf("%-40s %8.2f us each, of a core %8.2f\n", what,
	    (end.clock - start.clock) * 1e6 / n, (end.cpu - start.cpu) * 1e6 / n);
}

static void bench_sequential(unsigned int mib)
{
	struct file *f = get(1);
	struct moment start = now();

	for (unsigned int i = 0; i < mib; i++)
		write_at(f, (uint64_t)i * MIB, MIB, true);
	flush(f);
	tell_rate("write in order, 1 MiB, until flushed", start, mib);
	start = now();
	publish();
	tell_rate("sync after it", start, mib);
	cache_trim(cache, 0);
	start = now();
	for (unsigned int i = 0; i < 8 * mib; i++)
		read_at(f, (uint64_t)i * MIB / 8, MIB / 8);
	tell_rate("read in order, 128 KiB, cold", start, mib);
	for (unsigned int i = 0; i < 512; i++)
		read_at(f, (uint64_t)i * 32768, 32768);
	start = now();
	for (unsigned int i = 0; i < RANDOM; i++)
		read_at(f, random_next() % (16 * MIB - 4096), 4096);
	tell_each("read at random, 4 KiB, from the cache", start, RANDOM);
	start = now();
	for (unsigned int i = 0; i < 2000; i++)
		write_at(f, random_next() % ((uint64_t)mib * MIB - 4096), 4096, true);
	tell_each("write at random, 4 KiB", start, 2000);
	start = now();
	flush(f);
	tell_each("flush of these", start, 2000);
	file_put(f);
}

static void bench_small(void)
{
	struct moment start = now();

	for (unsigned int i = 0; i < SMALL; i++) {
		struct file *f = get(100 + i);

		write_at(f, 0, 4096, true);
		file_put(f);
	}
	tell_each("write a file of 4 KiB", start, SMALL);
	start = now();
	files_flush_all(files, 0);
	tell_each("flush it", start, SMALL);
	start = now();
	publish();
	tell_each("sync and publish it", start, SMALL);
}

static void bench_tiny(void)
{
	struct file *f = get(2);
	struct moment start = now();

	for (unsigned int i = 0; i < 1000000; i++)
		write_at(f, (uint64_t)i * 100, 100, true);
	tell_each("write in order, 100 bytes", start, 1000000);
	start = now();
	flush(f);
	tell_each("flush of these", start, 1000000);
	file_put(f);
}

int main(int argc, char **argv)
{
	struct files_options o = { .dirty_max = 256 * MIB, .flushers = 2, .load = load };
	struct dht_options d = { .dir = argc > 1 ? argv[1] : NULL };
	char why[1000];
	int rc;

	if (argc < 2) {
		fprintf(stderr, "usage: filebench DIR [MIB]\n");
		return 2;
	}
	rc = dht_open(&d, &dht, why, sizeof(why));
	if (rc < 0) {
		fprintf(stderr, "filebench: %s\n", why);
		return 1;
	}
	cache = cache_new(64 * MIB);
	o.dht = dht;
	o.cache = cache;
	must(cache ? files_new(&o, &files) : -ENOMEM, "start");
	bench_sequential(argc > 2 ? (unsigned int)strtoul(argv[2], NULL, 10) : 1024);
	bench_small();
	publish();
	bench_tiny();
	publish();
	files_free(files);
	cache_free(cache);
	must(dht_close(dht), "close");
	return 0;
}
