/*
 * dhtbench: how fast the embedded node takes and gives chunks.  dhtbench DIR [MIB]
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

int main(int argc, char **argv)
{
	struct dht_options options = { .dir = argc > 1 ? argv[1] : NULL };
	size_t mib = argc > 2 ? strtoul(argv[2], NULL, 10) : 1024;
	char why[512];
	struct dht *d;
	int rc;

	if (!options.dir) {
		fprintf(stderr, "usage: dhtbench DIR [MIB]\n");
		return 2;
	}
	rc = dht_open(&options, &d, why, sizeof(why));
	if (rc < 0) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	rc = run(d, mib * 16, 64 * 1024, 1);
	if (rc == 0)
		rc = run(d, mib * 512, 1024, 1u << 30);
	if (rc < 0)
		fprintf(stderr, "failed: %s\n", strerror(-rc));
	return dht_close(d) < 0 || rc < 0;
}
