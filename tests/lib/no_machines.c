/*
 * A node of membership and placement alone: it takes the place of dht/net/machines.c, and of what its commands would start.
 * A test links it before libnet.a.
 */
#include <errno.h>

#include "dht/net/node_core.h"

const struct machine *const machines[] = { NULL };

void machines_table(struct node *n)
{
	(void)n;
}

void machines_peer(struct node *n, struct peer *p, bool up)
{
	(void)n;
	(void)p;
	(void)up;
}

void machines_start(struct node *n)
{
	(void)n;
}

void machines_end(struct node *n)
{
	(void)n;
}

bool machines_request(struct node *n, struct served *s, const struct message *m)
{
	(void)n;
	(void)s;
	(void)m;
	return false;
}

size_t machines_memory(struct node *n)
{
	(void)n;
	return 0;
}

void insert_command(struct node *n, const struct command *c)
{
	command_result(n, c->ticket, -ENOSYS);
}

void fetch_command(struct node *n, const struct command *c)
{
	command_result(n, c->ticket, -ENOSYS);
}

void lease_command(struct node *n, const struct command *c)
{
	command_result(n, c->ticket, -ENOSYS);
}

void head_command(struct node *n, const struct command *c)
{
	command_result(n, c->ticket, -ENOSYS);
}

/* There is nothing to hand over. */
void leave_command(struct node *n, const struct command *c)
{
	membership_command(n, c);
}

void repair_command(struct node *n, const struct command *c)
{
	membership_command(n, c);
}

unsigned int foreign_count(struct node *n)
{
	(void)n;
	return 0;
}

void leases_changed(struct node *n, const struct address *addresses, uint32_t count)
{
	(void)n;
	(void)addresses;
	(void)count;
}
