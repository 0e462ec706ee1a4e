/* Any text as a file of settings, or, by its first byte, as one word: an endpoint, a size, an address. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chunker/address.h"
#include "dht/peer/endpoint.h"
#include "dht/peer/settings.h"
#include "dht/program/config.h"
#include "dht/program/size.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* What is wrong in a file is told on stderr: too often here. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	stderr = fopen("/dev/null", "we");
	return stderr ? 0 : -1;
}

static int set(void *settings, const char *name, const char *value, char *why, size_t why_size)
{
	int rc = settings_set(settings, name, value, why, why_size);

	assert(rc == 0 || rc == -ENOENT || rc == -ENOMEM || why[0]);
	return rc;
}

static void file(const char *text, size_t len)
{
	struct settings s;
	const struct config_reader r = { .program = "dhtd", .set = set, .arg = &s };
	char path[64], why[1024] = "";
	int fd = memfd_create("settings", MFD_CLOEXEC);

	if (fd < 0 || write(fd, text, len) != (ssize_t)len)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	settings_init(&s);
	if (config_read(&r, path) == 0 && settings_finish(&s, why, sizeof(why)) == 0)
		assert(settings_networked(&s) || s.join.count + s.listen.count == 0);
	settings_free(&s);
	close(fd);
}

static void endpoint(const char *text)
{
	struct endpoint e, again;
	struct sockaddr_storage sa;
	char out[ENDPOINT_TEXT];

	if (endpoint_parse(text, 4377, &e) < 0)
		return;
	assert(e.host[0] && endpoint_format(&e, out) < sizeof(out));
	/* Brackets are put around what has a colon, and "[host]" loses them: the second time it stays as it is. */
	if (endpoint_parse(out, 1, &again) == 0)
		assert(strcmp(again.host, e.host) == 0 && again.port == e.port);
	endpoint_numeric(&e, &sa);
}

static void word(const char *text)
{
	struct address a;
	char again[ADDRESS_TEXT_LEN + 1], size[SIZE_TEXT_LEN];
	uint64_t bytes;

	if (address_parse(text, &a) == 0) {
		address_format(&a, again);
		assert(strcasecmp(again, text) == 0);
	}
	if (size_parse(text, &bytes) == 0) {
		assert(bytes <= INT64_MAX);
		size_format(bytes, size);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (size == 0)
		return 0;
	if (data[0] > 2) {
		file((const char *)data, size);
		return 0;
	}
	text = malloc(size);
	if (!text)
		return 0;
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	if (data[0] == 1)
		endpoint(text);
	else
		word(text);
	free(text);
	return 0;
}
