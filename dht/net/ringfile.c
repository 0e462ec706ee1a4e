#include "dht/net/ringfile.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>


#define FORMAT	      1u
#define FILE_KIND     "dhtfs-ring"
#define ADMIN_KIND    "dhtfs-ring-admin"
#define LINE_MAX_LEN  200u
#define HEX_MAX	      (2 * MEMBER_SECRET)

enum name { NAME_KIND, NAME_ID, NAME_SECRET, NAME_ADMIN, NAME_REPLICAS, NAME_ACKS, NAME_PLACEMENT, NAME_KEY, NAMES };

/* One line of either file. */
struct line {
	const char *name;
	size_t len;		/* bytes of hex; 0: a number */
	unsigned int max;	/* of a number */
};

static const struct line lines[NAMES] = {
	[NAME_ID] = { "id", ADDRESS_LEN, 0 },
	[NAME_SECRET] = { "secret", 32, 0 },
	[NAME_ADMIN] = { "admin", MEMBER_KEY, 0 },
	[NAME_REPLICAS] = { "replicas", 0, RING_REPLICAS_MAX },
	[NAME_ACKS] = { "acks", 0, RING_REPLICAS_MAX },
	[NAME_PLACEMENT] = { "placement", 0, 255 },
	[NAME_KEY] = { "key", MEMBER_SECRET, 0 },
};

#define HAS(name) (1u << NAME_##name)
#define OF_FILE	  (HAS(ID) | HAS(SECRET) | HAS(ADMIN) | HAS(REPLICAS) | HAS(ACKS) | HAS(PLACEMENT))
#define OF_ADMIN  (HAS(ID) | HAS(KEY))

/* What a text says. */
struct parsed {
	unsigned int has;
	uint8_t bytes[NAMES][MEMBER_SECRET];
	unsigned int number[NAMES];
};

static int wrong(char why[RING_FILE_WHY], unsigned int number, const char *what, const char *name)
{
	snprintf(why, RING_FILE_WHY, "line %u: %s%s%s", number, what, *name ? " " : "", name);
	return -EINVAL;
}

static int parse_number(const char *text, unsigned int max, unsigned int *out)
{
	unsigned int n = 0;

	if (!*text || strlen(text) > 3)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		n = n * 10 + (unsigned int)(*text - '0');
	}
	*out = n;
	return n > 0 && n <= max ? 0 : -EINVAL;
}

static int parse_hex(const char *text, size_t len, uint8_t *out)
{
	size_t got;

	if (strlen(text) != 2 * len || sodium_hex2bin(out, len, text, 2 * len, NULL, &got, NULL) < 0)
		return -EINVAL;
	return got == len ? 0 : -EINVAL;
}

/* The first line: what the file is, and in which format. */
static int parse_kind(const char *name, const char *value, const char *kind, unsigned int number, char why[RING_FILE_WHY])
{
	unsigned int format;

	if (strcmp(name, kind) != 0)
		return wrong(why, number, "the file must begin with", kind);
	if (parse_number(value, 255, &format) < 0)
		return wrong(why, number, "this is no format:", value);
	if (format == FORMAT)
		return 0;
	snprintf(why, RING_FILE_WHY, "line %u: format %u is of a later version of dhtfs; this one knows %u", number, format,
	    FORMAT);
	return -ENOTSUP;
}

static int parse_line(char *line, unsigned int number, const char *kind, unsigned int wanted, struct parsed *p,
    char why[RING_FILE_WHY])
{
	char *value = strchr(line, ' ');
	unsigned int i;
	int rc;

	if (!value)
		return wrong(why, number, "a name and a value are needed, one space between", "");
	*value++ = '\0';
	if (!(p->has & HAS(KIND))) {
		p->has |= HAS(KIND);
		return parse_kind(line, value, kind, number, why);
	}
	for (i = NAME_ID; i < NAMES; i++)
		if (wanted & 1u << i && strcmp(lines[i].name, line) == 0)
			break;
	if (i == NAMES)
		return wrong(why, number, "unknown name:", line);
	if (p->has & 1u << i)
		return wrong(why, number, "this name stands there twice:", line);
	p->has |= 1u << i;
	if (lines[i].len > 0)
		rc = parse_hex(value, lines[i].len, p->bytes[i]);
	else
		rc = parse_number(value, lines[i].max, &p->number[i]);
	/* The value is not shown: it may be a secret. */
	return rc < 0 ? wrong(why, number, "bad value of", line) : 0;
}

