/* Plans out of seeds. */
#include <assert.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>

#include "tests/mount/exercise/plan.h"

static const struct {
	enum kind kind;
	unsigned int weight;
} weights[] = {
	{ OP_OPEN, 30 }, { OP_CLOSE, 10 }, { OP_READ, 12 }, { OP_PREAD, 30 }, { OP_PREADV, 6 },
	{ OP_WRITE, 24 }, { OP_PWRITE, 40 }, { OP_PWRITEV, 8 }, { OP_LSEEK, 4 }, { OP_FTRUNCATE, 14 },
	{ OP_FALLOCATE, 16 }, { OP_COPY, 20 }, { OP_HOLES, 6 }, { OP_FSYNC, 3 }, { OP_PUSH, 4 },
	{ OP_FORGET, 6 }, { OP_MAP, 12 }, { OP_STORE, 24 }, { OP_LOAD, 14 }, { OP_MSYNC, 3 },
	{ OP_UNMAP, 5 }, { OP_PRIVATE, 4 },
	{ OP_MKDIR, 12 }, { OP_RMDIR, 6 }, { OP_UNLINK, 12 }, { OP_RENAME, 36 }, { OP_LINK, 10 },
	{ OP_SYMLINK, 6 }, { OP_READLINK, 4 }, { OP_CHMOD, 5 }, { OP_CHOWN, 4 }, { OP_UTIMENS, 8 },
	{ OP_SETXATTR, 10 }, { OP_GETXATTR, 6 }, { OP_REMOVEXATTR, 4 }, { OP_TRUNCATE, 6 },
	{ OP_LIST, 10 }, { OP_STAT, 24 }, { OP_SYNCDIR, 1 }, { OP_ADDRESS, 2 },
	{ OP_RECORD, 30 }, { OP_RECORD_MAP, 10 }, { OP_RECORD_READ, 20 }, { OP_RECORD_SYNC, 1 },
	{ OP_TAIL, 6 }, { OP_APPEND, 16 },
};

/* What one thread's operations are drawn from. */
struct source {
	uint64_t rng;
	bool open[SLOTS], mapped[SLOTS];	/* as far as one can tell without a model */
};

