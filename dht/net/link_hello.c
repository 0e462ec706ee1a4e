#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "chunker/bytes.h"
#include "dht/net/domain.h"
#include "dht/net/link_impl.h"
#include "dht/net/ringfile.h"

/*
 * state of a link        | what comes                 | function         | next
 * -----------------------+----------------------------+------------------+-----------------------
 * initiator, new         |                            | write_first      | awaits the second
 * awaits the second      | the second                 | read_second      | ready (writes the third)
 *                        | a refusal                  | read_refusal     | failed: -EKEYREJECTED
 * responder, new         | the first                  | read_first       | awaits the third (writes the second)
 *                        | with a proof, another      | read_first       | failed: -EKEYREJECTED
 *                        | prologue                   |                  | (writes a refusal)
 * awaits the third       | the third                  | handshake_ready  | ready
 * ready (plain: at once) |                            | link_hello_write | sent
 * ready                  | a hello                    | link_hello_read  | seen
 * sent and seen          |                            | hello_over       | over: no handshake any more
 */

/* Fields of a hello: u8 number, le16 length, value.  The numbers are part of the protocol. */
enum hello_field {
	HELLO_KEY = 1,		/* the node's Ed25519 key */
	HELLO_SIGNATURE = 2,	/* by it, of this handshake; not in a plain link */
	HELLO_INSTANCE = 3,	/* le64, of the process */
	HELLO_FILE = 4,		/* hash of the ring file */
	HELLO_VERSIONS = 5,	/* le16 lowest, le16 highest version of the protocol */
	HELLO_FEATURES = 6,	/* le64; may be missing */
	HELLO_CREDIT = 7,	/* le32 */
	HELLO_END,
};

static const uint16_t hello_len[HELLO_END] = {
	[HELLO_KEY] = MEMBER_KEY, [HELLO_SIGNATURE] = MEMBER_SIGNATURE, [HELLO_INSTANCE] = 8,
	[HELLO_FILE] = ADDRESS_LEN, [HELLO_VERSIONS] = 4, [HELLO_FEATURES] = 8, [HELLO_CREDIT] = 4,
};

#define HELLO_SIZE  (HELLO_END * (3u + 64u))	/* more than all fields take */
#define FEATURES    UINT64_C(0)			/* this version has none */
#define PROLOGUE    "dhtfs 1"
#define SIGNED_LEN  (ADDRESS_LEN + 1u + NOISE_HASH)
#define DOMAIN	    "dhtfs hello"

static const uint8_t no_salt[crypto_generichash_blake2b_SALTBYTES];

/* Only who has ${secret} can tell. */
static void prove(const uint8_t secret[NOISE_KEY], const char *what, const void *bytes, size_t len,
    uint8_t out[LINK_PROOF])
{
	uint8_t personal[crypto_generichash_blake2b_PERSONALBYTES] = { 0 };

	memcpy(personal, what, strlen(what));
	crypto_generichash_blake2b_salt_personal(out, LINK_PROOF, bytes, len, secret, NOISE_KEY, no_salt, personal);
}

static bool proved(const uint8_t secret[NOISE_KEY], const char *what, const void *bytes, size_t len,
    const uint8_t proof[LINK_PROOF])
{
	uint8_t expected[LINK_PROOF];

	prove(secret, what, bytes, len, expected);
	return sodium_memcmp(expected, proof, LINK_PROOF) == 0;
}

static void start_noise(struct link *l, const uint8_t secret[NOISE_KEY])
{
	struct handshake *h = l->handshake;
	uint8_t prologue[sizeof(PROLOGUE) - 1 + ADDRESS_LEN], psk[1][NOISE_KEY];
	const struct noise_options o = {
		.initiator = l->initiator, .aead = h->aead, .psks = 1, .psk = psk, .prologue = prologue,
		.prologue_len = sizeof(prologue), .secret = h->noise_secret, .ephemeral = h->random,
	};

	memcpy(psk[0], secret, NOISE_KEY);
	memcpy(prologue, PROLOGUE, sizeof(PROLOGUE) - 1);
	memcpy(prologue + sizeof(PROLOGUE) - 1, h->file.b, ADDRESS_LEN);
	noise_start(&h->noise, &o);
	sodium_memzero(psk, sizeof(psk));
}

