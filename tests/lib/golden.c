#include "tests/lib/golden.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#define PROTOCOL "dht/PROTOCOL.md"

/* Without white space: there the lines are broken as it suits the reader. */
static void squeeze(const char *from, char *to)
{
	for (; *from; from++)
		if (!isspace((unsigned char)*from))
			*to++ = *from;
	*to = '\0';
}

static char *protocol(void)
{
	static char text[256 * 1024];
	size_t n;
	FILE *f;

	if (text[0])
		return text;
	f = fopen(PROTOCOL, "r");
	if (!f)
		fail_msg("%s: is this the root of the source?", PROTOCOL);
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	assert_in_range(n, 1, sizeof(text) - 2);
	squeeze(text, text);
	return text;
}

void golden_text(const char *text)
{
	char *squeezed = malloc(strlen(text) + 1);

	assert_non_null(squeezed);
	squeeze(text, squeezed);
	if (!strstr(protocol(), squeezed))
		fail_msg("%s lacks: %s", PROTOCOL, text);
	free(squeezed);
}

void golden_is(const char *name, const void *bytes, size_t len, const char *hex)
{
	char *text = malloc(2 * len + 1);

	assert_non_null(text);
	sodium_bin2hex(text, 2 * len + 1, bytes, len);
	if (strcmp(text, hex) != 0)
		fail_msg("%s is %s", name, text);
	free(text);
	golden_text(hex);
}

size_t golden_bytes(const char *hex, uint8_t *out, size_t size)
{
	size_t len;

	assert_int_equal(sodium_hex2bin(out, size, hex, strlen(hex), NULL, &len, NULL), 0);
	assert_int_equal(2 * len, strlen(hex));
	return len;
}
