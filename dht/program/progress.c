#include "dht/program/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dht/program/size.h"

#define BAR_LEN		30
#define LINE_EVERY_S	5.0	/* where no terminal shows a bar */
#define BAR_EVERY_S	0.1

void put_duration(FILE *out, uint64_t seconds)
{
	if (seconds >= 86400)
		fprintf(out, "%llu d %llu h", (unsigned long long)(seconds / 86400),
		    (unsigned long long)(seconds / 3600 % 24));
	else if (seconds >= 3600)
		fprintf(out, "%llu h %llu min", (unsigned long long)(seconds / 3600),
		    (unsigned long long)(seconds / 60 % 60));
	else if (seconds >= 60)
		fprintf(out, "%llu min %llu s", (unsigned long long)(seconds / 60),
		    (unsigned long long)(seconds % 60));
	else
		fprintf(out, "%llu s", (unsigned long long)seconds);
}

static double seconds_since(const struct timespec *t)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - t->tv_sec) + 1e-9 * (double)(now.tv_nsec - t->tv_nsec);
}

void progress_start(struct progress *p, const char *verb)
{
	*p = (struct progress){ .terminal = isatty(STDERR_FILENO) };
	snprintf(p->verb, sizeof(p->verb), "%s", verb);
	clock_gettime(CLOCK_MONOTONIC, &p->start);
	p->last = p->start;
}

void progress_phase(struct progress *p, const char *verb, bool counts)
{
	if (strcmp(p->verb, verb) == 0)
		return;
	snprintf(p->verb, sizeof(p->verb), "%s", verb);
	p->counts = counts;
	clock_gettime(CLOCK_MONOTONIC, &p->start);
}

static void put_amount(const struct progress *p, uint64_t n, char out[SIZE_TEXT_LEN])
{
	if (p->counts)
		snprintf(out, SIZE_TEXT_LEN, "%llu", (unsigned long long)n);
	else
		size_format(n, out);
}

void progress_update(struct progress *p, uint64_t done, uint64_t total)
{
	char bar[BAR_LEN + 1], a[SIZE_TEXT_LEN], b[SIZE_TEXT_LEN], c[SIZE_TEXT_LEN];
	double share = total > 0 ? (double)done / (double)total : 1;
	double seconds = seconds_since(&p->start), rate = seconds > 0 ? (double)done / seconds : 0;
	int full;

	if (seconds_since(&p->last) < (p->terminal ? BAR_EVERY_S : LINE_EVERY_S))
		return;
	clock_gettime(CLOCK_MONOTONIC, &p->last);
	share = share > 1 ? 1 : share;
	full = (int)(share * BAR_LEN);
	memset(bar, '#', (size_t)full);
	memset(bar + full, '.', (size_t)(BAR_LEN - full));
	bar[BAR_LEN] = '\0';
	put_amount(p, done, a);
	put_amount(p, total, b);
	put_amount(p, (uint64_t)rate, c);
	if (p->terminal)
		fprintf(stderr, "\r%s [%s] %3.0f %%  %s of %s  %s/s  ", p->verb, bar, 100 * share, a, b,
		    c);
	else
		fprintf(stderr, "%s: %.0f %%, %s of %s, %s/s, ", p->verb, 100 * share, a, b, c);
	if (rate > 0 && total > done)
		put_duration(stderr, (uint64_t)((double)(total - done) / rate));
	fputs(total <= done ? "done" : rate > 0 ? " left" : "waiting", stderr);
	fputs(p->terminal ? "\033[K" : "\n", stderr);
	p->shown = true;
}

void progress_end(struct progress *p)
{
	if (p->terminal && p->shown)
		fputc('\n', stderr);
}
