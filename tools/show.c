#include "tools/show.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dht/control/wire.h"
#include "dht/program/size.h"
#include "tools/show_ring.h"

#define FULL_BYTES (1u << 20)	/* less than this is no room for work */

/* The length of the well-formed UTF-8 sequence at ${s}, 0 if it is none (Unicode 15, table 3-7). */
static size_t utf8_len(const unsigned char *s)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t len;

	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	len = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	if (s[0] == 0xe0)
		low = 0xa0;
	else if (s[0] == 0xed)
		high = 0x9f;
	else if (s[0] == 0xf0)
		low = 0x90;
	else if (s[0] == 0xf4)
		high = 0x8f;
	for (size_t i = 1; i < len; i++, low = 0x80, high = 0xbf) {
		if (s[i] < low || s[i] > high)
			return 0;
	}
	return len;
}

static void put_json_text(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	putchar('"');
	while (*s) {
		size_t len = utf8_len(s);

		if (len == 0)
			printf("\\udc%02x", *s);
		else if (*s == '"' || *s == '\\')
			printf("\\%c", *s);
		else if (*s < ' ' || *s == 0x7f)
			printf("\\u%04x", *s);
		else
			fwrite(s, 1, len, stdout);
		s += len ? len : 1;
	}
	putchar('"');
}

int show_json(const uint8_t *b, size_t len)
{
	const uint8_t *p = b;
	const char *divide = "";
	struct field f;
	int r;

	putchar('{');
	while ((r = record_next(&p, b + len, &f)) > 0) {
		printf("%s\"%s\": ", divide, f.name);
		if (f.type == FIELD_TEXT)
			put_json_text(f.value);
		else
			fputs(f.value, stdout);
		divide = ", ";
	}
	putchar('}');
	return r;
}

uint64_t show_number(const uint8_t *b, size_t len, const char *name)
{
	struct field f;

	return record_find(b, len, name, &f) ? f.number : 0;
}

static const char *text_of(const uint8_t *b, size_t len, const char *name)
{
	struct field f;

	return record_find(b, len, name, &f) ? f.value : "";
}

/* A path may have what would move a terminal's cursor. */
void show_text(const char *text)
{
	for (; *text; text++)
		putchar((unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text);
}

static void put_time(uint64_t seconds)
{
	time_t t = (time_t)seconds;
	struct tm local;
	char text[32];

	if (localtime_r(&t, &local) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &local) > 0)
		fputs(text, stdout);
}

static void show_state(const uint8_t *b, size_t len)
{
	if (show_number(b, len, "failed"))
		puts("  state      FAILED: read-only, at its last checkpoint; see the log, "
		     "then mount it again");
	else
		printf("  state      %s\n", show_number(b, len, "read_only") ? "read-only" : "read-write");
}

static void show_space(const uint8_t *b, size_t len)
{
	uint64_t raw = show_number(b, len, "raw_bytes"), stored = show_number(b, len, "stored_bytes");
	char a[SIZE_TEXT_LEN], c[SIZE_TEXT_LEN], d[SIZE_TEXT_LEN];

	printf("  chunks     %llu: %s, stored in %s",
	    (unsigned long long)show_number(b, len, "chunks"), size_format(raw, a),
	    size_format(stored, c));
	if (raw > 0)
		printf(" (%.0f %%)", 100.0 * (double)stored / (double)raw);
	printf("\n  space      %s used of %s, %s available%s\n",
	    size_format(show_number(b, len, "space_used_bytes"), a),
	    size_format(show_number(b, len, "space_limit_bytes"), c),
	    size_format(show_number(b, len, "space_available_bytes"), d),
	    show_number(b, len, "space_available_bytes") < FULL_BYTES ? ": FULL" : "");
}

