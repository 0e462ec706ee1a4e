#include "dht/program/home.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* $${variable}/${name}, else ~/${otherwise}/${name}. */
static char *xdg(const char *variable, const char *otherwise, const char *name)
{
	const char *dir = getenv(variable), *home = getenv("HOME");
	const struct passwd *user;
	char *path;

	/* The XDG specification: a relative path is to be ignored. */
	if (dir && *dir == '/')
		return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
	if (!home || *home != '/') {
		user = getpwuid(getuid());
		home = user ? user->pw_dir : NULL;
	}
	if (!home || *home != '/')
		return NULL;
	return asprintf(&path, "%s/%s/%s", home, otherwise, name) < 0 ? NULL : path;
}

char *home_default_store(void)
{
	return xdg("XDG_DATA_HOME", ".local/share", "dhtfs");
}

char *home_config(void)
{
	return xdg("XDG_CONFIG_HOME", ".config", "dhtfs/config");
}

/* A name that is to last.  Best effort: not every file system can sync a folder. */
static void sync_folder_of(const char *path)
{
	char *copy = strdup(path);
	int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	free(copy);
}

int home_make_parents(const char *file)
{
	char *path = strdup(file);
	int r = 0;

	if (!path)
		return -ENOMEM;
	for (char *p = strchr(path + 1, '/'); p && r == 0; p = strchr(p + 1, '/')) {
		*p = '\0';
		if (mkdir(path, 0700) == 0)
			sync_folder_of(path);
		else if (errno != EEXIST)
			r = -errno;
		*p = '/';
	}
	free(path);
	return r;
}

int home_absolute(char **path)
{
	char *dir, *absolute;

	if (**path == '/')
		return 0;
	dir = get_current_dir_name();
	if (!dir)
		return -errno;
	if (asprintf(&absolute, "%s/%s", dir, *path) < 0)
		absolute = NULL;
	free(dir);
	if (!absolute)
		return -ENOMEM;
	free(*path);
	*path = absolute;
	return 0;
}
