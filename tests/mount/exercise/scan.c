/* A model of what is there. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/mount/exercise/real.h"

#define NODES_MAX	1024u

struct scan {
	struct real *r;
	struct model *m;
	struct node *nodes[NODES_MAX];	/* those with several names */
	unsigned int n_nodes;
};

static int scan_data(struct scan *s, const char *path, struct node *node, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;
	size_t at = 0;

	if (fd < 0)
		return wrong(s->r, "%s: open: %s", path, strerror(errno));
	if (!node_resize(s->m, node, size)) {
		close(fd);
		return wrong(s->r, "%s: %zu bytes are more than were ever written", path, size);
	}
	while (at < size && (n = pread(fd, node->data + at, size - at, (off_t)at)) > 0)
		at += (size_t)n;
	if (n < 0)
		wrong(s->r, "%s: read at %zu: %s", path, at, strerror(errno));
	else if (at < size || pread(fd, s->r->scratch, 1, (off_t)size) != 0)
		n = wrong(s->r, "%s: %zu bytes can be read of %zu, or more", path, at, size);
	close(fd);
	return n < 0 ? -EIO : 0;
}

static int scan_xattrs(struct scan *s, const char *path, struct node *node)
{
	unsigned char value[512];
	char names[512];
	ssize_t n, len, listed = llistxattr(path, names, sizeof(names));
	unsigned int there = 0, in_list = 0;

	for (unsigned int i = 0; i < XATTRS; i++) {
		n = lgetxattr(path, xattr_name(i), value, sizeof(value));
		if (n < 0 && errno != ENODATA && errno != EPERM)
			return wrong(s->r, "%s: getxattr: %s", path, strerror(errno));
		there += n >= 0;
		if (n >= 0 && !node_set_xattr(node, i, value, (size_t)n))
			abort();
	}
	for (char *at = names; listed > 0 && at < names + listed; at += len) {
		len = (ssize_t)strlen(at) + 1;
		in_list += strncmp(at, "user.", 5) == 0;
	}
	return listed < 0 || in_list != there ?
	    wrong(s->r, "%s: %u attributes are listed, %u are there", path, in_list, there) : 0;
}

static int scan_attributes(struct scan *s, const char *path, struct node *node,
    const struct stat *st)
{
	ssize_t n;
	int err = 0;

	node->mode = st->st_mode;
	node->uid = st->st_uid;
	node->gid = st->st_gid;
	node->ino = st->st_ino;
	node->mtime = st->st_mtim;
	node->mtime_is = MTIME_KNOWN;
	if (S_ISLNK(node->mode)) {
		n = readlink(path, node->target, PATH_LEN - 1);
		return n > 0 ? 0 : wrong(s->r, "%s: readlink: %s", path, strerror(errno));
	}
	if (S_ISREG(node->mode))
		err = scan_data(s, path, node, (size_t)st->st_size);
	return err ? err : scan_xattrs(s, path, node);
}

static int scan_directory(struct scan *s, const char *path, struct node *dir, uintmax_t links);

static int scan_one(struct scan *s, const char *path, const char *name, struct node *dir)
{
	struct node *node = NULL;
	struct stat st;
	int err;

	if (lstat(path, &st) != 0)
		return wrong(s->r, "%s: lstat: %s", path, strerror(errno));
	for (unsigned int i = 0; i < s->n_nodes && st.st_nlink > 1; i++)
		if (s->nodes[i]->ino == st.st_ino)
			node = s->nodes[i];
	if (node)
		return node_enter(dir, name, node) ? 0 : -ENOMEM;
	node = node_new(s->m, st.st_mode);
	if (!node_enter(dir, name, node))
		return wrong(s->r, "%s: a strange name", path);
	if (st.st_nlink > 1 && !S_ISDIR(st.st_mode) && s->n_nodes < NODES_MAX)
		s->nodes[s->n_nodes++] = node;
	err = scan_attributes(s, path, node, &st);
	return err || !S_ISDIR(st.st_mode) ? err : scan_directory(s, path, node, st.st_nlink);
}

/* links: those that it says it has; 0 for a common one, which has others' subdirectories too. */
static int scan_directory(struct scan *s, const char *path, struct node *dir, uintmax_t links)
{
	char prefix[16] = "", below[REAL_PATH];
	uintmax_t subdirectories = 0;
	struct dirent *d;
	int err = 0;
	DIR *stream = opendir(path);

	if (!stream)
		return wrong(s->r, "%s: opendir: %s", path, strerror(errno));
	if (dir->common)
		snprintf(prefix, sizeof(prefix), "%u.", s->r->thread);
	while (!err && (d = readdir(stream))) {
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0 ||
		    strncmp(d->d_name, prefix, strlen(prefix)) != 0)
			continue;
		if (snprintf(below, sizeof(below), "%s/%s", path, d->d_name) >= REAL_PATH)
			err = wrong(s->r, "%s: a strange name", path);
		else
			err = scan_one(s, below, d->d_name + strlen(prefix), dir);
		subdirectories += d->d_type == DT_DIR;
	}
	closedir(stream);
	if (!err && links > 0 && links != subdirectories + 2)
		err = wrong(s->r, "%s: %ju links and %ju subdirectories", path, links,
		    subdirectories);
	return err;
}

int real_scan(struct real *r, struct model **out)
{
	struct scan s = { .r = r, .m = model_new() };
	char path[REAL_PATH];
	int err = 0;

	if (!s.m)
		return wrong(r, "no memory");
	s.m->bytes_max = SIZE_MAX;
	for (size_t i = 0; i < s.m->root->n_entries && !err; i++) {
		const struct entry *top = &s.m->root->entries[i];
		struct stat st;

		real_path(r, top->name, path);
		if (lstat(path, &st) != 0)
			err = wrong(r, "%s: lstat: %s", path, strerror(errno));
		else if (!top->node->common)
			err = scan_attributes(&s, path, top->node, &st);
		top->node->ino = st.st_ino;
		if (!err)
			err = scan_directory(&s, path, top->node,
			    top->node->common ? 0 : st.st_nlink);
	}
	s.m->bytes_max = MODEL_MAX;
	if (err) {
		model_free(s.m);
		return err;
	}
	*out = s.m;
	return 0;
}