static int parse(const char *text, size_t len, const char *kind, unsigned int wanted, struct parsed *p,
    char why[RING_FILE_WHY])
{
	const char *end = text + len;
	unsigned int number = 0;
	char line[LINE_MAX_LEN];
	int rc = 0;

	memset(p, 0, sizeof(*p));
	while (text < end && rc == 0) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));
		size_t n = (size_t)((stop ? stop : end) - text);

		number++;
		if (n >= sizeof(line) || memchr(text, 0, n)) {
			rc = wrong(why, number, "too long, or no text", "");
			break;
		}
		memcpy(line, text, n);
		if (n > 0 && line[n - 1] == '\r')
			n--;
		line[n] = '\0';
		if (n > 0 && line[0] != '#')
			rc = parse_line(line, number, kind, wanted, p, why);
		text = stop ? stop + 1 : end;
	}
	sodium_memzero(line, sizeof(line));
	if (rc == 0 && !(p->has & HAS(KIND)))
		return wrong(why, 1, "the file must begin with", kind);
	for (unsigned int i = NAME_ID; rc == 0 && i < NAMES; i++)
		if (wanted & ~p->has & 1u << i)
			rc = wrong(why, number, "the file ends without", lines[i].name);
	return rc;
}

int ring_file_create(const struct ring_file_random *random, bool open, unsigned int replicas, unsigned int acks,
    struct ring_file *file, uint8_t admin[MEMBER_SECRET])
{
	int rc;

	if (replicas < 1 || replicas > RING_REPLICAS_MAX || acks < 1 || acks > replicas)
		return -EINVAL;
	*file = (struct ring_file){
		.replicas = (uint8_t)replicas, .acks = (uint8_t)acks, .placement_version = RING_PLACEMENT_VERSION,
	};
	memcpy(file->id.b, random->id, ADDRESS_LEN);
	if (!open)
		memcpy(file->secret, random->secret, sizeof(file->secret));
	rc = crypto_sign_seed_keypair(file->admin, admin, random->admin);
	assert(rc == 0);
	return 0;
}

bool ring_file_open(const struct ring_file *file)
{
	return sodium_is_zero(file->secret, sizeof(file->secret));
}

void ring_file_hash(const struct ring_file *file, struct address *out)
{
	static const uint8_t personal[crypto_generichash_blake2b_PERSONALBYTES] = "dhtfs ring file";
	uint8_t b[ADDRESS_LEN + MEMBER_KEY + 3];
	int rc;

	memcpy(b, file->id.b, ADDRESS_LEN);
	memcpy(b + ADDRESS_LEN, file->admin, MEMBER_KEY);
	b[ADDRESS_LEN + MEMBER_KEY] = file->replicas;
	b[ADDRESS_LEN + MEMBER_KEY + 1] = file->acks;
	b[ADDRESS_LEN + MEMBER_KEY + 2] = file->placement_version;
	rc = crypto_generichash_blake2b_salt_personal(out->b, ADDRESS_LEN, b, sizeof(b), NULL, 0, NULL, personal);
	assert(rc == 0);
}

static const char *hex(const uint8_t *b, size_t len, char out[HEX_MAX + 1])
{
	return sodium_bin2hex(out, HEX_MAX + 1, b, len);
}

