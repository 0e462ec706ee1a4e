/*
 * COMMAND_CONFIRM: which owners can prove, now, that they have what we have.
 *
 * state   | event                   | function  | next
 * -       | COMMAND_CONFIRM         | confirm_command() | PROVING: our own answer to a fresh nonce
 * PROVING | there it is             | proving() | ASKING: all other owners at once
 *         | no copy, or a bad one   | proving() | over: -ENODATA, -EIO
 * ASKING  | the last of them is in  | proved()  | over: 0, how many
 * any     | its time is up          | expired() | over: -ETIMEDOUT
 */
#include "dht/net/chunks.h"

#include <errno.h>
#include <stdlib.h>

struct confirm {
	struct list link;
	struct pending pending;
	struct address address, nonce;
	struct work work;
	unsigned int waiting, good;
	struct slot_proof {
		struct confirm *confirm;
		struct proof proof;
	} owner[RING_REPLICAS_MAX];
};

static void confirm_free(struct node *n, struct confirm *f)
{
	work_stop(n, &f->work);
	for (unsigned int i = 0; i < RING_REPLICAS_MAX; i++)
		if (call_busy(&f->owner[i].proof.call))
			proof_stop(n, &f->owner[i].proof);
	list_remove(&f->link);
	free(f);
}

static void reply(struct node *n, struct confirm *f, int result)
{
	struct effect e = { .result = result, .count = f->good };

	command_reply(n, f->pending.ticket, &e);
	confirm_free(n, f);
}

static void proved(struct node *n, struct proof *p, enum verdict verdict)
{
	struct confirm *f = list_item(p, struct slot_proof, proof)->confirm;

	f->good += verdict == PROOF_GOOD;
	if (--f->waiting == 0)
		reply(n, f, 0);
}

static void proving(struct node *n, struct work *w, const struct event *e)
{
	struct confirm *f = list_item(w, struct confirm, work);
	unsigned int slot = ring_slot(&f->address);
	struct peer *owner[RING_REPLICAS_MAX];

	if (e->result) {
		if (e->result != -ENOENT)
			fetch_heal(n, &f->address);
		reply(n, f, e->result == -ENOENT ? -ENODATA : -EIO);
		return;
	}
	/* One that is only CACHED may go at any time, as it may at the others. */
	f->good = placement_mine(n, slot) && chunk_state(n, &f->address) & (STATE_OWNED | STATE_FOREIGN);
	f->waiting = placement_owners(n, slot, owner);
	for (unsigned int i = 0; i < f->waiting; i++) {
		struct slot_proof *p = &f->owner[i];

		p->confirm = f;
		p->proof.expected = e->hash;
		p->proof.done = proved;
		proof_start(n, &p->proof, owner[i], &f->address, &f->nonce, LINK_READ);
	}
	if (!f->waiting)
		reply(n, f, 0);
}

static void expired(struct node *n, struct pending *p)
{
	confirm_free(n, list_item(p, struct confirm, pending));
}

void confirm_command(struct node *n, const struct command *c)
{
	struct confirm *f = calloc(1, sizeof *f);

	if (!f) {
		command_result(n, c->ticket, -ENOMEM);
		return;
	}
	f->address = c->address;
	proof_nonce(n, &f->nonce);
	f->work.done = proving;
	f->pending.expired = expired;
	list_append(fetch_confirms(n), &f->link);
	command_start(n, &f->pending, c);
	/* Not asked of the catalogue: what was just fetched may be on its way to the disk, and this comes behind it. */
	proof_local(n, &f->work, &f->address, &f->nonce);
}

size_t confirm_memory(struct node *n)
{
	struct list *all = fetch_confirms(n);
	size_t sum = 0;

	for (struct list *l = all->next; l != all; l = l->next)
		sum += sizeof(struct confirm);
	return sum;
}

void confirm_end(struct node *n)
{
	struct list *all = fetch_confirms(n);

	while (!list_empty(all))
		confirm_free(n, list_item(all->next, struct confirm, link));
}
