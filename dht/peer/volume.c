#include "dht/peer/volume.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dht/net/signed.h"
#include "dht/peer/keyfile.h"

#define KIND "dhtfs-volume 1"

static const char intro[] = KIND "\n"
    "# Who has this file can write this volume, and end it.  Keep a copy of it elsewhere: with it, and any\n"
    "# member of the ring, all of the volume is had again when this machine is lost.\n";

static void set_secret(struct volume_key *k, const uint8_t secret[MEMBER_SECRET])
{
	memcpy(k->secret, secret, MEMBER_SECRET);
	crypto_sign_ed25519_sk_to_pk(k->key, secret);
	volume_id(k->key, &k->id);
}

size_t volume_key_format(const struct volume_key *k, char out[VOLUME_TEXT_MAX])
{
	char key[2 * MEMBER_SECRET + 1];
	int n;

	sodium_bin2hex(key, sizeof(key), k->secret, MEMBER_SECRET);
	n = snprintf(out, VOLUME_TEXT_MAX, "%ssince %" PRIu64 "\nkey %s\n", intro, k->since, key);
	sodium_memzero(key, sizeof(key));
	assert(n > 0 && n < (int)VOLUME_TEXT_MAX);
	return (size_t)n;
}

static int parse(const char *text, const char *path, struct volume_key *out, char *why, size_t why_size)
{
	const char *line = strstr(text, "\nkey "), *since = strstr(text, "\nsince ");
	uint8_t secret[MEMBER_SECRET], public[MEMBER_KEY], again[MEMBER_SECRET];
	const char *end;
	size_t got = 0;
	bool good = strncmp(text, KIND "\n", strlen(KIND) + 1) == 0 && line &&
	    sodium_hex2bin(secret, sizeof(secret), line + 5, strlen(line + 5), NULL, &got, &end) == 0 &&
	    got == sizeof(secret) && (*end == '\n' || *end == '\0' || *end == '\r');

	/* Both halves follow from the seed. */
	if (good) {
		crypto_sign_seed_keypair(public, again, secret);
		good = sodium_memcmp(again, secret, sizeof(secret)) == 0;
	}
	if (good) {
		set_secret(out, secret);
		out->since = since ? strtoull(since + 7, NULL, 10) : 0;
	} else {
		snprintf(why, why_size, "%s: this is no volume's key, or not all of it", path);
	}
	sodium_memzero(secret, sizeof(secret));
	sodium_memzero(again, sizeof(again));
	return good ? 0 : -EINVAL;
}

int volume_key_read(const char *path, struct volume_key *out, char *why, size_t why_size)
{
	char text[VOLUME_TEXT_MAX];
	long len = keyfile_read(path, text, sizeof(text), why, why_size);
	int rc = len < 0 ? (int)len : parse(text, path, out, why, why_size);

	sodium_memzero(text, sizeof(text));
	return rc;
}

static int store(const char *path, const struct volume_key *k, char *why, size_t why_size)
{
	char text[VOLUME_TEXT_MAX];
	size_t len = volume_key_format(k, text);
	int rc = keyfile_write(path, text, len, why, why_size);

	sodium_memzero(text, sizeof(text));
	return rc;
}

static int path_of(const char *dir, char path[PATH_MAX], char *why, size_t why_size)
{
	if (snprintf(path, PATH_MAX, "%s/" VOLUME_KEY_FILE, dir) < PATH_MAX)
		return 0;
	snprintf(why, why_size, "%s: the name is too long", dir);
	return -ENAMETOOLONG;
}

int volume_key_open(const char *dir, struct volume_key *out, char *why, size_t why_size)
{
	uint8_t public[MEMBER_KEY], secret[MEMBER_SECRET];
	char path[PATH_MAX];
	int rc = path_of(dir, path, why, why_size);

	if (rc == 0)
		rc = volume_key_read(path, out, why, why_size);
	if (rc != -ENOENT)
		return rc;
	crypto_sign_keypair(public, secret);
	set_secret(out, secret);
	out->since = 0;
	sodium_memzero(secret, sizeof(secret));
	return store(path, out, why, why_size);
}

int volume_key_import(const char *dir, const char *from, uint64_t since, struct volume_key *out, char *why, size_t why_size)
{
	struct volume_key old;
	char path[PATH_MAX];
	int rc = volume_key_read(from, out, why, why_size);

	if (rc == 0)
		rc = path_of(dir, path, why, why_size);
	if (rc < 0)
		return rc;
	rc = volume_key_read(path, &old, why, why_size);
	out->since = rc == 0 ? old.since : since;
	if (rc == -ENOENT)
		return store(path, out, why, why_size);
	if (rc == 0 && sodium_memcmp(old.key, out->key, sizeof(old.key)) != 0) {
		snprintf(why, why_size, "%s: this store has a volume of its own; give the imported one an empty store", dir);
		rc = -EEXIST;
	}
	volume_key_wipe(&old);
	return rc;
}

void volume_public_format(const uint8_t key[MEMBER_KEY], char out[2 * MEMBER_KEY + 1])
{
	sodium_bin2hex(out, 2 * MEMBER_KEY + 1, key, MEMBER_KEY);
}

bool volume_public_parse(const char *text, uint8_t out[MEMBER_KEY])
{
	size_t got;

	return strlen(text) == 2 * MEMBER_KEY && sodium_hex2bin(out, MEMBER_KEY, text, 2 * MEMBER_KEY, NULL, &got, NULL) == 0 &&
	    got == MEMBER_KEY;
}

void volume_key_wipe(struct volume_key *k)
{
	sodium_memzero(k, sizeof(*k));
}
