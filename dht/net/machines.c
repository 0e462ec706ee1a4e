/* The state machines that live as long as the node; a file of its own, so that tests can do with fewer. */
#include "dht/net/node_core.h"

/* In the order in which they are told of what happens, and asked about requests: the frequent ones first. */
const struct machine *const machines[] = {
	&chunkserve_machine,
	&foreign_machine,
	&fetch_machine,
	&insert_machine,
	&audit_machine,
	&repair_machine,
	&rebalance_machine,
	&lease_machine,
	&heads_machine,
	&deletion_machine,
	NULL
};

void machines_table(struct node *n)
{
	for (unsigned int i = 0; machines[i]; i++)
		if (machines[i]->table)
			machines[i]->table(n);
}

void machines_peer(struct node *n, struct peer *p, bool up)
{
	for (unsigned int i = 0; machines[i]; i++)
		if (machines[i]->peer)
			machines[i]->peer(n, p, up);
}

void machines_start(struct node *n)
{
	for (unsigned int i = 0; machines[i]; i++)
		if (machines[i]->start)
			machines[i]->start(n);
}

void machines_end(struct node *n)
{
	for (unsigned int i = 0; machines[i]; i++)
		if (machines[i]->end)
			machines[i]->end(n);
}

bool machines_request(struct node *n, struct served *s, const struct message *m)
{
	for (unsigned int i = 0; machines[i]; i++)
		if (machines[i]->request && machines[i]->request(n, s, m))
			return true;
	return false;
}

size_t machines_memory(struct node *n)
{
	size_t sum = 0;

	for (unsigned int i = 0; machines[i]; i++)
		sum += machines[i]->memory ? machines[i]->memory(n) : 0;
	return sum;
}
