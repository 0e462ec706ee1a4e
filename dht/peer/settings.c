#include "dht/peer/settings.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dht/net/ringfile.h"
#include "dht/program/home.h"
#include "dht/program/size.h"

#define NAME_LEN 32

const char settings_usage[] =
    "  --listen HOST[:PORT]     be a node of a ring: take connections there; may be repeated\n"
    "  --join HOST[:PORT]       members to begin with; may be repeated; they are remembered\n"
    "  --ring FILE              what makes the ring, from: dhtctl ring create FILE\n"
    "  --ring-old FILE          while the ring's secret is replaced: the old one is accepted too\n"
    "  --advertise HOST[:PORT]  where others reach this node, if that is not where it listens\n"
    "  --zone NAME              what fails together: copies go to different zones\n"
    "  --weight N               its part of the ring, 1 to 64 (default: 1 for each 64 GiB of store)\n"
    "  --no-store               keep no copies for others\n"
    "  --volume-max SIZE        bytes to keep for one volume (default: no limit)\n"
    "  --metrics HOST:PORT|unix:PATH\n"
    "                           serve figures in Prometheus' text form there\n";

const char settings_mount_usage[] =
    "  --sync local|ring        what fsync waits for (default: ring, once there are peers)\n"
    "  --timeout SECONDS        when to give up on a ring that does not answer (default: 30)\n"
    "  --volume KEYFILE         take over the volume whose key was exported to KEYFILE\n"
    "  --follow PUBLICKEY       show another's volume, read-only, as it changes\n"
    "  --wait                   at the end, wait until all that is here only has gone out\n";

static int fail(char *why, size_t why_size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(char *why, size_t why_size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, why_size, format, args);
	va_end(args);
	return -EINVAL;
}

void settings_init(struct settings *s)
{
	*s = (struct settings){ .timeout_s = SETTINGS_TIMEOUT_S };
}

static void free_list(struct settings_list *l)
{
	for (unsigned int i = 0; i < l->count; i++)
		free(l->item[i]);
	free(l->item);
	*l = (struct settings_list){ 0 };
}

void settings_free(struct settings *s)
{
	free_list(&s->listen);
	free_list(&s->join);
	free_list(&s->advertise);
	free(s->ring);
	free(s->ring_old);
	free(s->zone);
	free(s->metrics);
	free(s->volume);
	free(s->follow);
	settings_init(s);
}

void settings_next_layer(void *settings)
{
	struct settings *s = settings;

	s->layer++;
}

/* ---- the values ---- */

struct value {
	struct settings *settings;
	const char *text;
	char *why;
	size_t why_size;
};

static int set_text(struct value *v, char **out)
{
	char *text;

	if (!*v->text)
		return fail(v->why, v->why_size, "nothing was given");
	text = strdup(v->text);
	if (!text)
		return -ENOMEM;
	free(*out);
	*out = text;
	return 0;
}

static int set_number(struct value *v, unsigned int min, unsigned int max, unsigned int *out)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(v->text, &end, 10);
	if (*v->text < '0' || *v->text > '9' || *end || errno || n < min || n > max)
		return fail(v->why, v->why_size, "'%s' is none: give a number from %u to %u", v->text, min, max);
	*out = (unsigned int)n;
	return 0;
}

static int set_truth(struct value *v, bool *out)
{
	if (!*v->text || strcmp(v->text, "yes") == 0 || strcmp(v->text, "true") == 0)
		*out = true;
	else if (strcmp(v->text, "no") == 0 || strcmp(v->text, "false") == 0)
		*out = false;
	else
		return fail(v->why, v->why_size, "'%s' is neither yes nor no", v->text);
	return 0;
}

/* The port behind ${host_end}, if there is one, or nothing at all. */
static bool port_valid(const char *text)
{
	char *end;
	unsigned long port;

	if (!*text)
		return true;
	if (*text != ':' || text[1] < '0' || text[1] > '9')
		return false;
	port = strtoul(text + 1, &end, 10);
	return !*end && port >= 1 && port <= 65535;
}

