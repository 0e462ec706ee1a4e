/* After a crash, and now and then: the store and the shelf side by side, in the order of addresses. */
#include "dht/peer/shelf_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STEP 4096	/* records of the store, or rows, that are looked at in one go */

struct comparison {
	struct shelf *s;
	struct address here[STEP];	/* of the store */
	struct shelf_change changes[2 * STEP];
	size_t count;			/* of changes */
	bool (*busy)(void *arg, const struct address *a);	/* NULL: nothing is under way, and all that is there is durable */
	void *arg;
	bool left_out;
};

static struct shelf_change *change(struct comparison *c, const struct address *a)
{
	struct shelf_change *new = &c->changes[c->count++];

	*new = (struct shelf_change){ .address = *a };
	return new;
}

static void forget(struct comparison *c, const struct address *a)
{
	change(c, a)->kind = SHELF_FORGET;
}

static void take_in(struct comparison *c, const struct address *a)
{
	uint32_t len = 0;
	struct shelf_change *new;

	if (c->busy && (c->busy(c->arg, a) || store_here_durable(c->s->store, a) < 0)) {
		c->left_out = true;
		return;
	}
	/* It may have been given up meanwhile: then lists leave it out. */
	store_has(c->s->store, a, NULL, &len);
	new = change(c, a);
	new->kind = SHELF_ADD;
	new->states = STATE_FOREIGN;
	new->bytes = len;
	/* It may be of the volume that is written here; and if not, a collection finds that out. */
	if (c->s->has_own)
		change(c, a)->kind = SHELF_KEEP;
}

/*
 * From *${i}, where the next of c->here is, and from the row at or behind ${from}, as far as one batch of changes goes.  Sets
 * ${from} to where to go on; false: both are at their ends, or at the last of c->here where there are ${more}.
 */
static int step(struct comparison *c, size_t *i, size_t n, bool more, struct address *from, bool *done)
{
	struct shelf_walk w;
	MDB_txn *txn;
	int rc = shelf_reader(c->s, &txn);

	if (rc < 0)
		return rc;
	c->count = 0;
	*done = false;
	rc = shelf_walk(&w, c->s, txn, STATE_ANY);
	if (rc == 0)
		rc = shelf_walk_to(&w, from);
	while (rc == 0 && c->count < STEP) {
		const struct address *row = shelf_walk_at(&w);
		int order;

		if (*i == n && (more || !row)) {
			*done = true;
			break;
		}
		order = *i == n ? 1 : !row ? -1 : memcmp(&c->here[*i], row, ADDRESS_LEN);
		if (order < 0)
			take_in(c, &c->here[*i]);
		if (order > 0) {
			struct address gone;

			memcpy(&gone, row, sizeof(gone));
			forget(c, &gone);
		}
		*i += order <= 0;
		if (order >= 0)
			rc = shelf_walk_next(&w);
	}
	if (shelf_walk_at(&w))
		memcpy(from, shelf_walk_at(&w), sizeof(*from));
	else
		memset(from, 0xff, sizeof(*from));
	shelf_walk_end(&w);
	shelf_reader_end(c->s, txn);
	if (rc == 0 && c->count > 0)
		rc = shelf_commit(c->s, c->changes, c->count);
	return rc;
}

/* One list of the store, behind ${after} (NULL: the first), and the rows from ${from} on up to where it ends. */
static int compare_part(struct comparison *c, const struct address *after, struct address *from, size_t *n)
{
	ssize_t here = store_list(c->s->store, after, STEP, c->here);
	bool done = false;
	size_t i = 0;
	int rc = here < 0 ? (int)here : 0;

	*n = here < 0 ? 0 : (size_t)here;
	while (rc == 0 && !done)
		rc = step(c, &i, *n, *n == STEP, from, &done);
	return rc;
}

int shelf_compare(struct shelf *s, uint64_t *records)
{
	struct comparison *c = malloc(sizeof(*c));
	struct address from = { { 0 } }, after;
	size_t n = STEP;
	int rc = 0;

	if (!c)
		return -ENOMEM;
	c->s = s;
	c->busy = NULL;
	*records = 0;
	while (rc == 0 && n == STEP) {
		rc = compare_part(c, *records > 0 ? &after : NULL, &from, &n);
		if (n > 0)
			after = c->here[n - 1];
		*records += n;
	}
	free(c);
	return rc;
}

int shelf_adopt(struct shelf *s, struct shelf_adoption *at, bool (*busy)(void *arg, const struct address *a), void *arg)
{
	struct comparison *c = malloc(sizeof(*c));
	size_t n;
	int rc;

	if (!c)
		return -ENOMEM;
	c->s = s;
	c->busy = busy;
	c->arg = arg;
	c->left_out = at->begun && at->left_out;
	rc = compare_part(c, at->begun ? &at->after : NULL, &at->from, &n);
	at->left_out = c->left_out;
	at->begun = rc == 0 && n == STEP;
	if (at->begun)
		at->after = c->here[n - 1];
	else
		at->from = (struct address){ { 0 } };
	free(c);
	return rc;
}
