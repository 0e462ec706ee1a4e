#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/mount/exercise/common.h"

#define LINE	32u

static const size_t record_len[SHARED_FILES] = { 3001, 2 * BLOCK };

static const char *path_of(const char *base, unsigned int file, char *out)
{
	snprintf(out, REAL_PATH, "%s/shared/%s", base,
	    (const char *[]){ "records", "blocks", "log" }[file]);
	return out;
}

static off_t record_off(const struct common *c, unsigned int file, unsigned int i)
{
	return (off_t)((i * c->n_threads + c->r->thread) * record_len[file]);
}

static off_t records_end(const struct common *c, unsigned int file)
{
	return (off_t)(RECORDS * c->n_threads * record_len[file]);
}

/* Version 0 is what nobody has written yet. */
static void record_bytes(const struct common *c, unsigned int file, unsigned int i, uint32_t version,
    unsigned char *out)
{
	fill_bytes(out, record_len[file], version == 0 ? FILL_ZERO :
	    version % 5 == 0 ? FILL_TEXT : FILL_NOISE,
	    version * 131071 + (c->r->thread * RECORDS + i) * 2 + file);
}

int common_create(const char *base, unsigned int n_threads)
{
	char path[REAL_PATH];

	for (unsigned int file = 0; file <= LOG_FILE; file++) {
		int fd = open(path_of(base, file, path), O_RDWR | O_CREAT | O_EXCL, 0644), err = 0;

		if (fd < 0)
			return -errno;
		if (file != LOG_FILE &&
		    ftruncate(fd, (off_t)(RECORDS * n_threads * record_len[file])) != 0)
			err = -errno;
		close(fd);
		if (err)
			return err;
	}
	return 0;
}

int common_open(struct common *c)
{
	static const int flags[] = { O_RDWR, O_RDWR | O_DIRECT, O_WRONLY | O_APPEND };
	char path[REAL_PATH];
	int err = 0;

	for (unsigned int file = 0; file <= LOG_FILE; file++) {
		c->fds[file] = open(path_of(c->r->base, file, path), flags[file] | O_CLOEXEC);
		if (c->fds[file] < 0)
			err = wrong(c->r, "%s: %s", path, strerror(errno));
	}
	return err;
}

void common_close(struct common *c)
{
	for (unsigned int file = 0; file <= LOG_FILE; file++)
		if (c->fds[file] >= 0)
			close(c->fds[file]);
}

static int write_record(struct common *c, unsigned int file, unsigned int i, bool by_map)
{
	struct record *record = &c->all[c->r->thread].records[file][i];
	off_t off = record_off(c, file, i), from = off & ~(off_t)(BLOCK - 1);
	size_t len = record_len[file];
	uint32_t version = record->begun + 1;
	unsigned char *map;
	int err;

	record->begun = version;
	record_bytes(c, file, i, version, c->r->scratch);
	if (by_map && file == 0) {
		map = mmap(NULL, len + (size_t)(off - from), PROT_READ | PROT_WRITE, MAP_SHARED,
		    c->fds[file], from);
		if (map == MAP_FAILED)
			return wrong(c->r, "mmap: %s", strerror(errno));
		err = guarded_copy(map + (off - from), c->r->scratch, len);
		munmap(map, len + (size_t)(off - from));
		if (err)
			return wrong(c->r, "SIGBUS while writing to a mapping");
	} else {
		err = expect(c->r, pwrite(c->fds[file], c->r->scratch, len, off), (int64_t)len);
		if (err)
			return err;
	}
	record->done = version;
	return 0;
}

static int read_record(struct common *c, unsigned int file, unsigned int i)
{
	const struct record *record = &c->all[c->r->thread].records[file][i];
	size_t len = record_len[file];
	unsigned char *want = c->r->scratch + 16 * BLOCK;
	off_t off = record_off(c, file, i);
	int err = expect(c->r, pread(c->fds[file], c->r->scratch, len, off), (int64_t)len);

	record_bytes(c, file, i, record->done, want);
	return err ? err : expect_bytes(c->r, c->r->scratch, want, (size_t)off, len);
}

