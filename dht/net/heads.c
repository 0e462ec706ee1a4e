/* heads: not here yet; nothing else needs more of it than that it links. */
#include <errno.h>

#include "dht/net/node_impl.h"

void head_command(struct node *n, const struct command *c)
{
	command_result(n, c->ticket, -ENOSYS);
}

bool heads_complete(struct node *n, unsigned int slot)
{
	(void)n;
	(void)slot;
	return true;
}

const struct machine heads_machine = { .name = "heads" };