/* The next message of ours, with ${extra} bytes behind it that the caller fills in. */
static uint8_t *write_message(struct link *l, size_t extra)
{
	struct handshake *h = l->handshake;
	int n = noise_write(&h->noise, NULL, 0, h->out + 2, sizeof(h->out) - 2);

	if (n < 0) {
		link_fail(l, n, "a handshake with a worthless key");
		return NULL;
	}
	put_le16(h->out, (uint16_t)((size_t)n + extra));
	h->out_len = (unsigned int)(2 + (size_t)n + extra);
	return h->out + 2 + n;
}

static void write_first(struct link *l)
{
	struct handshake *h = l->handshake;
	uint8_t *proof;

	start_noise(l, h->psk[0]);
	proof = write_message(l, LINK_PROOF);
	assert(proof);		/* nothing of another's is in it yet */
	memcpy(h->first, h->out + 2, LINK_FIRST_NOISE);
	prove(h->psk[0], "dhtfs proof", h->first, LINK_FIRST_NOISE, proof);
}

int link_handshake_start(struct link *l, const struct link_options *o)
{
	struct handshake *h = l->handshake = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	memcpy(h->psk[h->secrets++], o->file->secret, NOISE_KEY);
	if (o->older)
		memcpy(h->psk[h->secrets++], o->older->secret, NOISE_KEY);
	h->ring = o->file->id;
	ring_file_hash(o->file, &h->file);
	memcpy(h->key, o->key, MEMBER_KEY);
	h->instance = o->instance;
	if (o->kind == LINK_PLAIN) {
		h->ready = true;
		return 0;
	}
	assert(o->aead);
	h->aead = o->aead;
	memcpy(h->secret, o->secret, MEMBER_SECRET);
	memcpy(h->noise_secret, o->noise_secret, NOISE_KEY);
	memcpy(h->random, o->random, sizeof(h->random));
	if (l->initiator)
		write_first(l);
	return 0;
}

void link_handshake_end(struct link *l)
{
	if (!l->handshake)
		return;
	sodium_memzero(l->handshake, sizeof(*l->handshake));
	free(l->handshake);
	l->handshake = NULL;
}

static bool awaits_first(const struct link *l)
{
	return !l->initiator && !l->handshake->answered;
}

bool link_handshake_length(const struct link *l, size_t len)
{
	if (l->initiator)
		return len == LINK_SECOND || len == LINK_REFUSAL;
	return len == (awaits_first(l) ? LINK_FIRST : LINK_THIRD);
}

static void handshake_ready(struct link *l)
{
	struct handshake *h = l->handshake;

	noise_split(&h->noise, &l->send, &l->receive, h->hash);
	h->ready = true;
}

static int refuse(struct link *l, const uint8_t *first, const uint8_t secret[NOISE_KEY])
{
	struct handshake *h = l->handshake;
	uint8_t about[LINK_FIRST_NOISE + ADDRESS_LEN];

	memcpy(about, first, LINK_FIRST_NOISE);
	memcpy(about + LINK_FIRST_NOISE, h->file.b, ADDRESS_LEN);
	put_le16(h->out, LINK_REFUSAL);
	memcpy(h->out + 2, h->file.b, ADDRESS_LEN);
	prove(secret, "dhtfs refusal", about, sizeof(about), h->out + 2 + ADDRESS_LEN);
	h->out_len = 2 + LINK_REFUSAL;
	return link_fail(l, -EKEYREJECTED, "knows the secret, but has another ring file or version");
}