static int read_tail(struct common *c, unsigned int file)
{
	const struct written *own = &c->all[c->r->thread];
	unsigned char *want = c->r->scratch + FILE_MAX / 2;
	off_t end = records_end(c, file);
	size_t tail = own->tail;
	int err;

	/* With O_DIRECT in whole blocks, and there is nothing behind it. */
	err = expect(c->r, pread(c->fds[file], c->r->scratch,
	    (tail + 2 * BLOCK) & ~(BLOCK - 1), end), (int64_t)tail);
	fill_bytes(want, tail, own->tail_salt ? FILL_NOISE : FILL_ZERO, own->tail_salt);
	return err ? err : expect_bytes(c->r, c->r->scratch, want, (size_t)end, tail);
}

/* Cut down to the records, while others write those; then longer again, by zeros or a write. */
static int tail(struct common *c, const struct op *op)
{
	struct written *own = &c->all[c->r->thread];
	unsigned int file = c->r->thread;
	size_t len = (size_t)op->len & ~(file == 1 ? BLOCK - 1 : 0);
	off_t end;
	int err;

	if (file >= SHARED_FILES)
		return 1;
	end = records_end(c, file);
	err = read_tail(c, file);
	if (!err)
		err = expect(c->r, ftruncate(c->fds[file], end), 0);
	own->tail = len;
	own->tail_salt = op->flags % 2 ? 1 + op->flags : 0;
	if (!err && !own->tail_salt)
		err = expect(c->r, ftruncate(c->fds[file], end + (off_t)len), 0);
	fill_bytes(c->r->scratch, len, FILL_NOISE, own->tail_salt);
	if (!err && own->tail_salt)
		err = expect(c->r, pwrite(c->fds[file], c->r->scratch, len, end), (int64_t)len);
	return err ? err : read_tail(c, file);
}

static void line_text(unsigned int thread, uint32_t n, char out[LINE])
{
	char text[2 * LINE];

	snprintf(text, sizeof(text), "%02u %010u %017u\n", thread, n, (n + 7) * 2654435761u + thread);
	memcpy(out, text, LINE);
}

static int append(struct common *c)
{
	struct record *lines = &c->all[c->r->thread].lines;
	char text[LINE];
	int err;

	line_text(c->r->thread, lines->begun++, text);
	err = expect(c->r, write(c->fds[LOG_FILE], text, LINE), LINE);
	if (!err)
		lines->done++;
	return err;
}

static struct record *record_of(struct written *w, unsigned int file, unsigned int i)
{
	return file == LOG_FILE ? &w->lines : &w->records[file][i];
}

/* What anybody had written when it began is safe when it ends. */
static int sync_file(struct common *c, unsigned int file)
{
	unsigned int n = file == LOG_FILE ? 1 : RECORDS;
	uint32_t done[THREADS_MAX][RECORDS];
	int err;

	for (unsigned int t = 0; t < c->n_threads; t++)
		for (unsigned int i = 0; i < n; i++)
			done[t][i] = record_of(&c->all[t], file, i)->done;
	err = expect(c->r, fsync(c->fds[file]), 0);
	for (unsigned int t = 0; t < c->n_threads && !err; t++) {
		for (unsigned int i = 0; i < n; i++) {
			struct record *record = record_of(&c->all[t], file, i);
			uint32_t old = record->synced;

			while (old < done[t][i] && !atomic_compare_exchange_weak(&record->synced,
			    &old, done[t][i]))
				;
		}
	}
	return err;
}

int common_apply(struct common *c, const struct op *op)
{
	unsigned int file = op->slot % SHARED_FILES;

	switch (op->kind) {
	case OP_RECORD:
	case OP_RECORD_MAP:
		return write_record(c, file, op->flags % RECORDS, op->kind == OP_RECORD_MAP);
	case OP_RECORD_READ:
		return read_record(c, file, op->flags % RECORDS);
	case OP_RECORD_SYNC:
		return sync_file(c, op->slot % (SHARED_FILES + 1));
	case OP_TAIL:
		return tail(c, op);
	default:
		return append(c);
	}
}

