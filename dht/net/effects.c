/*
 * What is to be done waits here until the driver polls: it does so after each event, so the queue is as long as what
 * one event brings about.  EFFECT_STOP comes behind all others, and needs no memory: it may be the news that there is
 * none.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dht/net/node_core.h"

#define KEEP 16u	/* effects; a queue that was longer gives its memory back once it is empty */

/* A circle: a power of two of places, the first ${count} behind ${first} taken. */
struct effects {
	struct effect *effect;
	unsigned int size, first, count;
	bool stop;		/* EFFECT_STOP is still to be told: no memory is needed for it */
	int result;
	char why[sizeof(((struct effect *)0)->text)];
};

int effects_new(struct node *n)
{
	n->effects = calloc(1, sizeof(*n->effects));
	return n->effects ? 0 : -ENOMEM;
}

void effects_free(struct node *n)
{
	struct effects *q = n->effects;

	if (!q)
		return;
	for (; q->count > 0; q->count--)
		effect_done(&q->effect[q->first++ & (q->size - 1)]);
	free(q->effect);
	free(q);
	n->effects = NULL;
}

size_t effects_memory(const struct node *n)
{
	return sizeof(*n->effects) + n->effects->size * sizeof(struct effect);
}

static int grow(struct effects *q)
{
	unsigned int size = q->size > 0 ? 2 * q->size : KEEP / 2;
	struct effect *effect = malloc(size * sizeof(*effect));

	if (!effect)
		return -ENOMEM;
	for (unsigned int i = 0; i < q->count; i++)
		effect[i] = q->effect[(q->first + i) & (q->size - 1)];
	free(q->effect);
	q->effect = effect;
	q->size = size;
	q->first = 0;
	return 0;
}

void effect_done(struct effect *e)
{
	chunk_drop(e->chunk);
	chunk_drop(e->head);
	chunk_drop(e->tail);
	chunk_drop(e->blob);
	e->chunk = e->head = e->tail = e->blob = NULL;
}

void effects_put(struct node *n, struct effect *e)
{
	struct effects *q = n->effects;

	if (q->count == q->size && grow(q)) {
		/* An effect that is lost breaks promises to others: better no node than one that forgets. */
		effect_done(e);
		node_stop(n, "out of memory");
		return;
	}
	q->effect[(q->first + q->count++) & (q->size - 1)] = *e;
}

bool effects_poll(struct node *n, struct effect *out)
{
	struct effects *q = n->effects;

	if (q->count > 0) {
		*out = q->effect[q->first];
		q->first = (q->first + 1) & (q->size - 1);
		q->count--;
		return true;
	}
	if (q->size > KEEP) {
		free(q->effect);
		q->effect = NULL;
		q->size = q->first = 0;
	}
	if (!q->stop)
		return false;
	q->stop = false;
	*out = (struct effect){ .kind = EFFECT_STOP, .result = q->result };
	memcpy(out->text, q->why, sizeof(out->text));
	return true;
}

void node_effect(struct node *n, struct effect *e)
{
	/* Of a command the first answer counts. */
	if (e->kind == EFFECT_REPLY)
		command_reply(n, e->ticket, e);
	else
		effects_put(n, e);
}

void node_log(struct node *n, int level, const char *format, ...)
{
	struct effect e = { .kind = EFFECT_LOG, .level = level };
	va_list ap;

	va_start(ap, format);
	vsnprintf(e.text, sizeof(e.text), format, ap);
	va_end(ap);
	effects_put(n, &e);
}

void node_stop(struct node *n, const char *why)
{
	node_stop_for(n, -ENOMEM, why);
}

void node_stop_for(struct node *n, int result, const char *why)
{
	if (n->stopped)
		return;
	n->effects->result = result;
	n->stopped = true;
	n->effects->stop = true;
	snprintf(n->effects->why, sizeof(n->effects->why), "%s", why);
}