static int read_first(struct link *l, const uint8_t *m)
{
	struct handshake *h = l->handshake;
	uint8_t nothing[1];
	unsigned int i = 0;

	while (i < h->secrets && !proved(h->psk[i], "dhtfs proof", m, LINK_FIRST_NOISE, m + LINK_FIRST_NOISE))
		i++;
	if (i == h->secrets)
		return link_fail(l, -EBADMSG, "a stranger: does not know the ring's secret");
	start_noise(l, h->psk[i]);
	if (noise_read(&h->noise, m, LINK_FIRST_NOISE, nothing, 0) < 0)
		return refuse(l, m, h->psk[i]);
	h->answered = true;
	return write_message(l, 0) ? 0 : l->failed;
}

static int read_refusal(struct link *l, const uint8_t *m)
{
	struct handshake *h = l->handshake;
	uint8_t about[LINK_FIRST_NOISE + ADDRESS_LEN];

	memcpy(about, h->first, LINK_FIRST_NOISE);
	memcpy(about + LINK_FIRST_NOISE, m, ADDRESS_LEN);
	if (!proved(h->psk[0], "dhtfs refusal", about, sizeof(about), m + ADDRESS_LEN))
		return link_fail(l, -EBADMSG, "a forged refusal");
	return link_fail(l, -EKEYREJECTED, "refuses us: it has another ring file or version");
}

static int read_second(struct link *l, const uint8_t *m)
{
	uint8_t nothing[1];
	int rc = noise_read(&l->handshake->noise, m, LINK_SECOND, nothing, 0);

	if (rc < 0)
		return link_fail(l, rc, "an answer that is forged or torn");
	if (!write_message(l, 0))
		return l->failed;
	handshake_ready(l);
	return 0;
}

int link_handshake_read(struct link *l, const uint8_t *m, size_t len)
{
	uint8_t nothing[1];
	int rc;

	if (l->initiator)
		return len == LINK_REFUSAL ? read_refusal(l, m) : read_second(l, m);
	if (awaits_first(l))
		return read_first(l, m);
	rc = noise_read(&l->handshake->noise, m, len, nothing, 0);
	if (rc < 0)
		return link_fail(l, rc, "a handshake that is forged, torn or replayed");
	handshake_ready(l);
	return 0;
}

/*
 * The hello.
 */

/* The handshake's hash names this connection; the role keeps a hello from being sent back to its author. */
static void make_signed(const struct handshake *h, bool initiator, uint8_t out[SIGNED_LEN])
{
	memcpy(out, h->ring.b, ADDRESS_LEN);
	out[ADDRESS_LEN] = initiator;
	memcpy(out + ADDRESS_LEN + 1, h->hash, NOISE_HASH);
}

static uint8_t *put_field(uint8_t *at, enum hello_field field)
{
	at[0] = (uint8_t)field;
	put_le16(at + 1, hello_len[field]);
	return at + 3;
}

static size_t encode(struct link *l, uint8_t *out)
{
	const struct handshake *h = l->handshake;
	uint8_t *at = out, text[SIGNED_LEN];

	memcpy(put_field(at, HELLO_KEY), h->key, MEMBER_KEY);
	at += 3 + MEMBER_KEY;
	if (l->kind == LINK_NOISE) {
		make_signed(h, l->initiator, text);
		domain_sign(DOMAIN, text, sizeof(text), h->secret, put_field(at, HELLO_SIGNATURE));
		at += 3 + MEMBER_SIGNATURE;
	}
	put_le64(put_field(at, HELLO_INSTANCE), h->instance);
	at += 3 + 8;
	memcpy(put_field(at, HELLO_FILE), h->file.b, ADDRESS_LEN);
	at += 3 + ADDRESS_LEN;
	at = put_field(at, HELLO_VERSIONS);
	put_le16(at, WIRE_VERSION);
	put_le16(at + 2, WIRE_VERSION);
	at += 4;
	put_le64(put_field(at, HELLO_FEATURES), FEATURES);
	at += 3 + 8;
	put_le32(put_field(at, HELLO_CREDIT), link_credit_first(l));
	return (size_t)(at + 3 + 4 - out);
}

