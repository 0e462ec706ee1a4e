#include "dht/program/config.h"

#include <errno.h>
#include <ini.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "dht/program/home.h"

#define WHY_SIZE 512

struct reading {
	const struct config_reader *reader;
	const char *path;
	FILE *file;
	unsigned int line;	/* the last that was read */
	bool failed;		/* and said; the rest is not looked at */
};

static const char *const programs[] = { "dhtfs", "dhtd" };

static void complain(struct reading *g, const char *text)
{
	fprintf(stderr, "%s: %s:%u: %s\n", g->reader->program, g->path, g->line, text);
	g->failed = true;
}

/* For libinih, which does not say in which line a setting stands: it reads one, then tells what is in it. */
static char *read_line(char *line, int size, void *stream)
{
	struct reading *g = stream;
	size_t len;

	if (g->failed || !fgets(line, size, g->file))
		return NULL;
	g->line++;
	len = strlen(line);
	if (len + 1 == (size_t)size && line[len - 1] != '\n') {
		complain(g, "this line is too long");
		return NULL;
	}
	return line;
}

static bool known_section(const char *section)
{
	for (size_t i = 0; i < sizeof(programs) / sizeof(*programs); i++) {
		if (strcasecmp(section, programs[i]) == 0)
			return true;
	}
	return false;
}

static int take_setting(void *user, const char *section, const char *name, const char *value)
{
	struct reading *g = user;
	const struct config_reader *r = g->reader;
	char why[WHY_SIZE], text[WHY_SIZE + 64];
	int result;

	if (g->failed)
		return 0;
	if (*section && !known_section(section)) {
		snprintf(text, sizeof(text), "unknown section [%s]: there are [dhtfs] and [dhtd]", section);
		complain(g, text);
		return 0;
	}
	if (*section && strcasecmp(section, r->program) != 0)
		return 1;
	why[0] = '\0';
	result = r->set(r->arg, name, value ? value : "", why, sizeof(why));
	if (result == 0)
		return 1;
	if (result == -ENOENT)
		snprintf(text, sizeof(text), "there is no setting '%s': dhtfs.conf(5) has them all", name);
	else
		snprintf(text, sizeof(text), "%s: %s", name, why[0] ? why : strerror(-result));
	complain(g, text);
	return 0;
}

int config_read(const struct config_reader *r, const char *path)
{
	struct reading g = { .reader = r, .path = path, .file = fopen(path, "re") };
	int line;

	if (!g.file && (errno == ENOENT || errno == ENOTDIR))
		return -ENOENT;
	if (!g.file) {
		fprintf(stderr, "%s: %s: %s\n", r->program, path, strerror(errno));
		return -1;
	}
	line = ini_parse_stream(read_line, &g, take_setting, &g);
	if (!g.failed && ferror(g.file)) {
		complain(&g, strerror(EIO));
	} else if (!g.failed && line > 0) {
		g.line = (unsigned int)line;
		complain(&g, "no setting: write 'name = value'");
	} else if (!g.failed && line < 0) {
		complain(&g, strerror(ENOMEM));
	}
	fclose(g.file);
	return g.failed ? -1 : 0;
}

int config_read_all(const struct config_reader *r, const char *path, void (*between)(void *arg), void *arg)
{
	char *own;
	int result;

	if (path && strcmp(path, "none") == 0)
		return 0;
	if (path) {
		result = config_read(r, path);
		if (result == -ENOENT)
			fprintf(stderr, "%s: the file of settings %s: %s\n", r->program, path, strerror(ENOENT));
		between(arg);
		return result < 0 ? -1 : 0;
	}
	result = config_read(r, CONFIG_SYSTEM);
	between(arg);
	own = result == 0 || result == -ENOENT ? home_config() : NULL;
	if (own) {
		result = config_read(r, own);
		between(arg);
	}
	free(own);
	return result == 0 || result == -ENOENT ? 0 : -1;
}
