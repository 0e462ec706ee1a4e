/*
 * chunkbench: what the chunker makes of some files, and how fast.
 *
 *     find DIR -type f | build/chunkbench
 *
 * Names come one a line.  All files are read into memory first, so that the times are
 * the chunker's alone.  One thread.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "chunker/address.h"
#include "chunker/codec.h"
#include "chunker/cut.h"

#define AT_A_TIME 16u	/* chunks that are hashed side by side */

struct corpus {
	uint8_t *bytes;
	size_t len;
	size_t *ends;		/* of each file */
	size_t files;
	struct address_job *pieces;
	size_t n;
	uint64_t holes;		/* bytes */
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void *grown(void *p, size_t len)
{
	p = realloc(p, len);
	if (!p) {
		perror("chunkbench");
		exit(1);
	}
	return p;
}

static void load(struct corpus *c, const char *name)
{
	int fd = open(name, O_RDONLY | O_NOFOLLOW);
	struct stat st;
	ssize_t got;

	if (fd < 0 || fstat(fd, &st) < 0) {
		perror(name);
		exit(1);
	}
	c->bytes = grown(c->bytes, c->len + (size_t)st.st_size);
	for (off_t left = st.st_size; left > 0; left -= got) {
		got = read(fd, c->bytes + c->len, (size_t)left);
		if (got <= 0)
			break;
		c->len += (size_t)got;
	}
	close(fd);
	c->ends = grown(c->ends, (c->files + 1) * sizeof(*c->ends));
	c->ends[c->files++] = c->len;
}

static void cut_all(struct corpus *c)
{
	size_t at = 0, room = 0, len;

	for (size_t f = 0; f < c->files; f++) {
		for (; at < c->ends[f]; at += len) {
			if (cut(c->bytes + at, c->ends[f] - at, true, &len) == CUT_HOLE) {
				c->holes += len;
				continue;
			}
			if (c->n == room)
				c->pieces = grown(c->pieces, (room = room * 2 + 64) * sizeof(*c->pieces));
			c->pieces[c->n++] = (struct address_job){ .kind = KIND_DATA, .data = c->bytes + at, .len = len };
		}
	}
}

static int by_address(const void *a, const void *b)
{
	const struct address_job *x = a, *y = b;

	return address_compare(&x->address, &y->address);
}

/* Keep one of each; the bytes of those. */
static uint64_t unique(struct corpus *c)
{
	uint64_t bytes = 0;
	size_t kept = 0;

	qsort(c->pieces, c->n, sizeof(*c->pieces), by_address);
	for (size_t i = 0; i < c->n; i++) {
		if (kept > 0 && address_equal(&c->pieces[kept - 1].address, &c->pieces[i].address))
			continue;
		c->pieces[kept++] = c->pieces[i];
		bytes += c->pieces[i].len;
	}
	c->n = kept;
	return bytes;
}

static void rate(const char *what, uint64_t bytes, double seconds)
{
	printf("%-10s %8.0f MB/s\n", what, (double)bytes / seconds / 1e6);
}

static void codec_all(struct corpus *c, uint64_t bytes)
{
	uint8_t *out = grown(NULL, CHUNK_MAX), *back = grown(NULL, CHUNK_MAX);
	struct codec *codec = codec_new();
	uint64_t kept = 0, inflated = 0;
	double deflate = 0, inflate = 0;
	size_t raw = 0;

	if (!codec) {
		perror("chunkbench");
		exit(1);
	}
	for (size_t i = 0; i < c->n; i++) {
		double t = now();
		size_t len = codec_deflate(codec, c->pieces[i].data, c->pieces[i].len, out);

		deflate += now() - t;
		kept += len > 0 ? len : c->pieces[i].len;
		raw += len == 0;
		if (len == 0)
			continue;
		t = now();
		if (codec_inflate(codec, out, len, back, c->pieces[i].len) < 0)
			abort();
		inflate += now() - t;
		inflated += c->pieces[i].len;
	}
	rate("deflate", bytes, deflate);
	rate("inflate", inflated, inflate);
	printf("%s: %.3f of the unique bytes kept, %zu of %zu chunks raw\n", codec_name(),
	    (double)kept / (double)bytes, raw, c->n);
	codec_free(codec);
	free(out);
	free(back);
}

int main(void)
{
	struct corpus c = { 0 };
	char *line = NULL;
	size_t room = 0, chunks;
	uint64_t kept;
	double t;

	for (ssize_t n; (n = getline(&line, &room, stdin)) > 0;) {
		if (line[n - 1] == '\n')
			line[n - 1] = '\0';
		load(&c, line);
	}
	free(line);

	t = now();
	cut_all(&c);
	rate("cut", c.len, now() - t);
	if (c.n == 0)
		return 0;
	chunks = c.n;
	t = now();
	for (size_t i = 0; i < c.n; i++)
		address_of(KIND_DATA, c.pieces[i].data, c.pieces[i].len, &c.pieces[i].address);
	rate("address", c.len - c.holes, now() - t);
	t = now();
	for (size_t i = 0; i < c.n; i += AT_A_TIME)
		address_of_many(c.pieces + i, c.n - i < AT_A_TIME ? c.n - i : AT_A_TIME);
	rate("addresses", c.len - c.holes, now() - t);
	kept = unique(&c);
	codec_all(&c, kept);
	printf("%zu files, %.1f MB, holes %.1f MB; %zu chunks, mean %.0f; unique %zu, %.3f MB (%.4f)\n",
	    c.files, (double)c.len / 1e6, (double)c.holes / 1e6, chunks,
	    (double)(c.len - c.holes) / (double)chunks, c.n, (double)kept / 1e6,
	    (double)kept / (double)c.len);
	free(c.bytes);
	free(c.ends);
	free(c.pieces);
	return 0;
}