/* What only a mount has. */
static void show_mount(const uint8_t *b, size_t len)
{
	uint64_t failed = show_number(b, len, "failed_files");
	char text[SIZE_TEXT_LEN], more[SIZE_TEXT_LEN];

	printf("  tree       %llu files and directories\n",
	    (unsigned long long)show_number(b, len, "inodes"));
	printf("  waiting    %s of %llu files in memory",
	    size_format(show_number(b, len, "dirty_bytes"), text),
	    (unsigned long long)show_number(b, len, "dirty_files"));
	if (failed > 0)
		printf("; %llu could not be kept until now: see the log", (unsigned long long)failed);
	fputs("\n  snapshot   ", stdout);
	if (*text_of(b, len, "snapshot")) {
		put_time(show_number(b, len, "snapshot_time"));
		printf(" %s\n", text_of(b, len, "snapshot"));
	} else {
		puts("none yet");
	}
	if (show_number(b, len, "collected_time")) {
		fputs("  collected  ", stdout);
		put_time(show_number(b, len, "collected_time"));
		printf(": %s removed; %s", size_format(show_number(b, len, "collected_bytes"), text),
		    size_format(show_number(b, len, "old_bytes"), more));
		puts(" held by older snapshots alone");
	}
}

void show_status(const uint8_t *b, size_t len)
{
	bool mount = *text_of(b, len, "mountpoint");

	show_text(mount ? text_of(b, len, "mountpoint") : "dhtd, without a mount");
	fputs("\n  store      ", stdout);
	show_text(text_of(b, len, "store"));
	printf("\n  process    %llu, %s %s, up ", (unsigned long long)show_number(b, len, "pid"),
	    mount ? "dhtfs" : "dhtd", text_of(b, len, "version"));
	put_duration(stdout, show_number(b, len, "uptime_s"));
	putchar('\n');
	if (mount)
		show_state(b, len);
	show_ring_status(b, len);
	show_space(b, len);
	if (mount)
		show_mount(b, len);
	printf("  set aside  %llu damaged records\n", (unsigned long long)show_number(b, len, "set_aside"));
}

void show_snapshot(const uint8_t *b, size_t len)
{
	put_time(show_number(b, len, "time"));
	printf(" %s\n", text_of(b, len, "address"));
}

void show_pin(const uint8_t *b, size_t len)
{
	char text[SIZE_TEXT_LEN];

	printf("%s %s\n", text_of(b, len, "address"),
	    size_format(show_number(b, len, "size_bytes"), text));
}

void show_address(const uint8_t *b, size_t len)
{
	puts(text_of(b, len, "address"));
}

void show_checked(const uint8_t *b, size_t len)
{
	uint64_t bad = show_number(b, len, "bad");
	char text[SIZE_TEXT_LEN];

	printf("%llu chunks, %s: ", (unsigned long long)show_number(b, len, "chunks"),
	    size_format(show_number(b, len, "done_bytes"), text));
	if (bad > 0)
		printf("%llu damaged records were set aside: the log names them\n",
		    (unsigned long long)bad);
	else
		puts("each is what its address says");
}

static void put_count(const uint8_t *b, size_t len, const char *chunks, const char *bytes)
{
	char text[SIZE_TEXT_LEN];

	printf("%llu chunks, %s", (unsigned long long)show_number(b, len, chunks),
	    size_format(show_number(b, len, bytes), text));
}

void show_collected(const uint8_t *b, size_t len)
{
	bool dry = show_number(b, len, "dry_run");
	uint64_t gone = show_number(b, len, "bad");
	char text[SIZE_TEXT_LEN];

	fputs(dry ? "would remove " : "removed ", stdout);
	put_count(b, len, "removed_chunks", "removed_bytes");
	if (!dry)
		printf("; %s given back to the disk",
		    size_format(show_number(b, len, "given_back_bytes"), text));
	fputs("\nonly older snapshots hold ", stdout);
	put_count(b, len, "old_chunks", "old_bytes");
	putchar('\n');
	if (gone > 0)
		printf("%llu nodes are lost or damaged: the log names them\n",
		    (unsigned long long)gone);
}

void show_change(const uint8_t *b, size_t len)
{
	printf("%s ", text_of(b, len, "change"));
	show_text(text_of(b, len, "path"));
	puts(strcmp(text_of(b, len, "type"), "directory") == 0 ? "/" : "");
}
