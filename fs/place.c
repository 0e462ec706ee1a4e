#include "fs/place.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char default_path[] = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";

static int say(const char *path, const char *what)
{
	fprintf(stderr, "dhtfs: %s %s\n", path, what);
	return -1;
}

static int say_cannot_reach(const char *path, int error)
{
	switch (error) {
	case ENOENT:
		fprintf(stderr, "dhtfs: %s does not exist: make it first: mkdir -p %s\n", path, path);
		return -1;
	case ENOTDIR:
		return say(path, "is not a directory: mount on one");
	case ENOTCONN:
		fprintf(stderr,
		    "dhtfs: %s is a mount whose process is gone: unmount it first: fusermount3 -u %s\n",
		    path, path);
		return -1;
	default:
		return say(path, strerror(error));
	}
}

static int check_empty(const struct options *o)
{
	DIR *dir = opendir(o->mountpoint);
	const struct dirent *entry;
	bool empty = true;
	int error;

	if (!dir)
		return say_cannot_reach(o->mountpoint, errno);
	errno = 0;
	while (empty && (entry = readdir(dir)))
		empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
	error = errno;
	closedir(dir);
	if (error)
		return say_cannot_reach(o->mountpoint, error);
	if (!empty && !o->nonempty)
		return say(o->mountpoint, "is not empty, and the mount would hide what is in it: "
		    "mount elsewhere, or with -o nonempty");
	return 0;
}

/*
 * Is the directory ${path}, or one above it, the directory ${dir}?  By device and inode, as
 * bind mounts give one directory many names.  The end of ${path} need not exist.
 */
static bool is_within(const char *path, const struct stat *dir)
{
	char *above = strdup(path), *slash;
	bool within = false;
	struct stat st;

	while (above && !within) {
		within = stat(*above ? above : "/", &st) == 0 && st.st_dev == dir->st_dev &&
		    st.st_ino == dir->st_ino;
		slash = strrchr(above, '/');
		if (!slash)
			break;
		*slash = '\0';
	}
	free(above);
	return within;
}

/*
 * ${path} with its symlinks resolved as far as it exists: is_within() goes up by names, and
 * what is above a symlink is not above where it leads.
 */
static char *resolve(const char *path)
{
	char *head = strdup(path), *real = NULL, *whole = NULL, *slash;
	size_t len = strlen(path);

	while (head && !(real = realpath(*head ? head : "/", NULL))) {
		slash = strrchr(head, '/');
		if (errno != ENOENT || !slash)
			break;
		*slash = '\0';
		len = (size_t)(slash - head);
	}
	if (real && asprintf(&whole, "%s%s", real, path + len) < 0)
		whole = NULL;
	free(real);
	free(head);
	return whole;
}

static int check_store(struct options *o, const struct stat *mountpoint)
{
	char *store = resolve(o->store);
	struct stat st;

	if (!store)
		return say(o->store, strerror(errno));
	free(o->store);
	o->store = store;
	if (stat(store, &st) == 0 && is_within(o->mountpoint, &st)) {
		if (st.st_dev == mountpoint->st_dev && st.st_ino == mountpoint->st_ino)
			return say(o->mountpoint, "is the store itself: mount elsewhere");
		fprintf(stderr, "dhtfs: %s is within the store %s: mount elsewhere\n", o->mountpoint,
		    store);
		return -1;
	}
	if (is_within(store, mountpoint)) {
		fprintf(stderr, "dhtfs: the store %s is within %s, and the mount would hide it: "
		    "mount elsewhere, or give --store DIR\n", store, o->mountpoint);
		return -1;
	}
	return 0;
}

static bool in_path(const char *program)
{
	const char *dir = getenv("PATH");
	bool found = false;
	char *file;

	for (dir = dir ? dir : default_path; *dir && !found; dir += strspn(dir, ":")) {
		size_t len = strcspn(dir, ":");

		if (asprintf(&file, "%.*s/%s", (int)len, dir, program) < 0)
			return false;
		found = access(file, X_OK) == 0;
		free(file);
		dir += len;
	}
	return found;
}

static int check_system(void)
{
	if (access("/dev/fuse", F_OK) < 0)
		return say("/dev/fuse", "is missing: load it with 'modprobe fuse', or start the container "
		    "with '--device /dev/fuse --cap-add SYS_ADMIN'");
	if (access("/dev/fuse", R_OK | W_OK) < 0)
		return say("/dev/fuse", "is closed to you: mount as root, or have root run "
		    "'chmod 666 /dev/fuse'");
	/* Root mounts by itself; others need the set-user-id helper, which libfuse finds here too. */
	if (geteuid() != 0 && !in_path("fusermount3") && access("/usr/bin/fusermount3", X_OK) < 0)
		return say("fusermount3", "is missing: install what is called fuse3, "
		    "or mount as root");
	return 0;
}

int place_check(struct options *o)
{
	char *real = realpath(o->mountpoint, NULL);
	struct stat st;

	if (!real)
		return say_cannot_reach(o->mountpoint, errno);
	free(o->mountpoint);
	o->mountpoint = real;
	if (stat(real, &st) < 0)
		return say_cannot_reach(real, errno);
	if (!S_ISDIR(st.st_mode))
		return say_cannot_reach(real, ENOTDIR);
	if (check_store(o, &st) < 0 || check_empty(o) < 0)
		return -1;
	return check_system();
}
