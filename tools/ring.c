#include "tools/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dht/net/ringfile.h"
#include "dht/net/signed.h"
#include "dht/peer/keyfile.h"
#include "dht/peer/settings.h"
#include "dht/peer/volume.h"
#include "tools/show.h"

#define WHY_SIZE 1024

static int fail(const char *text)
{
	fprintf(stderr, "dhtctl: %s\n", text);
	return EXIT_FAILURE;
}

static int no_memory(void)
{
	return fail(strerror(ENOMEM));
}

/* ---- files ---- */

static int write_file(const char *path, const char *text, size_t len)
{
	char why[WHY_SIZE] = "";
	int r = keyfile_write(path, text, len, why, sizeof(why));

	if (r == 0)
		return EXIT_SUCCESS;
	fprintf(stderr, "dhtctl: %s%s%s\n", why[0] ? "" : path, why[0] ? "" : ": ", why[0] ? why : strerror(-r));
	return EXIT_FAILURE;
}

/* The admin's first: a ring file without it would be of use, and nobody could ever be evicted. */
static int write_ring(const char *path, const struct ring_file *file, const uint8_t admin[MEMBER_SECRET])
{
	char text[RING_FILE_MAX], *admin_path;
	int status;

	if (access(path, F_OK) == 0) {
		fprintf(stderr, "dhtctl: %s is there already, and is not replaced: name another\n", path);
		return EXIT_FAILURE;
	}
	if (asprintf(&admin_path, "%s.admin", path) < 0)
		return no_memory();
	status = write_file(admin_path, text, admin_key_format(file, admin, text));
	if (status == EXIT_SUCCESS) {
		status = write_file(path, text, ring_file_format(file, text));
		if (status != EXIT_SUCCESS)
			unlink(admin_path);
	}
	sodium_memzero(text, sizeof(text));
	free(admin_path);
	return status;
}

int ring_create(const char *path, unsigned int replicas, unsigned int acks, bool open)
{
	struct ring_file_random random;
	uint8_t admin[MEMBER_SECRET];
	struct ring_file file;
	int status;

	if (sodium_init() < 0)
		return fail("no randomness");
	randombytes_buf(&random, sizeof(random));
	if (replicas == 0)
		replicas = RING_REPLICAS_DEFAULT;
	if (acks == 0)
		acks = replicas < RING_ACKS_DEFAULT ? replicas : RING_ACKS_DEFAULT;
	if (ring_file_create(&random, open, replicas, acks, &file, admin) < 0) {
		fprintf(stderr, "dhtctl: %u replicas and %u acks: give 1 to %u replicas, and at least 1 and at most as many acks\n",
		    replicas, acks, RING_REPLICAS_MAX);
		return EXIT_FAILURE;
	}
	status = write_ring(path, &file, admin);
	sodium_memzero(&random, sizeof(random));
	sodium_memzero(&file, sizeof(file));
	sodium_memzero(admin, sizeof(admin));
	if (status != EXIT_SUCCESS)
		return status;
	printf("%s: a new ring of %u copies of everything; fsync waits for %u other machines.\n", path, replicas, acks);
	puts(open ? "It is OPEN: whoever reaches a member can join it, read all and fill its disks."
		  : "It holds the ring's secret: give it to each machine that is to be a member, and to nobody else.");
	printf("%s.admin: only who has this can evict a machine that is lost: keep it elsewhere, off these machines.\n",
	    path);
	return status;
}

/* ${from} becomes ${to} in one step, durably. */
static int rename_file(const char *from, const char *to)
{
	char *copy = strdup(to);
	int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int r = rename(from, to) < 0 ? -errno : 0;

	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	free(copy);
	return r;
}

/* ${path} is there at any time, with one secret or the other. */
static int replace_ring(const char *path, const struct ring_file *before, const struct ring_file *after)
{
	char text[RING_FILE_MAX], *old = NULL, *new = NULL;
	int status = EXIT_FAILURE, r;

	if (asprintf(&old, "%s.old", path) < 0 || asprintf(&new, "%s.new", path) < 0)
		return no_memory();
	if (access(old, F_OK) == 0) {
		fprintf(stderr, "dhtctl: %s is there already: a rotation is under way; when all nodes run with the new secret, "
		    "remove it\n", old);
	} else if (write_file(old, text, ring_file_format(before, text)) == EXIT_SUCCESS) {
		status = write_file(new, text, ring_file_format(after, text));
		r = status == EXIT_SUCCESS ? rename_file(new, path) : 0;
		if (r < 0) {
			fprintf(stderr, "dhtctl: %s: %s\n", path, strerror(-r));
			status = EXIT_FAILURE;
		}
		if (status != EXIT_SUCCESS)
			unlink(old);
	}
	sodium_memzero(text, sizeof(text));
	free(old);
	free(new);
	return status;
}

int ring_rotate(const char *path)
{
	struct ring_file before, after;
	char why[WHY_SIZE];
	int status;

	if (sodium_init() < 0)
		return fail("no randomness");
	if (settings_ring(path, &before, why, sizeof(why)) < 0)
		return fail(why);
	if (ring_file_open(&before))
		return fail("this ring is open: it has no secret to replace; make a new ring");
	after = before;
	randombytes_buf(after.secret, sizeof(after.secret));
	status = replace_ring(path, &before, &after);
	sodium_memzero(&before, sizeof(before));
	sodium_memzero(&after, sizeof(after));
	if (status != EXIT_SUCCESS)
		return status;
	printf("%s has a new secret, %s.old the one until now.  To roll it out:\n"
	       "  1. Copy both to each machine.\n"
	       "  2. Restart the nodes, one after another, with --ring %s --ring-old %s.old: they accept both, and try both,\n"
	       "     so all reach each other meanwhile.  (Logs of those that were not restarted yet tell of strangers.)\n"
	       "  3. When all have been, and are up (dhtctl peers), restart them with --ring %s alone, and remove %s.old\n"
	       "     everywhere.  Who has only the old file is a stranger then.\n", path, path, path, path, path, path);
	return status;
}

