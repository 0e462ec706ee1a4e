/* What dht/PROTOCOL.md shows of connections, tables, tries and views is what this program says and computes. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "chunker/bytes.h"
#include "dht/net/link_impl.h"
#include "dht/net/ringfile.h"
#include "dht/net/trie.h"
#include "dht/net/view.h"
#include "tests/lib/address_catalogue.h"
#include "tests/lib/golden.h"
#include "tests/lib/suite.h"

static const char golden_first[] =
	"40007d34a4815fa6b982535e60af3bd9b49556816080f1641ff81d2b7c8ae8268a44f783ce69b4b3707702bf1f27169e14dc"
	"0ee14a3e80f4d9abb833e795a893d2f1";
static const char golden_second[] =
	"600004bcd2e0d00f2cce5fe8f1c6c2fbec5c07fa56e3aa5c88a5689975d88b3fce05e16b44245134dff1b2e088c610c195e9"
	"b8af9c7c4fa5ac8c34abbec2f640e6ae9c2f524f593908cef8bd6b279774117a56218a9118252ea7e5c0dc08f64d39f9";
static const char golden_third[] =
	"4000736f8848d13343246898e371dc07d59e9b601ca9ed6459bf618b3dbe292fd85944918d2718cdca9d7aaaf84b9c419cbe"
	"17bed8ab9d4e2a63ca02b0d0756c0674c300579a67e40783904660888b99fe7dcf638a6aff414528c7dd5bab26cbbcd19b1e"
	"ad523e1c1f23fd97d12235d7004e73fe1480e6b4e4e56c09052ffa41cc20495f4ddb2f2de607ccec1b54c5689fe06e06ad76"
	"692f17a528eac542bac3be3378acafeb8be9d8dbe94940da0e81ee6c0b8d3095265cfdb3ada2dc0616a7d9d7eced0aa9fcd8"
	"09c5083715d33688a7602d9e09e99f4b2b289ac20a22440fa414b33c249786b4f9f15834554bb042e531dc48227e7aa79cdc"
	"1c39293ae87a9d48f7141e86df";
static const char golden_hello[] =
	"c30076d539bbdbd2d7908382e1d5117a1ea76d26c77bfa987dc2ab5db7837c6ff208dcd37bcfd6e9807a05920e195ed659cb"
	"de59cd1a4f4ea50f81eccf60ca509ebf3614f4c90089772649bc2b40da793ebdbffedd248bc58b73e8a6366b61a50646c4f1"
	"06fcc2d778c7aa03e494a774ae0272a0f7ddc1ab434be20ffcd94744c362f7be3fe640cda3b29a3f66a06f98418fd4c765b5"
	"a95eff623f48c2fb9282ac0c16c7878b9ce3d2eae3a97bb00411f2ec4b6ff07c14d1d350cea1e2c5ba0b07a3a0094c";
static const char golden_nack[] =
	"2000140099f88b7688b949bf506d2538ff465e691656018774989a1ea9429b7aa676";
static const char golden_plain[] =
	"70000000000000000120008a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c03080044443333"
	"22221111042000cef42a97186813be7582bc069ed4103e254f2127c5431fecb7c17261ce962e430504000100010006080000"
	"0000000000000007040000000500";
static const char golden_refusal[] =
	"3000b988d592b6d404272ba56eb58bf435b979aa531af21793b5ce5ed501823c65082d53d594d1702e5c84a5881b1af76591";

static struct ring_file file;

/* The ring of the examples. */
static int setup(void **state)
{
	struct ring_file_random random;
	uint8_t admin[MEMBER_SECRET];

	(void)state;
	memset(random.id, 0xaa, sizeof(random.id));
	memset(random.secret, 0xbb, sizeof(random.secret));
	memset(random.admin, 2, sizeof(random.admin));
	return ring_file_create(&random, false, 3, 2, &file, admin);
}

/* ---- a connection ---- */

struct end {
	struct link *link;
	struct link_pool pool;
};

/* Node 1 dials node 4; each has fixed keys, its ephemeral one too. */
static void open_end(struct end *e, bool initiator, const struct ring_file *of, enum link_kind kind)
{
	static struct aead *aead;
	uint8_t seed[crypto_sign_SEEDBYTES], key[MEMBER_KEY], secret[MEMBER_SECRET], noise[NOISE_KEY];
	struct link_options o = {
		.kind = kind, .initiator = initiator, .file = of, .key = key, .secret = secret, .noise_secret = noise,
		.pool = &e->pool, .instance = initiator ? 0x1111222233334444 : 0x4444555566667777,
	};

	if (!aead)
		assert_int_equal(aead_new(&aead), 0);
	o.aead = aead;
	memset(seed, initiator ? 1 : 4, sizeof(seed));
	crypto_sign_seed_keypair(key, secret, seed);
	memset(noise, initiator ? 0x11 : 0x14, sizeof(noise));
	memset(o.random, initiator ? 0x21 : 0x24, sizeof(o.random));
	e->pool = (struct link_pool){ .max = LINK_POOL };
	assert_int_equal(link_new(&o, &e->link), 0);
}