/* "host", "host:port", "[v6]", "[v6]:port", or a bare v6, which gets its brackets. */
static char *parse_address(const char *text)
{
	struct in6_addr v6;
	char *out, host[INET6_ADDRSTRLEN];
	const char *end = strchr(text, ']');
	size_t len = end ? (size_t)(end - text) - 1 : 0;

	if (*text == '[') {
		if (!end || len >= sizeof(host))
			return NULL;
		memcpy(host, text + 1, len);
		host[len] = '\0';
		if (inet_pton(AF_INET6, host, &v6) != 1 || !port_valid(end + 1))
			return NULL;
	} else if (inet_pton(AF_INET6, text, &v6) == 1) {
		return asprintf(&out, "[%s]", text) < 0 ? NULL : out;
	} else if (*text == ':' || !port_valid(text + strcspn(text, ":"))) {
		return NULL;
	}
	return member_address_valid(text) ? strdup(text) : NULL;
}

static int add_address(struct value *v, struct settings_list *l)
{
	char **grown, *text = parse_address(v->text);

	if (!text)
		return fail(v->why, v->why_size,
		    "'%s' is no address: give HOST or HOST:PORT, as 10.0.0.1:4377 or [::1]:4377", v->text);
	if (l->count > 0 && l->layer != v->settings->layer)
		free_list(l);
	grown = realloc(l->item, (l->count + 2) * sizeof(*grown));
	if (!grown) {
		free(text);
		return -ENOMEM;
	}
	l->item = grown;
	l->item[l->count++] = text;
	l->item[l->count] = NULL;
	l->layer = v->settings->layer;
	return 0;
}

static int set_zone(struct value *v)
{
	if (!member_zone_valid(v->text))
		return fail(v->why, v->why_size, "'%s' is no name of a zone: give up to %u printable characters",
		    v->text, RING_ZONE_LEN);
	return set_text(v, &v->settings->zone);
}

static int set_sync(struct value *v)
{
	if (strcmp(v->text, "local") == 0)
		v->settings->sync = SYNC_LOCAL;
	else if (strcmp(v->text, "ring") == 0)
		v->settings->sync = SYNC_RING;
	else
		return fail(v->why, v->why_size, "'%s' is unknown: give local or ring", v->text);
	return 0;
}

static int set_volume_max(struct value *v)
{
	uint64_t bytes;

	if (size_parse(v->text, &bytes) < 0)
		return fail(v->why, v->why_size, "'%s' is no size: give a number of bytes, or one like 10G", v->text);
	v->settings->volume_max = bytes;
	return 0;
}

static int set_metrics(struct value *v)
{
	const char *port = strrchr(v->text, ':');

	if (strncmp(v->text, "unix:", 5) != 0 ? !port || port == v->text || !port[1] || !port_valid(port)
					      : v->text[5] != '/')
		return fail(v->why, v->why_size,
		    "'%s' is neither HOST:PORT, as 127.0.0.1:9477, nor unix:/PATH", v->text);
	return set_text(v, &v->settings->metrics);
}

static int set_follow(struct value *v)
{
	if (strlen(v->text) != 2 * MEMBER_KEY || strspn(v->text, "0123456789abcdef") != 2 * MEMBER_KEY)
		return fail(v->why, v->why_size, "'%s' is no public key: give the 64 hex digits that 'dhtctl volume' "
		    "prints where the volume is mounted", v->text);
	return set_text(v, &v->settings->follow);
}

static int set_value(struct value *v, const char *name)
{
	struct settings *s = v->settings;

	if (strcmp(name, "listen") == 0)
		return add_address(v, &s->listen);
	if (strcmp(name, "join") == 0)
		return add_address(v, &s->join);
	if (strcmp(name, "advertise") == 0)
		return add_address(v, &s->advertise);
	if (strcmp(name, "ring") == 0)
		return set_text(v, &s->ring);
	if (strcmp(name, "ring-old") == 0)
		return set_text(v, &s->ring_old);
	if (strcmp(name, "zone") == 0)
		return set_zone(v);
	if (strcmp(name, "weight") == 0)
		return set_number(v, 1, RING_WEIGHT_MAX, &s->weight);
	if (strcmp(name, "no-store") == 0)
		return set_truth(v, &s->no_store);
	if (strcmp(name, "sync") == 0)
		return set_sync(v);
	if (strcmp(name, "timeout") == 0)
		return set_number(v, 1, SETTINGS_TIMEOUT_MAX_S, &s->timeout_s);
	if (strcmp(name, "volume-max") == 0)
		return set_volume_max(v);
	if (strcmp(name, "metrics") == 0)
		return set_metrics(v);
	if (strcmp(name, "volume") == 0)
		return set_text(v, &s->volume);
	if (strcmp(name, "follow") == 0)
		return set_follow(v);
	if (strcmp(name, "wait") == 0)
		return set_truth(v, &s->wait);
	return -ENOENT;
}

