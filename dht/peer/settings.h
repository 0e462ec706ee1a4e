/*
 * settings: what makes a program a node of a ring: the same options of dhtfs and dhtd, on the command line, behind -o, and in a
 * file.  Later layers win: of a list what a layer says replaces what those before it said.
 */
#ifndef DHT_PEER_SETTINGS_H
#define DHT_PEER_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dht/net/member.h"

#define SETTINGS_TIMEOUT_S	30u		/* the default */
#define SETTINGS_TIMEOUT_MAX_S	3600u
#define SETTINGS_WEIGHT_BYTES	(64ull << 30)	/* of a store, for which its node has a weight of 1 */

enum settings_sync {
	SYNC_AUTO,	/* as SYNC_RING once there are peers */
	SYNC_LOCAL,	/* fsync() is content with this machine */
	SYNC_RING,	/* and waits for W others */
};

struct settings_list {
	char **item;		/* NULL behind the last; NULL: none */
	unsigned int count;
	unsigned int layer;	/* that said it */
};

/* Strings are the settings' own; NULL: not given. */
struct settings {
	struct settings_list listen, join, advertise;
	char *ring, *ring_old;	/* paths */
	char *zone;
	char *metrics;		/* "host:port" or "unix:PATH" */
	char *volume;		/* path of a volume's exported key */
	char *follow;		/* a volume's public key, 64 hex digits; implies no_store */
	unsigned int weight;	/* 0: settings_weight() finds it */
	enum settings_sync sync;
	unsigned int timeout_s;
	uint64_t volume_max;	/* bytes; 0: no limit */
	bool no_store, wait;
	unsigned int layer;
};

/* Behind a program's own options.  What getopt_long() returns for each is SETTINGS_OPTION: its name tells which. */
#define SETTINGS_OPTION 512
#define SETTINGS_OPTIONS \
	{ "listen", 1, NULL, SETTINGS_OPTION }, { "join", 1, NULL, SETTINGS_OPTION }, \
	{ "ring", 1, NULL, SETTINGS_OPTION }, { "ring-old", 1, NULL, SETTINGS_OPTION }, \
	{ "advertise", 1, NULL, SETTINGS_OPTION }, { "zone", 1, NULL, SETTINGS_OPTION }, \
	{ "weight", 1, NULL, SETTINGS_OPTION }, { "no-store", 0, NULL, SETTINGS_OPTION }, \
	{ "sync", 1, NULL, SETTINGS_OPTION }, { "timeout", 1, NULL, SETTINGS_OPTION }, \
	{ "volume-max", 1, NULL, SETTINGS_OPTION }, { "metrics", 1, NULL, SETTINGS_OPTION }, \
	{ "volume", 1, NULL, SETTINGS_OPTION }, { "follow", 1, NULL, SETTINGS_OPTION }, \
	{ "wait", 0, NULL, SETTINGS_OPTION }
extern const char settings_usage[], settings_mount_usage[];	/* of all nodes; of mounts only */

void settings_init(struct settings *s);
void settings_free(struct settings *s);

/** settings_next_layer(s): what follows wins over all that was said; ${s} is the settings. */
void settings_next_layer(void *settings);

/**
 * settings_set(s, name, value, why, why_size): ${name} with '-' or '_' between its words; ${value} "" for those without one,
 * which a file may also give as yes or no.  -ENOENT: no such setting; -EINVAL: ${why} says what to give
 * instead; -ENOMEM.
 */
int settings_set(struct settings *s, const char *name, const char *value, char *why, size_t why_size);

/** settings_for_mount(name): means something to a mount only; ${name} as above. */
bool settings_for_mount(const char *name);

/** settings_finish(s, why, why_size): does it fit together?  Makes paths absolute.  -EINVAL with ${why}; -ENOMEM. */
int settings_finish(struct settings *s, char *why, size_t why_size);

/** settings_networked(s): is it a node of a ring? */
bool settings_networked(const struct settings *s);

/**
 * settings_ring(path, out, why, why_size): read a ring file.  -EACCES: others than its owner can read it, and its secret is one;
 * -EINVAL, -errno; ${why} for a person.
 */
int settings_ring(const char *path, struct ring_file *out, char *why, size_t why_size);

/** settings_weight(s, bytes): as said, or for a store that may take ${bytes}: 1 to 64. */
unsigned int settings_weight(const struct settings *s, uint64_t bytes);

#endif
