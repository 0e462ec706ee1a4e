/* Open files and mappings. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/mount/exercise/real.h"

#define PIECES	3

static _Thread_local sigjmp_buf guard;
static _Thread_local volatile sig_atomic_t guarded;

static void on_sigbus(int number)
{
	if (guarded)
		siglongjmp(guard, 1);
	signal(number, SIG_DFL);
	raise(number);
}

void guard_start(void)
{
	struct sigaction action = { .sa_handler = on_sigbus, .sa_flags = SA_NODEFER };

	sigaction(SIGBUS, &action, NULL);
}

int guarded_copy(unsigned char *to, const unsigned char *from, size_t len)
{
	if (sigsetjmp(guard, 1) != 0) {
		guarded = 0;
		return -EFAULT;
	}
	guarded = 1;
	memcpy(to, from, len);
	guarded = 0;
	return 0;
}

int guarded_differ(const unsigned char *a, const unsigned char *b, size_t len)
{
	int differs;

	if (sigsetjmp(guard, 1) != 0) {
		guarded = 0;
		return -EFAULT;
	}
	guarded = 1;
	differs = memcmp(a, b, len) != 0;
	guarded = 0;
	return differs;
}

static void close_slot(struct real *r, unsigned int slot)
{
	if (r->fds[slot] >= 0)
		close(r->fds[slot]);
	r->fds[slot] = -1;
}

static int open_slot(struct real *r, const struct op *op, const struct outcome *out)
{
	char path[REAL_PATH];
	struct stat st;
	int fd, err;

	if (r->fds[op->slot] >= 0 && close(r->fds[op->slot]) != 0) {
		r->fds[op->slot] = -1;
		return wrong(r, "close of what was open in the slot: %s", strerror(errno));
	}
	r->fds[op->slot] = -1;
	fd = open(real_path(r, op->path, path), (int)op->flags | O_CLOEXEC, 0644);
	if (fd < 0 || out->result < 0) {
		err = expect(r, fd < 0 ? fd : 0, out->result);
		if (fd >= 0)
			close(fd);
		return err;
	}
	r->fds[op->slot] = fd;
	return fstat(fd, &st) != 0 ? wrong(r, "fstat: %s", strerror(errno)) :
	    look(r, out->node, &st);
}

/* In pieces of different lengths; of blocks, if the file is open for those only. */
static unsigned int pieces(const struct handle *h, unsigned char *at, size_t len,
    struct iovec iov[PIECES])
{
	size_t part = len / 3;
	unsigned int n = 0;

	if (h->flags & O_DIRECT)
		part &= ~(BLOCK - 1);
	for (; n < PIECES - 1 && part > 0; n++, part /= 2) {
		if (h->flags & O_DIRECT)
			part &= ~(BLOCK - 1);
		iov[n] = (struct iovec){ at, part };
		at += part;
		len -= part;
	}
	iov[n++] = (struct iovec){ at, len };
	return n;
}

static int read_bytes(struct real *r, const struct handle *h, const struct op *op,
    const struct outcome *out)
{
	struct iovec iov[PIECES];
	int fd = r->fds[op->slot], err;
	size_t len = op->len, off = out->off;
	ssize_t n;

	/* More is asked for than there is, where the end of the file is near. */
	if (h->flags & O_DIRECT) {
		len = len < BLOCK ? BLOCK : len > DIRECT_MAX ? DIRECT_MAX : len & ~(BLOCK - 1);
		off = off & ~(BLOCK - 1);
	}
	memset(r->scratch, 0x5a, len);
	if (op->kind == OP_READ)
		n = read(fd, r->scratch, len);
	else if (op->kind == OP_PREAD)
		n = pread(fd, r->scratch, len, (off_t)off);
	else
		n = preadv(fd, iov, (int)pieces(h, r->scratch, len, iov), (off_t)off);
	err = expect(r, n, out->result);
	if (!err && n > 0)
		err = expect_bytes(r, r->scratch, out->node->data + out->off, out->off, (size_t)n);
	return err;
}

