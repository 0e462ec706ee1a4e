/*
 * A command's states:
 *
 *   state   | event                                 | function                 | next, and its reply
 *   --------+---------------------------------------+--------------------------+------------------------------
 *   -       | COMMANDS_MAX wait; stopped            | commands_input           | -: -EBUSY; -ESHUTDOWN
 *   -       | any other                             | commands_input, dispatch | waiting
 *   waiting | its machine has the answer            | command_reply            | -: that
 *   waiting | its time is up                        | expired                  | -: -ETIMEDOUT, and its machine is told
 *   waiting | the node stops                        | commands_stop            | -: -ESHUTDOWN, likewise
 *
 * So there is one reply, and in time, whatever a machine does or forgets to do: here is the only place that sends any.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dht/net/node_core.h"

/* One without an answer. */
struct awaited {
	uint64_t ticket;
	struct timer timer;
	struct pending *by;	/* NULL: nobody wants to be told */
};

/* In the order of tickets, which are the user's. */
struct commands {
	struct awaited **awaited;
	unsigned int count, size;
};

int commands_new(struct node *n)
{
	n->commands = calloc(1, sizeof(*n->commands));
	return n->commands ? 0 : -ENOMEM;
}

void commands_free(struct node *n)
{
	struct commands *c = n->commands;

	if (!c)
		return;
	for (unsigned int i = 0; i < c->count; i++) {
		timer_stop(n, &c->awaited[i]->timer);
		free(c->awaited[i]);
	}
	free(c->awaited);
	free(c);
	n->commands = NULL;
}

size_t commands_memory(const struct node *n)
{
	const struct commands *c = n->commands;

	return sizeof(*c) + c->size * sizeof(*c->awaited) + c->count * sizeof(struct awaited);
}

unsigned int commands_count(const struct node *n)
{
	return n->commands->count;
}

/* Where ${ticket} is, or would be. */
static unsigned int place(const struct commands *c, uint64_t ticket)
{
	unsigned int low = 0, high = c->count;

	while (low < high) {
		unsigned int middle = (low + high) / 2;

		if (c->awaited[middle]->ticket < ticket)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct awaited *find(const struct commands *c, uint64_t ticket)
{
	unsigned int i = place(c, ticket);

	return i < c->count && c->awaited[i]->ticket == ticket ? c->awaited[i] : NULL;
}

static void answer(struct node *n, uint64_t ticket, struct effect *reply)
{
	reply->kind = EFFECT_REPLY;
	reply->ticket = ticket;
	effects_put(n, reply);
}

/* No answer will be taken from now on; who waited is returned. */
static struct pending *forget(struct node *n, struct awaited *a)
{
	struct commands *c = n->commands;
	unsigned int i = place(c, a->ticket);
	struct pending *by = a->by;

	assert(c->awaited[i] == a);
	memmove(&c->awaited[i], &c->awaited[i + 1], (--c->count - i) * sizeof(*c->awaited));
	timer_stop(n, &a->timer);
	free(a);
	if (by)
		by->ticket = 0;
	return by;
}

static void end(struct node *n, struct awaited *a, int result)
{
	struct effect reply = { .result = result };
	struct pending *by;

	answer(n, a->ticket, &reply);
	by = forget(n, a);
	/* Last: it may start anything, also a command's end of its own. */
	if (by)
		by->expired(n, by);
}

static void expired(struct node *n, struct timer *t)
{
	end(n, list_item(t, struct awaited, timer), -ETIMEDOUT);
}

void commands_stop(struct node *n)
{
	/* Ends: a node that has stopped takes no new ones. */
	while (n->commands->count > 0)
		end(n, n->commands->awaited[0], -ESHUTDOWN);
}

static int await(struct node *n, const struct command *command)
{
	struct commands *c = n->commands;
	unsigned int i = place(c, command->ticket);
	uint64_t timeout = command->timeout < COMMAND_TIMEOUT_MAX ? command->timeout : COMMAND_TIMEOUT_MAX;
	struct awaited *a;

	assert(command->ticket != 0 && !find(c, command->ticket));
	if (c->count == COMMANDS_MAX)
		return -EBUSY;
	if (c->count == c->size) {
		unsigned int size = c->size > 0 ? 2 * c->size : 4;
		struct awaited **more = realloc(c->awaited, size * sizeof(struct awaited *));

		if (!more)
			return -ENOMEM;
		c->awaited = more;
		c->size = size;
	}
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->ticket = command->ticket;
	a->timer.due = expired;
	memmove(&c->awaited[i + 1], &c->awaited[i], (c->count++ - i) * sizeof(struct awaited *));
	c->awaited[i] = a;
	timer_set(n, &a->timer, n->now + timeout);
	return 0;
}

static void dispatch(struct node *n, const struct command *c)
{
	switch (c->kind) {
	case COMMAND_INSERT:
		insert_command(n, c);
		return;
	case COMMAND_FETCH:
	case COMMAND_CONFIRM:
	case COMMAND_WHERE:
		fetch_command(n, c);
		return;
	case COMMAND_LEASE:
	case COMMAND_RETIRE:
		lease_command(n, c);
		return;
	case COMMAND_HEAD:
	case COMMAND_SWAP:
		head_command(n, c);
		return;
	case COMMAND_LEAVE:
		leave_command(n, c);
		return;
	case COMMAND_REPAIR:
		repair_command(n, c);
		return;
	case COMMAND_DRAIN:
	case COMMAND_EVICT:
	case COMMAND_SET:
	case COMMAND_MAINTENANCE:
		membership_command(n, c);
		return;
	}
	command_result(n, c->ticket, -ENOSYS);
}

void commands_input(struct node *n, const struct command *c)
{
	int r = n->stopped ? -ESHUTDOWN : await(n, c);
	struct effect refusal = { .result = r };

	if (r == 0)
		dispatch(n, c);
	else
		answer(n, c->ticket, &refusal);
}

void command_start(struct node *n, struct pending *p, const struct command *c)
{
	struct awaited *a = find(n->commands, c->ticket);

	assert(p->expired && a && !a->by);
	p->ticket = c->ticket;
	a->by = p;
}

void command_reply(struct node *n, uint64_t ticket, struct effect *reply)
{
	struct awaited *a = find(n->commands, ticket);

	if (!a) {
		effect_done(reply);
		return;
	}
	answer(n, ticket, reply);
	forget(n, a);
}

void command_result(struct node *n, uint64_t ticket, int result)
{
	struct effect reply = { .result = result };

	command_reply(n, ticket, &reply);
}
