/*
 * config: files of settings, as lines of "name = value", for dhtfs and dhtd alike.
 *
 * Names are those of the long options.  What stands above the first [section], or below one named as the program, is for it; what
 * is below another's is not looked at.  Lines that begin with '#' or ';' are comments.
 */
#ifndef DHT_PROGRAM_CONFIG_H
#define DHT_PROGRAM_CONFIG_H

#include <stddef.h>

#define CONFIG_SYSTEM "/etc/dhtfs.conf"

struct config_reader {
	const char *program;
	/* One setting: 0; -ENOENT: there is none of that name; or -errno with ${why} for a person. */
	int (*set)(void *arg, const char *name, const char *value, char *why, size_t why_size);
	void *arg;
};

/** config_read(r, path): 0; -ENOENT: no such file; or -1: what is wrong there, in which line, was said on stderr. */
int config_read(const struct config_reader *r, const char *path);

/**
 * config_read_all(r, path, between, arg): ${path}, which must be there; NULL: CONFIG_SYSTEM, then the user's own file, which wins,
 * where there are any; "none": none.  between(arg) is called behind each.  0 or -1, and it was said.
 */
int config_read_all(const struct config_reader *r, const char *path, void (*between)(void *arg), void *arg);

#endif
