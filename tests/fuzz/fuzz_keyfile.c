/*
 * Any text as what people keep in files: the first byte says which, a ring's, its admin's key, a node's or a volume's.  What is
 * taken must be the same when it is written and read again.
 */
#include <assert.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dht/net/ringfile.h"
#include "dht/peer/identity.h"
#include "dht/peer/volume.h"
#include "dht/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static char dir[] = "/tmp/fuzz_keyfile.XXXXXX", node[64], volume[64];

static void remove_all(void)
{
	static const char *const names[] = { "format", "ledger", "ledger-lock", "lock", IDENTITY_FILE, VOLUME_KEY_FILE };
	char path[128];

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
}

/* The node's key lies in a store, whose number is read beside it. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct dht_options o = { .dir = dir };
	struct store *s;
	char why[512];

	(void)argc, (void)argv;
	if (sodium_init() < 0 || !mkdtemp(dir) || store_open(&o, false, NULL, NULL, NULL, &s, why, sizeof(why)) < 0)
		abort();
	store_close(s);
	snprintf(node, sizeof(node), "%s/" IDENTITY_FILE, dir);
	snprintf(volume, sizeof(volume), "%s/" VOLUME_KEY_FILE, dir);
	atexit(remove_all);
	return 0;
}

static void put(const char *path, const void *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, text, len) != (ssize_t)len)
		abort();
	close(fd);
}

static void ring_text(const char *text, size_t len)
{
	struct ring_file f, again;
	char out[RING_FILE_MAX], more[RING_FILE_MAX], why[RING_FILE_WHY] = "";

	if (ring_file_parse(text, len, &f, why) < 0) {
		assert(why[0] && memchr(why, '\0', sizeof(why)));
		return;
	}
	assert(f.acks >= 1 && f.acks <= f.replicas && f.replicas <= RING_REPLICAS_MAX);
	assert(ring_file_parse(out, ring_file_format(&f, out), &again, why) == 0);
	ring_file_format(&again, more);
	assert(strcmp(out, more) == 0);
}

static void admin_text(const char *text, size_t len)
{
	static const struct ring_file_random fixed = { .admin = { 1 } };
	uint8_t admin[MEMBER_SECRET], got[MEMBER_SECRET];
	char why[RING_FILE_WHY] = "";
	struct ring_file f;

	assert(ring_file_create(&fixed, false, 3, 2, &f, admin) == 0);
	if (admin_key_parse(text, len, &f, got, why) == 0)
		assert(memcmp(got, admin, sizeof(got)) == 0);
	else
		assert(why[0]);
}

static void node_text(const char *text, size_t len)
{
	const struct address ring = { .b = { 0 } };
	struct identity *i = NULL;
	char why[512] = "";

	put(node, text, len);
	if (identity_open(dir, &ring, &i, why, sizeof(why)) < 0)
		assert(why[0]);
	identity_free(i);
}

static void volume_text(const char *text, size_t len)
{
	struct volume_key k, again;
	char out[VOLUME_TEXT_MAX], why[512] = "";

	put(volume, text, len);
	if (volume_key_read(volume, &k, why, sizeof(why)) < 0) {
		assert(why[0]);
		return;
	}
	put(volume, out, volume_key_format(&k, out));
	assert(volume_key_read(volume, &again, why, sizeof(why)) == 0);
	assert(memcmp(again.secret, k.secret, sizeof(k.secret)) == 0 && again.since == k.since);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const kind[])(const char *text, size_t len) = { ring_text, admin_text, node_text, volume_text };

	if (size > 0)
		kind[data[0] % 4]((const char *)data + 1, size - 1);
	return 0;
}
