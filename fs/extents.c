#include "fs/extents.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#define GATHER_WRITE_MAX (64u * 1024)	/* longer writes are not worth a copy */
#define GATHER_MIN	(4u * 1024)
#define GATHER_MAX	(256u * 1024)
#define SLACK		4096u		/* bytes kept for nothing are not counted */

/*
 * A treap: ordered by offset, a heap by random priorities, so balanced whatever the
 * order of writes.  All changes are made of cutting it in two and joining two.
 */
struct extents_node {
	struct extents_node *left, *right;
	uint64_t off;
	struct piece piece;
	uint32_t priority;
	/* A buffer that this extent alone may fill: ${room} bytes behind its own. */
	uint32_t room;
	uint8_t *tail;
};
_Static_assert(sizeof(struct extents_node) + 16 <= EXTENT_COST, "what malloc() adds is counted");

/* Two trees: what lies before a place, and what lies behind it. */
struct halves {
	struct extents_node *before, *behind;
};

static uint64_t node_end(const struct extents_node *n)
{
	return n->off + n->piece.len;
}

/* xorshift32: Marsaglia (2003). */
static uint32_t random_next(struct extents *x)
{
	x->random ^= x->random << 13;
	x->random ^= x->random >> 17;
	x->random ^= x->random << 5;
	return x->random;
}

/* Add (or, with -1, take away) what ${n} counts for. */
static void account(struct extents *x, const struct extents_node *n, int sign)
{
	uint64_t s = (uint64_t)(int64_t)sign;

	x->cost += s * EXTENT_COST;
	if (n->piece.type == PIECE_BYTES) {
		x->cost += s * (n->piece.len + n->room);
		x->bytes += s * n->piece.len;
	}
	if (n->piece.type != PIECE_ZEROS)
		x->data += s * n->piece.len;
}

static struct extents_node *join(struct extents_node *a, struct extents_node *b)
{
	if (!a || !b)
		return a ? a : b;
	if (a->priority > b->priority) {
		a->right = join(a->right, b);
		return a;
	}
	b->left = join(a, b->left);
	return b;
}

/* Nodes that start before ${off}, and the others. */
static struct halves divide(struct extents_node *n, uint64_t off)
{
	struct halves h = { NULL, NULL };

	if (!n)
		return h;
	if (n->off < off) {
		h = divide(n->right, off);
		n->right = h.before;
		h.before = n;
	} else {
		h = divide(n->left, off);
		n->left = h.behind;
		h.behind = n;
	}
	return h;
}

static struct extents_node *last(struct extents_node *n)
{
	while (n && n->right)
		n = n->right;
	return n;
}

static void drop_node(struct extents *x, struct extents_node *n)
{
	account(x, n, -1);
	if (n->piece.type == PIECE_BYTES)
		chunk_drop(n->piece.bytes);
	free(n);
}

static void drop_tree(struct extents *x, struct extents_node *n)
{
	if (!n)
		return;
	drop_tree(x, n->left);
	drop_tree(x, n->right);
	drop_node(x, n);
}

/* A small part of a large buffer: copy it, so that the buffer can go. */
static void compact(struct extents_node *n)
{
	struct chunk *c = n->piece.bytes, *copy;
	uint32_t whole;

	if (n->piece.type != PIECE_BYTES)
		return;
	whole = c->parent ? c->parent->len : c->len;
	if (whole <= 2 * n->piece.len + SLACK)
		return;
	copy = chunk_copy(c->data + n->piece.off, (size_t)n->piece.len);
	if (!copy)
		return;
	chunk_drop(c);
	n->piece.bytes = copy;
	n->piece.off = 0;
}

/* Keep of ${n} what lies in [off, end). */
static void trim(struct extents *x, struct extents_node *n, uint64_t off, uint64_t end)
{
	assert(n->off <= off && off < end && end <= node_end(n));
	account(x, n, -1);
	if (n->piece.type != PIECE_ZEROS)
		n->piece.off += off - n->off;
	n->off = off;
	n->piece.len = end - off;
	n->room = 0;
	compact(n);
	account(x, n, 1);
}

static struct extents_node *new_node(struct extents *x, uint64_t off, const struct piece *p)
{
	struct extents_node *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->off = off;
	n->piece = *p;
	n->priority = random_next(x);
	if (p->type == PIECE_BYTES)
		chunk_hold(p->bytes);
	return n;
}

/*
 * Take [off, end) out: what is left before it, and behind it.  The tree is in these two
 * parts then.  -ENOMEM: nothing has changed.
 */
static int carve(struct extents *x, uint64_t off, uint64_t end, struct halves *out)
{
	struct extents_node *n, *rest = NULL;
	struct halves inner, h;
	struct piece p;
	uint64_t start;

	if (extents_at(x, off, &start, &p) && start < off && start + p.len > end) {
		/* One extent reaches over both ends: it becomes two. */
		rest = new_node(x, start, &p);
		if (!rest)
			return -ENOMEM;
		account(x, rest, 1);
		trim(x, rest, end, node_end(rest));
	}
	*out = divide(x->root, off);
	n = last(out->before);
	if (n && node_end(n) > off)
		trim(x, n, n->off, off);
	inner = divide(out->behind, end);
	n = last(inner.before);
	if (n && node_end(n) > end) {
		h = divide(inner.before, n->off);
		inner.before = h.before;
		trim(x, n, end, node_end(n));
		rest = n;
	}
	drop_tree(x, inner.before);
	out->behind = join(rest, inner.behind);
	return 0;
}

