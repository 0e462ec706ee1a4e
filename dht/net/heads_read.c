/* READING: all owners are asked, and what was shown here before is as good (heads.c). */
#include "dht/net/heads_ask.h"

#include <errno.h>

/* Of all that was told: the newest, and how many owners have it.  Two of one seq: true. */
static bool newest_of(const struct asking *a, struct chunk **best, uint64_t *seq, unsigned int *has, struct chunk **other)
{
	*best = NULL;
	*seq = 0;
	*has = 0;
	for (unsigned int i = 0; i <= a->lanes; i++) {
		struct chunk *head = i < a->lanes ? a->lane[i].head : a->self_head;
		uint64_t its = i < a->lanes ? a->lane[i].seq : a->self_seq;
		struct wire_slice blob;

		if (!head || its < *seq)
			continue;
		blob = head_slice(head);
		if (its == *seq && !head_same(*best, &blob)) {
			*other = head;
			return true;
		}
		*has = its == *seq ? *has + 1 : 1;
		*best = head;
		*seq = its;
	}
	return false;
}

/* What was shown here before is as good as an answer, but is no owner's. */
static int add_seen(struct node *n, struct asking *a, struct chunk **best, uint64_t *seq, unsigned int *has)
{
	struct head_row row;
	struct chunk *bytes = heads_row(n, ROW_HEAD_SEEN, &a->volume, &row);
	const struct head_item *seen = head_row_newest(&row);
	struct wire_slice blob;
	int result = 0;

	if (row.forked && row.fork[0].blob.len == 0) {
		result = -EIO;
	} else if (row.forked) {
		ask_forked(n, a, &row.fork[0].blob, &row.fork[1].blob);
		result = -EUCLEAN;
	} else if (seen && seen->seq >= *seq && !head_same(*best, &seen->blob)) {
		if (seen->seq == *seq) {
			blob = head_slice(*best);
			ask_forked(n, a, &blob, &seen->blob);
			result = -EUCLEAN;
		} else {
			chunk_drop(a->self_head);
			a->self_head = *best = chunk_copy(seen->blob.data, seen->blob.len);
			*seq = seen->seq;
			*has = 0;
			result = *best ? 0 : -ENOMEM;
		}
	}
	chunk_drop(bytes);
	return result;
}

static void read_over(struct node *n, struct asking *a)
{
	struct chunk *best, *other;
	struct wire_slice one, two;
	uint64_t seq;
	unsigned int has, told = a->self_told;
	int err;

	if (a->ended) {
		ask_over(n, a, -EKEYREVOKED);
		return;
	}
	for (unsigned int i = 0; i < a->lanes; i++)
		told += a->lane[i].told;
	if (newest_of(a, &best, &seq, &has, &other)) {
		one = head_slice(best);
		two = head_slice(other);
		ask_forked(n, a, &one, &two);
		return;
	}
	if (!ask_majority(n, told)) {
		ask_wait(n, a);
		return;
	}
	err = add_seen(n, a, &best, &seq, &has);
	if (err == -EUCLEAN)
		return;
	if (!err && !best)
		err = -ENOENT;
	one = best ? head_slice(best) : (struct wire_slice){ NULL, 0 };
	if (!err && !ask_head(n, a, &one, &a->h))
		err = -EIO;	/* of our own disk: all others were verified */
	if (err) {
		ask_over(n, a, err);
		return;
	}
	a->everywhere = has == told && ask_majority(n, has);
	chunk_drop(a->head);
	a->head = chunk_hold(best);
	ask_keep(n, a);
}

static void read_one(struct node *n, struct call *c, int result, const struct message *m, struct chunk *body)
{
	struct lane *l = list_item(c, struct lane, call);
	struct asking *a = l->of;
	struct head h;

	(void)body;
	if (!result && ask_is_fork(n, a, m)) {
		ask_forked(n, a, &m->head, &m->evidence);
		return;
	}
	if (!result && m->status == WIRE_ENDED) {
		ask_ended(n, a, m);
	} else if (!result && m->status == WIRE_MISS) {
		l->told = true;
	} else if (!result && m->status == WIRE_OK) {
		if (m->head.len > 0 && ask_head(n, a, &m->head, &h)) {
			l->head = chunk_copy(m->head.data, m->head.len);
			l->seq = h.seq;
			l->told = l->head != NULL;
		} else {
			ask_distrust(n, l, "a bad head");
		}
	}
	if (!ask_busy(a))
		read_over(n, a);
}

/* True: two of one seq are here already, and that is settled. */
static bool read_self(struct node *n, struct asking *a)
{
	struct head_row row;
	struct chunk *bytes = heads_row(n, ROW_HEAD, &a->volume, &row);
	const struct head_item *newest = head_row_newest(&row);

	bool fork = row.forked && row.fork[0].blob.len > 0;

	if (newest && !row.forked) {
		a->self_head = chunk_copy(newest->blob.data, newest->blob.len);
		a->self_seq = newest->seq;
	}
	a->self_told = !row.forked && (!newest || a->self_head);
	if (fork)
		ask_forked(n, a, &row.fork[0].blob, &row.fork[1].blob);
	chunk_drop(bytes);
	return fork;
}

void ask_read(struct node *n, struct asking *a)
{
	a->state = READING;
	a->stale = false;
	ask_open(n, a);
	if (a->self && read_self(n, a))
		return;
	for (unsigned int i = 0; i < a->lanes; i++) {
		struct message m = { .type = WIRE_HEAD, .volume = a->volume };
		struct peer *peer = peer_find(n, &a->lane[i].id);

		a->lane[i].call.done = read_one;
		if (peer && peer_reachable(n, peer))
			call_start(n, &a->lane[i].call, peer, &m, NULL, LINK_READ, CALL_QUICK);
	}
	if (!ask_busy(a))
		read_over(n, a);
}
