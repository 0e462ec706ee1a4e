/*
 * volume: the key of a tree that lives on.  Who has the secret half writes the volume; who has the public half follows it.
 *
 * STORE/volume.key, mode 0600: lines of text, as a ring file's.  It is made at the first mount of a store, durably.  A copy of it
 * is its export: whoever has that can write in the volume's name, end it, and, with any member of the ring, read it whole.
 */
#ifndef DHT_PEER_VOLUME_H
#define DHT_PEER_VOLUME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunker/address.h"
#include "dht/net/member.h"

#define VOLUME_KEY_FILE "volume.key"	/* in the store */
#define VOLUME_TEXT_MAX 512u

struct volume_key {
	uint8_t key[MEMBER_KEY], secret[MEMBER_SECRET];
	struct address id;
	uint64_t since;			/* the seq of the head from which its present store was restored; 0: it was made there */
};

/** volume_key_open(dir, out, why, why_size): ${dir}'s key; made if it has none.  -EACCES: others can read it; -EINVAL: no such text. */
int volume_key_open(const char *dir, struct volume_key *out, char *why, size_t why_size);

/** volume_key_import(dir, path, since, out, why, why_size): the key in the file ${path} becomes ${dir}'s, as of that head.  -EEXIST: it has another
 * one already; the same again is fine, and changes nothing. */
int volume_key_import(const char *dir, const char *path, uint64_t since, struct volume_key *out, char *why, size_t why_size);

/** volume_key_read(path, out, why, why_size): of a file that was exported. */
int volume_key_read(const char *path, struct volume_key *out, char *why, size_t why_size);

/** volume_key_format(k, out): as text with a NUL; its length. */
size_t volume_key_format(const struct volume_key *k, char out[VOLUME_TEXT_MAX]);

/** volume_public_format(key, out), volume_public_parse(text, out): the public half: 64 hex digits.  False: not that. */
void volume_public_format(const uint8_t key[MEMBER_KEY], char out[2 * MEMBER_KEY + 1]);
bool volume_public_parse(const char *text, uint8_t out[MEMBER_KEY]);

void volume_key_wipe(struct volume_key *k);

#endif
