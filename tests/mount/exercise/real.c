/* Names and attributes; and what all parts need. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/mount/exercise/real.h"

#define ADDRESS_LEN	64
#define ATTRIBUTE	"user.dhtfs.address"

static const char *const xattr_names[XATTRS] = { "user.a", "user.bb", "user.long-name.ccc" };

const char *xattr_name(unsigned int i)
{
	return xattr_names[i];
}

int wrong(struct real *r, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(r->why, sizeof(r->why), format, args);
	va_end(args);
	return -EIO;
}

static const char *result_text(int64_t result, char *out, size_t size)
{
	if (result < 0)
		snprintf(out, size, "%s", strerrorname_np((int)-result));
	else
		snprintf(out, size, "%" PRId64, result);
	return out;
}

int expect(struct real *r, int64_t result, int64_t wanted)
{
	char a[32], b[32];
	int64_t got = result < 0 ? -errno : result;

	if (got == wanted)
		return 0;
	return wrong(r, "it returns %s, wanted %s", result_text(got, a, sizeof(a)),
	    result_text(wanted, b, sizeof(b)));
}

int expect_bytes(struct real *r, const unsigned char *got, const unsigned char *want, size_t off,
    size_t len)
{
	size_t at = 0, last = len, bad = 0;
	int differs = len > 0 ? guarded_differ(got, want, len) : 0;

	if (differs < 0)
		return wrong(r, "SIGBUS while reading a mapping");
	if (!differs)
		return 0;
	while (got[at] == want[at])
		at++;
	while (got[last - 1] == want[last - 1])
		last--;
	for (size_t i = at; i < last; i++)
		bad += got[i] != want[i];
	return wrong(r, "%zu bytes differ in [%zu, %zu) (of what was asked for, [%zu, %zu)): "
	    "%02x, wanted %02x", bad, off + at, off + last, off, off + len, got[at], want[at]);
}

const char *real_path(const struct real *r, const char *path, char *out)
{
	if (strncmp(path, "own", 3) == 0)
		snprintf(out, REAL_PATH, "%s/t%u%s", r->base, r->thread, path + 3);
	else if (path[2] == '\0')
		snprintf(out, REAL_PATH, "%s/%s", r->base, path);
	else
		snprintf(out, REAL_PATH, "%s/%.2s/%u.%s", r->base, path, r->thread, path + 3);
	return out;
}

int real_setup(const char *base, unsigned int threads)
{
	char path[REAL_PATH];

	if (mkdir(base, 0755) != 0)
		return -errno;
	for (unsigned int i = 0; i < threads + 3; i++) {
		if (i < threads)
			snprintf(path, sizeof(path), "%s/t%u", base, i);
		else
			snprintf(path, sizeof(path), "%s/%s", base, (const char *[]){
			    "d0", "d1", "shared" }[i - threads]);
		if (mkdir(path, 0755) != 0)
			return -errno;
	}
	return 0;
}

int real_init(struct real *r, const char *base, unsigned int thread)
{
	memset(r, 0, sizeof(*r));
	r->base = base;
	r->thread = thread;
	for (unsigned int i = 0; i < SLOTS; i++)
		r->fds[i] = -1;
	r->scratch = aligned_alloc(BLOCK, FILE_MAX + BLOCK);
	return r->scratch ? 0 : -ENOMEM;
}

void real_free(struct real *r)
{
	free(r->scratch);
}

/* What stat() says is what the model has; what the model could not know, it learns. */
int look(struct real *r, struct node *node, const struct stat *st)
{
	unsigned int links = node->names;

	if ((node->mode & S_IFMT) != (st->st_mode & S_IFMT))
		return wrong(r, "mode %o, wanted %o", st->st_mode, node->mode);
	if (node->ino != 0 && node->ino != st->st_ino)
		return wrong(r, "inode %ju, wanted %ju", (uintmax_t)st->st_ino, (uintmax_t)node->ino);
	node->ino = st->st_ino;
	if (node->common)
		return 0;
	if (S_ISDIR(node->mode)) {
		links = 2;
		for (size_t i = 0; i < node->n_entries; i++)
			links += S_ISDIR(node->entries[i].node->mode);
	}
	if (node->mode != st->st_mode || node->uid != st->st_uid || node->gid != st->st_gid ||
	    links != st->st_nlink)
		return wrong(r, "%o %u:%u with %ju links, wanted %o %u:%u with %u", st->st_mode,
		    st->st_uid, st->st_gid, (uintmax_t)st->st_nlink, node->mode, node->uid,
		    node->gid, links);
	if (S_ISREG(node->mode) && (size_t)st->st_size != node->size)
		return wrong(r, "size %jd, wanted %zu", (intmax_t)st->st_size, node->size);
	if (node->mtime_is == MTIME_KNOWN && (node->mtime.tv_sec != st->st_mtim.tv_sec ||
	    node->mtime.tv_nsec != st->st_mtim.tv_nsec))
		return wrong(r, "mtime %jd.%09ld, wanted %jd.%09ld", (intmax_t)st->st_mtim.tv_sec,
		    st->st_mtim.tv_nsec, (intmax_t)node->mtime.tv_sec, node->mtime.tv_nsec);
	if (node->mtime_is == MTIME_NOW && st->st_mtim.tv_sec < 1500000000)
		return wrong(r, "mtime %jd.%09ld, though it was changed since that was set",
		    (intmax_t)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
	if (node->mtime_is == MTIME_NOW)
		node_modified(node, MTIME_KNOWN);
	node->mtime = st->st_mtim;
	return 0;
}

/* Of a common directory only one's own names. */
static int list(struct real *r, const char *path, const struct op *op, struct node *node)
{
	char prefix[16] = "";
	size_t found = 0;
	struct dirent *d;
	int err = 0;
	DIR *dir = opendir(path);

	if (!dir)
		return wrong(r, "opendir: %s", strerror(errno));
	if (node->common)
		snprintf(prefix, sizeof(prefix), "%u.", r->thread);
	while (!err && (d = readdir(dir))) {
		const char *name = d->d_name + strlen(prefix);
		struct entry *entry;

		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0 ||
		    strncmp(d->d_name, prefix, strlen(prefix)) != 0)
			continue;
		entry = node_entry(node, name);
		found++;
		if (!entry)
			err = wrong(r, "%s has %s, which should not be there", op->path, name);
		else if (d->d_type != IFTODT(entry->node->mode))
			err = wrong(r, "%s/%s has type %u", op->path, name, d->d_type);
	}
	closedir(dir);
	if (!err && found != node->n_entries)
		err = wrong(r, "%s lists %zu names, wanted %zu", op->path, found, node->n_entries);
	return err;
}