size_t ring_file_format(const struct ring_file *file, char out[RING_FILE_MAX])
{
	char id[HEX_MAX + 1], secret[HEX_MAX + 1], admin[HEX_MAX + 1];
	int n = snprintf(out, RING_FILE_MAX,
	    FILE_KIND " %u\n"
	    "# Every member of the ring has this file.  Who has it can join: keep it from strangers.\n"
	    "id %s\n"
	    "secret %s\n"
	    "admin %s\n"
	    "replicas %u\n"
	    "acks %u\n"
	    "placement %u\n",
	    FORMAT, hex(file->id.b, ADDRESS_LEN, id), hex(file->secret, sizeof(file->secret), secret),
	    hex(file->admin, MEMBER_KEY, admin), file->replicas, file->acks, file->placement_version);

	sodium_memzero(secret, sizeof(secret));
	assert(n > 0 && (size_t)n < RING_FILE_MAX);
	return (size_t)n;
}

int ring_file_parse(const char *text, size_t len, struct ring_file *out, char why[RING_FILE_WHY])
{
	struct parsed p;
	int rc = parse(text, len, FILE_KIND, OF_FILE, &p, why);

	if (rc == 0 && p.number[NAME_ACKS] > p.number[NAME_REPLICAS]) {
		snprintf(why, RING_FILE_WHY, "acks %u: there are only %u replicas", p.number[NAME_ACKS],
		    p.number[NAME_REPLICAS]);
		rc = -EINVAL;
	}
	if (rc == 0 && p.number[NAME_PLACEMENT] != RING_PLACEMENT_VERSION) {
		snprintf(why, RING_FILE_WHY, "placement %u is of a later version of dhtfs; this one knows %u",
		    p.number[NAME_PLACEMENT], RING_PLACEMENT_VERSION);
		rc = -ENOTSUP;
	}
	if (rc == 0) {
		*out = (struct ring_file){
			.replicas = (uint8_t)p.number[NAME_REPLICAS], .acks = (uint8_t)p.number[NAME_ACKS],
			.placement_version = (uint8_t)p.number[NAME_PLACEMENT],
		};
		memcpy(out->id.b, p.bytes[NAME_ID], ADDRESS_LEN);
		memcpy(out->secret, p.bytes[NAME_SECRET], sizeof(out->secret));
		memcpy(out->admin, p.bytes[NAME_ADMIN], MEMBER_KEY);
	}
	sodium_memzero(&p, sizeof(p));
	return rc;
}

size_t admin_key_format(const struct ring_file *file, const uint8_t admin[MEMBER_SECRET], char out[RING_FILE_MAX])
{
	char id[HEX_MAX + 1], key[HEX_MAX + 1];
	int n = snprintf(out, RING_FILE_MAX,
	    ADMIN_KIND " %u\n"
	    "# Who has this file can evict members of the ring.  No node needs it: keep it elsewhere.\n"
	    "id %s\n"
	    "key %s\n",
	    FORMAT, hex(file->id.b, ADDRESS_LEN, id), hex(admin, MEMBER_SECRET, key));

	sodium_memzero(key, sizeof(key));
	assert(n > 0 && (size_t)n < RING_FILE_MAX);
	return (size_t)n;
}

int admin_key_parse(const char *text, size_t len, const struct ring_file *file, uint8_t admin[MEMBER_SECRET],
    char why[RING_FILE_WHY])
{
	uint8_t public[MEMBER_KEY], secret[MEMBER_SECRET];
	struct parsed p;
	int rc = parse(text, len, ADMIN_KIND, OF_ADMIN, &p, why);

	if (rc < 0)
		goto out;
	/* The public half follows from the seed: what stands in the file must be the same, and the ring's. */
	crypto_sign_seed_keypair(public, secret, p.bytes[NAME_KEY]);
	if (memcmp(p.bytes[NAME_ID], file->id.b, ADDRESS_LEN) != 0 || memcmp(public, file->admin, MEMBER_KEY) != 0 ||
	    memcmp(secret, p.bytes[NAME_KEY], MEMBER_SECRET) != 0) {
		snprintf(why, RING_FILE_WHY, "this is not the admin's key of this ring");
		rc = -EINVAL;
		goto out;
	}
	memcpy(admin, secret, MEMBER_SECRET);
out:
	sodium_memzero(&p, sizeof(p));
	sodium_memzero(secret, sizeof(secret));
	return rc;
}
