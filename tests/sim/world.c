/*
 * Virtual time: a binary heap of what happens, ordered by (time, order of being planned).  The second half is what makes runs repeatable:
 * things of one moment happen in the order in which they were planned, never in one that the heap prefers.
 */
#include "tests/sim/world.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "tests/sim/books.h"
#include "tests/sim/faults.h"
#include "tests/sim/host.h"
#include "tests/sim/load.h"
#include "tests/sim/network.h"
#include "tests/sim/tables.h"
#include "tests/sim/trace.h"

static uint64_t splitmix(uint64_t *x)
{
	uint64_t z = *x += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* xoshiro256** (Blackman, Vigna 2018), as the core has it, and yet its own: a change of the core's must not change what befalls it. */
void dice_seed(struct dice *d, uint64_t seed, uint64_t stream)
{
	uint64_t x = seed;

	x = splitmix(&x) ^ stream * UINT64_C(0xd1342543de82ef95);
	for (int i = 0; i < 4; i++)
		d->s[i] = splitmix(&x);
}

static uint64_t rotate(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

uint64_t dice_next(struct dice *d)
{
	uint64_t *s = d->s, result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

uint64_t dice_below(struct dice *d, uint64_t n)
{
	/* Multiplying down is even enough for a nemesis: the bias is n / 2^64. */
	return (uint64_t)((unsigned __int128)dice_next(d) * n >> 64);
}

uint64_t dice_between(struct dice *d, uint64_t from, uint64_t to)
{
	return from + dice_below(d, to - from + 1);
}

bool dice_percent(struct dice *d, unsigned int percent)
{
	return dice_below(d, 100) < percent;
}

void dice_fill(struct dice *d, void *out, size_t len)
{
	uint8_t *p = out;

	for (size_t i = 0; i < len; i += 8) {
		uint64_t r = dice_next(d);

		for (size_t j = i; j < len && j < i + 8; j++, r >>= 8)
			p[j] = (uint8_t)r;
	}
}

void *must(void *p)
{
	if (!p) {
		fprintf(stderr, "sim: out of memory\n");
		exit(3);
	}
	return p;
}

size_t heap_memory(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

static bool before(const struct happening *a, const struct happening *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void world_plan(struct world *w, uint64_t at, void (*fire)(struct world *w, void *arg, uint64_t number), void *arg,
    uint64_t number)
{
	/* What should have been before now is now: time never goes back. */
	struct happening h = { at > w->now ? at : w->now, w->order++, fire, arg, number };
	size_t i = ++w->happenings;

	if (i >= w->heap_size) {
		w->heap_size = w->heap_size ? 2 * w->heap_size : 1024;
		w->heap = must(realloc(w->heap, w->heap_size * sizeof(*w->heap)));
	}
	for (; i > 1 && before(&h, &w->heap[i / 2]); i /= 2)
		w->heap[i] = w->heap[i / 2];
	w->heap[i] = h;
}

static struct happening take_first(struct world *w)
{
	struct happening first = w->heap[1], last = w->heap[w->happenings--];
	size_t i = 1, child;

	while ((child = 2 * i) <= w->happenings) {
		if (child < w->happenings && before(&w->heap[child + 1], &w->heap[child]))
			child++;
		if (before(&last, &w->heap[child]))
			break;
		w->heap[i] = w->heap[child];
		i = child;
	}
	w->heap[i] = last;
	return first;
}

bool world_run(struct world *w, uint64_t until)
{
	while (!w->verdict.failed && w->happenings > 0 && w->heap[1].at <= until) {
		struct happening h = take_first(w);

		w->now = h.at;
		w->events++;
		h.fire(w, h.arg, h.number);
	}
	if (!w->verdict.failed && w->now < until)
		w->now = until;
	return !w->verdict.failed;
}

void world_fail(struct world *w, const char *checker, const char *format, ...)
{
	va_list ap;

	/* The first one counts: what comes after may only be what it led to. */
	if (w->verdict.failed)
		return;
	w->verdict.failed = true;
	w->verdict.at = w->now;
	snprintf(w->verdict.checker, sizeof(w->verdict.checker), "%s", checker);
	va_start(ap, format);
	vsnprintf(w->verdict.text, sizeof(w->verdict.text), format, ap);
	va_end(ap);
	trace(w, NULL, TRACE_FAIL, 0, 0, "FAIL %s: %s", checker, w->verdict.text);
}

void world_new(const struct options *o, struct world **out)
{
	struct world *w = must(calloc(1, sizeof(*w)));
	uint8_t seed[crypto_sign_SEEDBYTES];

	w->options = *o;
	dice_seed(&w->dice, o->seed, 0);
	dice_fill(&w->dice, w->file.id.b, ADDRESS_LEN);
	dice_fill(&w->dice, w->file.secret, sizeof(w->file.secret));
	dice_fill(&w->dice, seed, sizeof(seed));
	crypto_sign_seed_keypair(w->file.admin, w->admin_secret, seed);
	w->file.replicas = (uint8_t)o->replicas;
	w->file.acks = (uint8_t)o->acks;
	w->file.placement_version = 1;
	w->records = must(member_table_new());
	/* Each part draws its own stream of the seed, so their order here is of no consequence for what happens. */
	trace_open(w);
	network_open(w);
	tables_open(w);
	books_open(w);
	disks_open(w);
	hosts_open(w);
	load_open(w);
	faults_open(w);
	*out = w;
}

void world_free(struct world *w)
{
	hosts_close(w);
	disks_close(w);
	network_close(w);
	/* What was planned and never happened still owns what it carries; the process ends, or starts a world anew. */
	load_close(w);
	faults_close(w);
	books_close(w);
	tables_close(w);
	trace_close(w);
	member_table_free(w->records);
	free(w->heap);
	free(w);
}
