#include "chunker/cut.h"

#include <assert.h>
#include <string.h>

#include "chunker/gear.h"

/* Of these bits of the hash, the highest, all must be zero where a cut falls. */
#define CUT_BITS 15
_Static_assert(CUT_MIN + (1u << CUT_BITS) == CUT_MEAN, "the mean follows from the bits");

/* What a zero byte that was probed belongs to. */
enum run {
	RUN_SHORT,	/* no run at all, or one that is too short for a hole */
	RUN_OPEN,	/* a run that may become a hole with what comes next */
	RUN_HOLE,
};

static uint64_t load(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

size_t cut_zeros(const uint8_t *p, size_t n)
{
	size_t i = 0;

	while (n - i >= 32 && (load(p + i) | load(p + i + 8) | load(p + i + 16) | load(p + i + 24)) == 0)
		i += 32;
	while (n - i >= 8 && load(p + i) == 0)
		i += 8;
	while (i < n && p[i] == 0)
		i++;
	return i;
}

/* Where the run of zeros that ends at ${n} begins; ${n} where there is none. */
static size_t zeros_begin(const uint8_t *p, size_t n)
{
	while (n >= 8 && load(p + n - 8) == 0)
		n -= 8;
	while (n > 0 && p[n - 1] == 0)
		n--;
	return n;
}

/* What is at ${at}.  Where that is not a short run, *${begin} is set to where it begins. */
static enum run run_at(const uint8_t *p, size_t n, bool end, size_t at, size_t *begin)
{
	size_t from, need, zeros;

	if (p[at] != 0)
		return RUN_SHORT;
	from = zeros_begin(p, at);
	/* Or the probe before would have found it. */
	assert(at - from < CUT_HOLE_MIN);
	need = CUT_HOLE_MIN - (at - from);
	zeros = cut_zeros(p + at, n - at < need ? n - at : need);
	if (zeros < need && (end || at + zeros < n))
		return RUN_SHORT;
	*begin = from;
	return zeros < need ? RUN_OPEN : RUN_HOLE;
}

/*
 * Go on hashing from ${from} up to ${to}: the place behind the first byte that passes
 * the test, or 0.  This loop is the cost of cutting: the bits are tested by one
 * comparison, and the unrolling lets the loads run ahead of the chain of sums.
 */
static size_t find(const uint8_t *p, size_t from, size_t to, uint64_t *hash)
{
	uint64_t h = *hash;

#pragma GCC unroll 8
	for (size_t i = from; i < to; i++) {
		h = (h << 1) + gear[p[i]];
		if (h < UINT64_C(1) << (64 - CUT_BITS))
			return i + 1;
	}
	*hash = h;
	return 0;
}

/*
 * Every CUT_HOLE_MIN bytes one is probed, the last that could be in this chunk too.
 * A hole that begins before a probe either covers it or an earlier one, so when the
 * probe at a stretch's end has been looked at, every hole that begins within the
 * stretch is known, and no hit of the hash before it can be inside one.
 */
enum cut_type cut(const uint8_t *p, size_t n, bool end, size_t *len)
{
	size_t max = n < CUT_MAX ? n : CUT_MAX, zeros = cut_zeros(p, n), to;
	uint64_t hash = 0;

	*len = 0;
	if (zeros >= CUT_HOLE_MIN) {
		*len = zeros;
		return CUT_HOLE;
	}
	if (zeros == n && !end)
		return CUT_UNDECIDED;
	for (size_t from = 0; from < max; from = to) {
		size_t stop;
		enum run run;

		stop = to = max - from < CUT_HOLE_MIN ? max : from + CUT_HOLE_MIN;
		run = run_at(p, n, end, to - 1, &stop);
		*len = find(p, from < CUT_MIN ? CUT_MIN : from, stop, &hash);
		if (*len > 0)
			return CUT_DATA;
		if (run == RUN_OPEN)
			return CUT_UNDECIDED;
		if (run == RUN_HOLE) {
			*len = stop;
			return CUT_DATA;
		}
	}
	if (n < CUT_MAX && !end)
		return CUT_UNDECIDED;
	*len = max;
	return max > 0 ? CUT_DATA : CUT_UNDECIDED;
}
