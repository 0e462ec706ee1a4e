/*
 * A row of heads that is damaged.  To go on as if there were none would let a second head of a seq be taken: so its slot counts
 * no more, as that of one who lost its disk, and what counted before is asked of the other owners.
 *
 *	state	event						function		next state
 *	-	a row of a slot that counts can't be read	heads_row_lost	LOSING: the slot WAITS (heads_slots.c)
 *	LOSING	that it waits is durable			heads_lost_saved	WIPING
 *	WIPING	the row is gone					wiped			-: all are asked anew
 *	WIPING	the disk failed					wiped			LOSING
 *
 * In this order: a crash in between leaves a slot that waits, never one that counts and lacks a head.  One row at a time: others
 * are found when they are read, for nobody reads them while their slot waits.
 */
#include "dht/net/heads_slots.h"

#include <string.h>
#include <syslog.h>

void heads_row_lost(struct node *n, const struct address *volume)
{
	struct heads_pull *p = n->heads->pull;
	unsigned int slot = ring_slot(volume);

	/* Of one copy there is no other. */
	if (!p || p->losing || !heads_complete(n, slot) || placement(n)->replicas < 2)
		return;
	node_log(n, LOG_WARNING, "it is taken anew from the other owners");
	p->losing = p->fresh = true;
	p->lost = *volume;
	trie_slots_remove(&p->count, slot);
	p->since[slot] = 0;
	p->waiting++;
	slots_save(n, 0);
}

static void wiped(struct node *n, struct work *w, const struct event *e)
{
	struct heads_pull *p = list_item(w, struct heads_pull, wiping);

	if (e->result) {
		slots_save(n, SAVE_AGAIN);
		return;
	}
	p->losing = false;
	slots_anew(n);
}

void heads_lost_saved(struct node *n)
{
	struct heads_pull *p = n->heads->pull;
	struct effect e = { .kind = EFFECT_SAVE, .row = { .table = ROW_HEAD, .key = p->lost } };

	if (work_busy(&p->wiping))
		return;
	p->wiping.done = wiped;
	work_start(n, &p->wiping, &e);
}