/* Every byte is that of one of the writes since the last sync: pages are written back alone. */
static int check_record(struct common *c, unsigned int file, unsigned int i)
{
	const struct record *record = &c->all[c->r->thread].records[file][i];
	unsigned char *want = c->r->scratch + 16 * BLOCK, *good = c->r->scratch + 32 * BLOCK;
	size_t len = record_len[file], at;
	off_t off = record_off(c, file, i);
	ssize_t n = pread(c->fds[file], c->r->scratch, len, off);

	if (n < 0)
		return wrong(c->r, "common file %u: %s", file, strerror(errno));
	memset(c->r->scratch + n, 0, len - (size_t)n);
	memset(good, 0, len);
	for (uint32_t v = record->synced; v <= record->begun; v++) {
		record_bytes(c, file, i, v, want);
		for (at = 0; at < len; at++)
			good[at] |= c->r->scratch[at] == want[at];
	}
	at = (size_t)((unsigned char *)memchr(good, 0, len) - good);
	return !memchr(good, 0, len) ? 0 : wrong(c->r, "common file %u, record %u at %jd: byte %zu "
	    "is %02x, of none of the versions %u to %u", file, i, (intmax_t)off, at,
	    c->r->scratch[at], (unsigned int)record->synced, (unsigned int)record->begun);
}

/* Each thread's lines come in order; after a crash what was not synced may be missing or torn. */
static int check_line(struct common *c, const char *text, uint32_t next[THREADS_MAX], bool crashed)
{
	char want[LINE];
	unsigned int thread, n;

	if (sscanf(text, "%2u %10u ", &thread, &n) != 2 || thread >= c->n_threads)
		return crashed ? 0 : -EIO;
	line_text(thread, n, want);
	if (memcmp(text, want, LINE) != 0)
		return crashed ? 0 : -EIO;
	if (crashed && n > next[thread] && next[thread] >= c->all[thread].lines.synced)
		next[thread] = n;
	return n == next[thread]++ ? 0 : -EIO;
}

static int check_log(struct common *c, bool crashed)
{
	uint32_t next[THREADS_MAX] = { 0 };
	char path[REAL_PATH], text[LINE + 1] = "";
	int fd = open(path_of(c->r->base, LOG_FILE, path), O_RDONLY | O_CLOEXEC), err = 0;
	off_t off = 0;
	ssize_t n;

	if (fd < 0)
		return wrong(c->r, "the log: %s", strerror(errno));
	for (; !err && (n = pread(fd, text, LINE, off)) == LINE; off += LINE)
		if (check_line(c, text, next, crashed) != 0)
			err = wrong(c->r, "the log at %jd has '%.31s'", (intmax_t)off, text);
	for (unsigned int t = 0; t < c->n_threads && !err; t++) {
		uint32_t least = crashed ? c->all[t].lines.synced : c->all[t].lines.done;

		if (next[t] < least || next[t] > c->all[t].lines.begun)
			err = wrong(c->r, "the log has %u lines of thread %u, wanted %u", next[t], t,
			    least);
	}
	close(fd);
	return err;
}

int common_check(struct common *c, bool crashed)
{
	int err = common_open(c);

	for (unsigned int file = 0; file < SHARED_FILES && !err; file++)
		for (unsigned int i = 0; i < RECORDS && !err; i++)
			err = crashed ? check_record(c, file, i) : read_record(c, file, i);
	if (!err && !crashed && c->r->thread < SHARED_FILES)
		err = read_tail(c, c->r->thread);
	if (!err && c->r->thread == 0)
		err = check_log(c, crashed);
	common_close(c);
	return err;
}

int common_renew(struct common *c)
{
	struct written *own = &c->all[c->r->thread];
	unsigned int file = c->r->thread;
	int err = common_open(c);

	for (unsigned int i = 0; i < SHARED_FILES * RECORDS && !err; i++)
		err = write_record(c, i % SHARED_FILES, i / SHARED_FILES, false);
	own->tail = 0;
	if (!err && file < SHARED_FILES)
		err = expect(c->r, ftruncate(c->fds[file], records_end(c, file)), 0);
	if (!err && file == 0)
		err = expect(c->r, ftruncate(c->fds[LOG_FILE], 0), 0);
	own->lines.begun = own->lines.done = own->lines.synced = 0;
	common_close(c);
	return err;
}