static void hello_over(struct link *l)
{
	if (l->handshake->sent && l->handshake->seen)
		link_handshake_end(l);
}

int link_hello_write(struct link *l)
{
	uint8_t *out = link_room(l, 2 + LINK_FRAME_HEAD + HELLO_SIZE + NOISE_TAG);

	if (!out)
		return -ENOMEM;
	link_frame_head(out + 2, LINK_HELLO, LINK_CONTROL, false, 0);
	l->out_len += (uint32_t)link_seal(l, out, LINK_FRAME_HEAD + encode(l, out + 2 + LINK_FRAME_HEAD));
	l->handshake->sent = true;
	hello_over(l);
	return 0;
}

/* The values of the known fields; NULL where one is missing. */
static bool decode(const uint8_t *bytes, size_t len, const uint8_t *value[HELLO_END])
{
	struct reader r = reader_of(bytes, len);

	while (r.left > 0 && !r.bad) {
		uint8_t field = reader_u8(&r);
		uint16_t n = reader_le16(&r);
		const uint8_t *v = reader_take(&r, n);

		if (field == 0 || field >= HELLO_END)
			continue;
		if (n != hello_len[field] || value[field])
			return false;
		value[field] = v;
	}
	return !r.bad && value[HELLO_KEY] && value[HELLO_INSTANCE] && value[HELLO_FILE] && value[HELLO_VERSIONS] &&
	    get_le16(value[HELLO_VERSIONS]) <= get_le16(value[HELLO_VERSIONS] + 2) && value[HELLO_CREDIT];
}

/* Whose key is it, and may that one be here? */
static int check(struct link *l, const uint8_t *value[HELLO_END])
{
	const struct handshake *h = l->handshake;
	uint8_t text[SIGNED_LEN];

	make_signed(h, !l->initiator, text);
	if (l->kind == LINK_NOISE && (!value[HELLO_SIGNATURE] ||
	    !domain_verify(DOMAIN, text, sizeof(text), value[HELLO_KEY], value[HELLO_SIGNATURE])))
		return link_fail(l, -EBADMSG, "a hello without a valid signature");
	if (memcmp(value[HELLO_FILE], h->file.b, ADDRESS_LEN) != 0)
		return link_fail(l, -EKEYREJECTED, "another ring file");
	if (get_le16(value[HELLO_VERSIONS]) > WIRE_VERSION)
		return link_fail(l, -EPROTO, "speaks newer versions of the protocol only: this program is too old for it");
	if (get_le16(value[HELLO_VERSIONS] + 2) < WIRE_VERSION)
		return link_fail(l, -EPROTO, "speaks older versions of the protocol only: it is too old for this program");
	if (memcmp(value[HELLO_KEY], h->key, MEMBER_KEY) != 0)
		return 0;
	if (get_le64(value[HELLO_INSTANCE]) != h->instance)
		return link_fail(l, -EEXIST, "another process with our own key: a cloned machine");
	return link_fail(l, -ELOOP, "this very process");
}

int link_hello_read(struct link *l, const uint8_t *plain, size_t len)
{
	const uint8_t *value[HELLO_END] = { NULL };
	int rc;

	if (plain[0] != LINK_HELLO || !decode(plain + LINK_FRAME_HEAD, len - LINK_FRAME_HEAD, value))
		return link_fail(l, -EPROTO, "no hello, or a malformed one");
	rc = check(l, value);
	if (rc < 0)
		return rc;
	l->credit = get_le32(value[HELLO_CREDIT]);
	if (l->credit > LINK_CREDIT_SANE)
		return link_fail(l, -EPROTO, "a grant that makes no sense");
	memcpy(l->peer, value[HELLO_KEY], MEMBER_KEY);
	l->features = value[HELLO_FEATURES] ? get_le64(value[HELLO_FEATURES]) & FEATURES : 0;
	l->handshake->seen = true;
	hello_over(l);
	return 0;
}