/* All that ${e} has to say now; it is golden, and goes to ${to}. */
static int says(struct end *e, struct end *to, const char *what, const char *hex)
{
	uint8_t bytes[1024];
	struct wire_slice s;
	size_t n = 0;

	while (link_output(e->link, &s)) {
		assert_true(n + s.len <= sizeof(bytes));
		memcpy(bytes + n, s.data, s.len);
		n += s.len;
		link_sent(e->link, s.len);
	}
	golden_is(what, bytes, n, hex);
	return link_input(to->link, bytes, n);
}

static void a_connection_is_the_one_that_is_shown(void **state)
{
	struct chunk *body;
	struct end a, b;
	uint8_t *data;

	(void)state;
	open_end(&a, true, &file, LINK_NOISE);
	open_end(&b, false, &file, LINK_NOISE);
	assert_int_equal(says(&a, &b, "the first message", golden_first), 0);
	assert_int_equal(says(&b, &a, "the second", golden_second), 0);
	assert_int_equal(says(&a, &b, "the third, and a hello", golden_third), 0);
	assert_int_equal(says(&b, &a, "the other hello", golden_hello), 0);
	assert_non_null(link_peer(a.link));
	assert_non_null(link_peer(b.link));
	body = chunk_new(10, &data);
	assert_non_null(body);
	memcpy(data, "\x01\x08\x18\x17\x16\x15\x14\x13\x12\x11", 10);
	assert_int_equal(link_send(a.link, WIRE_NACK, 0, LINK_CONTROL, body, NULL), 0);
	chunk_drop(body);
	assert_int_equal(says(&a, &b, "a NACK", golden_nack), 0);
	link_free(a.link);
	link_free(b.link);
}

/* A plain link sends what is in the frames as it is. */
static void its_frames_hold_what_is_shown(void **state)
{
	struct end a, b;

	(void)state;
	open_end(&a, true, &file, LINK_PLAIN);
	open_end(&b, false, &file, LINK_PLAIN);
	assert_int_equal(says(&a, &b, "a hello without its signature", golden_plain), 0);
	link_free(a.link);
	link_free(b.link);
}

static void a_refusal_is_the_one_that_is_shown(void **state)
{
	struct ring_file other = file;
	struct end a, b;

	(void)state;
	other.acks = 3;
	open_end(&a, true, &file, LINK_NOISE);
	open_end(&b, false, &other, LINK_NOISE);
	assert_int_equal(says(&a, &b, "the first message", golden_first), -EKEYREJECTED);
	assert_int_equal(says(&b, &a, "a refusal", golden_refusal), -EKEYREJECTED);
	link_free(a.link);
	link_free(b.link);
}

/* ---- tables ---- */

/* Each slot's owners by rank, le16 each, as places in the order of ids. */
static void hash_table(const struct ring *r, struct address *out)
{
	crypto_generichash_state st;

	crypto_generichash_init(&st, NULL, 0, ADDRESS_LEN);
	for (unsigned int slot = 0; slot < RING_SLOTS; slot++) {
		for (unsigned int i = 0; i < r->replicas; i++) {
			uint8_t n[2];

			put_le16(n, ring_owners(r, slot)[i]);
			crypto_generichash_update(&st, n, sizeof(n));
		}
	}
	crypto_generichash_final(&st, out->b, ADDRESS_LEN);
}

struct table {
	const uint8_t *weight;
	const char *const *zone;
	unsigned int members;
	const char *owners;		/* of some slots */
	const char *placement, *hash;
};

static void table_is(const struct table *t)
{
	struct ring_member m[8] = { { .weight = 0 } };
	char owners[256] = "";
	struct address hash;
	struct ring *r;

	for (unsigned int i = 0; i < t->members; i++) {
		memset(m[i].id.b, (int)(i + 1), ADDRESS_LEN);
		m[i].weight = t->weight[i];
		strcpy(m[i].zone, t->zone[i]);
	}
	assert_int_equal(ring_build(m, t->members, 3, &r), 0);
	for (unsigned int slot = 0; slot < RING_SLOTS; slot += RING_SLOTS / 8)
		for (unsigned int i = 0; i < r->replicas; i++)
			sprintf(owners + strlen(owners), "%s%u", i ? "," : slot ? " " : "", ring_owners(r, slot)[i] + 1u);
	hash_table(r, &hash);
	assert_string_equal(owners, t->owners);
	golden_text(t->owners);
	golden_is("its placement hash", r->placement.b, ADDRESS_LEN, t->placement);
	golden_is("the hash of its owners", hash.b, ADDRESS_LEN, t->hash);
	ring_free(r);
}

