#include "dht/peer/resolve.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct resolve {
	struct bridge_job job;
	struct endpoint endpoint;
	void (*done)(void *arg, const struct resolve_result *r);
	void *arg;
	struct resolve_result result;
	struct bridge *bridge;		/* under the lock: NULL: nobody waits for it any more */
	bool sent;			/* under the lock: the bridge has it */
};

/* One for all: it is held for a moment, once a lookup, and outlives every bridge. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned int running;		/* threads; under the lock */

void resolve_now(const struct endpoint *e, bool listening, struct resolve_result *out)
{
	const struct addrinfo hints = {
		.ai_flags = AI_NUMERICSERV | (listening ? AI_PASSIVE : 0), .ai_socktype = SOCK_STREAM,
	};
	struct addrinfo *all;
	char port[8];
	int rc;

	memset(out, 0, sizeof(*out));
	if (endpoint_numeric(e, &out->address[0])) {
		out->count = 1;
		return;
	}
	snprintf(port, sizeof(port), "%u", e->port);
	rc = getaddrinfo(e->host, port, &hints, &all);
	if (rc != 0) {
		out->error = rc == EAI_AGAIN || rc == EAI_MEMORY ? -EAGAIN : -ENOENT;
		return;
	}
	for (struct addrinfo *ai = all; ai && out->count < RESOLVE_ADDRESSES; ai = ai->ai_next)
		if (ai->ai_family == AF_INET || ai->ai_family == AF_INET6)
			memcpy(&out->address[out->count++], ai->ai_addr, ai->ai_addrlen);
	freeaddrinfo(all);
	out->error = out->count > 0 ? 0 : -ENOENT;
}

static void finish(void *arg, struct bridge_job *j)
{
	struct resolve *l = list_item(j, struct resolve, job);

	(void)arg;
	/* The loop's thread is the only one that has it now. */
	if (l->done)
		l->done(l->arg, &l->result);
	free(l);
}

static void *look(void *arg)
{
	struct resolve *l = arg;

	resolve_now(&l->endpoint, false, &l->result);
	pthread_mutex_lock(&lock);
	running--;
	l->sent = l->bridge != NULL;
	if (l->sent)
		bridge_send(l->bridge, &l->job);
	else
		free(l);
	pthread_mutex_unlock(&lock);
	return NULL;
}

static int start_thread(struct resolve *l)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	int rc;

	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = -pthread_create(&thread, &attr, look, l);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return rc;
}

int resolve_start(struct bridge *b, const struct endpoint *e, void (*done)(void *arg, const struct resolve_result *r),
    void *arg, struct resolve **out)
{
	struct resolve *l = calloc(1, sizeof(*l));
	int rc = 0;

	if (!l)
		return -ENOMEM;
	*l = (struct resolve){ .job.run = finish, .endpoint = *e, .done = done, .arg = arg, .bridge = b };
	if (endpoint_numeric(e, &l->result.address[0])) {
		l->result.count = 1;
		l->sent = true;
		bridge_send(b, &l->job);
		*out = l;
		return 0;
	}
	pthread_mutex_lock(&lock);
	if (running == RESOLVES_MAX)
		rc = -EAGAIN;
	else
		rc = start_thread(l);
	running += rc == 0;
	pthread_mutex_unlock(&lock);
	if (rc < 0)
		free(l);
	else
		*out = l;
	return rc;
}

void resolve_cancel(struct resolve *l)
{
	bool sent;

	pthread_mutex_lock(&lock);
	sent = l->sent;
	l->bridge = NULL;
	pthread_mutex_unlock(&lock);
	/* On its way to this thread: it finds that nobody waits.  Else its thread finds that, and must not be raced. */
	if (sent)
		l->done = NULL;
}
