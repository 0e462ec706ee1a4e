/*
 * dhtbench: how fast the embedded node takes and gives chunks.  dhtbench DIR [MIB]
 * With a third argument: what it costs to overwrite a store that may take so many MIB and is full
 * to 80 %, once, file by file in random order.
 *
 * Beside the rate stands the processor time that an operation took, on all cores together:
 * it means something on a busy machine too.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "chunker/bytes.h"
#include "dht/dht.h"

#define IN_FLIGHT 64u

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t some = PTHREAD_COND_INITIALIZER;
static unsigned int in_flight;
static int failed;

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Bytes that do not compress, at memory speed. */
static void fill(uint8_t *p, size_t len, uint64_t seed)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;

	for (size_t i = 0; i + 8 <= len; i += 8) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		put_le64(p + i, x);
	}
}

static void done(struct dht_op *op)
{
	struct address *a = op->user;

	pthread_mutex_lock(&lock);
	if (op->result < 0)
		failed = op->result;
	*a = op->address;
	in_flight--;
	pthread_cond_signal(&some);
	pthread_mutex_unlock(&lock);
	chunk_drop(op->chunk);
	free(op);
}

static void await(unsigned int below)
{
	pthread_mutex_lock(&lock);
	while (in_flight >= below)
		pthread_cond_wait(&some, &lock);
	pthread_mutex_unlock(&lock);
}

static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double began, cpu_began;

static void start(void)
{
	began = now_s();
	cpu_began = cpu_s();
}

static void report(const char *what, size_t n, size_t len)
{
	double s = now_s() - began, cpu = cpu_s() - cpu_began;

	printf("%-36s %6.0f MB/s %8.0f /s %8.1f us of processor\n", what,
	    (double)n * (double)len / 1e6 / s, (double)n / s, cpu * 1e6 / (double)n);
	fflush(stdout);
}

static int run(struct dht *d, size_t n, size_t len, uint64_t seed)
{
	struct address *a = calloc(n, sizeof(*a));
	double fill_s = 0;
	char what[64];
	int rc;

	if (!a)
		return -ENOMEM;
	start();
	for (size_t i = 0; i < n; i++) {
		struct dht_op *op = calloc(1, sizeof(*op));
		uint8_t *data;
		double t;

		if (!op || !(op->chunk = chunk_new(len, &data)))
			return -ENOMEM;
		t = now_s();
		fill(data, len, seed + i);
		fill_s += now_s() - t;
		op->kind = KIND_DATA;
		op->done = done;
		op->user = &a[i];
		await(IN_FLIGHT);
		pthread_mutex_lock(&lock);
		in_flight++;
		pthread_mutex_unlock(&lock);
		dht_insert(d, op);
	}
	await(1);
	snprintf(what, sizeof(what), "insert of %zu bytes", len);
	report(what, n, len);
	printf("    (%.1f us of them to make the bytes)\n", fill_s * 1e6 / (double)n);
	rc = dht_sync_now(d);
	report("  and sync", n, len);
	start();
	for (size_t i = 0; i < n && rc == 0; i++) {
		struct dht_op op = { .kind = KIND_DATA, .address = a[i] };

		rc = dht_lookup_now(d, &op);
		chunk_drop(op.chunk);
	}
	snprintf(what, sizeof(what), "lookup_now of %zu bytes, 1 thread", len);
	report(what, n, len);
	free(a);
	return rc < 0 ? rc : failed;
}

/* A file: chunks of 64 KiB that only its number and its age decide. */
#define FILE_CHUNKS 16u
#define CHUNK_BYTES ((size_t)64 << 10)

static int put_file(struct dht *d, struct address *a, uint64_t seed)
{
	for (unsigned int i = 0; i < FILE_CHUNKS; i++) {
		struct dht_op op = { .kind = KIND_DATA };
		uint8_t *data;
		int rc;

		op.chunk = chunk_new(CHUNK_BYTES, &data);
		if (!op.chunk)
			return -ENOMEM;
		fill(data, CHUNK_BYTES, seed * FILE_CHUNKS + i);
		rc = dht_insert_now(d, &op, false);
		chunk_drop(op.chunk);
		if (rc < 0)
			return rc;
		a[i] = op.address;
	}
	return 0;
}

static int collect(struct dht *d, const struct address *a, size_t n)
{
	struct dht_gc_count count;
	struct dht_gc *gc;
	int rc = dht_gc_begin(d, &gc);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n; i++)
		dht_gc_mark(gc, &a[i]);
	dht_gc_condemn(gc);
	rc = dht_gc_sweep(gc, NULL, NULL, &count);
	dht_gc_end(gc);
	return rc < 0 ? rc : dht_clean(d, true, NULL, NULL, &count);
}

/* Bytes that this process has given to disks. */
static uint64_t written(void)
{
	FILE *in = fopen("/proc/self/io", "r");
	unsigned long long n = 0;
	char line[128];

	while (in && fgets(line, sizeof(line), in))
		sscanf(line, "write_bytes: %llu", &n);
	if (in)
		fclose(in);
	return n;
}

static int overwrite(struct dht *d, size_t mib)
{
	size_t files = mib * 4 / 5, collections = 0;
	struct address *a = calloc(files * FILE_CHUNKS, sizeof(*a));
	size_t *order = calloc(files, sizeof(*order));
	struct dht_space space;
	uint64_t before;
	int rc = a && order ? 0 : -ENOMEM;

	for (size_t i = 0; i < files && rc == 0; i++) {
		order[i] = i;
		rc = put_file(d, &a[i * FILE_CHUNKS], i);
	}
	if (rc == 0)
		rc = dht_sync_now(d);
	before = written();
	start();
	for (size_t i = 0; i < files && rc == 0; i++) {
		size_t at = i + (size_t)((i + 1) * 0x9e3779b97f4a7c15u >> 11) % (files - i), t = order[i];

		order[i] = order[at];
		order[at] = t;
		dht_space(d, &space);
		if (space.available < 2 * FILE_CHUNKS * CHUNK_BYTES) {
			rc = collect(d, a, files * FILE_CHUNKS);
			collections++;
		}
		if (rc == 0)
			rc = put_file(d, &a[order[i] * FILE_CHUNKS], files + i);
	}
	if (rc == 0)
		rc = dht_sync_now(d);
	report("overwrite of files of 1 MiB", files, FILE_CHUNKS * CHUNK_BYTES);
	printf("    (%.2f bytes to the disk a byte; %zu collections)\n",
	    (double)(written() - before) / (double)(files * FILE_CHUNKS * CHUNK_BYTES), collections);
	free(a);
	free(order);
	return rc;
}

int main(int argc, char **argv)
{
	struct dht_options options = { .dir = argc > 1 ? argv[1] : NULL };
	size_t mib = argc > 2 ? strtoul(argv[2], NULL, 10) : 1024;
	char why[512];
	struct dht *d;
	int rc;

	if (!options.dir) {
		fprintf(stderr, "usage: dhtbench DIR [MIB [overwrite]]\n");
		return 2;
	}
	if (argc > 3)
		options.size_max = (uint64_t)mib << 20;
	rc = dht_open(&options, &d, why, sizeof(why));
	if (rc < 0) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	rc = argc > 3 ? overwrite(d, mib) : run(d, mib * 16, 64 * 1024, 1);
	if (rc == 0 && argc <= 3)
		rc = run(d, mib * 512, 1024, 1u << 30);
	if (rc < 0)
		fprintf(stderr, "failed: %s\n", strerror(-rc));
	return dht_close(d) < 0 || rc < 0;
}