uint64_t rng_next(uint64_t *state)
{
	/* splitmix64 */
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint64_t rng_below(uint64_t *state, uint64_t n)
{
	return rng_next(state) % n;
}

void fill_bytes(unsigned char *at, size_t len, unsigned int fill, unsigned int salt)
{
	uint64_t state = fill == FILL_AGAIN ? salt % 4 : salt + UINT64_C(100), word;
	size_t i = 0;

	if (fill == FILL_ZERO || fill == FILL_BYTE) {
		memset(at, fill == FILL_ZERO ? 0 : (int)(salt % 255 + 1), len);
		return;
	}
	while (i < len) {
		size_t n = len - i < sizeof(word) ? len - i : sizeof(word);

		word = rng_next(&state);
		if (fill == FILL_TEXT)
			word = (word & UINT64_C(0x0303030303030303)) | UINT64_C(0x6060606060606060);
		memcpy(at + i, &word, n);
		i += n;
	}
}

static bool chance(struct source *s, unsigned int percent)
{
	return rng_below(&s->rng, 100) < percent;
}

/* Around what matters: pages, the least and the greatest chunk, the largest request. */
static uint64_t near_an_edge(struct source *s)
{
	static const uint64_t edges[] = { 4096, 32768, 65536, 262144, 1048576 };
	uint64_t edge = edges[rng_below(&s->rng, 5)];
	uint64_t n = edge * (1 + rng_below(&s->rng, (2 << 20) / edge));

	return chance(s, 50) ? n : n - 1 + rng_below(&s->rng, 3);
}

static uint64_t some_offset(struct source *s)
{
	if (chance(s, 10))
		return 0;
	if (chance(s, 40))
		return near_an_edge(s);
	return rng_below(&s->rng, (uint64_t)1 << (4 + rng_below(&s->rng, 18)));
}

static uint64_t some_length(struct source *s)
{
	if (chance(s, 1))
		return (4 << 20) - rng_below(&s->rng, 3);
	if (chance(s, 15))
		return near_an_edge(s);
	return 1 + rng_below(&s->rng, (uint64_t)1 << rng_below(&s->rng, 20));
}

/* Names are few, so that they meet; mostly of the type that goes with them. */
static void some_path(struct source *s, char *out, const char *last)
{
	static const char *const tops[] = { "own", "own", "own", "d0", "d1" };
	const char *any = "abcsxyl";
	int n = snprintf(out, PATH_LEN, "%s", tops[rng_below(&s->rng, 5)]);

	for (unsigned int depth = 0; depth < 2 && chance(s, 40); depth++)
		n += snprintf(out + n, PATH_LEN - (size_t)n, "/%c", chance(s, 95) ?
		    "xy"[rng_below(&s->rng, 2)] : any[rng_below(&s->rng, 7)]);
	if (chance(s, 7))
		last = any;
	snprintf(out + n, PATH_LEN - (size_t)n, "/%c", last[rng_below(&s->rng, strlen(last))]);
}

static unsigned int open_flags(struct source *s, const char *path)
{
	unsigned int flags = chance(s, 90) ? O_RDWR : chance(s, 60) ? O_WRONLY : O_RDONLY;

	flags |= chance(s, 80) ? O_CREAT : 0;
	flags |= (flags & O_CREAT) && chance(s, 10) ? O_EXCL : 0;
	flags |= flags & (O_RDWR | O_WRONLY) && chance(s, 10) ? O_TRUNC : 0;
	flags |= chance(s, 12) ? O_APPEND : 0;
	flags |= chance(s, 4) ? O_SYNC : chance(s, 4) ? O_DSYNC : 0;
	/* What is called s is only written in whole requests: see crash.c. */
	if (path[strlen(path) - 1] == 's' || chance(s, 10))
		flags |= O_DIRECT;
	return flags;
}

static unsigned int some_flags(struct source *s, const struct op *op)
{
	static const unsigned int fallocates[] = { 0, FALLOC_FL_KEEP_SIZE,
	    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	    FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE };

	switch (op->kind) {
	case OP_OPEN:
		return open_flags(s, op->path);
	case OP_FALLOCATE:
		return fallocates[rng_below(&s->rng, 6)];
	case OP_RENAME:
		return chance(s, 60) ? 0 : 1 + (unsigned int)rng_below(&s->rng, 2);
	case OP_CHMOD:
		return (unsigned int)rng_below(&s->rng, 01000);
	case OP_RECORD:
	case OP_RECORD_MAP:
	case OP_RECORD_READ:
		return (unsigned int)rng_below(&s->rng, RECORDS);
	default:
		return (unsigned int)rng_below(&s->rng, 12);
	}
}

static const char *usual_names(enum kind kind)
{
	switch (kind) {
	case OP_MKDIR:
	case OP_RMDIR:
	case OP_LIST:
	case OP_SYNCDIR:
		return "xy";
	case OP_SYMLINK:
	case OP_READLINK:
		return "l";
	default:
		return "abcs";
	}
}

static void some_fields(struct source *s, struct op *op)
{
	const char *names = usual_names(op->kind);

	/* All kinds of things are renamed, looked at and removed. */
	if ((op->kind == OP_RENAME || op->kind == OP_STAT || op->kind == OP_CHMOD) && chance(s, 35))
		names = chance(s, 80) ? "xy" : "l";
	for (const char *c = op_fields(op->kind); *c; c++) {
		switch (*c) {
		case 's': op->slot = (unsigned int)rng_below(&s->rng, SLOTS); break;
		case 'S': op->slot2 = (unsigned int)rng_below(&s->rng, SLOTS); break;
		case 'p': some_path(s, op->path, names); break;
		case 'P': some_path(s, op->path2, names); break;
		case 'o': op->off = some_offset(s); break;
		case 'O': op->off2 = some_offset(s); break;
		case 'l': op->len = some_length(s); break;
		case 'f': op->flags = some_flags(s, op); break;
		case 'c': op->fill = (unsigned int)rng_below(&s->rng, FILLS); /* fall through */
		case 'n': op->salt = (unsigned int)rng_below(&s->rng, 1000000); break;
		}
	}
	/* The directories at the top too, one's own and the common ones. */
	if ((op->kind == OP_LIST && chance(s, 40)) || (op->kind == OP_STAT && chance(s, 5)))
		op->path[strcspn(op->path, "/")] = '\0';
	if (op->kind == OP_SETXATTR)
		op->len %= 200;
	if (op->kind == OP_TAIL)
		op->len %= 300000;
}

static enum kind some_kind(struct source *s)
{
	unsigned int total = 0, at;
	size_t i;

	for (i = 0; i < sizeof(weights) / sizeof(weights[0]); i++)
		total += weights[i].weight;
	at = (unsigned int)rng_below(&s->rng, total);
	for (i = 0; at >= weights[i].weight; i++)
		at -= weights[i].weight;
	return weights[i].kind;
}

static void some_op(struct source *s, struct op *op, unsigned int thread)
{
	enum kind kind = some_kind(s);
	bool of_map = kind >= OP_STORE && kind <= OP_UNMAP;
	unsigned int slot;

	*op = (struct op){ .kind = kind, .thread = thread };
	some_fields(s, op);
	slot = op->slot;
	/* What needs something open is that opening instead, where nothing is. */
	if (of_map && !s->mapped[slot])
		op->kind = OP_MAP;
	if (op->kind > OP_OPEN && op->kind <= OP_PRIVATE && !of_map && !s->open[slot])
		op->kind = OP_OPEN;
	if (op->kind != kind) {
		*op = (struct op){ .kind = op->kind, .thread = thread };
		some_fields(s, op);
		op->slot = slot;
	}
	if (op->kind == OP_OPEN || op->kind == OP_CLOSE)
		s->open[slot] = op->kind == OP_OPEN;
	if (op->kind == OP_MAP || op->kind == OP_UNMAP)
		s->mapped[slot] = op->kind == OP_MAP;
}

struct plan *plan_make(const struct plan_shape *shape, uint64_t seed)
{
	unsigned int threads = shape->workers * shape->threads;
	struct plan *plan = calloc(1, sizeof(*plan));
	uint64_t rng = seed;

	assert(threads > 0 && threads <= THREADS_MAX);
	if (!plan)
		return NULL;
	*plan = (struct plan){ seed, shape->workers, shape->threads, 0, NULL };
	plan->rounds = calloc(shape->rounds, sizeof(*plan->rounds));
	if (!plan->rounds)
		goto err;
	for (; plan->n_rounds < shape->rounds; plan->n_rounds++) {
		struct round *round = &plan->rounds[plan->n_rounds];
		uint64_t at = rng_below(&rng, 10);

		round->end = at < 2 ? END_CHECK : at < 5 ? END_REMOUNT : END_KILL;
		/* Across the first second or so, when the first checkpoint comes, and later. */
		round->after_ms = round->end != END_KILL ? 0 :
		    10 + (unsigned int)rng_below(&rng, 100u << rng_below(&rng, 6));
		round->ops = calloc((size_t)threads * shape->ops, sizeof(*round->ops));
		if (!round->ops)
			goto err;
		for (unsigned int t = 0; t < threads; t++) {
			struct source s = { .rng = rng_next(&rng) };

			for (unsigned int i = 0; i < shape->ops; i++)
				some_op(&s, &round->ops[round->n_ops++], t);
		}
	}
	return plan;

err:
	plan_free(plan);
	return NULL;
}
