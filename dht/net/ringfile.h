/*
 * ringfile: the text forms of what makes a ring: the file that each member has, and the admin's key, which is kept
 * elsewhere.  Pure: whoever calls reads and writes the files, and brings the randomness.
 *
 * Both are lines of "name value", numbers in decimal and bytes in hex; empty lines and those that begin with '#' are
 * skipped.  Each name stands there once; the first line tells what the file is.
 */
#ifndef DHT_NET_RINGFILE_H
#define DHT_NET_RINGFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dht/net/member.h"

#define RING_FILE_MAX	      2048u	/* bytes of either text, with its NUL */
#define RING_FILE_WHY	      128u	/* bytes of an error's text */
#define RING_REPLICAS_DEFAULT 3u	/* R */
#define RING_ACKS_DEFAULT     2u	/* W */
#define RING_PLACEMENT_VERSION 1u	/* of the rules by which ring.h makes its table */

/** The random bytes of a new ring. */
struct ring_file_random {
	uint8_t id[ADDRESS_LEN];
	uint8_t secret[32];
	uint8_t admin[32];		/* seed of the admin's key */
};

/**
 * ring_file_create(random, open, replicas, acks, file, admin): a new ring, and the secret half of its admin's key.
 * ${open}: its secret is zeros, and any stranger may join.  -EINVAL: not 1 <= W <= R <= RING_REPLICAS_MAX.
 */
int ring_file_create(const struct ring_file_random *random, bool open, unsigned int replicas, unsigned int acks,
    struct ring_file *file, uint8_t admin[MEMBER_SECRET]);

/** ring_file_format(file, out): as text with a NUL; its length without it. */
size_t ring_file_format(const struct ring_file *file, char out[RING_FILE_MAX]);

/**
 * ring_file_parse(text, len, out, why): -EINVAL: ${why} says what is wrong, and in which line.
 * -ENOTSUP: made by a later version; ${why} too.
 */
int ring_file_parse(const char *text, size_t len, struct ring_file *out, char why[RING_FILE_WHY]);

/** ring_file_open(file): is its secret zeros? */
bool ring_file_open(const struct ring_file *file);

/** ring_file_hash(file, out): BLAKE2b-256, personalised "dhtfs ring file", of all but the secret: what goes into the handshake's prologue, so that nodes
 * whose files differ can't connect. */
void ring_file_hash(const struct ring_file *file, struct address *out);

/** admin_key_format(), admin_key_parse(): the admin's secret key; its text names the ring that it is for.  -EINVAL as above,
 * also when it is another ring's key than ${file}'s. */
size_t admin_key_format(const struct ring_file *file, const uint8_t admin[MEMBER_SECRET], char out[RING_FILE_MAX]);
int admin_key_parse(const char *text, size_t len, const struct ring_file *file, uint8_t admin[MEMBER_SECRET],
    char why[RING_FILE_WHY]);

#endif