static int write_bytes(struct real *r, const struct handle *h, const struct op *op,
    const struct outcome *out)
{
	struct iovec iov[PIECES];
	int fd = r->fds[op->slot];
	off_t off = (off_t)out->off;
	ssize_t n;

	if (out->result < 0)
		return expect(r, pwrite(fd, r->scratch, 1, 0), out->result);
	memcpy(r->scratch, out->node->data + out->off, out->len);
	/* To a file open for appending any offset will do. */
	if (h->flags & O_APPEND)
		off = (off_t)(h->flags & O_DIRECT ? 0 : op->off);
	if (op->kind == OP_WRITE)
		n = write(fd, r->scratch, out->len);
	else if (op->kind == OP_PWRITE)
		n = pwrite(fd, r->scratch, out->len, off);
	else
		n = pwritev(fd, iov, (int)pieces(h, r->scratch, out->len, iov), off);
	return expect(r, n, out->result);
}

static int copy(struct real *r, const struct model *m, const struct op *op,
    const struct outcome *out)
{
	bool direct = (m->handles[op->slot].flags | m->handles[op->slot2].flags) & O_DIRECT;
	uint64_t mask = direct ? ~(uint64_t)(BLOCK - 1) : ~(uint64_t)0;
	loff_t off = (loff_t)(op->off & mask), at = (loff_t)(op->off2 & mask);
	size_t len = (size_t)(op->len & mask);
	int64_t done = 0;
	ssize_t n;

	do {
		n = copy_file_range(r->fds[op->slot], &off, r->fds[op->slot2], &at,
		    len - (size_t)done, 0);
		if (n < 0)
			return expect(r, n, out->result);
		done += n;
	} while (n > 0 && done < out->result);
	return expect(r, done, out->result);
}

/*
 * What is called a hole must read as zeros; a long run of zeros need not be called so.  (A flush
 * between the two calls may make the zeros at the start of what was called data part of the hole
 * before them.)
 */
static int holes(struct real *r, int fd, const struct node *node, size_t pos)
{
	off_t size = (off_t)node->size, off = 0, data, hole;
	unsigned int still = 0;

	while (off < size) {
		data = lseek(fd, off, SEEK_DATA);
		if (data < off && (data >= 0 || errno != ENXIO))
			return wrong(r, "SEEK_DATA from %jd: %jd", (intmax_t)off, (intmax_t)data);
		if (data < 0 || data > size)
			data = size;
		for (; off < data; off++)
			if (node->data[off] != 0)
				return wrong(r, "%jd is in a hole that ends at %jd, but should be "
				    "%02x", (intmax_t)off, (intmax_t)data, node->data[off]);
		if (data == size)
			break;
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole < data || hole > size || (hole == data && ++still > 100))
			return wrong(r, "SEEK_HOLE from %jd: %jd, size %jd", (intmax_t)data,
			    (intmax_t)hole, (intmax_t)size);
		off = hole;
	}
	return expect(r, lseek(fd, (off_t)pos, SEEK_SET), (int64_t)pos);
}

static int unmap(struct real *r, unsigned int slot)
{
	int result = r->maps[slot] ? munmap(r->maps[slot], r->map_lens[slot]) : 0;

	r->maps[slot] = NULL;
	return expect(r, result, 0);
}

static int map(struct real *r, const struct model *m, const struct op *op, const struct outcome *out)
{
	const struct mapping *mapping = &m->maps[op->slot];
	unsigned char *at;

	if (out->result == 0 && unmap(r, op->slot) != 0)
		return -EIO;
	at = mmap(NULL, out->result == 0 ? mapping->len : BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED,
	    r->fds[op->slot], out->result == 0 ? (off_t)mapping->off : 0);
	if (at == MAP_FAILED || out->result != 0)
		return expect(r, at == MAP_FAILED ? -1 : 0, out->result);
	r->maps[op->slot] = at;
	r->map_lens[op->slot] = mapping->len;
	return 0;
}

static int through_map(struct real *r, const struct model *m, const struct op *op,
    const struct outcome *out)
{
	unsigned char *at = r->maps[op->slot] + (out->off - m->maps[op->slot].off);

	if (op->kind == OP_LOAD)
		return expect_bytes(r, at, out->node->data + out->off, out->off, out->len);
	return guarded_copy(at, out->node->data + out->off, out->len) == 0 ? 0 :
	    wrong(r, "SIGBUS while writing to a mapping");
}

