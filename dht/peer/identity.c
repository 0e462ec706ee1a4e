#include "dht/peer/identity.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "dht/format.h"
#include "dht/peer/keyfile.h"

#define KIND	 "dhtfs-node 1"
#define TEXT_MAX 512u
#define RING_WORD "ring "

static const char intro[] = KIND "\n"
    "# Who has this file can be this node.  Two machines with one key are taken for one that was cloned, and stop.\n";

static void set_secret(struct identity *i, const uint8_t secret[MEMBER_SECRET])
{
	static const uint8_t personal[crypto_generichash_blake2b_PERSONALBYTES] = "dhtfs noise key";
	static const uint8_t no_salt[crypto_generichash_blake2b_SALTBYTES];

	memcpy(i->secret, secret, MEMBER_SECRET);
	crypto_sign_ed25519_sk_to_pk(i->key, secret);
	member_id(i->key, &i->id);
	/* One key, one use: the seed of the one is hashed to make the other. */
	crypto_generichash_blake2b_salt_personal(i->noise_secret, NOISE_KEY, NULL, 0, secret, crypto_sign_SEEDBYTES,
	    no_salt, personal);
}

/* The last line is the key. */
static int parse(const char *text, const char *path, struct identity *out, char *why, size_t why_size)
{
	const char *line = strstr(text, "\nkey "), *end;
	uint8_t secret[MEMBER_SECRET], public[MEMBER_KEY], again[MEMBER_SECRET];
	size_t got = 0;
	bool good = strncmp(text, KIND "\n", strlen(KIND) + 1) == 0 && line &&
	    sodium_hex2bin(secret, sizeof(secret), line + 5, strlen(line + 5), NULL, &got, &end) == 0 &&
	    got == sizeof(secret) && (*end == '\n' || *end == '\0');

	/* Its public half follows from the other: so a damaged key is not somebody else's. */
	if (good) {
		crypto_sign_seed_keypair(public, again, secret);
		good = sodium_memcmp(again, secret, sizeof(secret)) == 0;
	}
	if (good)
		set_secret(out, secret);
	else
		snprintf(why, why_size, "%s is no node's key, or damaged: bring it back from a copy, or remove it: the node then "
		    "comes as a new one, and the old one can be evicted", path);
	sodium_memzero(secret, sizeof(secret));
	sodium_memzero(again, sizeof(again));
	return good ? 0 : -EINVAL;
}

/* What it noted of one ring says nothing true of another.  A key without that line was made by an older version. */
static int check_ring(const char *text, const char *path, const struct address *ring, char *why, size_t why_size)
{
	const char *line = strstr(text, "\n" RING_WORD);
	char ours[ADDRESS_TEXT_LEN + 1];

	address_format(ring, ours);
	if (!line || strncmp(line + strlen("\n" RING_WORD), ours, ADDRESS_TEXT_LEN) == 0)
		return 0;
	snprintf(why, why_size, "%s: this node is one of the ring %.12s, and the --ring file is that of %.12s: give that ring's file, or another --store",
	    path, line + strlen("\n" RING_WORD), ours);
	return -EINVAL;
}

static int read_key(const char *path, const struct address *ring, struct identity *out, char *why, size_t why_size)
{
	char text[TEXT_MAX];
	long len = keyfile_read(path, text, sizeof(text), why, why_size);
	int rc = len < 0 ? (int)len : parse(text, path, out, why, why_size);

	if (rc == 0)
		rc = check_ring(text, path, ring, why, why_size);
	sodium_memzero(text, sizeof(text));
	return rc;
}

static int make_key(const char *path, const struct address *ring, struct identity *out, char *why, size_t why_size)
{
	uint8_t key[MEMBER_KEY], secret[MEMBER_SECRET];
	char text[TEXT_MAX], hex[2 * MEMBER_SECRET + 1], id[ADDRESS_TEXT_LEN + 1];
	int n, rc;

	crypto_sign_keypair(key, secret);
	sodium_bin2hex(hex, sizeof(hex), secret, sizeof(secret));
	address_format(ring, id);
	n = snprintf(text, sizeof(text), "%s" RING_WORD "%s\nkey %s\n", intro, id, hex);
	assert(n > 0 && n < (int)sizeof(text));
	rc = keyfile_write(path, text, (size_t)n, why, why_size);
	if (rc == 0)
		set_secret(out, secret);
	sodium_memzero(secret, sizeof(secret));
	sodium_memzero(hex, sizeof(hex));
	sodium_memzero(text, sizeof(text));
	return rc;
}

static int read_generation(const char *dir, uint64_t *out, char *why, size_t why_size)
{
	int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;
	unsigned int version;

	rc = dirfd < 0 ? -errno : format_read(&io_system, dirfd, &version, out);
	if (rc < 0)
		snprintf(why, why_size, "%s: the store's id could not be read: %s", dir, strerror(-rc));
	if (dirfd >= 0)
		close(dirfd);
	return rc;
}

int identity_open(const char *dir, const struct address *ring, struct identity **out, char *why, size_t why_size)
{
	char path[PATH_MAX];
	struct identity *i;
	int rc;

	if (snprintf(path, sizeof(path), "%s/" IDENTITY_FILE, dir) >= (int)sizeof(path)) {
		snprintf(why, why_size, "%s: the name is too long", dir);
		return -ENAMETOOLONG;
	}
	i = sodium_malloc(sizeof(*i));
	if (!i) {
		snprintf(why, why_size, "no memory for the node's key");
		return -ENOMEM;
	}
	rc = read_generation(dir, &i->generation, why, why_size);
	if (rc == 0)
		rc = read_key(path, ring, i, why, why_size);
	i->made = rc == -ENOENT;
	if (i->made)
		rc = make_key(path, ring, i, why, why_size);
	if (rc < 0) {
		identity_free(i);
		return rc;
	}
	randombytes_buf(&i->instance, sizeof(i->instance));
	*out = i;
	return 0;
}

void identity_free(struct identity *i)
{
	sodium_free(i);
}