/* ---- what is signed here ---- */

static const char *text_of(const struct record *r, const char *name)
{
	struct field f;

	return record_find(r->b, r->len, name, &f) ? f.value : "";
}

/* What the running node says of its ring: enough to check the admin's key with, and to sign. */
static bool read_identity(const struct record *r, struct ring_file *file, struct address *node)
{
	const char *admin = text_of(r, "admin");

	*file = (struct ring_file){ .replicas = (uint8_t)show_number(r->b, r->len, "ring_replicas"),
		.acks = (uint8_t)show_number(r->b, r->len, "ring_acks"), .placement_version = RING_PLACEMENT_VERSION };
	return address_parse(text_of(r, "ring"), &file->id) == 0 &&
	    (!node || address_parse(text_of(r, "node"), node) == 0) &&
	    sodium_hex2bin(file->admin, MEMBER_KEY, admin, strlen(admin), NULL, NULL, NULL) == 0;
}

/* ${node}: NULL: o->argument[0] is none. */
static int ask_identity(const struct request *o, struct ring_file *file, struct address *node)
{
	static const struct command identity = { .name = "identity", .argument = { "node" } };
	struct record *answer = calloc(1, sizeof(*answer));
	struct request question = *o;
	int status;

	if (!answer)
		return no_memory();
	question.answer = answer;
	if (!node)
		question.argument[0] = NULL;
	status = ask(&question, &identity);
	if (status == EXIT_SUCCESS && !read_identity(answer, file, node))
		status = fail("the node's answer makes no sense");
	free(answer);
	return status;
}

static int read_admin_key(const char *path, const struct ring_file *file, uint8_t out[MEMBER_SECRET])
{
	char text[RING_FILE_MAX], why[WHY_SIZE] = "", what[RING_FILE_WHY] = "";
	long len = keyfile_read(path, text, sizeof(text), why, sizeof(why));
	int r = len < 0 ? (int)len : admin_key_parse(text, (size_t)len, file, out, what);

	sodium_memzero(text, sizeof(text));
	if (r == 0)
		return EXIT_SUCCESS;
	fprintf(stderr, "dhtctl: %s%s%s\n", why[0] ? "" : path, why[0] ? "" : ": ",
	    why[0] ? why : what[0] ? what : strerror(-r));
	return EXIT_FAILURE;
}

/* The statement goes to the node, which tells the others. */
static int send_statement(const struct request *o, const struct command *command, const uint8_t *bytes, size_t len)
{
	struct request r = *o;
	char *text = malloc(2 * len + 1);
	int status;

	if (!text)
		return no_memory();
	r.statement = sodium_bin2hex(text, 2 * len + 1, bytes, len);
	status = ask(&r, command);
	free(text);
	return status;
}

int ring_evict(const struct request *o, const struct command *command, const char *key)
{
	uint8_t admin[MEMBER_SECRET];
	struct ring_file file;
	struct address node;
	struct member *m = NULL;
	int status;

	if (sodium_init() < 0)
		return fail("no randomness");
	status = ask_identity(o, &file, &node);
	if (status == EXIT_SUCCESS)
		status = read_admin_key(key, &file, admin);
	if (status != EXIT_SUCCESS)
		return status;
	if (member_evict(&file.id, &node, admin, &m) < 0)
		status = no_memory();
	sodium_memzero(admin, sizeof(admin));
	if (m)
		status = send_statement(o, command, m->bytes, m->len);
	member_drop(m);
	return status;
}

/* Naming the volume as well guards against the wrong file: what is ended can't be begun again. */
static int read_volume_key(const char *path, const char *volume, struct volume_key *out)
{
	char why[WHY_SIZE] = "";
	uint8_t key[MEMBER_KEY];
	int r;

	if (!volume_public_parse(volume, key))
		return fail("a volume is named by its public key, 64 hex digits");
	r = volume_key_read(path, out, why, sizeof(why));
	if (r < 0)
		return fail(why[0] ? why : strerror(-r));
	if (memcmp(out->key, key, sizeof(key)) == 0)
		return EXIT_SUCCESS;
	volume_key_wipe(out);
	fprintf(stderr, "dhtctl: %s is the key of another volume\n", path);
	return EXIT_FAILURE;
}

int ring_retire(const struct request *o, const struct command *command, const char *key)
{
	uint8_t bytes[SIGNED_MAX];
	struct retire retire;
	struct volume_key volume;
	struct ring_file file;
	size_t len;
	int status;

	if (sodium_init() < 0)
		return fail("no randomness");
	status = ask_identity(o, &file, NULL);
	if (status == EXIT_SUCCESS)
		status = read_volume_key(key, o->argument[0], &volume);
	if (status != EXIT_SUCCESS)
		return status;
	memcpy(retire.key, volume.key, sizeof(retire.key));
	retire.volume = volume.id;
	len = retire_sign(&retire, &file.id, volume.secret, bytes);
	volume_key_wipe(&volume);
	return send_statement(o, command, bytes, len);
}