static int private(struct real *r, const struct op *op, const struct outcome *out)
{
	size_t from = out->off & ~(BLOCK - 1), len = out->off + out->len - from;
	unsigned char *at;
	int err;

	at = mmap(NULL, out->result < 0 ? BLOCK : len, PROT_READ | PROT_WRITE, MAP_PRIVATE,
	    r->fds[op->slot], (off_t)from);
	if (at == MAP_FAILED || out->result < 0)
		return expect(r, at == MAP_FAILED ? -1 : 0, out->result);
	err = expect_bytes(r, at + (out->off - from), out->node->data + out->off, out->off, out->len);
	fill_bytes(r->scratch, out->len, op->fill, op->salt);
	if (!err && guarded_copy(at + (out->off - from), r->scratch, out->len) != 0)
		err = wrong(r, "SIGBUS while writing to a private mapping");
	if (!err)
		err = expect_bytes(r, at + (out->off - from), r->scratch, out->off, out->len);
	munmap(at, len);
	return err;
}

static int of_file(struct real *r, const struct handle *h, const struct op *op,
    const struct outcome *out)
{
	int fd = r->fds[op->slot];

	switch (op->kind) {
	case OP_CLOSE:
		r->fds[op->slot] = -1;
		return expect(r, close(fd), out->result);
	case OP_LSEEK:
		return expect(r, lseek(fd, (off_t)out->result, SEEK_SET), out->result);
	case OP_FTRUNCATE:
		return expect(r, ftruncate(fd, (off_t)op->len), out->result);
	case OP_FALLOCATE:
		return expect(r, fallocate(fd, (int)op->flags, (off_t)op->off, (off_t)op->len),
		    out->result);
	case OP_HOLES:
		return holes(r, fd, out->node, h->pos);
	case OP_FSYNC:
		return expect(r, op->flags & 1 ? fdatasync(fd) : fsync(fd), out->result);
	case OP_PUSH:
		return expect(r, sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE |
		    SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER), out->result);
	default:	/* OP_FORGET */
		return expect(r, fsync(fd), 0) != 0 ? -EIO :
		    expect(r, -posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), out->result);
	}
}

int real_apply_data(struct real *r, struct model *m, const struct op *op, const struct outcome *out)
{
	const struct handle *h = &m->handles[op->slot];

	switch (op->kind) {
	case OP_OPEN:
		return open_slot(r, op, out);
	case OP_READ:
	case OP_PREAD:
	case OP_PREADV:
		return read_bytes(r, h, op, out);
	case OP_WRITE:
	case OP_PWRITE:
	case OP_PWRITEV:
		return write_bytes(r, h, op, out);
	case OP_COPY:
		return copy(r, m, op, out);
	case OP_MAP:
		return map(r, m, op, out);
	case OP_STORE:
	case OP_LOAD:
		return through_map(r, m, op, out);
	case OP_MSYNC:
		return expect(r, msync(r->maps[op->slot], r->map_lens[op->slot], MS_SYNC), 0);
	case OP_UNMAP:
		return unmap(r, op->slot);
	case OP_PRIVATE:
		return private(r, op, out);
	default:
		return of_file(r, h, op, out);
	}
}

/* Closing writes back what was changed through a mapping whose file had been closed. */
static int settle(struct real *r, struct node *node, const char *path)
{
	char below[REAL_PATH];
	int err = 0, fd;

	if (S_ISREG(node->mode) && !node->pushed) {
		fd = open(real_path(r, path, below), O_RDWR | O_CLOEXEC);
		if (fd < 0 || close(fd) != 0)
			return wrong(r, "to have %s written back: %s", path, strerror(errno));
		node->pushed = true;
	}
	for (size_t i = 0; i < node->n_entries && !err; i++) {
		snprintf(below, PATH_LEN * 2, "%s%s%s", path, path[0] ? "/" : "",
		    node->entries[i].name);
		err = settle(r, node->entries[i].node, below);
	}
	return err;
}

int real_close(struct real *r, struct model *m, bool settled)
{
	model_close(m);
	for (unsigned int i = 0; i < SLOTS; i++) {
		unmap(r, i);
		close_slot(r, i);
	}
	return settled ? settle(r, m->root, "") : 0;
}
