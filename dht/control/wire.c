#include "dht/control/wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "chunker/bytes.h"

#define NAME_MAX_LEN 32

void frame_header_encode(enum frame_type type, uint32_t len, uint8_t out[FRAME_HEADER_LEN])
{
	out[0] = (uint8_t)type;
	put_le32(out + 1, len);
}

int frame_header_decode(const uint8_t in[FRAME_HEADER_LEN], enum frame_type *type, uint32_t *len)
{
	uint32_t max;

	switch (in[0]) {
	case FRAME_COMMAND:
	case FRAME_RECORD:
	case FRAME_PROGRESS:
	case FRAME_ERROR:
		max = RECORD_MAX;
		break;
	case FRAME_DATA:
		max = FRAME_MAX;
		break;
	case FRAME_HOLE:
		max = 8;
		break;
	case FRAME_END:
		max = 0;
		break;
	default:
		return -EBADMSG;
	}
	*type = (enum frame_type)in[0];
	*len = get_le32(in + 1);
	return *len <= max ? 0 : -EBADMSG;
}

static void add_field(struct record *r, enum field_type type, const char *name, const char *value)
{
	size_t name_len = strlen(name) + 1, value_len = strlen(value) + 1;

	if (1 + name_len + value_len > RECORD_MAX - r->len) {
		r->over = true;
		return;
	}
	r->b[r->len++] = (uint8_t)type;
	memcpy(r->b + r->len, name, name_len);
	r->len += name_len;
	memcpy(r->b + r->len, value, value_len);
	r->len += value_len;
}

void record_text(struct record *r, const char *name, const char *value)
{
	add_field(r, FIELD_TEXT, name, value);
}

void record_number(struct record *r, const char *name, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	add_field(r, FIELD_NUMBER, name, text);
}

void record_truth(struct record *r, const char *name, bool value)
{
	add_field(r, FIELD_TRUTH, name, value ? "true" : "false");
}

/* The text at *${p} up to its NUL, or NULL where there is none before the end. */
static const char *take_text(const uint8_t **p, const uint8_t *end)
{
	const char *text = (const char *)*p;
	const uint8_t *nul = memchr(*p, '\0', (size_t)(end - *p));

	if (!nul)
		return NULL;
	*p = nul + 1;
	return text;
}

static bool name_valid(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

	return len > 0 && len <= NAME_MAX_LEN && !name[len];
}

static bool number_parse(const char *text, uint64_t *out)
{
	uint64_t n = 0;

	if (!*text || (*text == '0' && text[1]))
		return false;
	for (; *text; text++) {
		uint64_t digit = (uint64_t)(*text - '0');

		if (*text < '0' || *text > '9' || n > (UINT64_MAX - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	*out = n;
	return true;
}

int record_next(const uint8_t **p, const uint8_t *end, struct field *out)
{
	bool valid = false;

	if (*p == end)
		return 0;
	*out = (struct field){ .type = (enum field_type)*(*p)++ };
	out->name = take_text(p, end);
	out->value = out->name ? take_text(p, end) : NULL;
	if (!out->value || !name_valid(out->name))
		return -EBADMSG;
	switch (out->type) {
	case FIELD_TEXT:
		valid = true;
		break;
	case FIELD_NUMBER:
		valid = number_parse(out->value, &out->number);
		break;
	case FIELD_TRUTH:
		out->number = strcmp(out->value, "true") == 0;
		valid = out->number || strcmp(out->value, "false") == 0;
		break;
	}
	return valid ? 1 : -EBADMSG;
}

bool record_find(const uint8_t *b, size_t len, const char *name, struct field *out)
{
	const uint8_t *p = b;

	while (record_next(&p, b + len, out) > 0) {
		if (strcmp(out->name, name) == 0)
			return true;
	}
	return false;
}
