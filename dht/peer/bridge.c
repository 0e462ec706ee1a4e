#include "dht/peer/bridge.h"

#include <assert.h>

static void woken(uv_async_t *async)
{
	bridge_run(async->data);
}

int bridge_open(struct bridge *b, uv_loop_t *loop, void *arg)
{
	int rc = uv_async_init(loop, &b->async, woken);

	if (rc < 0)
		return rc;
	b->async.data = b;
	b->arg = arg;
	b->open = true;
	list_init(&b->jobs);
	pthread_mutex_init(&b->lock, NULL);
	return 0;
}

void bridge_send(struct bridge *b, struct bridge_job *j)
{
	pthread_mutex_lock(&b->lock);
	/* Who comes to a line that is not empty finds the loop told already, or at work on it. */
	if (b->open && list_empty(&b->jobs))
		uv_async_send(&b->async);
	list_append(&b->jobs, &j->link);
	pthread_mutex_unlock(&b->lock);
}

void bridge_take(struct bridge *b, struct bridge_job *j)
{
	pthread_mutex_lock(&b->lock);
	list_remove(&j->link);
	pthread_mutex_unlock(&b->lock);
}

void bridge_run(struct bridge *b)
{
	struct list now;

	/* Those that come meanwhile wait for the next round: sockets have their turn in between. */
	list_init(&now);
	pthread_mutex_lock(&b->lock);
	if (!list_empty(&b->jobs)) {
		list_append(&b->jobs, &now);
		list_remove(&b->jobs);
	}
	pthread_mutex_unlock(&b->lock);
	while (!list_empty(&now)) {
		struct bridge_job *j = list_item(now.next, struct bridge_job, link);

		list_remove(&j->link);
		j->run(b->arg, j);
	}
}

void bridge_shut(struct bridge *b)
{
	pthread_mutex_lock(&b->lock);
	b->open = false;
	pthread_mutex_unlock(&b->lock);
	uv_close((uv_handle_t *)&b->async, NULL);
}

void bridge_free(struct bridge *b)
{
	assert(list_empty(&b->jobs));
	pthread_mutex_destroy(&b->lock);
}