static int sync_directory(struct real *r, const char *path, int64_t wanted)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), result, err;

	if (fd < 0)
		return expect(r, fd, wanted);
	result = fsync(fd);
	err = expect(r, result, wanted);
	close(fd);
	return err;
}

static int read_address(struct real *r, const char *path, char out[ADDRESS_LEN])
{
	ssize_t n = getxattr(path, ATTRIBUTE, out, ADDRESS_LEN);

	return n == ADDRESS_LEN ? 0 : wrong(r, "its address has %zd bytes: %s", n, strerror(errno));
}

/* The address is that of the bytes, whatever the way they came. */
static int address(struct real *r, const char *path, const struct outcome *out)
{
	char fresh[REAL_PATH], want[ADDRESS_LEN], got[ADDRESS_LEN];
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;

	if (fd < 0 || fsync(fd) != 0)
		err = wrong(r, "open and fsync: %s", strerror(errno));
	else
		err = read_address(r, path, got);
	if (fd >= 0)
		close(fd);
	if (err)
		return err;
	snprintf(fresh, sizeof(fresh), "%s/shared/fresh%u", r->base, r->thread);
	/* A crash may have left an old one. */
	unlink(fresh);
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return wrong(r, "a fresh file: %s", strerror(errno));
	err = expect(r, write(fd, out->node->data, out->len), (int64_t)out->len);
	close(fd);
	if (!err)
		err = read_address(r, fresh, want);
	if (!err && memcmp(got, want, ADDRESS_LEN) != 0)
		err = wrong(r, "address %.64s, of the same bytes afresh %.64s", got, want);
	if (unlink(fresh) != 0 && !err)
		err = wrong(r, "unlink of the fresh file: %s", strerror(errno));
	return err;
}