static int plain_name(const char *name, char out[NAME_LEN])
{
	size_t len = strlen(name);

	if (len >= NAME_LEN)
		return -ENOENT;
	for (size_t i = 0; i <= len; i++)
		out[i] = name[i] == '_' ? '-' : name[i];
	return 0;
}

bool settings_for_mount(const char *name)
{
	static const char *const names[] = { "sync", "timeout", "volume", "follow", "wait" };
	char plain[NAME_LEN];

	if (plain_name(name, plain) < 0)
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strcmp(plain, names[i]) == 0)
			return true;
	return false;
}

int settings_set(struct settings *s, const char *name, const char *value, char *why, size_t why_size)
{
	struct value v = { .settings = s, .text = value, .why = why, .why_size = why_size };
	char plain[NAME_LEN];
	int rc = plain_name(name, plain);

	return rc < 0 ? rc : set_value(&v, plain);
}

/* ---- all of them ---- */

bool settings_networked(const struct settings *s)
{
	return s->ring != NULL;
}

/* The first setting that means nothing without a ring; NULL: none was given. */
static const char *needs_ring(const struct settings *s)
{
	if (s->listen.count > 0)
		return "listen";
	if (s->join.count > 0)
		return "join";
	if (s->advertise.count > 0)
		return "advertise";
	if (s->ring_old)
		return "ring-old";
	if (s->follow)
		return "follow";
	if (s->volume)
		return "volume";
	if (s->no_store)
		return "no-store";
	return NULL;
}

int settings_finish(struct settings *s, char *why, size_t why_size)
{
	char **paths[] = { &s->ring, &s->ring_old, &s->volume };
	const char *name = s->ring ? NULL : needs_ring(s);

	if (name)
		return fail(why, why_size, "--%s needs --ring FILE, which says what ring that is: make one with "
		    "'dhtctl ring create FILE', and give a copy of it to each machine", name);
	if (s->advertise.count > 0 && s->listen.count == 0)
		return fail(why, why_size, "--advertise says where others reach this node, but it listens nowhere: "
		    "give --listen too");
	if (s->advertise.count > MEMBER_ADDRESSES || s->listen.count > MEMBER_ADDRESSES)
		return fail(why, why_size, "a node has at most %u addresses: give fewer of --listen and --advertise",
		    MEMBER_ADDRESSES);
	if (s->follow && s->volume)
		return fail(why, why_size, "--follow shows another's volume, --volume takes it over: give one of them");
	/* Often a second node of its machine: two copies there would be lost together. */
	s->no_store |= s->follow != NULL;
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		int r = *paths[i] ? home_absolute(paths[i]) : 0;

		if (r < 0)
			return fail(why, why_size, "the working directory: %s", strerror(-r));
	}
	return 0;
}

int settings_ring(const char *path, struct ring_file *out, char *why, size_t why_size)
{
	char text[RING_FILE_MAX], what[RING_FILE_WHY] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC), r;
	struct stat st;
	ssize_t n;

	if (fd < 0) {
		r = -errno;
		fail(why, why_size, "the ring file %s: %s%s", path, strerror(-r),
		    r == -ENOENT ? ": copy it from another machine of the ring, or make a ring with 'dhtctl ring create'" : "");
		return r;
	}
	n = fstat(fd, &st) < 0 ? -1 : read(fd, text, sizeof(text));
	r = n < 0 ? -errno : (size_t)n == sizeof(text) ? -EINVAL : 0;
	close(fd);
	if (r == 0)
		r = ring_file_parse(text, (size_t)n, out, what);
	if (r < 0) {
		fail(why, why_size, "the ring file %s: %s", path, what[0] ? what : r == -EINVAL ? "is none" : strerror(-r));
		return r;
	}
	/* As ssh has it with keys. */
	if (!ring_file_open(out) && st.st_mode & (S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH)) {
		fail(why, why_size, "the ring file %s holds the ring's secret, and others can read it: chmod 600 %s",
		    path, path);
		return -EACCES;
	}
	return 0;
}

unsigned int settings_weight(const struct settings *s, uint64_t bytes)
{
	uint64_t weight = (bytes + SETTINGS_WEIGHT_BYTES / 2) / SETTINGS_WEIGHT_BYTES;

	if (s->weight > 0)
		return s->weight;
	return weight < 1 ? 1 : weight > RING_WEIGHT_MAX ? RING_WEIGHT_MAX : (unsigned int)weight;
}
