#include "fs/jobs.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

struct jobs {
	pthread_mutex_t lock;	/* protects what follows */
	pthread_cond_t posted;
	struct job *first, **last;
	bool ending;
	/* set once, before the first job */
	unsigned int threads;
	pthread_t thread[];
};

static void *work(void *arg)
{
	struct jobs *js = arg;

	pthread_mutex_lock(&js->lock);
	for (;;) {
		struct job *j = js->first;

		if (!j && js->ending)
			break;
		if (!j) {
			pthread_cond_wait(&js->posted, &js->lock);
			continue;
		}
		js->first = j->next;
		if (!js->first)
			js->last = &js->first;
		pthread_mutex_unlock(&js->lock);
		j->run(j);
		pthread_mutex_lock(&js->lock);
	}
	pthread_mutex_unlock(&js->lock);
	return NULL;
}

struct jobs *jobs_new(unsigned int threads)
{
	struct jobs *js = calloc(1, sizeof(*js) + threads * sizeof(js->thread[0]));

	if (!js)
		return NULL;
	pthread_mutex_init(&js->lock, NULL);
	pthread_cond_init(&js->posted, NULL);
	js->last = &js->first;
	for (; js->threads < threads; js->threads++) {
		if (pthread_create(&js->thread[js->threads], NULL, work, js) != 0) {
			jobs_free(js);
			return NULL;
		}
	}
	return js;
}

void jobs_free(struct jobs *js)
{
	if (!js)
		return;
	pthread_mutex_lock(&js->lock);
	js->ending = true;
	pthread_cond_broadcast(&js->posted);
	pthread_mutex_unlock(&js->lock);
	for (unsigned int i = 0; i < js->threads; i++)
		pthread_join(js->thread[i], NULL);
	pthread_cond_destroy(&js->posted);
	pthread_mutex_destroy(&js->lock);
	free(js);
}

void jobs_post(struct jobs *js, struct job *j)
{
	j->next = NULL;
	pthread_mutex_lock(&js->lock);
	*js->last = j;
	js->last = &j->next;
	pthread_cond_signal(&js->posted);
	pthread_mutex_unlock(&js->lock);
}