static int of_xattr(struct real *r, const char *path, const struct op *op,
    const struct outcome *out)
{
	static const int hows[] = { 0, XATTR_CREATE, XATTR_REPLACE, 0 };
	unsigned int i = op->flags % XATTRS;
	unsigned char value[256];
	ssize_t n;
	int err;

	if (op->kind == OP_REMOVEXATTR)
		return expect(r, removexattr(path, xattr_name(i)), out->result);
	if (op->kind == OP_SETXATTR) {
		fill_bytes(value, op->len, op->fill, op->salt);
		return expect(r, setxattr(path, xattr_name(i), value, op->len,
		    hows[op->flags / XATTRS % 4]), out->result);
	}
	n = getxattr(path, xattr_name(i), value, sizeof(value));
	err = expect(r, n, out->result);
	if (!err && n > 0)
		err = expect_bytes(r, value, out->node->xattrs[i].value, 0, (size_t)n);
	return err;
}

static int of_node(struct real *r, const char *path, const struct op *op, const struct outcome *out)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
	    { 1000000000 + op->salt, op->salt * 999 } };
	char target[PATH_LEN];
	struct stat st;
	int err;

	switch (op->kind) {
	case OP_CHMOD:
		return expect(r, chmod(path, op->flags), out->result);
	case OP_CHOWN:
		return expect(r, lchown(path, 1000 + op->flags, 1000 + op->flags / 2), out->result);
	case OP_UTIMENS:
		return expect(r, utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), out->result);
	case OP_TRUNCATE:
		return expect(r, truncate(path, (off_t)op->len), out->result);
	case OP_STAT:
		err = expect(r, lstat(path, &st), out->result);
		return err || out->result < 0 ? err : look(r, out->node, &st);
	case OP_READLINK:
		err = expect(r, readlink(path, target, sizeof(target)), out->result);
		if (!err && out->result > 0 &&
		    memcmp(target, out->node->target, (size_t)out->result) != 0)
			err = wrong(r, "it leads to %.*s", (int)out->result, target);
		return err;
	case OP_LIST:
		return out->result < 0 ? expect(r, open(path, O_RDONLY | O_DIRECTORY), out->result) :
		    list(r, path, op, out->node);
	case OP_SYNCDIR:
		return sync_directory(r, path, out->result);
	case OP_ADDRESS:
		/* Elsewhere than on dhtfs the exerciser itself is being tried. */
		return getxattr(path, ATTRIBUTE, NULL, 0) < 0 &&
		    (errno == ENODATA || errno == EOPNOTSUPP) ? 0 : address(r, path, out);
	default:
		return of_xattr(r, path, op, out);
	}
}

int real_apply(struct real *r, struct model *m, const struct op *op, const struct outcome *out)
{
	char path[REAL_PATH], path2[REAL_PATH], target[PATH_LEN];

	if (op->path[0])
		real_path(r, op->path, path);
	if (op->path2[0])
		real_path(r, op->path2, path2);
	switch (op->kind) {
	case OP_MKDIR:
		return expect(r, mkdir(path, 0755), out->result);
	case OP_RMDIR:
		return expect(r, rmdir(path), out->result);
	case OP_UNLINK:
		return expect(r, unlink(path), out->result);
	case OP_RENAME:
		return expect(r, renameat2(AT_FDCWD, path, AT_FDCWD, path2, op->flags), out->result);
	case OP_LINK:
		return expect(r, link(path, path2), out->result);
	case OP_SYMLINK:
		snprintf(target, sizeof(target), "to/%u", op->salt);
		return expect(r, symlink(target, path), out->result);
	default:
		break;
	}
	return op->kind <= OP_PRIVATE ? real_apply_data(r, m, op, out) : of_node(r, path, op, out);
}
