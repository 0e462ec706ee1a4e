#include "tools/volume.h"

#include <errno.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dht/peer/keyfile.h"
#include "dht/peer/volume.h"

static const char worth[] =
    "The key of a volume is worth all that is in it.  Who has it, and a machine of the ring, can read\n"
    "everything, write in your place, and end the volume for ever.  And without it nothing brings the\n"
    "volume back when this machine is lost.  So keep it off this machine, where only you can get at it.\n";

/* ${text} or, if that is empty, what ${error} says. */
static int fail(const char *text, int error)
{
	fprintf(stderr, "dhtctl: %s\n", *text ? text : strerror(-error));
	return EXIT_FAILURE;
}

static bool agreed(const char *path)
{
	char answer[16] = "";

	fprintf(stderr, "%sWrite it to %s?  Type yes: ", worth, path);
	return fgets(answer, sizeof(answer), stdin) && strcmp(answer, "yes\n") == 0;
}

static int read_key(const char *store, struct volume_key *out)
{
	char path[PATH_MAX], why[PATH_MAX + 256] = "";
	int r;

	if (snprintf(path, sizeof(path), "%s/" VOLUME_KEY_FILE, store) >= (int)sizeof(path))
		return fail("", -ENAMETOOLONG);
	r = volume_key_read(path, out, why, sizeof(why));
	if (r == -ENOENT) {
		fprintf(stderr, "dhtctl: the store %s has no volume: it gets one when it is mounted with --ring\n", store);
		return EXIT_FAILURE;
	}
	return r < 0 ? fail(why, r) : EXIT_SUCCESS;
}

static int write_key(const struct volume_key *key, const char *path)
{
	char text[VOLUME_TEXT_MAX], why[PATH_MAX + 256] = "";
	size_t len = volume_key_format(key, text);
	int r = keyfile_write(path, text, len, why, sizeof(why));

	sodium_memzero(text, sizeof(text));
	return r < 0 ? fail(why, r) : EXIT_SUCCESS;
}

int volume_export(const char *store, const char *path, bool yes)
{
	struct volume_key key;
	int status;

	if (sodium_init() < 0)
		return fail("no randomness", 0);
	status = read_key(store, &key);
	if (status != EXIT_SUCCESS)
		return status;
	key.since = 0;	/* that is this store's business */
	if (!yes && !isatty(STDIN_FILENO))
		status = fail("nobody is there to be asked: say --yes, if the key may be written", 0);
	else if (!yes && !agreed(path))
		status = fail("not written", 0);
	else
		status = write_key(&key, path);
	volume_key_wipe(&key);
	if (status == EXIT_SUCCESS)
		fprintf(stderr, "%s%s: to restore: dhtfs --volume %s --ring FILE --join HOST --store NEW MOUNTPOINT\n", yes ? worth : "",
		    path, path);
	return status;
}