static void tables_are_those_that_are_shown(void **state)
{
	static const uint8_t six[] = { 1, 1, 1, 2, 2, 3 }, three[] = { 1, 1, 2 };
	static const char *const zones[] = { "a", "a", "b", "b", "c", "c" }, *const none[] = { "", "", "" };

	(void)state;
	table_is(&(struct table){ six, zones, 6, "4,5,1 3,5,2 1,5,3 5,4,2 5,4,1 4,1,5 4,5,1 6,4,1",
	    "93837c4ff1713180bc0be08bc0820534a59206c32bf146e1a054d2115bd35514",
	    "3b854e13eb91651dc6d5c55757cb8ce83fd2618a31625a49092549f9ee566a06" });
	table_is(&(struct table){ three, none, 3, "3,1,2 3,2,1 3,1,2 3,2,1 3,1,2 3,1,2 3,1,2 3,1,2",
	    "8a7332be2d54f9378bb9ee391276fb81db31958662e466dd5f9bf0d3ae78267e",
	    "43e1ffd609476688a02ab463eb3067cc1c3980c8064316ad87636212fef8c210" });
}

/* ---- tries ---- */

static void part_is(struct trie *t, const char *what, const struct wire_path *path, const char *hex)
{
	static struct trie_slots all;
	struct trie_part part;

	memset(&all, 0xff, sizeof(all));
	trie_allow(t, SIZE_MAX);
	assert_int_equal(trie_part(t, path, &all, &part), 0);
	golden_is(what, part.hash.b, WIRE_HASH, hex);
}

static void a_trie_has_the_hashes_that_are_shown(void **state)
{
	static const char *const addresses[] = {
		"1111111111111111111111111111111111111111111111111111111111111111",
		"1111222222222222222222222222222222222222222222222222222222222222",
		"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	};
	struct address_catalogue c;
	struct wire_path path = { .depth = 0 };
	struct address a;
	struct trie *t;

	(void)state;
	address_catalogue_init(&c);
	for (unsigned int i = 0; i < 3; i++) {
		golden_text(addresses[i]);
		golden_bytes(addresses[i], a.b, sizeof(a.b));
		address_catalogue_add(&c, &a);
	}
	assert_int_equal(trie_new(&c.catalogue, &t), 0);
	part_is(t, "the root", &path, "54e6a066c2dfd2af5f956a538222a9d2c8beb50f");
	golden_bytes(addresses[0], a.b, sizeof(a.b));
	trie_path_of(&a, 4, &path);
	part_is(t, "a slot", &path, "f8f63020271918cc66852101755ad7f7c136d001");
	trie_path_of(&a, 3, &path);
	part_is(t, "what is above it", &path, "5d8414ae08cdc6f965be2607b4ff8affe6a2eb23");
	trie_free(t);
	address_catalogue_free(&c);
}

/* ---- views ---- */

static void a_view_has_the_hashes_that_are_shown(void **state)
{
	struct member fields = {
		.incarnation = 5, .instance = 0x1111222233334444, .generation = 0x5555666677778888, .state = MEMBER_HERE,
		.weight = 3, .zone = "rack-7", .address = { "node.example:4242", "[2001:db8::1]:4242" },
	};
	uint8_t seed[crypto_sign_SEEDBYTES], key[MEMBER_KEY], secret[MEMBER_SECRET], summary[WIRE_SUMMARY_LEN];
	struct wire_summary in_words;
	struct view_entry *e;
	struct member *m;
	struct view v;

	(void)state;
	memset(seed, 1, sizeof(seed));
	crypto_sign_seed_keypair(key, secret, seed);
	assert_int_equal(member_sign(&fields, &file.id, secret, &m), 0);
	view_start(&v);
	golden_is("the hash of no members", view_digest(&v)->b, ADDRESS_LEN,
	    "b2dfef9020a96ffb3dfc99e6a5bf6f38983cfb2d0666cf9220da141294becc5f");
	golden_is("a part without any", view_parts(&v)[0].b, WIRE_HASH, "3345524abf6bbe1809449224b5972c41790b6cf2");
	assert_int_equal(view_put(&v, m, &e), 0);
	view_summary(e, &in_words);
	wire_summary_put(&in_words, summary);
	golden_is("a summary", summary, sizeof(summary),
	    "c3ab9d81148689b4a2bce3df87b6891a58f2ad4ac09fbfbf3be70ac9199f0e810500000000000000d3fc24704e8b1152");
	golden_is("its part", view_parts(&v)[view_part(&m->id)].b, WIRE_HASH, "bb1fdc7ecedc92eb5442cbb1d6f2c90eaf2e135d");
	golden_is("the hash of one member", view_digest(&v)->b, ADDRESS_LEN,
	    "22253caf2d8b66952f14bb48de7b65ee84ab0fc45caa77deb7d66d65095c9b0f");
	view_end(&v);
	member_drop(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_connection_is_the_one_that_is_shown),
		cmocka_unit_test(its_frames_hold_what_is_shown),
		cmocka_unit_test(a_refusal_is_the_one_that_is_shown),
		cmocka_unit_test(tables_are_those_that_are_shown),
		cmocka_unit_test(a_trie_has_the_hashes_that_are_shown),
		cmocka_unit_test(a_view_has_the_hashes_that_are_shown),
	};

	return suite_run_with(tests, setup, NULL);
}
