#include "fs/keep.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOUR 3600
#define DAY  (24 * HOUR)
#define NUMBER_MAX 1000000	/* of a span; a million years fit a time */

struct word {
	const char *name;
	int64_t seconds;
};

static const struct word periods[] = {
	{ "all", 0 }, { "minute", 60 }, { "hour", HOUR }, { "day", DAY }, { "week", 7 * DAY },
};

static const struct word units[] = {
	{ "m", 60 }, { "h", HOUR }, { "d", DAY }, { "w", 7 * DAY }, { "y", 365 * DAY },
};

static bool find(const struct word *words, size_t n, const char *text, size_t len, int64_t *out)
{
	for (size_t i = 0; i < n; i++) {
		if (strlen(words[i].name) == len && strncmp(words[i].name, text, len) == 0) {
			*out = words[i].seconds;
			return true;
		}
	}
	return false;
}

static bool parse_span(const char *text, size_t len, int64_t *out)
{
	char *unit;
	long number;

	if (len == 0 || !isdigit((unsigned char)*text))
		return false;
	errno = 0;
	number = strtol(text, &unit, 10);
	if (errno != 0 || number < 1 || number > NUMBER_MAX || unit >= text + len ||
	    !find(units, sizeof(units) / sizeof(*units), unit, (size_t)(text + len - unit), out))
		return false;
	*out *= number;
	return true;
}

/* What is wrong with one step behind another; NULL: nothing. */
static const char *parse_step(const char *text, size_t len, const struct keep_step *before,
    struct keep_step *out)
{
	const char *colon = memchr(text, ':', len);
	size_t name = colon ? (size_t)(colon - text) : len;

	out->span_s = INT64_MAX;
	if (!find(periods, sizeof(periods) / sizeof(*periods), text, name, &out->period_s))
		return "is no period: give all, minute, hour, day or week";
	if (colon && !parse_span(colon + 1, len - name - 1, &out->span_s))
		return "has no time behind the colon: give a number and m, h, d, w or y, like 30d";
	if (before && before->span_s >= out->span_s)
		return "must reach further back than what is before it";
	if (before && before->period_s >= out->period_s)
		return "must keep fewer than what is before it";
	return NULL;
}

int keep_parse(const char *text, struct keep_rule *out, char *why, size_t why_size)
{
	const char *wrong = NULL;
	size_t len;

	*out = (struct keep_rule){ .n = 0 };
	if (strcmp(text, "none") == 0)
		return 0;
	for (;; text += len + 1) {
		len = strcspn(text, ",");
		if (out->n == KEEP_STEPS_MAX)
			wrong = "is one step too many";
		else
			wrong = parse_step(text, len, out->n > 0 ? &out->step[out->n - 1] : NULL,
			    &out->step[out->n]);
		if (wrong)
			break;
		out->n++;
		if (!text[len])
			return 0;
	}
	snprintf(why, why_size, "'%.*s' %s", (int)len, text, wrong);
	return -EINVAL;
}

/* Is the later of two neighbours in another period than the earlier, so that the earlier is the last of its? */
static bool last_of(const struct kept *k, const struct kept *next, int64_t period_s)
{
	return !next || period_s == 0 || k->time.sec / period_s != next->time.sec / period_s;
}

size_t keep_thin(const struct keep_rule *rule, struct kept *list, size_t n, struct timestamp now)
{
	size_t stay = 0;

	for (size_t i = 0; i < n; i++) {
		const struct kept *next = i + 1 < n ? &list[i + 1] : NULL;
		int64_t age_s = now.sec - list[i].time.sec;
		unsigned int step = 0;

		while (step < rule->n && age_s > rule->step[step].span_s)
			step++;
		if (step < rule->n && last_of(&list[i], next, rule->step[step].period_s))
			list[stay++] = list[i];
	}
	return stay;
}