/* Random bytes of this process: who foresaw priorities could make a list of the tree. */
void extents_init(struct extents *x)
{
	const void *bytes = (const void *)getauxval(AT_RANDOM);

	*x = (struct extents){ .random = 0 };
	if (bytes)
		memcpy(&x->random, bytes, sizeof(x->random));
	/* xorshift never leaves 0. */
	x->random |= 1;
}

void extents_clear(struct extents *x)
{
	drop_tree(x, x->root);
	assert(x->cost == 0 && x->bytes == 0 && x->data == 0);
	x->root = NULL;
}

bool extents_at(const struct extents *x, uint64_t off, uint64_t *start, struct piece *out)
{
	const struct extents_node *n = x->root, *found = NULL;

	while (n) {
		if (node_end(n) > off) {
			found = n;
			n = n->left;
		} else {
			n = n->right;
		}
	}
	if (!found)
		return false;
	*start = found->off;
	*out = found->piece;
	return true;
}

/* Does ${p} go on where ${n} ends? */
static bool continues(const struct extents_node *n, uint64_t off, const struct piece *p)
{
	if (!n || node_end(n) != off || n->piece.type != p->type)
		return false;
	return p->type == PIECE_ZEROS || (p->type == PIECE_REF &&
	    n->piece.off + n->piece.len == p->off && ref_equal(&n->piece.ref, &p->ref));
}

static void extend(struct extents *x, struct extents_node *n, uint64_t len)
{
	account(x, n, -1);
	n->piece.len += len;
	account(x, n, 1);
}

int extents_put(struct extents *x, uint64_t off, const struct piece *piece)
{
	struct extents_node *n = new_node(x, off, piece), *before;
	struct halves h;
	int rc;

	assert(piece->len > 0 && off <= EXTENTS_END && piece->len <= EXTENTS_END - off);
	if (!n)
		return -ENOMEM;
	account(x, n, 1);
	rc = carve(x, off, off + piece->len, &h);
	if (rc < 0) {
		drop_node(x, n);
		return rc;
	}
	before = last(h.before);
	if (continues(before, off, piece)) {
		drop_node(x, n);
		extend(x, before, piece->len);
	} else {
		trim(x, n, off, node_end(n));
		h.before = join(h.before, n);
	}
	x->root = join(h.before, h.behind);
	return 0;
}

/* The extent that ends at ${off}, if bytes may be gathered there. */
static struct extents_node *gatherer(const struct extents *x, uint64_t off, size_t len)
{
	struct extents_node *n = x->root;

	while (n && node_end(n) != off)
		n = n->off < off ? n->right : n->left;
	if (!n || n->piece.type != PIECE_BYTES || n->piece.len + len > GATHER_MAX)
		return NULL;
	return n;
}

/* Room for ${len} bytes behind those of ${n}: twice as much each time. */
static int make_room(struct extents *x, struct extents_node *n, size_t len)
{
	size_t have = (size_t)n->piece.len, want = 2 * (have + len);
	struct chunk *c;
	uint8_t *p;

	if (n->room >= len)
		return 0;
	want = want < GATHER_MIN ? GATHER_MIN : want > GATHER_MAX ? GATHER_MAX : want;
	c = chunk_new(want, &p);
	if (!c)
		return -ENOMEM;
	memcpy(p, n->piece.bytes->data + n->piece.off, have);
	account(x, n, -1);
	chunk_drop(n->piece.bytes);
	n->piece.bytes = c;
	n->piece.off = 0;
	n->tail = p + have;
	n->room = (uint32_t)(want - have);
	account(x, n, 1);
	return 0;
}

int extents_write(struct extents *x, uint64_t off, struct chunk *data)
{
	struct piece piece = { .type = PIECE_BYTES, .len = data->len, .bytes = data };
	struct extents_node *n = NULL;
	struct halves h;
	int rc;

	assert(off <= EXTENTS_END && data->len <= EXTENTS_END - off);
	if (data->len < GATHER_WRITE_MAX)
		n = gatherer(x, off, data->len);
	if (!n)
		return extents_put(x, off, &piece);
	rc = make_room(x, n, data->len);
	if (rc == 0)
		rc = carve(x, off, off + data->len, &h);
	if (rc < 0)
		return rc;
	memcpy(n->tail, data->data, data->len);
	account(x, n, -1);
	n->tail += data->len;
	n->room -= data->len;
	n->piece.len += data->len;
	account(x, n, 1);
	x->root = join(h.before, h.behind);
	return 0;
}

int extents_move(struct extents *under, struct extents *over)
{
	struct piece p;
	uint64_t start;

	/* A node that leaves ${over} is as good as one that was allocated for ${under}. */
	while (extents_at(over, 0, &start, &p)) {
		struct halves h = { NULL, NULL }, first;
		int rc = carve(under, start, start + p.len, &h);

		if (rc < 0)
			return rc;
		first = divide(over->root, start + 1);
		over->root = first.behind;
		account(over, first.before, -1);
		first.before->room = 0;
		account(under, first.before, 1);
		under->root = join(join(h.before, first.before), h.behind);
	}
	return 0;
}
