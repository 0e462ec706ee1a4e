#include "dht/program/size.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char letters[] = "KMGTPE";

int size_parse(const char *text, uint64_t *out)
{
	uint64_t whole = 0, fraction = 0, scale = 1, unit = 1;
	const char *letter;
	unsigned __int128 bytes;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	for (; isdigit((unsigned char)*text); text++) {
		if (whole > INT64_MAX / 10)
			return -ERANGE;
		whole = whole * 10 + (uint64_t)(*text - '0');
	}
	if (*text == '.') {
		if (!isdigit((unsigned char)*++text))
			return -EINVAL;
		/* More digits than these say nothing about whole bytes of any unit but E. */
		for (; isdigit((unsigned char)*text); text++) {
			if (scale > UINT64_MAX / 100)
				continue;
			fraction = fraction * 10 + (uint64_t)(*text - '0');
			scale *= 10;
		}
	}
	letter = *text ? strchr(letters, toupper((unsigned char)*text)) : NULL;
	if (letter) {
		unit <<= 10 * (letter - letters + 1);
		text++;
		if (*text == 'i')
			text++;
	}
	if (*text == 'B' && letter)
		text++;
	if (*text)
		return -EINVAL;
	bytes = (unsigned __int128)whole * unit + (unsigned __int128)fraction * unit / scale;
	if (bytes > INT64_MAX)
		return -ERANGE;
	*out = (uint64_t)bytes;
	return 0;
}

char *size_format(uint64_t bytes, char text[SIZE_TEXT_LEN])
{
	double value = (double)bytes;
	int unit = -1;

	/* What would be printed as 1024.0 is one of the next unit. */
	for (; value >= 1023.95 && letters[unit + 1]; unit++)
		value /= 1024;
	if (unit < 0)
		snprintf(text, SIZE_TEXT_LEN, "%u B", (unsigned int)bytes);
	else
		snprintf(text, SIZE_TEXT_LEN, "%.1f %ciB", value, letters[unit]);
	return text;
}
